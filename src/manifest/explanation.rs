//! Explains the decision about a pod: its caches, and the rules that led to them.

mod container;
mod stage;
mod words;

use crate::admission::cache::Cache;
use crate::admission::classification;
use crate::admission::classification::{
    Classification, ContainerRole, DetectedEngine, Evidence, SelectedContainer, SelectionRule,
};
use crate::admission::plan::Change;
use crate::admission::pod::Pod;
use crate::admission::reason::Reason;
use crate::admission::settings;
use crate::admission::settings::Origin;
use crate::admission::unreviewed;
use crate::admission::warning::Warning;
use crate::admission::{Evaluation, Outcome};
use crate::manifest::context::DecisionContext;
use crate::manifest::facts::PodFacts;

use container::ContainerState;

/// Why the pod is a component and which containers were selected: what an [`Evaluation`] knows before it decides.
pub(crate) struct Selection<'p> {
    evidence: Option<Evidence<'p>>,
    containers: Vec<(&'p str, SelectedAs)>,
    has_express: bool,
}

/// How one container was selected.
#[derive(Clone, Copy)]
struct SelectedAs {
    rule: SelectionRule,
    role: ContainerRole,
    engine: DetectedEngine,
    wants_model: bool,
    wants_compile: bool,
}

/// The explanation of one pod.
pub(crate) struct Explanation {
    /// The pod, or the workload that creates it: `Deployment/worker`.
    pub(crate) name: String,
    /// The evidence that it is a component, in words.
    pub(crate) evidence: Option<String>,
    /// Why the whole pod is untouched; `None` if its caches were considered.
    pub(crate) untouched: Option<Reason>,
    /// Its containers, init containers first.
    pub(crate) containers: Vec<ContainerExplanation>,
    /// Where each setting comes from.
    pub(crate) origins: Vec<Origin>,
    /// Warnings that no cache's own line covers: the text, and the fix.
    pub(crate) warnings: Vec<(String, &'static str)>,
    /// Whether anything but the status annotation changes.
    pub(crate) changes: bool,
    /// Whether the pod should have a status annotation and has none.
    pub(crate) is_unreviewed: bool,
    /// What the operator of a graph decides about the pod, one line each; `None` if the pod is no sketch.
    pub(crate) unknown: Option<Vec<String>>,
}

/// The explanation of one container.
pub(crate) struct ContainerExplanation {
    /// Its name.
    pub(crate) name: String,
    /// Why it was selected, or why not, in words.
    pub(crate) rule: String,
    /// Its engine and role, in words; `None` if it was not selected.
    pub(crate) engine: Option<String>,
    /// Its caches, in the order of planning.
    pub(crate) caches: Vec<CacheExplanation>,
    /// The variables that it lacks, because nothing at the scratch path is writable and its own.
    pub(crate) without_scratch: Vec<&'static str>,
}

/// The explanation of one cache of a container.
pub(crate) struct CacheExplanation {
    /// The cache.
    pub(crate) cache: Cache,
    /// What puts it in place, if it is.
    pub(crate) in_place: Option<InPlace>,
    /// The claim that its variables lead to, if any. A running pod may have one although the cache would be skipped now.
    pub(crate) claim: Option<String>,
    /// Where on claims the compile cache is, also if it would be skipped now.
    pub(crate) folders: Vec<ClaimFolder>,
    /// Whether it is the compile cache of an engine that works on local disk.
    pub(crate) is_staged: bool,
    /// Why the cache or a part of it was skipped.
    pub(crate) skipped: Vec<SkippedPart>,
}

/// A folder of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClaimFolder {
    /// The claim.
    pub(crate) claim: String,
    /// The path from the root of the claim, empty for the root; `None` if the pod does not show it.
    pub(crate) path: Option<String>,
}

/// Why a cache or a part of it was skipped.
pub(crate) struct SkippedPart {
    /// The reason.
    pub(crate) reason: Reason,
    /// The claim that it concerns.
    pub(crate) claim: Option<String>,
    /// What helps this pod.
    pub(crate) fix: String,
}

/// The mounts, variables and flags that put a cache in place, one line each.
pub(crate) enum InPlace {
    /// The patch adds them.
    Added(Vec<String>),
    /// The pod already has them; the patch adds nothing.
    Present(Vec<String>),
}

impl<'p> Selection<'p> {
    /// Copies what the decision consumes and does not return.
    pub(crate) fn new(evaluation: &Evaluation<'p>) -> Self {
        let has_express = evaluation.settings().express.url.is_some();
        match evaluation.classification() {
            Classification::Untouched(_) => Selection { evidence: None, containers: Vec::new(), has_express },
            Classification::Component(evidence, selected, _) => {
                let containers = selected.iter().map(|one| (one.container.name(), SelectedAs::new(one))).collect();
                Selection { evidence: Some(*evidence), containers, has_express }
            }
        }
    }
}

impl SelectedAs {
    fn new(selected: &SelectedContainer<'_>) -> Self {
        let (wants_model, wants_compile) = (selected.wants_model_cache(), selected.wants_compile_cache());
        let SelectedContainer { rule, role, engine, .. } = *selected;
        SelectedAs { rule, role, engine, wants_model, wants_compile }
    }
}

impl Explanation {
    /// Decides about a pod that no document is made of, and explains the outcome.
    pub(crate) fn of_pod(pod: &Pod<'_>, context: &DecisionContext) -> Self {
        let name = pod.metadata.as_ref().and_then(|metadata| metadata.name.as_deref()).unwrap_or_default();
        let facts = context.facts_of(None);
        let evaluation = Evaluation::new(pod, &context.settings, &facts.annotations);
        let claims = facts.claims_for(evaluation.claims());
        let selection = Selection::new(&evaluation);
        let outcome = evaluation.decide(&claims);
        Explanation::new(&format!("Pod/{name}"), pod, &selection, &outcome, context, &facts)
    }

    /// Explains the outcome of a pod.
    pub(crate) fn new(
        name: &str,
        pod: &Pod<'_>,
        selection: &Selection<'_>,
        outcome: &Outcome<'_>,
        context: &DecisionContext,
        facts: &PodFacts<'_>,
    ) -> Self {
        let all = pod.init_containers().iter().chain(pod.containers());
        let containers = all.filter_map(|container| {
            let name = container.name();
            let selected = selection.containers.iter().find(|(selected, _)| *selected == name).map(|(_, how)| *how);
            outcome.untouched.is_none().then(|| ContainerExplanation {
                name: name.to_owned(),
                rule: selected
                    .map_or_else(
                        || words::not_selected(classification::why_not_selected(pod, name)),
                        |how| words::rule(how.rule),
                    )
                    .to_owned(),
                engine: selected.map(|how| words::engine(how.role, how.engine)),
                caches: selected
                    .map_or_else(Vec::new, |how| explain_caches(name, how, selection.has_express, pod, outcome)),
                without_scratch: outcome
                    .without_scratch
                    .iter()
                    .filter(|(container, _)| *container == name)
                    .flat_map(|(_, variables)| variables.iter().copied())
                    .collect(),
            })
        });
        let warnings = outcome.warnings.iter().filter(|warning| {
            // The cache's own line says more.
            !outcome.skipped.iter().any(|skipped| Warning::cache_skipped(skipped).as_ref() == Some(warning))
        });
        let is_more = |change: &Change<'_>| !matches!(change, Change::Status(_));
        Explanation {
            name: name.to_owned(),
            evidence: selection.evidence.map(words::evidence),
            untouched: outcome.untouched,
            containers: containers.collect(),
            origins: settings::origins(&context.file, &facts.annotations, pod.annotations()).collect(),
            warnings: warnings.map(|warning| (warning.text.clone(), warning.reason.fix())).collect(),
            changes: outcome.changes.iter().any(is_more),
            is_unreviewed: unreviewed::is_unreviewed(pod),
            unknown: None,
        }
    }

    /// Whether the pod is a Dynamo component, on which the webhook leaves a status annotation.
    pub(crate) fn is_component(&self) -> bool {
        self.untouched.is_none_or(|reason| !reason.leaves_no_status())
    }

    /// Looks up a cache of a container.
    pub(crate) fn cache(&self, container: &str, cache: Cache) -> Option<&CacheExplanation> {
        let container = self.containers.iter().find(|explained| explained.name == container)?;
        container.caches.iter().find(|explained| explained.cache == cache)
    }

    /// Every reason for which a cache was skipped, with the claim that it concerns, each pair once and sorted.
    pub(crate) fn skipped(&self) -> Vec<(Reason, Option<String>)> {
        let caches = self.containers.iter().flat_map(|container| &container.caches);
        let mut all: Vec<_> =
            caches.flat_map(|cache| &cache.skipped).map(|part| (part.reason, part.claim.clone())).collect();
        all.sort();
        all.dedup();
        all
    }
}

impl CacheExplanation {
    /// The claim of this cache if it is in place on another claim than `than`.
    pub(crate) fn other_claim(&self, than: &CacheExplanation) -> Option<&str> {
        self.in_place.as_ref()?;
        let (claim, other) = (self.claim.as_deref()?, than.claim.as_deref()?);
        (claim != other).then_some(claim)
    }
}

/// Explains the caches that a container's role has; the load format only if it was skipped.
fn explain_caches(
    name: &str,
    how: SelectedAs,
    has_express: bool,
    pod: &Pod<'_>,
    outcome: &Outcome<'_>,
) -> Vec<CacheExplanation> {
    let in_place = outcome.containers.iter().find(|(container, _)| *container == name);
    let in_place = in_place.map(|(_, caches)| caches.as_slice()).unwrap_or_default();
    let load_format =
        outcome.skipped.iter().any(|skipped| skipped.cache == Cache::LoadFormat && skipped.container == name);
    let state = ContainerState::new(name, pod, &outcome.changes);
    let all = [
        (Cache::Model, how.wants_model),
        (Cache::Compile, how.wants_compile),
        (Cache::ModelExpress, has_express),
        (Cache::LoadFormat, load_format),
    ];
    let explain = |cache: Cache| {
        let about = outcome.skipped.iter().filter(|skipped| skipped.container == name && skipped.cache == cache);
        CacheExplanation {
            cache,
            in_place: in_place.contains(&cache).then(|| state.in_place(cache)),
            claim: state.claim(cache).map(str::to_owned),
            folders: if cache == Cache::Compile { state.compile_folders() } else { Vec::new() },
            is_staged: cache == Cache::Compile && state.is_staged(),
            skipped: about
                .map(|skipped| SkippedPart {
                    reason: skipped.reason,
                    claim: skipped.claim.clone().filter(|_| skipped.reason.concerns_claim()),
                    fix: skipped.fix().to_owned(),
                })
                .collect(),
        }
    };
    all.into_iter().filter(|(_, is_wanted)| *is_wanted).map(|(cache, _)| explain(cache)).collect()
}
