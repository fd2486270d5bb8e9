//! The machine that figures are of.

use std::fs;

/// What stands above figures, without which they say little.
pub(crate) fn line() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let count = processors.lines().filter(|line| line.starts_with("processor")).count();
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    format!("{count} processors, {}; load before: {load}", model.trim_start_matches(['\t', ':', ' ']))
}
