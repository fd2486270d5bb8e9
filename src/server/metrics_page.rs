//! The page of metrics, written anew for who asks now and then, and shared by those who ask all the time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::metrics::{Form, Metrics};
use crate::rate::{Bucket, Rate};

/// Pages that are written. Several Prometheus servers and a person stay below it. Without it, a client that asks as fast as it can
/// takes half of a processor.
const WRITTEN: Rate = Rate { burst: 20, every: Duration::from_millis(250) };

/// The page, in each of its forms as it was last written.
#[derive(Debug)]
pub(super) struct MetricsPage {
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    written: Bucket,
    classic: Option<Bytes>,
    open_metrics: Option<Bytes>,
}

impl MetricsPage {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        let written = Bucket::full(Instant::now());
        MetricsPage { metrics, state: Mutex::new(State { written, classic: None, open_metrics: None }) }
    }

    /// The page as it is now; beyond the rate, as it was when it was last written.
    pub(super) fn page(&self, form: Form) -> Bytes {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = state.written.take(WRITTEN, Instant::now()).is_some();
        let last = match form {
            Form::Classic => &mut state.classic,
            Form::OpenMetrics => &mut state.open_metrics,
        };
        match last {
            Some(page) if !is_due => page.clone(),
            last => last.insert(self.metrics.page_in(form).into()).clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::advance;

    use super::{MetricsPage, WRITTEN};
    use crate::metrics::{Counting, Form, Metrics};

    #[tokio::test(start_paused = true)]
    async fn who_asks_without_end_gets_the_last_page_and_soon_a_newer_one() {
        let metrics = Arc::new(Metrics::default());
        let page = MetricsPage::new(Arc::clone(&metrics));
        let counts = |form| {
            metrics.counted_pods(Counting::Done);
            let page = String::from_utf8(page.page(form).to_vec()).unwrap();
            let line =
                page.lines().find_map(|line| line.strip_prefix("dynamo_cache_pod_counts_total{result=\"done\"} "));
            line.unwrap().parse::<u32>().unwrap()
        };
        for count in 1..=WRITTEN.burst {
            assert_eq!(counts(Form::Classic), count);
        }
        assert_eq!(counts(Form::Classic), WRITTEN.burst);
        assert_eq!(counts(Form::OpenMetrics), WRITTEN.burst + 2, "of this form there was none");
        advance(WRITTEN.every).await;
        assert_eq!(counts(Form::Classic), WRITTEN.burst + 3);
    }
}
