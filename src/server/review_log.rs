//! Log lines about reviews: their content, and how many there are.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{Level, debug, enabled, info, warn};

use crate::admission::pod::Pod;
use crate::admission::reason::Reason;
use crate::admission::{Outcome, review};
use crate::log::Throttle;
use crate::rate::{ByNamespace, Rate};

/// The rate of lines at level info per namespace: a rollout of a hundred pods is logged pod by pod. A review may not
/// come from the API server, and logs are rotated by size: the lines of one namespace never displace those of others.
/// At four kilobytes a line, the maximum is about 70 MB a day.
const RATE: Rate = Rate { burst: 100, every: Duration::from_secs(5) };

/// Decides which reviews are logged.
#[derive(Debug)]
pub struct ReviewLog {
    lines: Mutex<ByNamespace>,
    too_large: Throttle,
}

impl Default for ReviewLog {
    fn default() -> Self {
        ReviewLog { lines: Mutex::new(ByNamespace::new(RATE)), too_large: Throttle::default() }
    }
}

impl ReviewLog {
    /// Logs a review. The level is info if something was skipped, and debug otherwise, for a dry run, and once the
    /// namespace has used up its share of lines. `known` is its name, or `None` if it is not known to exist: all of those
    /// have one share together. The line has no content of the pod besides names.
    pub(super) fn log_review<'a>(
        &self,
        review: &review::Request<'_>,
        known: impl FnOnce() -> Option<&'a str>,
        pod: &Pod<'_>,
        outcome: &Outcome<'_>,
    ) {
        let has_no_status = outcome.untouched.is_some_and(Reason::leaves_no_status);
        let skipped = !outcome.skipped.is_empty() || (outcome.untouched.is_some() && !has_no_status);
        let notable = skipped || !outcome.warnings.is_empty() || !outcome.without_scratch.is_empty();
        let share = if notable && !review.dry_run { self.take_line(known()) } else { None };
        if !(if share.is_some() { enabled!(Level::INFO) } else { enabled!(Level::DEBUG) }) {
            return;
        }
        let metadata = pod.metadata.as_ref();
        let name = metadata.and_then(|metadata| {
            let given = metadata.name.as_deref().filter(|name| !name.is_empty());
            given.or(metadata.generate_name.as_deref())
        });
        let (uid, namespace, name) =
            (truncate_name(&review.uid), truncate_name(&review.namespace), truncate_name(name.unwrap_or_default()));
        let (decision, dry_run) = (outcome.decision(), review.dry_run);
        // The text format quotes it and escapes line breaks: any tenant may have written it, and nothing has validated
        // it.
        let owner = pod.controller().map(ToString::to_string);
        let owner = owner.as_deref().map(truncate_name);
        let reasons = outcome.reasons().into_iter().map(Reason::code).collect::<Vec<_>>();
        let reasons = reasons.join(",");
        let names: Vec<_> = outcome.without_scratch.iter().map(|(container, _)| *container).collect();
        let without_scratch = Some(names.join(",")).filter(|names| !names.is_empty());
        let without_scratch = without_scratch.as_deref().map(truncate_name);
        if let Some(not_logged) = share {
            let not_logged = Some(not_logged).filter(|number| *number > 0);
            info!(
                uid,
                namespace,
                name,
                owner,
                decision,
                reasons,
                without_scratch,
                dry_run,
                not_logged,
                "something was skipped"
            );
        } else if notable {
            debug!(uid, namespace, name, owner, decision, reasons, without_scratch, dry_run, "something was skipped");
        } else {
            debug!(uid, namespace, name, owner, decision, reasons, dry_run, "reviewed");
        }
    }

    /// Logs a pod that was too large to be reviewed.
    pub(super) fn log_too_large(&self, review: &review::Request<'_>, error: &review::Error) {
        if let Some(not_logged) = self.too_large.pass() {
            let (uid, namespace) = (truncate_name(&review.uid), truncate_name(&review.namespace));
            warn!(uid, namespace, %error, not_logged, "a pod was too large to review");
        }
    }

    /// Takes a line from the namespace's share. Returns how many reviews were not logged since the last.
    fn take_line(&self, namespace: Option<&str>) -> Option<u64> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).take(namespace, Instant::now())
    }
}

/// Cuts a name to the length that Kubernetes allows. Nothing has validated it yet, and log lines have to stay short.
fn truncate_name(name: &str) -> &str {
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

    /// The log of a review in which every name is this text, as it stands between quotes in JSON.
    fn logged(words: &str) -> String {
        logged_times(words, 1)
    }

    /// The log of this many such reviews.
    fn logged_times(words: &str, reviews: usize) -> String {
        let body = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"W","namespace":"W",
            "kind":{"group":"","version":"v1","kind":"Pod"},"operation":"CREATE","object":{"metadata":{"name":"W",
            "generateName":"W","annotations":{"dynamo-cache.io/inject":"W","dynamo-cache.io/W":"W"},
            "labels":{"nvidia.com/dynamo-component":"W"},
            "ownerReferences":[{"kind":"W","name":"W","controller":true}]},"spec":{"containers":[{"name":"W"}]}}}}"#;
        let mut body = body.replace('W', words).into_bytes();
        let mut review = review::Request::read(&mut body).unwrap();
        let pod = review.pod().unwrap().unwrap();
        let settings = Settings::default();
        let outcome = Evaluation::new(&pod, &settings, &[]).decide(&Claims::new());

        let log = tempfile();
        let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(Mutex::new(File::create(&log).unwrap()));
        let log_of_reviews = ReviewLog::default();
        tracing::subscriber::with_default(lines.finish(), || {
            for _ in 0..reviews {
                log_of_reviews.log_review(&review, || Some(&review.namespace), &pod, &outcome);
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
    fn no_text_of_a_tenant_starts_a_log_line_or_colours_it() {
        let log = logged(r"x\n2026-01-01T00:00:00Z  INFO forged\r\u001b[31m");
        assert!(log.contains("owner=") && log.contains("forged"), "{log:?}");
        assert_eq!(log.lines().count(), 1, "{log:?}");
        assert!(!log.trim_end().contains(char::is_control), "{log:?}");
    }

    #[test]
    fn a_log_line_stays_short_with_long_names() {
        let log = logged(&"ü".repeat(100_000));
        assert!(log.contains("owner=") && log.len() < 4_000, "{} bytes", log.len());
    }

    #[test]
    fn a_namespace_with_ten_thousand_reviews_has_its_share_of_the_log() {
        let burst = usize::try_from(RATE.burst).unwrap();
        let lines = logged_times("team", 10_000).lines().count();
        // One more if the machine needs five seconds.
        assert!((burst..=burst + 12).contains(&lines), "{lines} lines");
        assert_eq!(logged_times("team", burst).lines().count(), burst, "a usual burst is logged");
    }
}
