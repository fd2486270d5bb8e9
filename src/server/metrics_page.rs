//! The page of metrics, encoded at a limited rate. Requests beyond the rate share the last page.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::metrics::{Format, Metrics};
use crate::rate::{Bucket, Rate};

/// The rate at which pages are encoded, which several Prometheus servers and a person do not reach. Without it, a
/// client that requests the page as fast as it can takes half of a processor.
const ENCODE_RATE: Rate = Rate { burst: 20, every: Duration::from_millis(250) };

/// The last page in each format.
#[derive(Debug)]
pub(super) struct MetricsPage {
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    encoded: Bucket,
    classic: Option<Bytes>,
    open_metrics: Option<Bytes>,
}

impl MetricsPage {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        let encoded = Bucket::full(Instant::now());
        MetricsPage { metrics, state: Mutex::new(State { encoded, classic: None, open_metrics: None }) }
    }

    /// The current page or, beyond the rate, the last one.
    pub(super) fn page(&self, format: Format) -> Bytes {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = state.encoded.take(ENCODE_RATE, Instant::now()).is_some();
        let last = match format {
            Format::Classic => &mut state.classic,
            Format::OpenMetrics => &mut state.open_metrics,
        };
        match last {
            Some(page) if !is_due => page.clone(),
            last => last.insert(self.metrics.page_as(format).into()).clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::advance;

    use super::{ENCODE_RATE, MetricsPage};
    use crate::metrics::{Format, Metrics, PodCountResult};

    #[tokio::test(start_paused = true)]
    async fn a_client_beyond_the_rate_gets_the_last_page_and_soon_a_newer_one() {
        let metrics = Arc::new(Metrics::default());
        let page = MetricsPage::new(Arc::clone(&metrics));
        let counts = |format| {
            metrics.record_pod_count(PodCountResult::Completed);
            let page = String::from_utf8(page.page(format).to_vec()).unwrap();
            let line =
                page.lines().find_map(|line| line.strip_prefix("dynamo_cache_pod_counts_total{result=\"completed\"} "));
            line.unwrap().parse::<u32>().unwrap()
        };
        for count in 1..=ENCODE_RATE.burst {
            assert_eq!(counts(Format::Classic), count);
        }
        assert_eq!(counts(Format::Classic), ENCODE_RATE.burst);
        assert_eq!(counts(Format::OpenMetrics), ENCODE_RATE.burst + 2, "there was no page in this format");
        advance(ENCODE_RATE.every).await;
        assert_eq!(counts(Format::Classic), ENCODE_RATE.burst + 3);
    }
}
