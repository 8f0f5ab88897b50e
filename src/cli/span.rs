//! Lengths of time as a person says them.

use crate::time::Millis;

/// `0s`, `250ms`, `1.5s`, `12m 30s`, `2h 5m`, `3d 4h 10s`. From a minute on, parts of seconds are
/// left out.
pub fn span(millis: Millis) -> String {
    match millis {
        1..1000 => return format!("{millis}ms"),
        1000..60_000 if millis % 1000 != 0 => return format!("{:.1}s", millis as f64 / 1000.0),
        _ => {}
    }
    let seconds = millis / 1000;
    let units = [
        (seconds / 86_400, 'd'),
        (seconds / 3600 % 24, 'h'),
        (seconds / 60 % 60, 'm'),
        (seconds % 60, 's'),
    ];
    let said: Vec<String> = units
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if said.is_empty() { "0s".to_owned() } else { said.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_said_in_units() {
        for (millis, said) in [
            (0, "0s"),
            (250, "250ms"),
            (1_500, "1.5s"),
            (60_000, "1m"),
            (750_900, "12m 30s"),
            (7_500_000, "2h 5m"),
            (273_610_000, "3d 4h 10s"),
        ] {
            assert_eq!(span(millis), said);
        }
    }
}
