//! What happens to a pod: the pure core, which is handed everything and asks for nothing.
//!
//! A shell parses the pod, evaluates it, learns on which claims the answer depends, looks them up, and asks for the decision:
//!
//! ```
//! use dynamo_cache_admission::{Evaluation, claim::Claims, pod::Pod, settings::Settings};
//!
//! let json = r#"{"spec":{"containers":[{"name":"main","command":["python3","-m","dynamo.vllm"]}]}}"#;
//! let pod: Pod = serde_json::from_str(json)?;
//! let defaults = Settings::default();
//! let evaluation = Evaluation::new(&pod, &defaults, &[]);
//! let claims: Claims = evaluation.claims().map(|name| (name.to_owned(), Default::default())).collect();
//! let outcome = evaluation.decide(&claims);
//! assert_eq!(&*outcome.operations()[0].path, "/spec/volumes");
//! # Ok::<(), serde_json::Error>(())
//! ```

use std::borrow::Cow;

pub mod annotation;
pub mod cache;
pub mod claim;
pub mod command_line;
pub mod classification;
pub mod dns_name;
pub mod engine;
pub mod event;
pub mod names;
pub mod patch;
pub mod path;
pub mod plan;
pub mod pod;
pub mod quantity;
pub mod reason;
pub mod review;
pub mod settings;
pub mod status;
pub mod unreviewed;
pub mod warning;

use cache::{Cache, Skipped};
use claim::Claims;
use classification::Classification;
use patch::Operation;
use plan::Change;
use pod::Pod;
use reason::Reason;
use settings::Settings;
use status::Status;
use warning::Warning;

/// A pod that is classified and whose settings are known, before its claims are.
#[derive(Debug)]
pub struct Evaluation<'p> {
    pod: &'p Pod<'p>,
    settings: Cow<'p, Settings>,
    classification: Classification<'p>,
    warnings: Vec<Warning>,
}

/// What was decided about a pod, and everything that a report of it needs.
#[derive(Debug)]
pub struct Outcome<'p> {
    /// Why the pod is untouched, where it is.
    pub untouched: Option<Reason>,
    /// Each selected container with the caches in place there, in the pod's order, init containers first.
    pub containers: Vec<(&'p str, Vec<Cache>)>,
    /// The caches that are not in place, and why.
    pub skipped: Vec<Skipped<'p>>,
    /// The containers that lack `HF_XET_CACHE` or `HF_MODULES_CACHE`, and which of these: where they would point, nothing is
    /// writable and the container's own.
    pub without_scratch: Vec<(&'p str, Vec<&'static str>)>,
    /// What changes, as decided.
    pub changes: Vec<Change<'p>>,
    /// What the user should act on, the most general first.
    pub warnings: Vec<Warning>,
    pod: &'p Pod<'p>,
}

impl<'p> Evaluation<'p> {
    /// Classifies a pod and resolves its settings.
    ///
    /// `defaults` are the settings without any annotation, `namespace` the annotations of the pod's namespace.
    pub fn new(pod: &'p Pod<'p>, defaults: &'p Settings, namespace: &'p [(String, String)]) -> Self {
        let (classification, mut warnings) = classification::classify(pod);
        warnings.extend(settings::warn_of_labels(pod));
        let settings = match classification {
            Classification::Untouched(_) => Cow::Borrowed(defaults),
            Classification::Component(..) => {
                let (settings, about_settings) = settings::resolve(defaults, namespace, pod.annotations());
                warnings.extend(about_settings);
                settings
            }
        };
        Evaluation { pod, settings, classification, warnings }
    }

    /// Whether the pod is a component, and by which evidence.
    pub fn classification(&self) -> &Classification<'p> {
        &self.classification
    }

    /// The settings that apply.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The names of the claims that the decision depends on: none, one or two.
    pub fn claims(&self) -> impl Iterator<Item = &str> {
        let (model, compile) = (&*self.settings.model.claim, &*self.settings.compile.claim);
        let selected = match &self.classification {
            Classification::Untouched(_) => &[],
            Classification::Component(_, selected, _) => selected.as_slice(),
        };
        let caches_models = selected.iter().any(classification::SelectedContainer::wants_model_cache);
        let compiles = selected.iter().any(classification::SelectedContainer::wants_compile_cache);
        let names = [caches_models.then_some(model), (compiles && compile != model).then_some(compile)];
        names.into_iter().flatten()
    }

    /// Decides. Claims that are not among `claims` count as not found.
    pub fn decide(self, claims: &Claims) -> Outcome<'p> {
        let Evaluation { pod, settings, classification, mut warnings } = self;
        let (untouched, plan) = match &classification {
            Classification::Untouched(reason) if reason.leaves_no_status() => {
                return Outcome::untouched(*reason, pod, warnings);
            }
            Classification::Untouched(reason) => (Some(*reason), plan::Plan::default()),
            Classification::Component(_, selected, unknown) => {
                (None, plan::plan(pod, selected, unknown, &settings, claims))
            }
        };
        let plan::Plan { mut changes, containers, skipped, without_scratch, is_staged, warnings: about_caches } = plan;
        warnings.extend(about_caches);
        let status = match untouched {
            Some(reason) => Status::untouched(reason),
            None => Status::of_component(&containers, &skipped, is_staged),
        };
        match status.replaces(pod) {
            Ok(Some(text)) => changes.push(Change::Status(text)),
            Ok(None) => {}
            Err(warning) => warnings.push(warning),
        }
        warning::sort_and_dedup(&mut warnings);
        Outcome { untouched, containers, skipped, without_scratch, changes, warnings, pod }
    }
}

impl<'p> Outcome<'p> {
    fn untouched(reason: Reason, pod: &'p Pod<'p>, warnings: Vec<Warning>) -> Self {
        Outcome {
            untouched: Some(reason),
            containers: Vec::new(),
            skipped: Vec::new(),
            without_scratch: Vec::new(),
            changes: Vec::new(),
            warnings,
            pod,
        }
    }

    /// What changes, as JSON Patch; empty where nothing does.
    pub fn operations(&self) -> Vec<Operation<'_>> {
        patch::operations(self.pod, &self.changes)
    }

    /// Every reason that played a part, each once, in the order of the codes.
    pub fn reasons(&self) -> Vec<Reason> {
        let skipped = self.skipped.iter().map(|skipped| skipped.reason);
        let warned = self.warnings.iter().map(|warning| warning.reason);
        let mut reasons: Vec<_> = self.untouched.into_iter().chain(skipped).chain(warned).collect();
        reasons.sort_unstable();
        reasons.dedup();
        reasons
    }

    /// `patched` where something changes, else `untouched`.
    pub fn decision(&self) -> &'static str {
        if self.changes.is_empty() { "untouched" } else { "patched" }
    }
}
