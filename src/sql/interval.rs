//! Spark's intervals: `INTERVAL 10 MINUTES`, `'1 hour 30 minutes'`, `'0 00:02:30' DAY TO SECOND`.
//!
//! An interval is months, days and microseconds, as in Spark and in Arrow. Months have no fixed
//! length: a window refuses them, a watermark delay counts 31 days for each.

/// A length of time as SQL writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interval {
    /// Months; a year is 12.
    pub months: i64,
    /// Days of the calendar; a week is 7.
    pub days: i64,
    /// Microseconds.
    pub micros: i64,
}

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

impl Interval {
    /// Reads `5 minutes`, `1 hour 30 minutes`, `interval -2 days`. The error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lower = text.trim().to_lowercase();
        let body = lower.strip_prefix("interval ").unwrap_or(&lower);
        let mut words = body.split_whitespace();
        let mut whole = Self::default();
        let mut parts = 0;
        while let Some(number) = words.next() {
            // `+ 5 days` and `- 5 days` are Spark's too; `5days` is not.
            let (number, unit) = match number {
                "+" | "-" => {
                    let sign = if number == "-" { "-" } else { "" };
                    (format!("{sign}{}", words.next().unwrap_or("")), words.next())
                }
                _ => (number.to_owned(), words.next()),
            };
            let Some(unit) = unit else {
                return Err(format!("'{text}' lacks a unit after {number}"));
            };
            whole = whole.plus(Self::of(&number, unit)?).ok_or("the interval is too long")?;
            parts += 1;
        }
        if parts == 0 { Err("the interval is empty".to_owned()) } else { Ok(whole) }
    }

    /// So many of a unit: `("10", "minutes")`. Only seconds take a fraction. Spark knows no short
    /// names of units.
    pub fn of(number: &str, unit: &str) -> Result<Self, String> {
        let unit = unit.to_lowercase();
        let singular = unit.strip_suffix('s').unwrap_or(&unit);
        let micros = match singular {
            "microsecond" => 1,
            "millisecond" => 1_000,
            "second" => SECOND,
            "minute" => 60 * SECOND,
            "hour" => 3600 * SECOND,
            _ => 0,
        };
        let too_long = || format!("{number} {unit} is too long");
        if micros > 0 {
            let micros = scaled(number, micros).ok_or_else(|| not_a_number(number))?;
            return Ok(Self { micros, ..Self::default() });
        }
        let count: i64 = number.parse().map_err(|_| not_a_number(number))?;
        let (months, days) = match singular {
            "day" => (0, 1),
            "week" => (0, 7),
            "month" => (1, 0),
            "year" => (12, 0),
            _ => return Err(format!("'{unit}' is not a unit of time")),
        };
        Ok(Self {
            months: count.checked_mul(months).ok_or_else(too_long)?,
            days: count.checked_mul(days).ok_or_else(too_long)?,
            micros: 0,
        })
    }

    /// The ANSI form of several units: `('0 00:02:30', "day", "second")`, `('1-6', "year", "month")`.
    pub fn of_range(text: &str, from: &str, to: &str) -> Result<Self, String> {
        const UNITS: [&str; 4] = ["day", "hour", "minute", "second"];
        let wrong = || format!("'{text}' is not an interval {from} to {to}");
        let (from, to) = (from.to_lowercase(), to.to_lowercase());
        let body = text.trim();
        let (negative, body) = match body.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, body),
        };
        let mut whole = Self::default();
        if from == "year" && to == "month" {
            let (years, months) = body.split_once('-').ok_or_else(wrong)?;
            whole.months = Self::of(years, "year")?.months + Self::of(months, "month")?.months;
        } else {
            let first = UNITS.iter().position(|u| *u == from).ok_or_else(wrong)?;
            let last = UNITS.iter().position(|u| *u == to).ok_or_else(wrong)?;
            let units = UNITS.get(first..=last).ok_or_else(wrong)?;
            let parts: Vec<&str> = body.split([' ', ':']).filter(|p| !p.is_empty()).collect();
            if parts.len() != units.len() {
                return Err(wrong());
            }
            for (part, unit) in parts.iter().zip(units) {
                whole = whole.plus(Self::of(part, unit)?).ok_or_else(wrong)?;
            }
        }
        Ok(if negative { whole.negated() } else { whole })
    }

    /// The sum, if it fits.
    pub fn plus(self, other: Self) -> Option<Self> {
        Some(Self {
            months: self.months.checked_add(other.months)?,
            days: self.days.checked_add(other.days)?,
            micros: self.micros.checked_add(other.micros)?,
        })
    }

    /// The same length backwards.
    pub fn negated(self) -> Self {
        Self {
            months: self.months.saturating_neg(),
            days: self.days.saturating_neg(),
            micros: self.micros.saturating_neg(),
        }
    }

    /// Microseconds where a day has 24 hours, as a window counts; `None` if there are months.
    pub fn fixed_micros(self) -> Option<i64> {
        if self.months != 0 {
            return None;
        }
        self.days.checked_mul(DAY)?.checked_add(self.micros)
    }

    /// Microseconds where a month has 31 days, as a watermark delay counts.
    pub fn delay_micros(self) -> Option<i64> {
        let days = self.months.checked_mul(31)?.checked_add(self.days)?;
        days.checked_mul(DAY)?.checked_add(self.micros)
    }

    /// The text that DataFusion reads as the same interval.
    pub(super) fn to_arrow_text(self) -> String {
        let sign = if self.micros < 0 { "-" } else { "" };
        let (seconds, fraction) =
            (self.micros.unsigned_abs() / 1_000_000, self.micros.unsigned_abs() % 1_000_000);
        format!("{} months {} days {sign}{seconds}.{fraction:06} seconds", self.months, self.days)
    }
}

fn not_a_number(text: &str) -> String {
    format!("'{text}' is not a whole number")
}

/// `"1.5"` times a unit in microseconds, exactly.
fn scaled(number: &str, unit: i64) -> Option<i64> {
    let (negative, digits) = match number.strip_prefix(['-', '+']) {
        Some(rest) => (number.starts_with('-'), rest),
        None => (false, number),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if (!fraction.is_empty() && unit != SECOND) || fraction.len() > 9 || digits.starts_with('-') {
        return None;
    }
    let mut micros = whole.parse::<i64>().ok()?.checked_mul(unit)?;
    if !fraction.is_empty() {
        let power = 10_i64.pow(u32::try_from(fraction.len()).ok()?);
        micros = micros.checked_add(fraction.parse::<i64>().ok()? * unit / power)?;
    }
    Some(if negative { -micros } else { micros })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> i64 {
        Interval::parse(text).unwrap().fixed_micros().unwrap()
    }

    #[test]
    fn reads_durations_as_spark_writes_them() {
        assert_eq!(micros("5 minutes"), 300 * SECOND);
        assert_eq!(micros("1 hour 30 minutes"), 5400 * SECOND);
        assert_eq!(micros("INTERVAL 5 minutes"), 300 * SECOND);
        assert_eq!(micros("-3 minutes"), -180 * SECOND);
        assert_eq!(micros("1 week 1.5 seconds"), 7 * DAY + 1_500_000);
        assert_eq!(Interval::parse("1 month").unwrap().fixed_micros(), None);
        assert_eq!(Interval::parse("1 month").unwrap().delay_micros(), Some(31 * DAY));
    }

    #[test]
    fn reads_the_ansi_forms() {
        let two_and_a_half = Interval::of_range("0 00:02:30", "DAY", "SECOND").unwrap();
        assert_eq!(two_and_a_half.fixed_micros(), Some(150 * SECOND));
        assert_eq!(Interval::of_range("1-6", "year", "month").unwrap().months, 18);
        assert!(Interval::of_range("1:2", "day", "second").is_err());
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(Interval::parse("5").unwrap_err(), "'5' lacks a unit after 5");
        assert_eq!(Interval::parse("5 moons").unwrap_err(), "'moons' is not a unit of time");
        assert_eq!(Interval::parse("x minutes").unwrap_err(), "'x' is not a whole number");
        assert!(Interval::parse("").is_err());
        for unread in ["5minutes", "5 mins", "5 sec", "0.5 minutes", "INTERVAL '5' MINUTE"] {
            assert!(Interval::parse(unread).is_err(), "{unread}");
        }
    }
}
