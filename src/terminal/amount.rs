//! Sizes and times for people.

use k8s_openapi::jiff::Timestamp;

/// A number of bytes in the unit that shows it best: `42 MB`, `1.5 GB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let (mut whole, mut tenths, mut unit) = (bytes / 1000, bytes % 1000 / 100, 0);
    while whole >= 1000 && unit + 1 < UNITS.len() {
        (whole, tenths, unit) = (whole / 1000, whole % 1000 / 100, unit + 1);
    }
    let unit = UNITS.get(unit).copied().unwrap_or_default();
    if whole < 10 { format!("{whole}.{tenths} {unit}") } else { format!("{whole} {unit}") }
}

/// A time as a date: `2026-11-29`.
pub(crate) fn date(seconds: i64) -> String {
    time(seconds).split('T').next().unwrap_or_default().to_owned()
}

/// A time as Kubernetes writes it: `2026-11-29T10:00:00Z`; empty if it has no such form.
pub(crate) fn time(seconds: i64) -> String {
    Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}

/// An age in the unit that shows it best: `40 days`, `3 hours`.
pub(crate) fn age(seconds: i64) -> String {
    let (number, unit) = match seconds.max(0) {
        seconds @ ..3600 => (seconds / 60, "minute"),
        seconds @ ..86400 => (seconds / 3600, "hour"),
        seconds => (seconds / 86400, "day"),
    };
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::{age, bytes, date, time};

    #[test]
    fn sizes_and_times_are_short() {
        for (number, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (1_550_000_000, "1.5 GB"),
            (42_900_000, "42 MB"),
            (999_999, "999 kB"),
            (u64::MAX, "18446 PB"),
        ] {
            assert_eq!(bytes(number), text);
        }
        assert_eq!(
            (date(1_796_000_000), time(1_796_000_000)),
            ("2026-11-30".to_owned(), "2026-11-30T00:53:20Z".to_owned())
        );
        assert_eq!(time(i64::MAX), "");
        for (seconds, text) in [(-5, "0 minutes"), (90, "1 minute"), (7200, "2 hours"), (40 * 86400, "40 days")] {
            assert_eq!(age(seconds), text);
        }
    }
}
