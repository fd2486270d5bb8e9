//! Metrics of the process itself, read from `/proc` and from the log at each scrape.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::log;

/// Clock ticks per second in `/proc`: `USER_HZ`, which Linux keeps at 100.
const TICKS_PER_SECOND: f64 = 100.0;

/// The `process_*` metrics that the official Prometheus clients export on Linux. On other systems there are none.
#[derive(Debug)]
pub(super) struct Process;

/// The number of dropped log lines; a log that drops lines cannot report it in a line.
#[derive(Debug)]
pub(super) struct Log;

impl Collector for Log {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let dropped = ConstCounter::new(log::dropped());
        let help = "Log lines that were dropped because standard error was not read fast enough";
        dropped.encode(encoder.encode_descriptor("log_lines_dropped", help, None, dropped.metric_type())?)
    }
}

/// A sample of `/proc`.
struct Sample {
    resident_bytes: f64,
    cpu_seconds: f64,
    start_seconds: f64,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(Sample { resident_bytes, cpu_seconds, start_seconds }) = sample() else { return Ok(()) };
        let gauges = [
            ("process_resident_memory_bytes", "Resident memory", resident_bytes),
            ("process_start_time_seconds", "When the process started, in Unix time", start_seconds),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let cpu = ConstCounter::new(cpu_seconds);
        cpu.encode(encoder.encode_descriptor("process_cpu_seconds", "CPU time", None, cpu.metric_type())?)
    }
}

/// See proc(5): `/proc/self/stat`, `/proc/self/status` and `/proc/stat`.
fn sample() -> Option<Sample> {
    let after = |file: &str, word: &str| -> Option<f64> {
        let text = fs::read_to_string(file).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(word))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses, which may contain anything; the third field follows it.
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |number: usize| -> Option<f64> { fields.get(number - 3)?.parse().ok() };
    Some(Sample {
        resident_bytes: after("/proc/self/status", "VmRSS:")? * 1024.0,
        cpu_seconds: (ticks(14)? + ticks(15)?) / TICKS_PER_SECOND,
        start_seconds: after("/proc/stat", "btime ")? + ticks(22)? / TICKS_PER_SECOND,
    })
}
