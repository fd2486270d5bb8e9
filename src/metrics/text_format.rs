//! The page in the older text form, which knows no info, and in which a counter is called as its series are.

use std::fmt::Write as _;

/// The media type of that form.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes a page of `OpenMetrics` in the older form: the series stay as they are, and what is said of them changes.
pub(super) fn of(page: &str) -> String {
    let mut older = String::with_capacity(page.len());
    // The kind follows the help, and says how both call the family.
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
    use super::of;

    #[test]
    fn series_stay_and_each_family_is_called_as_they_are() {
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
        assert_eq!(of(page), older);
    }
}
