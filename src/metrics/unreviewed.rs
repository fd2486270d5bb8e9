//! How many component pods have no status of ours, and when that was so: absent until it is known.
//!
//! One number, without the namespace: what a label may say is decided in this tree, never outside of it, and `check`
//! tells where. A number that cannot be had anew stays and grows older, so that one failed list neither ends an alert nor
//! makes one; its age is beside it.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// The last number, and when it was counted.
#[derive(Debug, Default)]
pub struct Missed(Mutex<Option<(u64, SystemTime)>>);

impl Missed {
    /// A new number.
    pub fn set(&self, pods: u64, when: SystemTime) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((pods, when));
    }
}

impl Collector for Missed {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((pods, when)) = last else { return Ok(()) };
        let help = "Component pods without our status, in namespaces with the label; each replica counts all of them";
        let pods = ConstGauge::new(pods);
        pods.encode(encoder.encode_descriptor("pods_without_status", help, None, pods.metric_type())?)?;
        let help = "When the pods without our status were last counted, in Unix time";
        let when = when.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let when = ConstGauge::new(when.as_secs());
        let unit = Some(&Unit::Seconds);
        when.encode(encoder.encode_descriptor("pods_counted_timestamp", help, unit, when.metric_type())?)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use crate::metrics::Metrics;

    #[test]
    fn nothing_is_said_before_it_is_known_and_then_how_old_it_is() {
        let metrics = Metrics::default();
        assert!(!metrics.page().contains("pods_without_status"), "{}", metrics.page());
        metrics.missed.set(3, SystemTime::UNIX_EPOCH + Duration::from_secs(70));
        let page = metrics.page();
        assert!(page.contains("# TYPE dynamo_cache_pods_without_status gauge\n"), "{page}");
        assert!(page.contains("\ndynamo_cache_pods_without_status 3\n"), "{page}");
        assert!(page.contains("\ndynamo_cache_pods_counted_timestamp_seconds 70\n"), "{page}");
    }
}
