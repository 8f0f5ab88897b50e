//! Time zones: what the clock on the wall shows at an instant, and the way back, as in Java.

use chrono::{Months, NaiveDateTime, Offset, TimeZone};
use chrono_tz::{OffsetName, Tz};

use super::{DAY, SECOND, naive};
use crate::error::Error;

/// A time zone: a name with its rules, or a fixed distance from UTC. By default UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    name: String,
    rules: Rules,
}

/// How far clocks are ahead of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    /// Always so many seconds.
    Fixed(i64),
    /// As a place has it.
    Place(Tz),
}

/// The abbreviations that Java takes for a place; `EST`, `MST` and `HST` are places themselves.
const ABBREVIATIONS: [(&str, &str); 25] = [
    ("ACT", "Australia/Darwin"),
    ("AET", "Australia/Sydney"),
    ("AGT", "America/Argentina/Buenos_Aires"),
    ("ART", "Africa/Cairo"),
    ("AST", "America/Anchorage"),
    ("BET", "America/Sao_Paulo"),
    ("BST", "Asia/Dhaka"),
    ("CAT", "Africa/Harare"),
    ("CNT", "America/St_Johns"),
    ("CST", "America/Chicago"),
    ("CTT", "Asia/Shanghai"),
    ("EAT", "Africa/Addis_Ababa"),
    ("ECT", "Europe/Paris"),
    ("IET", "America/Indiana/Indianapolis"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("MIT", "Pacific/Apia"),
    ("NET", "Asia/Yerevan"),
    ("NST", "Pacific/Auckland"),
    ("PLT", "Asia/Karachi"),
    ("PNT", "America/Phoenix"),
    ("PRT", "America/Puerto_Rico"),
    ("PST", "America/Los_Angeles"),
    ("SST", "Pacific/Guadalcanal"),
    ("VST", "Asia/Ho_Chi_Minh"),
];

impl Default for Zone {
    fn default() -> Self {
        Self { name: "UTC".to_owned(), rules: Rules::Fixed(0) }
    }
}

impl Zone {
    /// A zone as Spark writes it: `Europe/Berlin`, `UTC`, `Z`, `+02:00`, `GMT+2`, `PST`.
    ///
    /// # Errors
    ///
    /// `INVALID_TIMEZONE`: there is no such zone.
    pub fn named(name: &str) -> Result<Self, Error> {
        match Rules::named(name) {
            Some(rules) => Ok(Self { name: name.to_owned(), rules }),
            None => Err(Error::input("INVALID_TIMEZONE", format!("'{name}' is not a time zone"))
                .hint("write a zone as in 'Europe/Berlin' or '+02:00'")),
        }
    }

    /// The names of all places that have rules of their own.
    pub fn names() -> impl Iterator<Item = &'static str> {
        chrono_tz::TZ_VARIANTS.iter().map(|place| place.name())
    }

    /// The name as it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name that it has in Java: `America/Los_Angeles` for `PST`, `+02:00` for `+2`.
    pub(super) fn id(&self) -> String {
        match self.rules {
            Rules::Place(place) => place.name().to_owned(),
            Rules::Fixed(0) => self.name.clone(),
            Rules::Fixed(offset) => {
                let prefix = self.name.split(['+', '-']).next().unwrap_or_default();
                let (sign, size) = (if offset < 0 { '-' } else { '+' }, offset.abs());
                let (hours, minutes, seconds) = (size / 3600, size / 60 % 60, size % 60);
                let seconds = if seconds == 0 { String::new() } else { format!(":{seconds:02}") };
                format!("{prefix}{sign}{hours:02}:{minutes:02}{seconds}")
            }
        }
    }

    /// What clocks of the zone are called at an instant: `EST`, `CEST`; where they have no such
    /// name, the zone's.
    pub(super) fn abbreviation(&self, instant: i64) -> String {
        match self.rules {
            Rules::Place(place) => {
                let offset = place.offset_from_utc_datetime(&naive(instant));
                offset.abbreviation().map_or_else(|| self.id(), ToOwned::to_owned)
            }
            Rules::Fixed(_) => self.id(),
        }
    }

    /// Whether its clocks always show UTC.
    pub(crate) fn is_utc(&self) -> bool {
        self.rules == Rules::Fixed(0)
    }

    pub(super) fn rules(&self) -> Rules {
        self.rules
    }

    /// Seconds that the zone is ahead of UTC at an instant.
    pub(crate) fn offset_at(&self, instant: i64) -> i64 {
        match self.rules {
            Rules::Fixed(offset) => offset,
            Rules::Place(place) => at_instant(place, naive(instant)),
        }
    }

    /// The clock at an instant, as microseconds of a day count of its own.
    pub(crate) fn clock(&self, instant: i64) -> i64 {
        instant.saturating_add(self.offset_at(instant) * SECOND)
    }

    /// The instant at which the clock shows this. Where it shows it twice, the first; where it
    /// never does, because clocks went forward, as much later as they went.
    pub(crate) fn instant(&self, clock: i64) -> i64 {
        clock.saturating_sub(self.rules.offset_on(clock.div_euclid(SECOND)) * SECOND)
    }

    /// An instant plus an interval: months and days by the clock, and then the rest. A time that
    /// the clock shows twice is the one with the offset of before. `None`: there is no such time.
    pub(crate) fn plus(&self, instant: i64, months: i64, days: i64, micros: i64) -> Option<i64> {
        if months == 0 && days == 0 {
            return instant.checked_add(micros);
        }
        let offset = self.offset_at(instant) * SECOND;
        let clock = instant.checked_add(offset)?;
        let moved = later(clock, months)?.checked_add(days.checked_mul(DAY)?)?;
        let same = moved.checked_sub(offset)?;
        let same_offset = self.offset_at(same) * SECOND == offset;
        let moved = if same_offset { same } else { self.instant(moved) };
        moved.checked_add(micros)
    }
}

/// A clock some months later; the last day of a month stands for those that it has not.
fn later(clock: i64, months: i64) -> Option<i64> {
    if months == 0 {
        return Some(clock);
    }
    let by = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    let time = chrono::DateTime::from_timestamp_micros(clock)?.naive_utc();
    let moved = if months < 0 { time.checked_sub_months(by) } else { time.checked_add_months(by) };
    Some(moved?.and_utc().timestamp_micros())
}

impl Rules {
    pub(super) fn named(name: &str) -> Option<Self> {
        if name == "Z" {
            return Some(Self::Fixed(0));
        }
        let prefix = ["UTC", "GMT", "UT"].into_iter().find(|prefix| name.starts_with(prefix));
        let offset = prefix.map_or(name, |prefix| &name[prefix.len()..]);
        match offset.as_bytes().first() {
            None => prefix.map(|_| Self::Fixed(0)),
            Some(b'+') => offset_seconds(&offset[1..]).map(Self::Fixed),
            Some(b'-') => offset_seconds(&offset[1..]).map(|seconds| Self::Fixed(-seconds)),
            Some(_) => {
                let place = ABBREVIATIONS.iter().find(|(short, _)| *short == name);
                place.map_or(name, |(_, place)| place).parse().ok().map(Self::Place)
            }
        }
    }

    /// Seconds ahead of UTC when clocks show so many seconds since 1970.
    pub(super) fn offset_on(self, clock: i64) -> i64 {
        let place = match self {
            Self::Fixed(offset) => return offset,
            Self::Place(place) => place,
        };
        let local = naive(clock.saturating_mul(SECOND));
        match place.offset_from_local_datetime(&local).earliest() {
            Some(offset) => offset.fix().local_minus_utc().into(),
            None => at_instant(place, local - chrono::TimeDelta::days(1)),
        }
    }
}

fn at_instant(place: Tz, instant: NaiveDateTime) -> i64 {
    place.offset_from_utc_datetime(&instant).fix().local_minus_utc().into()
}

/// `h`, `hh`, `hhmm`, `hhmmss`, `h:mm`, `hh:m`, `hh:mm`, `hh:mm:ss` in seconds; at most 18 hours.
fn offset_seconds(text: &str) -> Option<i64> {
    if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b':') {
        return None;
    }
    let (hours, minutes, seconds) = match text.split(':').collect::<Vec<_>>()[..] {
        [all] if all.len() == 6 => (&all[..2], &all[2..4], &all[4..]),
        [all] if all.len() == 4 => (&all[..2], &all[2..], "0"),
        [hours] => (hours, "0", "0"),
        [hours, minutes] => (hours, minutes, "0"),
        [hours, minutes, seconds] => (hours, minutes, seconds),
        _ => return None,
    };
    let number = |text: &str| text.parse::<i64>().ok().filter(|_| text.len() <= 2);
    let (hours, minutes, seconds) = (number(hours)?, number(minutes)?, number(seconds)?);
    let all = (hours * 60 + minutes) * 60 + seconds;
    (minutes < 60 && seconds < 60 && all <= 18 * 3600).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::read_instant;

    fn instant(text: &str) -> i64 {
        read_instant(text, &Zone::default()).unwrap()
    }

    // What Spark 4.2.1 takes and what it refuses.
    #[test]
    fn zones_have_the_names_that_spark_knows() {
        for (name, offset) in [
            ("America/New_York", -5 * 3600),
            ("+02:00", 7200),
            ("UTC+2", 7200),
            ("GMT+2:3", 7380),
            ("UT-3", -10800),
            ("PST", -8 * 3600),
            ("EST", -5 * 3600),
            ("+02:00:30", 7230),
            ("+0200", 7200),
            ("-05", -5 * 3600),
            ("Z", 0),
            ("GMT0", 0),
            ("+18:00", 18 * 3600),
        ] {
            let zone = Zone::named(name).unwrap();
            assert_eq!(zone.offset_at(instant("2026-01-05 12:00:00")), offset, "{name}");
        }
        for name in ["america/new_york", "z", "utc", "", "Nowhere", "+19:00", " UTC", "+", "+2:"] {
            assert!(Zone::named(name).is_err(), "{name}");
        }
    }

    #[test]
    fn clocks_that_go_forward_skip_an_hour() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        let at = |text| berlin.instant(instant(text));
        assert_eq!(at("2026-03-29 02:30:00"), instant("2026-03-29 01:30:00"));
        assert_eq!(at("2026-10-25 02:30:00"), instant("2026-10-25 00:30:00"));
        assert_eq!(berlin.clock(instant("2026-07-01 12:00:00")), instant("2026-07-01 14:00:00"));
    }

    // All of these are what Spark 4.2.1 says.
    #[test]
    fn days_and_months_are_those_of_the_clock() {
        const HOUR: i64 = 3600 * SECOND;
        let new_york = Zone::named("America/New_York").unwrap();
        for (time, (months, days, micros), end) in [
            ("2026-01-31T07:00:00-05:00", (1, 0, 0), "2026-02-28T07:00:00-05:00"),
            ("2026-03-07T07:00:00-05:00", (0, 1, 0), "2026-03-08T07:00:00-04:00"),
            ("2026-03-07T07:00:00-05:00", (0, 0, 24 * HOUR), "2026-03-08T08:00:00-04:00"),
            // The clocks jump from 02:00 to 03:00.
            ("2026-03-07T02:30:00-05:00", (0, 1, 0), "2026-03-08T03:30:00-04:00"),
            ("2026-03-07T02:30:00-05:00", (0, 1, 2 * HOUR), "2026-03-08T05:30:00-04:00"),
            // 01:30 comes twice.
            ("2026-10-31T01:30:00-04:00", (0, 1, 0), "2026-11-01T01:30:00-04:00"),
            ("2026-10-31T01:30:00-04:00", (0, 1, 2 * HOUR), "2026-11-01T02:30:00-05:00"),
            ("2026-10-31T08:00:00-04:00", (1, 0, 0), "2026-11-30T08:00:00-05:00"),
        ] {
            let moved = new_york.plus(instant(time), months, days, micros);
            assert_eq!(moved, Some(instant(end)), "{time}");
        }
    }
}
