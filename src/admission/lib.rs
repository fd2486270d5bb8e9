//! What happens to a pod: the pure core, which is handed everything and asks for nothing.
//!
//! A shell reads the pod, considers it, learns which claims the answer depends on, brings what it knows of them, and
//! has it decided:
//!
//! ```
//! use dynamo_cache_admission::{Consideration, claim::Claims, pod::Pod, settings::Settings};
//!
//! let json = r#"{"spec":{"containers":[{"name":"main","command":["python3","-m","dynamo.vllm"]}]}}"#;
//! let pod: Pod = serde_json::from_str(json)?;
//! let defaults = Settings::default();
//! let consideration = Consideration::of(&pod, &defaults, &[]);
//! let claims: Claims = consideration.claims().map(|name| (name.to_owned(), Default::default())).collect();
//! let outcome = consideration.decide(&claims);
//! assert_eq!(outcome.operations[0].path, "/spec/volumes");
//! # Ok::<(), serde_json::Error>(())
//! ```

use std::borrow::Cow;

pub mod claim;
mod command_line;
pub mod component;
pub mod engine;
pub mod missed;
pub mod notice;
pub mod patch;
pub mod path;
pub mod plan;
pub mod pod;
pub mod reason;
pub mod review;
pub mod settings;
pub mod told;

use claim::Claims;
use component::Verdict;
use patch::Operation;
use plan::{Cache, Change, Skipped};
use pod::Pod;
use reason::Reason;
use settings::Settings;
use told::{Status, Warning};

/// A pod about which it is known whether we touch it, and by which settings, but not yet what its claims are.
#[derive(Debug)]
pub struct Consideration<'p> {
    pod: &'p Pod<'p>,
    settings: Cow<'p, Settings>,
    verdict: Verdict<'p>,
    warnings: Vec<Warning>,
}

/// What was decided about a pod, and everything there is to tell of it.
#[derive(Debug)]
pub struct Outcome<'p> {
    /// Why nothing was asked about its caches, where that is so.
    pub left_alone: Option<Reason>,
    /// Each chosen container with the caches in place there, in the pod's order, init containers first.
    pub containers: Vec<(&'p str, Vec<Cache>)>,
    /// What is not in place, and why.
    pub skipped: Vec<Skipped<'p>>,
    /// What changes, as decided.
    pub changes: Vec<Change<'p>>,
    /// The same as JSON Patch; empty where nothing changes.
    pub operations: Vec<Operation<'p>>,
    /// What the user should act on, the most general first.
    pub warnings: Vec<Warning>,
}

impl<'p> Consideration<'p> {
    /// Finds out whether a pod is ours and which settings apply to it.
    ///
    /// `defaults` are the settings without any annotation, `namespace` the annotations of the pod's namespace.
    pub fn of(pod: &'p Pod<'p>, defaults: &'p Settings, namespace: &'p [(String, String)]) -> Self {
        let (verdict, mut warnings) = component::judge(pod);
        let settings = match verdict {
            Verdict::LeftAlone(_) => Cow::Borrowed(defaults),
            Verdict::Component(..) => {
                let (settings, about_settings) = settings::resolve(defaults, namespace, pod.annotations());
                warnings.extend(about_settings);
                settings
            }
        };
        Consideration { pod, settings, verdict, warnings }
    }

    /// What the pod is to us, and by which rules.
    pub fn verdict(&self) -> &Verdict<'p> {
        &self.verdict
    }

    /// The settings that apply.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The names of the claims that the decision depends on: none, one or two.
    pub fn claims(&self) -> impl Iterator<Item = &str> {
        let (model, compile) = (&*self.settings.model.claim, &*self.settings.compile.claim);
        let chosen = match &self.verdict {
            Verdict::LeftAlone(_) => &[],
            Verdict::Component(_, chosen) => chosen.as_slice(),
        };
        let caches_models = chosen.iter().any(component::Chosen::wants_model_cache);
        let compiles = chosen.iter().any(component::Chosen::wants_compile_cache);
        let names = [caches_models.then_some(model), (compiles && compile != model).then_some(compile)];
        names.into_iter().flatten()
    }

    /// Decides. Claims that are not among `claims` count as not found.
    pub fn decide(self, claims: &Claims) -> Outcome<'p> {
        let Consideration { pod, settings, verdict, mut warnings } = self;
        let (left_alone, plan) = match &verdict {
            Verdict::LeftAlone(reason) if reason.leaves_no_status() => return Outcome::untouched(*reason, warnings),
            Verdict::LeftAlone(reason) => (Some(*reason), plan::Plan::default()),
            Verdict::Component(_, chosen) => (None, plan::plan(pod, chosen, &settings, claims)),
        };
        let plan::Plan { mut changes, containers, skipped, warnings: about_caches } = plan;
        warnings.extend(about_caches);
        let status = match left_alone {
            Some(reason) => Status::left_alone(reason),
            None => Status::of(&containers, &skipped),
        };
        match status.replaces(pod) {
            Ok(Some(text)) => changes.push(Change::Status(text)),
            Ok(None) => {}
            Err(warning) => warnings.push(warning),
        }
        told::arrange(&mut warnings);
        let operations = patch::operations(pod, &changes);
        Outcome { left_alone, containers, skipped, changes, operations, warnings }
    }
}

impl Outcome<'_> {
    fn untouched(reason: Reason, warnings: Vec<Warning>) -> Self {
        Outcome {
            left_alone: Some(reason),
            containers: Vec::new(),
            skipped: Vec::new(),
            changes: Vec::new(),
            operations: Vec::new(),
            warnings,
        }
    }

    /// Every reason that played a part, each once, in the order of the codes.
    pub fn reasons(&self) -> Vec<Reason> {
        let skipped = self.skipped.iter().map(|skipped| skipped.reason);
        let warned = self.warnings.iter().map(|warning| warning.reason);
        let mut reasons: Vec<_> = self.left_alone.into_iter().chain(skipped).chain(warned).collect();
        reasons.sort_unstable();
        reasons.dedup();
        reasons
    }

    /// `patched` where something changes, else `untouched`.
    pub fn decision(&self) -> &'static str {
        if self.operations.is_empty() { "untouched" } else { "patched" }
    }
}
