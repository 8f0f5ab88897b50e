//! Text → DATE and TIMESTAMP, in the forms that Spark's CAST takes.
//!
//! `2026`, `2026-1`, `2026-01-31`, and behind a day `T` or a space, `12`, `12:34`, `12:34:56.789` and
//! a zone. What follows the sixth digit of a second is dropped.

use arrow::array::timezone::Tz;
use chrono::{NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone};

/// Days since 1970-01-01.
pub(super) fn parse_date(text: &str) -> Option<i32> {
    let (date, rest) = split_date(text.trim())?;
    if !(rest.is_empty() || rest.starts_with([' ', 'T'])) {
        return None;
    }
    days(date)
}

/// Days since 1970-01-01 of a date of the calendar.
fn days(date: NaiveDate) -> Option<i32> {
    i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok()
}

/// Microseconds since 1970-01-01 00:00 UTC; a text without a zone is in UTC.
pub(super) fn parse_timestamp(text: &str) -> Option<i64> {
    let (local, zone) = parse_local(text.trim())?;
    let offset = match zone.trim() {
        "" => 0,
        zone => offset_seconds(zone, local)?,
    };
    local.and_utc().timestamp_micros().checked_sub(offset.checked_mul(1_000_000)?)
}

/// Microseconds of a wall clock; a zone, where there is one, is not looked at.
pub(super) fn parse_timestamp_ntz(text: &str) -> Option<i64> {
    let (local, zone) = parse_local(text.trim())?;
    if !zone.trim().is_empty() {
        offset_seconds(zone.trim(), local)?;
    }
    Some(local.and_utc().timestamp_micros())
}

/// A date and time, and the text behind it.
fn parse_local(text: &str) -> Option<(NaiveDateTime, &str)> {
    let (date, rest) = split_date(text)?;
    let Some(rest) = rest.strip_prefix([' ', 'T']).filter(|rest| !rest.is_empty()) else {
        return rest.trim().is_empty().then(|| (date.and_time(NaiveTime::MIN), ""));
    };
    let (hour, mut rest) = digits(rest, 1, 2)?;
    let (mut minute, mut second, mut micros) = (0, 0, 0);
    if let Some(after) = rest.strip_prefix(':') {
        (minute, rest) = digits(after, 1, 2)?;
        if let Some(after) = rest.strip_prefix(':') {
            (second, rest) = digits(after, 1, 2)?;
            if let Some(after) = rest.strip_prefix('.') {
                (micros, rest) = fraction(after);
            }
        }
    }
    let time = NaiveTime::from_hms_micro_opt(hour, minute, second, micros)?;
    Some((date.and_time(time), rest))
}

/// A date of one to three parts, and the text behind it.
fn split_date(text: &str) -> Option<(NaiveDate, &str)> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (year, mut rest) = digits(text, 4, 6)?;
    let (mut month, mut day) = (1, 1);
    if let Some(after) = rest.strip_prefix('-') {
        (month, rest) = digits(after, 1, 2)?;
        match rest.strip_prefix('-') {
            Some(after) => (day, rest) = digits(after, 1, 2)?,
            None if rest.is_empty() => {}
            None => return None,
        }
    } else if !rest.is_empty() {
        return None;
    }
    let year = i32::try_from(year).ok()?;
    Some((NaiveDate::from_ymd_opt(if negative { -year } else { year }, month, day)?, rest))
}

fn digits(text: &str, least: usize, most: usize) -> Option<(u32, &str)> {
    let count = text.bytes().take_while(u8::is_ascii_digit).count();
    if !(least..=most).contains(&count) {
        return None;
    }
    let (number, rest) = text.split_at(count);
    Some((number.parse().ok()?, rest))
}

/// Microseconds from the digits behind the point.
fn fraction(text: &str) -> (u32, &str) {
    let count = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(count);
    let padded = format!("{:0<6}", &number[..count.min(6)]);
    (padded.parse().unwrap_or(0), rest)
}

/// Seconds east of UTC: `Z`, `UTC`, `+2`, `+02:00`, `GMT+2`, `Europe/Berlin`.
fn offset_seconds(zone: &str, local: NaiveDateTime) -> Option<i64> {
    let upper = zone.to_ascii_uppercase();
    let known = ["UTC", "GMT", "UT"].iter().find_map(|name| upper.strip_prefix(name));
    let rest = known.unwrap_or(&upper);
    if rest == "Z" || (rest.is_empty() && known.is_some()) {
        return Some(0);
    }
    if let Some(signed) = rest.strip_prefix(['+', '-']) {
        let seconds = clock_offset(signed)?;
        return Some(if rest.starts_with('-') { -seconds } else { seconds });
    }
    let zone: Tz = zone.parse().ok()?;
    // In the hour that a clock repeats the earlier offset counts, in the one that it skips the later.
    let offset = zone.offset_from_local_datetime(&local).earliest();
    let offset = offset.unwrap_or_else(|| zone.offset_from_utc_datetime(&local));
    Some(i64::from(offset.fix().local_minus_utc()))
}

/// `2`, `02`, `02:30`, `0230`, `02:30:15`.
fn clock_offset(text: &str) -> Option<i64> {
    let parts: Vec<&str> = match text.contains(':') {
        true => text.split(':').collect(),
        false if text.len() == 4 && text.is_ascii() => vec![&text[..2], &text[2..]],
        false => vec![text],
    };
    let numbers: Vec<i64> = parts
        .iter()
        .map(|part| digits(part, 1, 2).filter(|(_, rest)| rest.is_empty()).map(|(n, _)| n.into()))
        .collect::<Option<_>>()?;
    let (hour, minute, second) = match numbers[..] {
        [hour] => (hour, 0, 0),
        [hour, minute] => (hour, minute, 0),
        [hour, minute, second] => (hour, minute, second),
        _ => return None,
    };
    let seconds = hour * 3600 + minute * 60 + second;
    (minute < 60 && second < 60 && seconds <= 18 * 3600).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_take_short_forms_and_ignore_a_time() {
        assert_eq!(parse_date(" 1970-1-3 "), Some(2));
        assert_eq!(parse_date("1970-01-02 nonsense"), Some(1));
        assert_eq!(parse_date("1971"), Some(365));
        for wrong in ["1970-01-02x", "1970-02-30", "19700102", "70-01-02", "", "1970/01/02"] {
            assert_eq!(parse_date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn timestamps_take_zones_and_drop_what_is_finer_than_a_microsecond() {
        let hour = 3_600_000_000;
        for (text, micros) in [
            ("1970-01-01 01", Some(hour)),
            ("1970-01-01T01:00Z", Some(hour)),
            ("1970-01-01 03:00:00+02:00", Some(hour)),
            ("1970-01-01 03:00:00 GMT+2", Some(hour)),
            ("1970-01-01 00:00:00.1234569", Some(123_456)),
            ("1970-01-01 25:00", None),
            ("1970-01-01 01:00 nowhere", None),
        ] {
            assert_eq!(parse_timestamp(text), micros, "{text}");
        }
    }
}
