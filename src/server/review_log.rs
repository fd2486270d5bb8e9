//! The lines of the log about reviews: whom they name, and how many there are.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{Level, debug, enabled, info, warn};

use crate::admission::pod::Pod;
use crate::admission::reason::Reason;
use crate::admission::{Outcome, review};
use crate::log::Throttle;
use crate::rate::{ByNamespace, Rate};

/// How many lines at info a namespace gets: a rollout of a hundred pods is logged pod by pod. A review need not come from an API
/// server, and a log is rotated by size: what one namespace is made to write pushes nothing of the others out, at four kilobytes a
/// line at the very most some 70 MB a day.
const RATE: Rate = Rate { burst: 100, every: Duration::from_secs(5) };

/// Which reviews are a line of the log.
#[derive(Debug)]
pub struct ReviewLog {
    lines: Mutex<ByNamespace>,
    not_read: Throttle,
}

impl Default for ReviewLog {
    fn default() -> Self {
        ReviewLog { lines: Mutex::new(ByNamespace::new(RATE)), not_read: Throttle::default() }
    }
}

impl ReviewLog {
    /// One line about a review: at info where something was left out, else at debug, as on a dry run, of which no pod comes,
    /// and where the namespace had its share of lines; no namespace: one that is not known, all of which have one share
    /// together. Nothing of a pod's content.
    pub(super) fn reviewed(
        &self,
        review: &review::Request<'_>,
        namespace: Option<&str>,
        pod: &Pod<'_>,
        outcome: &Outcome<'_>,
    ) {
        let has_no_status = outcome.untouched.is_some_and(Reason::leaves_no_status);
        let left_out = !outcome.skipped.is_empty() || (outcome.untouched.is_some() && !has_no_status);
        let notable = left_out || !outcome.warnings.is_empty();
        let share = if notable && !review.dry_run { self.take(namespace) } else { None };
        if !(if share.is_some() { enabled!(Level::INFO) } else { enabled!(Level::DEBUG) }) {
            return;
        }
        let metadata = pod.metadata.as_ref();
        let name = metadata.and_then(|metadata| {
            let given = metadata.name.as_deref().filter(|name| !name.is_empty());
            given.or(metadata.generate_name.as_deref())
        });
        let (uid, namespace, name) = (short(&review.uid), short(&review.namespace), short(name.unwrap_or_default()));
        let (decision, dry_run) = (outcome.decision(), review.dry_run);
        // As text it is quoted, with what would begin a line escaped: its author is any tenant, and nothing has validated it.
        let owner = pod.controller().map(ToString::to_string);
        let owner = owner.as_deref().map(short);
        let reasons = outcome.reasons().into_iter().map(Reason::code).collect::<Vec<_>>();
        let reasons = reasons.join(",");
        if let Some(not_logged) = share {
            let not_logged = Some(not_logged).filter(|number| *number > 0);
            info!(uid, namespace, name, owner, decision, reasons, dry_run, not_logged, "something was left out");
        } else if notable {
            debug!(uid, namespace, name, owner, decision, reasons, dry_run, "something was left out");
        } else {
            debug!(uid, namespace, name, owner, decision, reasons, dry_run, "reviewed");
        }
    }

    /// A pod that was so large that nobody looked at it.
    pub(super) fn not_read(&self, review: &review::Request<'_>, error: &review::Error) {
        if let Some(not_logged) = self.not_read.pass() {
            let (uid, namespace) = (short(&review.uid), short(&review.namespace));
            warn!(uid, namespace, %error, not_logged, "a pod was not looked at");
        }
    }

    /// A share of the lines at info; how many reviews of the namespace had none since the last.
    fn take(&self, namespace: Option<&str>) -> Option<u64> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).take(namespace, Instant::now())
    }
}

/// As much of a name as Kubernetes allows: nothing has validated it yet, and a line of the log is not to be of any length.
fn short(name: &str) -> &str {
    name.char_indices().nth(253).map_or(name, |(end, _)| &name[..end])
}

#[cfg(test)]
mod tests {
    use std::fs::{File, read_to_string};
    use std::path::PathBuf;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{RATE, ReviewLog, review};
    use crate::admission::Evaluation;
    use crate::admission::claim::Claims;
    use crate::admission::settings::Settings;

    /// What the log says of a pod in which everything is called so, as it stands between quotes in JSON.
    fn logged(words: &str) -> String {
        logged_times(words, 1)
    }

    /// The same about so many reviews.
    fn logged_times(words: &str, reviews: usize) -> String {
        let body = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"W","namespace":"W",
            "kind":{"group":"","version":"v1","kind":"Pod"},"operation":"CREATE","object":{"metadata":{"name":"W",
            "generateName":"W","annotations":{"dynamo-cache.io/inject":"W","dynamo-cache.io/W":"W"},
            "labels":{"nvidia.com/dynamo-component":"W"},
            "ownerReferences":[{"kind":"W","name":"W","controller":true}]},"spec":{"containers":[{"name":"W"}]}}}}"#;
        let body = body.replace('W', words);
        let mut review = review::Request::read(body.as_bytes()).unwrap();
        let pod = review.pod().unwrap().unwrap();
        let settings = Settings::default();
        let outcome = Evaluation::new(&pod, &settings, &[]).decide(&Claims::new());

        let log = tempfile();
        let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(Mutex::new(File::create(&log).unwrap()));
        let log_of_reviews = ReviewLog::default();
        tracing::subscriber::with_default(lines.finish(), || {
            for _ in 0..reviews {
                log_of_reviews.reviewed(&review, Some(&review.namespace), &pod, &outcome);
            }
        });
        let said = read_to_string(&log).unwrap();
        std::fs::remove_file(&log).unwrap();
        said
    }

    fn tempfile() -> PathBuf {
        static FILES: AtomicUsize = AtomicUsize::new(0);
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        std::env::temp_dir().join(format!("dynamo-cache-words-{}-{number}", std::process::id()))
    }

    #[test]
    fn no_word_of_a_tenant_begins_a_line_of_the_log_or_colours_it() {
        let log = logged(r"x\n2026-01-01T00:00:00Z  INFO forged\r\u001b[31m");
        assert!(log.contains("owner=") && log.contains("forged"), "{log:?}");
        assert_eq!(log.lines().count(), 1, "{log:?}");
        assert!(!log.trim_end().contains(char::is_control), "{log:?}");
    }

    #[test]
    fn a_line_of_the_log_is_no_longer_for_long_names() {
        let log = logged(&"ü".repeat(100_000));
        assert!(log.contains("owner=") && log.len() < 4_000, "{} bytes", log.len());
    }

    #[test]
    fn a_namespace_that_is_asked_about_ten_thousand_times_has_its_share_of_the_log() {
        let burst = usize::try_from(RATE.burst).unwrap();
        let lines = logged_times("team", 10_000).lines().count();
        // One more where the machine takes five seconds for it.
        assert!((burst..=burst + 12).contains(&lines), "{lines} lines");
        assert_eq!(logged_times("team", burst).lines().count(), burst, "a usual burst is logged");
    }
}
