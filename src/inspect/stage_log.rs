//! What the stage of a pod has logged about its restore.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::admission::names::STAGE_CONTAINER;
use crate::inspect::api::Api;
use crate::stage::record::{Event, Reason, Record};
use crate::terminal::note;

/// A stage logs less than this until its engine starts.
const LIMIT: usize = 64 << 10;

/// How a stage has prepared the compile cache of its pod.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Restore {
    /// From an archive: with the bytes of all files together and the seconds that it took, unless an earlier stage of the pod did
    /// it.
    Restored(Option<(u64, f64)>),
    /// With nothing, for this reason.
    Skipped(Reason),
}

/// The log of a stage.
pub(crate) enum StageLog {
    /// What it says of the compile cache, if it does.
    Read(Option<Restore>),
    /// Why it cannot be read.
    Unreadable(String),
    /// Why no log of the namespace may be read.
    Hidden(String),
}

/// The logs of stages.
pub(crate) struct StageLogs<'a> {
    api: &'a Api,
    /// The namespaces whose logs may not be read.
    hidden: RefCell<BTreeSet<String>>,
}

impl<'a> StageLogs<'a> {
    /// The logs of the cluster.
    pub(crate) fn new(api: &'a Api) -> Self {
        StageLogs { api, hidden: RefCell::default() }
    }

    /// Reads the log of a pod's stage.
    pub(crate) async fn read(&self, namespace: &str, pod: &str) -> StageLog {
        if self.hidden.borrow().contains(namespace) {
            return StageLog::Hidden(String::new());
        }
        let path =
            format!("/api/v1/namespaces/{namespace}/pods/{pod}/log?container={STAGE_CONTAINER}&limitBytes={LIMIT}");
        match self.api.text(&path).await {
            Ok(log) => StageLog::Read(restore(&log)),
            Err(error) if error.is_forbidden() => StageLog::Hidden(error.to_string()),
            // The kubelet, which the API server asks, may be away or hang, or the container is gone.
            Err(error) => StageLog::Unreadable(error.to_string()),
        }
    }

    /// How the stage of a pod has prepared its compile cache, by its log; `None` if the log does not say it, or cannot be read. A
    /// note says so, for a namespace whose logs may not be read only once.
    pub(crate) fn restore(&self, namespace: &str, pod: &str, log: StageLog) -> Option<Restore> {
        match log {
            StageLog::Read(restore) => restore,
            StageLog::Hidden(why) => {
                if self.hidden.borrow_mut().insert(namespace.to_owned()) {
                    note(&format!("what the stages of namespace {namespace} restored is not known: {why}"));
                }
                None
            }
            StageLog::Unreadable(why) => {
                note(&format!("what the stage of pod {pod} in namespace {namespace} restored is not known: {why}"));
                None
            }
        }
    }
}

/// How a stage has prepared the compile cache, by its log. One that was started again does not know any more.
fn restore(log: &str) -> Option<Restore> {
    let mut records = log.lines().filter_map(Record::parse);
    let record = records.find(|record| matches!(record.event, Event::Restored | Event::NotRestored))?;
    match record.event {
        Event::Restored => Some(Restore::Restored(record.bytes.zip(record.seconds))),
        _ => record.reason.filter(|reason| *reason != Reason::SecondStart).map(Restore::Skipped),
    }
}

#[cfg(test)]
mod tests {
    use super::{Restore, restore};
    use crate::stage::record::Reason;

    #[test]
    fn the_first_restore_of_a_log_counts_unless_the_stage_was_started_again() {
        let started = r#"{"level":"INFO","message":"the stage runs","event":"started"}"#;
        let of = |line: &str| restore(&format!("no JSON\n{started}\n{line}\n"));
        let restored = r#"{"event":"restored","bytes":553000000,"files":12000,"seconds":2.1}"#;
        let expected = Restore::Restored(Some((553_000_000, 2.1)));
        assert_eq!(of(restored), Some(expected));
        assert_eq!(of(&format!("{restored}\n{}", r#"{"event":"not-restored","reason":"damaged"}"#)), Some(expected));
        assert_eq!(of(r#"{"event":"restored","reason":"second-start","files":7}"#), Some(Restore::Restored(None)));
        for (reason, expected) in [
            ("none-usable", Some(Restore::Skipped(Reason::NoneUsable))),
            ("second-start", None),
            ("a-reason-of-later-versions", None),
        ] {
            assert_eq!(of(&format!(r#"{{"event":"not-restored","reason":"{reason}"}}"#)), expected, "{reason}");
        }
        assert_eq!(restore(started), None);
    }
}
