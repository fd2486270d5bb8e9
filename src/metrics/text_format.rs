//! Converts the page to the older text format of Prometheus, which has no info metrics and names a counter like its
//! series.

use std::fmt::Write as _;

/// The media type of the older format.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Converts a page of `OpenMetrics`. The series stay the same; only `HELP` and `TYPE` lines change.
pub(super) fn from_open_metrics(page: &str) -> String {
    let mut older = String::with_capacity(page.len());
    // `TYPE` follows `HELP` and decides the name of the family in both lines.
    let mut help = None;
    for line in page.lines() {
        if let Some(said) = line.strip_prefix("# HELP ") {
            help = said.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|said| said.split_once(' ')) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                _ => ("", kind),
            };
            if let Some((_, help)) = help.take() {
                let _ = writeln!(older, "# HELP {name}{suffix} {help}");
            }
            // Writing to a string does not fail.
            let _ = writeln!(older, "# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with('#') {
            let _ = writeln!(older, "{line}");
        }
    }
    older
}

#[cfg(test)]
mod tests {
    use super::from_open_metrics;

    #[test]
    fn series_are_unchanged_and_each_family_is_named_like_its_series() {
        let page = "\
# HELP events Events.
# TYPE events counter
events_total{result=\"# HELP x\"} 1
events_total{result=\"b\"} 0
# HELP took_seconds How long.
# TYPE took_seconds histogram
# UNIT took_seconds seconds
took_seconds_sum 0.5
took_seconds_count 1
took_seconds_bucket{le=\"+Inf\"} 1
# TYPE ready gauge
ready 1
# HELP build What is running.
# TYPE build info
build_info{version=\"1\"} 1
# EOF
";
        let older = "\
# HELP events_total Events.
# TYPE events_total counter
events_total{result=\"# HELP x\"} 1
events_total{result=\"b\"} 0
# HELP took_seconds How long.
# TYPE took_seconds histogram
took_seconds_sum 0.5
took_seconds_count 1
took_seconds_bucket{le=\"+Inf\"} 1
# TYPE ready gauge
ready 1
# HELP build_info What is running.
# TYPE build_info gauge
build_info{version=\"1\"} 1
";
        assert_eq!(from_open_metrics(page), older);
    }
}
