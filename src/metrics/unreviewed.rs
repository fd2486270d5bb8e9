//! The number of component pods without a status annotation, and when they were counted. Neither metric exists before
//! the first count.
//!
//! The gauge has no namespace label, because label values never come from outside this tree; `dynamo-cache check` names
//! the namespaces. If a count fails, the gauge keeps its value and the timestamp beside it grows old, so a single
//! failed list request neither resolves nor raises an alert.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// The last count, and when it was taken.
#[derive(Debug, Default)]
pub struct UnreviewedPods(Mutex<Option<(u64, SystemTime)>>);

impl UnreviewedPods {
    /// Stores the result of a count.
    pub fn set(&self, pods: u64, when: SystemTime) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((pods, when));
    }
}

impl Collector for UnreviewedPods {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((pods, when)) = last else { return Ok(()) };
        let help = "Component pods without a status annotation in the namespaces that opted in; each replica counts all of them";
        let pods = ConstGauge::new(pods);
        pods.encode(encoder.encode_descriptor("pods_without_status", help, None, pods.metric_type())?)?;
        let help = "When pods_without_status was last counted, in Unix time";
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
    fn no_gauge_exists_before_the_first_count_and_then_its_age_is_beside_it() {
        let metrics = Metrics::default();
        assert!(!metrics.page().contains("pods_without_status"), "{}", metrics.page());
        metrics.unreviewed_pods.set(3, SystemTime::UNIX_EPOCH + Duration::from_secs(70));
        let page = metrics.page();
        assert!(page.contains("# TYPE dynamo_cache_pods_without_status gauge\n"), "{page}");
        assert!(page.contains("\ndynamo_cache_pods_without_status 3\n"), "{page}");
        assert!(page.contains("\ndynamo_cache_pods_counted_timestamp_seconds 70\n"), "{page}");
    }
}
