//! What was decided about a pod and by which rules, for whoever shows it.

mod container;
mod words;

use crate::admission::cache::Cache;
use crate::admission::component;
use crate::admission::component::{
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
use crate::manifest::context::World;

use container::Place;

/// What is known before the caches are decided: what the pod is, and by which rules.
pub(crate) struct Judged<'p> {
    mark: Option<Evidence<'p>>,
    chosen: Vec<(&'p str, Named)>,
    express: bool,
}

/// A chosen container's rule, row and engine.
#[derive(Clone, Copy)]
struct Named {
    rule: SelectionRule,
    row: ContainerRole,
    runs: DetectedEngine,
    model: bool,
    compile: bool,
}

/// A pod, and why it gets what it gets.
pub(crate) struct Account {
    /// The pod, or what makes it, in words.
    pub(crate) name: String,
    /// By which rule it is a component, in words.
    pub(crate) mark: Option<String>,
    /// Why nothing was asked about its caches, where that is so.
    pub(crate) left_alone: Option<Reason>,
    /// Its containers, init containers first.
    pub(crate) containers: Vec<ContainerAccount>,
    /// Where each setting comes from.
    pub(crate) origins: Vec<Origin>,
    /// What the user should act on beside the caches: the line, and what to do.
    pub(crate) warnings: Vec<(String, &'static str)>,
    /// Whether anything but the status changes.
    pub(crate) changes: bool,
    /// Whether it should have a status of ours, and has none.
    pub(crate) is_unreviewed: bool,
}

/// A container, and why it gets what it gets.
pub(crate) struct ContainerAccount {
    /// Its name.
    pub(crate) name: String,
    /// Why it was chosen, or why not, in words.
    pub(crate) rule: String,
    /// Its engine and row, in words; none where it was not chosen.
    pub(crate) engine: Option<String>,
    /// Its caches, in the order of planning.
    pub(crate) caches: Vec<CacheAccount>,
}

/// A cache of a container.
pub(crate) struct CacheAccount {
    /// Which one.
    pub(crate) cache: Cache,
    /// Where it is in place: what makes it so.
    pub(crate) in_place: Option<InPlace>,
    /// The claim that it is on, where its variables lead to one: also in a pod of which it is decided otherwise now.
    pub(crate) claim: Option<String>,
    /// Why something of it was left out, and the claim that this is about.
    pub(crate) left_out: Vec<(Reason, Option<String>)>,
}

/// What makes a cache be in place: mounts, variables and flags, a line each.
pub(crate) enum InPlace {
    /// The patch adds these.
    Added(Vec<String>),
    /// The pod has these already, and nothing is added.
    There(Vec<String>),
}

impl<'p> Judged<'p> {
    /// Takes down what a decision will not keep.
    pub(crate) fn of(evaluation: &Evaluation<'p>) -> Self {
        let express = evaluation.settings().express.url.is_some();
        match evaluation.classification() {
            Classification::Untouched(_) => Judged { mark: None, chosen: Vec::new(), express },
            Classification::Component(mark, chosen) => {
                Judged { mark: Some(*mark), chosen: chosen.iter().map(named).collect(), express }
            }
        }
    }
}

fn named<'p>(chosen: &SelectedContainer<'p>) -> (&'p str, Named) {
    let (model, compile) = (chosen.wants_model_cache(), chosen.wants_compile_cache());
    let SelectedContainer { rule, role: row, engine: runs, .. } = *chosen;
    (chosen.container.name(), Named { rule, row, runs, model, compile })
}

impl Account {
    /// Puts together what is known of a pod.
    pub(crate) fn of(name: &str, pod: &Pod<'_>, judged: &Judged<'_>, outcome: &Outcome<'_>, world: &World) -> Self {
        let all = pod.init_containers().iter().chain(pod.containers());
        let containers = all.filter_map(|container| {
            let name = container.name();
            let chosen = judged.chosen.iter().find(|(chosen, _)| *chosen == name).map(|(_, named)| *named);
            outcome.untouched.is_none().then(|| ContainerAccount {
                name: name.to_owned(),
                rule: chosen
                    .map_or_else(
                        || words::not_chosen(component::why_not_selected(pod, name)),
                        |named| words::rule(named.rule),
                    )
                    .to_owned(),
                engine: chosen.map(|named| words::engine(named.row, named.runs)),
                caches: chosen.map_or_else(Vec::new, |named| caches(name, named, judged.express, pod, outcome)),
            })
        });
        let warnings = outcome.warnings.iter().filter(|warning| {
            // The cache's own line says more.
            !outcome.skipped.iter().any(|skipped| Warning::cache_skipped(skipped).as_ref() == Some(warning))
        });
        let is_more = |change: &Change<'_>| !matches!(change, Change::Status(_));
        Account {
            name: name.to_owned(),
            mark: judged.mark.map(words::mark),
            left_alone: outcome.untouched,
            containers: containers.collect(),
            origins: settings::origins(&world.file, &world.facts.namespace, pod.annotations()).collect(),
            warnings: warnings.map(|warning| (warning.text.clone(), warning.reason.fix())).collect(),
            changes: outcome.changes.iter().any(is_more),
            is_unreviewed: unreviewed::is_unreviewed(pod),
        }
    }

    /// Whether the pod is a Dynamo component about which the webhook leaves a status.
    pub(crate) fn is_component(&self) -> bool {
        self.left_alone.is_none_or(|reason| !reason.leaves_no_status())
    }

    /// A cache of a container.
    pub(crate) fn cache(&self, container: &str, cache: Cache) -> Option<&CacheAccount> {
        let container = self.containers.iter().find(|account| account.name == container)?;
        container.caches.iter().find(|account| account.cache == cache)
    }

    /// Every reason that played a part for a cache, with its claim, each once.
    pub(crate) fn left_out(&self) -> Vec<(Reason, Option<String>)> {
        let caches = self.containers.iter().flat_map(|container| &container.caches);
        let mut all: Vec<_> = caches.flat_map(|cache| cache.left_out.iter().cloned()).collect();
        all.sort();
        all.dedup();
        all
    }
}

impl CacheAccount {
    /// The claim on which this cache is, where it is in place, and another is on another one.
    pub(crate) fn other_claim(&self, than: &CacheAccount) -> Option<&str> {
        self.in_place.as_ref()?;
        let (claim, other) = (self.claim.as_deref()?, than.claim.as_deref()?);
        (claim != other).then_some(claim)
    }
}

/// The caches of a container's row, then what was left out beside them.
fn caches(name: &str, named: Named, express: bool, pod: &Pod<'_>, outcome: &Outcome<'_>) -> Vec<CacheAccount> {
    let in_place = outcome.containers.iter().find(|(container, _)| *container == name);
    let in_place = in_place.map(|(_, caches)| caches.as_slice()).unwrap_or_default();
    let load_format =
        outcome.skipped.iter().any(|skipped| skipped.cache == Cache::LoadFormat && skipped.container == name);
    let place = Place::of(name, pod, &outcome.changes);
    let row = [
        (Cache::Model, named.model),
        (Cache::Compile, named.compile),
        (Cache::ModelExpress, express),
        (Cache::LoadFormat, load_format),
    ];
    let account = |cache: Cache| {
        let about = outcome.skipped.iter().filter(|skipped| skipped.container == name && skipped.cache == cache);
        CacheAccount {
            cache,
            in_place: in_place.contains(&cache).then(|| place.of_cache(cache)),
            claim: place.claim_of(cache).map(str::to_owned),
            left_out: about.map(|skipped| (skipped.reason, claim(skipped.reason, skipped.claim.clone()))).collect(),
        }
    };
    row.into_iter().filter(|(_, is_there)| *is_there).map(|(cache, _)| account(cache)).collect()
}

/// The claim, where the reason speaks of it.
fn claim(reason: Reason, claim: Option<String>) -> Option<String> {
    claim.filter(|_| reason.concerns_claim())
}
