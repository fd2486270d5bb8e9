//! Whether a pod is a Dynamo component, which of its containers get caches, and which engine each one runs.

use std::collections::BTreeSet;

use super::command_line::{self, Component, Shown};
use super::engine::Engine;
use super::pod::{Container, Pod};
use super::reason::Reason;
use super::told::{self, Warning};

mod annotations;

use annotations::{Annotations, listed};

/// The labels any of which makes a pod a Dynamo component.
pub const LABELS: [&str; 3] =
    ["nvidia.com/dynamo-component-type", "nvidia.com/dynamo-component", "nvidia.com/dynamo-graph-deployment-name"];

/// Of more names of containers that the pod does not have, the others are no longer told one by one.
const MOST_MISSING: usize = 32;

/// What a pod is to us.
#[derive(Debug)]
pub enum Verdict<'p> {
    /// A Dynamo component: by which rule, and its containers that get caches, init containers first, each in the pod's
    /// order.
    Component(Mark<'p>, Vec<Chosen<'p>>),
    /// Nothing is asked about its caches.
    LeftAlone(Reason),
}

/// What makes a pod a Dynamo component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark<'p> {
    /// Its annotation says so.
    Annotation,
    /// It has this label.
    Label(&'static str),
    /// The command line of this container runs a `dynamo.*` module.
    Module(&'p str),
}

/// The rule by which a container was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Nothing shows an engine, and it is the default container of kubectl.
    Default,
    /// An earlier status annotation of ours names it.
    Earlier,
    /// Nothing shows an engine, and it is the first.
    First,
    /// Nothing shows an engine, and it is called `main`.
    Main,
    /// The annotation names it.
    Named,
    /// Nothing shows an engine, there is no `main`, and it is called `engine-N`.
    Numbered,
    /// Its command line shows an engine or another `dynamo.*` module.
    Shows,
}

/// A container that gets caches.
#[derive(Debug)]
pub struct Chosen<'p> {
    /// Where it stands.
    pub place: Place,
    /// The container itself.
    pub container: &'p Container<'p>,
    /// What its command line shows.
    pub shown: Shown,
    /// Why it was chosen.
    pub rule: Rule,
    /// Which caches are its own.
    pub row: Row,
    /// Which engine it runs.
    pub engine: Runs,
}

/// Where a container stands in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whether it is an init container.
    pub init: bool,
    /// Its index in the list.
    pub index: usize,
}

/// The rows of the contract's table: which caches a container gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// Model cache, compile cache and address.
    Engine,
    /// Model cache and address: tokenizer and configuration files are all that it reads.
    Frontend,
    /// The address alone.
    Planner,
}

/// Why a container is not chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// The annotation names others.
    NamesOthers,
    /// Whatever it is named by.
    NeverGetsCaches,
    /// It is an init container that ends before the others begin.
    RunsBefore,
    /// Its command line shows no engine and no `dynamo.*` module, or another container is the likelier one.
    ShowsNothing,
}

/// The engine of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// This one.
    Engine(Engine),
    /// The annotation says none.
    None,
    /// Nothing tells.
    Unknown,
}

impl Chosen<'_> {
    /// Whether the model cache is one of its caches.
    pub fn wants_model_cache(&self) -> bool {
        self.row != Row::Planner
    }

    /// Whether the compile cache is one of its caches.
    pub fn wants_compile_cache(&self) -> bool {
        self.row == Row::Engine
    }
}

/// A container that may be chosen, with what its command line shows.
struct Candidate<'p> {
    place: Place,
    container: &'p Container<'p>,
    shown: Shown,
}

impl Candidate<'_> {
    /// A container, or an init container that runs beside them.
    fn runs_beside(&self) -> bool {
        !self.place.init || self.container.restart_policy.as_deref() == Some("Always")
    }

    /// GPU Memory Service, and the operator's wait for a leader: no caches, whatever chose them.
    fn never_gets_caches(&self) -> bool {
        let name = self.container.name();
        name.starts_with("gms-")
            || name == "wait-for-leader-mp"
            || (self.shown.gpu_memory_service && self.shown.engine.is_none())
    }
}

/// Says what the pod is to us, and warns of annotations that do not parse.
pub fn judge<'p>(pod: &'p Pod<'p>) -> (Verdict<'p>, Vec<Warning>) {
    let mut warnings = Vec::new();
    let inject = Annotations::of(pod, &mut warnings).word("inject", &["false", "true"]);
    if inject == Some("false") {
        return (Verdict::LeftAlone(Reason::OptedOut), warnings);
    }
    let candidates = candidates(pod);
    let mark = mark(pod, inject, &candidates);
    let left_alone = if mark.is_none() {
        Some(Reason::NotAComponent)
    } else if pod.annotation("kubernetes.io/config.mirror").is_some() {
        Some(Reason::MirrorPod)
    } else if is_windows(pod) {
        Some(Reason::Windows)
    } else if is_snapshot(pod) {
        Some(Reason::Snapshot)
    } else if candidates.iter().any(is_model_express_server) {
        Some(Reason::ModelExpressServer)
    } else {
        None
    };
    let mark = match (left_alone, mark) {
        (None, Some(mark)) => mark,
        (reason, _) => return (Verdict::LeftAlone(reason.unwrap_or(Reason::NotAComponent)), warnings),
    };
    let engines = ["none", "sglang", "trtllm", "vllm"];
    let mut annotations = Annotations::of(pod, &mut warnings);
    let engine = annotations.word("engine", &engines);
    let names = annotations.names();
    let chosen = choose(pod, candidates, names, &mut warnings);
    let row_of_pod = row_of_type(pod.label("nvidia.com/dynamo-component-type"));
    let chosen = chosen.into_iter().map(|(candidate, rule)| assign(&candidate, rule, engine, row_of_pod));
    (Verdict::Component(mark, chosen.collect()), warnings)
}

fn candidates<'p>(pod: &'p Pod<'p>) -> Vec<Candidate<'p>> {
    let of = |init: bool, containers: &'p [Container<'p>]| {
        containers.iter().enumerate().map(move |(index, container)| Candidate {
            place: Place { init, index },
            container,
            shown: Shown::by(container),
        })
    };
    of(true, pod.init_containers()).chain(of(false, pod.containers())).collect()
}

fn mark<'p>(pod: &Pod<'p>, inject: Option<&str>, candidates: &[Candidate<'p>]) -> Option<Mark<'p>> {
    if inject == Some("true") {
        return Some(Mark::Annotation);
    }
    let label = LABELS.into_iter().find(|label| pod.label(label).is_some());
    let runs = |candidate: &&Candidate<'_>| candidate.runs_beside() && candidate.shown.dynamo_module;
    let module = || candidates.iter().find(runs).map(|candidate| Mark::Module(candidate.container.name()));
    label.map(Mark::Label).or_else(module)
}

fn is_windows(pod: &Pod<'_>) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let os = spec.os.as_ref().and_then(|os| os.name.as_deref());
    let selected = spec.node_selector.as_ref().and_then(|labels| labels.value("kubernetes.io/os"));
    os == Some("windows") || selected.is_some_and(|os| &**os == "windows")
}

/// The marks of Dynamo Snapshot on capture, restore and restore-candidate pods.
fn is_snapshot(pod: &Pod<'_>) -> bool {
    let metadata = pod.metadata.as_ref();
    let labels = metadata.and_then(|metadata| metadata.labels.as_ref());
    let labelled =
        labels.is_some_and(|labels| labels.0.iter().any(|(name, _)| name.starts_with("nvidia.com/snapshot-")));
    let annotated = pod.annotations().is_some_and(|annotations| {
        annotations.0.iter().any(|(name, value)| {
            &**name == "nvidia.com/restore-from"
                || name.starts_with("nvidia.com/dynamo-restore-")
                || (&**name == "nvidia.com/dynamo-checkpoint-restore-candidate" && &**value == "true")
        })
    });
    labelled || annotated
}

fn is_model_express_server(candidate: &Candidate<'_>) -> bool {
    let image = candidate.container.image_name();
    !candidate.place.init && (candidate.shown.model_express_server || command_line::is_model_express_server(image))
}

fn choose<'p>(
    pod: &'p Pod<'p>,
    candidates: Vec<Candidate<'p>>,
    names: Option<&str>,
    warnings: &mut Vec<Warning>,
) -> Vec<(Candidate<'p>, Rule)> {
    let before = named_before(pod, &candidates);
    let names = names.map(|names| found(names, &candidates, warnings));
    let (meant, fallback) =
        if names.is_some() { (Rule::Named, Vec::new()) } else { fallback(pod, &candidates, &before) };
    let rule = |candidate: &Candidate<'p>| match &names {
        Some(names) => names.contains(candidate.container.name()).then_some(Rule::Named),
        None if shows_dynamo(candidate) => Some(Rule::Shows),
        None => fallback.contains(&candidate.place).then_some(meant),
    };
    let choose = |candidate: Candidate<'p>| {
        let named_before = || before.contains(candidate.container.name()).then_some(Rule::Earlier);
        let rule = rule(&candidate).or_else(named_before)?;
        (!candidate.never_gets_caches()).then_some((candidate, rule))
    };
    candidates.into_iter().filter_map(choose).collect()
}

/// The containers of the pod that a list names, and a warning for others. Nothing has bounded the list yet, so no more is
/// kept of it.
fn found<'p>(names: &str, candidates: &[Candidate<'p>], warnings: &mut Vec<Warning>) -> BTreeSet<&'p str> {
    let there: BTreeSet<_> = candidates.iter().map(|candidate| candidate.container.name()).collect();
    let mut missing = 0;
    let found = listed(names).filter_map(|name| {
        let found = there.get(name).copied();
        if found.is_none() && missing < MOST_MISSING {
            missing += 1;
            warnings.push(Warning::container_not_found(name));
        }
        found
    });
    found.collect()
}

/// Why a container is not among those that were chosen.
pub fn passed_over<'p>(pod: &'p Pod<'p>, name: &str) -> Passed {
    let candidates = candidates(pod);
    let Some(candidate) = candidates.iter().find(|candidate| candidate.container.name() == name) else {
        return Passed::ShowsNothing;
    };
    let names_others = Annotations::of(pod, &mut Vec::new()).names().is_some();
    if candidate.never_gets_caches() {
        Passed::NeverGetsCaches
    } else if names_others {
        Passed::NamesOthers
    } else if candidate.runs_beside() {
        Passed::ShowsNothing
    } else {
        Passed::RunsBefore
    }
}

/// The containers that an earlier status of ours names. A name that two have, as only before the API server has validated
/// the pod, names neither: the status may have meant the other.
fn named_before<'p>(pod: &Pod<'_>, candidates: &[Candidate<'p>]) -> BTreeSet<&'p str> {
    let (mut once, mut twice) = (BTreeSet::new(), BTreeSet::new());
    for name in candidates.iter().map(|candidate| candidate.container.name()) {
        if !once.insert(name) {
            twice.insert(name);
        }
    }
    // Who never gets caches was named by somebody else, and would be missing from what we write.
    let never = candidates.iter().filter(|candidate| candidate.never_gets_caches());
    let never: BTreeSet<_> = never.map(|candidate| candidate.container.name()).collect();
    let before: BTreeSet<_> = told::named_before(pod).into_iter().collect();
    once.retain(|name| before.contains(*name) && !twice.contains(name) && !never.contains(name));
    once
}

fn shows_dynamo(candidate: &Candidate<'_>) -> bool {
    candidate.runs_beside() && (candidate.shown.engine.is_some() || candidate.shown.component.is_some())
}

/// The containers that are meant where no command line shows an engine, and by which rule.
fn fallback<'p>(pod: &'p Pod<'p>, candidates: &[Candidate<'p>], before: &BTreeSet<&str>) -> (Rule, Vec<Place>) {
    let shown = |candidate: &&Candidate<'_>| shows_dynamo(candidate);
    if candidates.iter().filter(shown).any(|candidate| candidate.shown.engine.is_some()) {
        return (Rule::Shows, Vec::new());
    }
    let containers = || candidates.iter().filter(|candidate| !candidate.place.init);
    let named = |name: &str| containers().find(|candidate| candidate.container.name() == name);
    if let Some(main) = named("main") {
        return (Rule::Main, vec![main.place]);
    }
    let engines = containers().filter(|candidate| is_numbered_engine(candidate.container.name()));
    let engines: Vec<_> = engines.map(|candidate| candidate.place).collect();
    // The last resort stays what it was on an earlier pass, also where another webhook put a container first.
    let was_chosen = containers().any(|candidate| before.contains(candidate.container.name()));
    if was_chosen || !engines.is_empty() || candidates.iter().any(|candidate| shown(&candidate)) {
        return (Rule::Numbered, engines);
    }
    if let Some(default) = pod.annotation("kubectl.kubernetes.io/default-container").and_then(named) {
        return (Rule::Default, vec![default.place]);
    }
    (Rule::First, containers().next().map(|candidate| candidate.place).into_iter().collect())
}

/// `engine-0`, `engine-1`: the operator's names for the containers of a failover worker, which has no `main`.
pub fn is_numbered_engine(name: &str) -> bool {
    name.strip_prefix("engine-")
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn row_of_type(component_type: Option<&str>) -> Row {
    match component_type {
        Some("epp" | "frontend") => Row::Frontend,
        Some("planner") => Row::Planner,
        _ => Row::Engine,
    }
}

fn assign<'p>(candidate: &Candidate<'p>, rule: Rule, annotated: Option<&str>, row_of_pod: Row) -> Chosen<'p> {
    let Candidate { place, container, shown } = *candidate;
    let annotated = annotated.map(|name| Engine::named(name).map_or(Runs::None, Runs::Engine));
    let (row, engine) = match (shown.engine, shown.component) {
        (Some((engine, _)), _) => (Row::Engine, annotated.unwrap_or(Runs::Engine(engine))),
        (None, Some(Component::Planner)) => (Row::Planner, Runs::Unknown),
        (None, Some(Component::Other)) => (Row::Frontend, Runs::Unknown),
        (None, None) => {
            let row = if matches!(annotated, Some(Runs::Engine(_))) { Row::Engine } else { row_of_pod };
            let of_image = || Engine::of_image(container.image_name()).filter(|_| !shown.python_module);
            (row, annotated.or_else(|| of_image().map(Runs::Engine)).unwrap_or(Runs::Unknown))
        }
    };
    Chosen { place, container, shown, rule, row, engine }
}
