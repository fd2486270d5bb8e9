//! What is to be done for each model: the Job, and what an earlier Job has done already.

use std::fmt::Write as _;

use serde_json::Value;

use crate::admission::quantity::Quantity;
use crate::cli::Download;
use crate::command::download::job;
use crate::command::download::job::JobTarget;
use crate::command::download::progress;
use crate::command::download::progress::{Progress, size};
use crate::command::download::wanted::Wanted;
use crate::inspect::api::Api;
use crate::inspect::download_job;
use crate::inspect::download_job::{DownloadJob, Downloaded, MODEL_VOLUME};
use crate::terminal::note;
use crate::terminal::table::aligned;

/// All downloads of a command.
pub(super) struct Plan {
    /// Each model once.
    pub(super) downloads: Vec<PlannedDownload>,
}

/// One model, and its Job.
pub(super) struct PlannedDownload {
    /// The model.
    pub(super) wanted: Wanted,
    /// The Job to create.
    pub(super) job: Value,
    /// The Job that was created before, if there is one.
    pub(super) existing: Option<DownloadJob>,
    /// What that Job has done.
    pub(super) state: State,
}

/// What an earlier Job has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// There is no such Job.
    Missing,
    /// It has not ended.
    Runs,
    /// It has brought the model.
    Filled(Downloaded),
    /// It was given up, with its error.
    Failed(String),
}

impl Plan {
    /// Looks for an earlier Job of each model.
    ///
    /// # Errors
    /// The API server was not reached, or `--apply` is given and the user may not list Jobs.
    pub(super) async fn new(
        api: &Api,
        options: &Download,
        wanted: Vec<Wanted>,
        target: &JobTarget,
    ) -> anyhow::Result<Plan> {
        let jobs = match download_job::list(api, &api.namespace).await {
            Err(error) if error.is_forbidden() && !options.apply => {
                note(&format!("whether a model is on the claim already is not known: {error}"));
                Vec::new()
            }
            jobs => jobs?,
        };
        let jobs: Vec<_> = jobs.into_iter().filter(|job| !is_being_deleted(&job.object)).collect();
        let mut downloads = Vec::new();
        for wanted in wanted {
            let job = job::job(options, &wanted, target);
            let own_name = job["metadata"]["name"].as_str().unwrap_or_default();
            let rank = |existing: &DownloadJob| match &options.name {
                Some(_) => (existing.name() == own_name).then_some(0),
                None if existing.name() == own_name => Some(1),
                None if does(existing, &wanted, target) => Some(2),
                None => None,
            };
            // One that has completed counts before one that runs, and that before one that has failed.
            let best = jobs.iter().enumerate().filter_map(|(index, existing)| {
                Some(((existing.has_completed(), !existing.has_failed(), rank(existing)?), index))
            });
            let existing = best.max().and_then(|(_, index)| jobs.get(index)).cloned();
            let state = existing.as_ref().map_or(State::Missing, State::from_job);
            downloads.push(PlannedDownload { wanted, job, existing, state });
        }
        Ok(Plan { downloads })
    }

    /// A row for each model, then how they fit the claim.
    pub(super) fn table(&self, claim: &str, object: Option<&Value>) -> String {
        let mut rows = vec![["MODEL", "REVISION", "NAMED BY", "ON THE CLAIM", "SIZE"].map(str::to_owned).to_vec()];
        let (mut known, mut total) = (0, 0_u64);
        for PlannedDownload { wanted, state, .. } in &self.downloads {
            let bytes = if let State::Filled(downloaded) = state { downloaded.bytes } else { None };
            known += usize::from(bytes.is_some());
            total = total.saturating_add(bytes.unwrap_or_default());
            let size = bytes.map_or_else(|| "–".to_owned(), size);
            rows.push(vec![wanted.model.clone(), wanted.revision.clone(), wanted.named_by(), state.cell(), size]);
        }
        let mut text = aligned("", &rows);
        let requested = object.and_then(|object| object.pointer("/spec/resources/requests/storage")?.as_str());
        if let Some(requested) = requested {
            let _ = write!(text, "claim {claim} requests {requested}");
            let _ = match (known, self.downloads.len()) {
                (0, _) => writeln!(text, "; no size is known yet"),
                (known, all) if known == all => writeln!(text, ", and these models take {}", size(total)),
                (known, all) => writeln!(text, ", and {known} of these {all} models take {}", size(total)),
            };
            if Quantity::read(requested).zip(Quantity::read(&total.to_string())).is_some_and(|(has, takes)| takes > has)
            {
                let _ = writeln!(text, "warning: they do not fit it");
            }
        }
        text
    }
}

/// Whether an object is on its way out, and only waits for its pods or finalizers.
pub(super) fn is_being_deleted(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some()
}

/// Whether an existing Job brings what is wanted; one without patterns brings all files.
fn does(existing: &DownloadJob, wanted: &Wanted, target: &JobTarget) -> bool {
    let patterns = existing.patterns();
    existing.is_about(&wanted.model, &wanted.revision, target.hub())
        && (patterns.is_empty() || patterns == wanted.patterns())
}

impl PlannedDownload {
    /// The name of the Job to create.
    pub(super) fn name(&self) -> &str {
        self.job["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// The model and the revision, for a line of progress.
    pub(super) fn label(&self) -> String {
        let revision = &self.wanted.revision;
        let revision = if self.wanted.is_commit() { revision.get(..12).unwrap_or(revision) } else { revision };
        format!("{} {revision}", self.wanted.model)
    }

    /// In which parts an existing Job, of the name that was given, does something else.
    pub(super) fn differences(&self) -> Vec<&'static str> {
        let Some(existing) = &self.existing else { return Vec::new() };
        let new = DownloadJob { object: self.job.clone(), pod: None };
        let claim = |job: &DownloadJob| download_job::claim(&job.object, MODEL_VOLUME).map(str::to_owned);
        let is_same_model = existing.model() == new.model();
        let parts = [
            ("model", !is_same_model),
            ("revision", is_same_model && !existing.is_of_revision(new.revision())),
            ("claim", claim(existing) != claim(&new)),
            ("layout of the claim", existing.hub() != new.hub()),
            ("set of files", !existing.patterns().is_empty() && existing.patterns() != new.patterns()),
        ];
        parts.into_iter().filter(|(_, differs)| *differs).map(|(part, _)| part).collect()
    }
}

impl State {
    fn from_job(job: &DownloadJob) -> State {
        match progress::read(&job.object, job.pod.as_ref(), "", None) {
            Progress::Done => State::Filled(job.downloaded()),
            Progress::Failed(why) => State::Failed(why),
            _ => State::Runs,
        }
    }

    /// The state in a cell of a table.
    fn cell(&self) -> String {
        match self {
            State::Missing => "no".to_owned(),
            State::Runs => "a Job runs".to_owned(),
            State::Filled(Downloaded { commit: None, .. }) => "yes".to_owned(),
            State::Filled(Downloaded { commit: Some(commit), .. }) => {
                format!("yes, commit {}", commit.get(..12).unwrap_or(commit))
            }
            State::Failed(_) => "no, its Job failed".to_owned(),
        }
    }
}

/// A sentence about an existing Job: its model, age and progress.
pub(super) fn describe(job: &DownloadJob, state: &State) -> String {
    let text = |pointer: &str| job.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let state = match state {
        State::Filled(_) => format!("has been complete since {}", text("/status/completionTime")),
        State::Failed(why) => format!("has failed: {why}"),
        _ if job.object.pointer("/status/active").is_some_and(|active| active != 0) => "is running".to_owned(),
        _ => "is waiting for its pod".to_owned(),
    };
    format!("Job {} for {}, created at {}, {state}", job.name(), job.model(), text("/metadata/creationTimestamp"))
}
