//! Whether a pod is a Dynamo component, which of its containers get caches, and which engine each one runs.

use super::annotation::{
    COMPONENT_LABELS, COMPONENT_TYPE, ENGINE, INJECT, MIRROR, NODE_OS, RESTORE_CANDIDATE, RESTORE_FROM, RESTORE_PREFIX,
    SNAPSHOT_PREFIX,
};
use super::command_line::{self, CommandLine, Component};
use super::engine::Engine;
use super::names::CONTAINERS;
use super::pod::{Container, Pod};
use super::reason::Reason;
use super::warning::Warning;

mod annotations;
mod selection;

use annotations::Annotations;
use selection::select;

/// Whether a pod gets caches.
#[derive(Debug)]
pub enum Classification<'p> {
    /// A Dynamo component: by which evidence, and its containers that get caches, init containers first, each in the pod's
    /// order; then the names of those that ask for a GPU and were not selected.
    Component(Evidence<'p>, Vec<SelectedContainer<'p>>, Vec<&'p str>),
    /// The pod gets none.
    Untouched(Reason),
}

/// What makes a pod a Dynamo component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence<'p> {
    /// Its annotation says so.
    Annotation,
    /// It has this label.
    Label(&'static str),
    /// The command line of this container runs a `dynamo.*` module or a sidecar of Dynamo.
    Module(&'p str),
}

/// The rule by which a container was selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectionRule {
    /// Nothing shows an engine, and it is the default container of kubectl.
    Default,
    /// An earlier status annotation of ours names it.
    Earlier,
    /// Nothing shows an engine, and it is the first.
    First,
    /// The command lines show sidecars alone, and it asks for a GPU.
    Gpu,
    /// Nothing shows an engine, and it is called `main`.
    Main,
    /// The annotation names it.
    Named,
    /// Nothing shows an engine, there is no `main`, and it is called `engine-N`.
    Numbered,
    /// Its command line shows an engine or another `dynamo.*` module.
    CommandLine,
}

/// A container that gets caches.
#[derive(Debug)]
pub struct SelectedContainer<'p> {
    /// Where it stands.
    pub index: ContainerIndex,
    /// The container itself.
    pub container: &'p Container<'p>,
    /// What its command line shows.
    pub command_line: CommandLine<'p>,
    /// Why it was selected.
    pub rule: SelectionRule,
    /// Which caches are its own.
    pub role: ContainerRole,
    /// Which engine it runs.
    pub engine: DetectedEngine,
}

/// Where a container stands in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerIndex {
    /// Whether it is an init container.
    pub init: bool,
    /// Its position in the list.
    pub position: usize,
}

/// Which caches a container gets: the rows of the contract's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerRole {
    /// Model cache, compile cache and address.
    Engine,
    /// Model cache and address: tokenizer and configuration files are all that it reads.
    Frontend,
    /// The address alone.
    Planner,
}

/// Why a container is not selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSelected {
    /// The annotation names others.
    NamesOthers,
    /// GPU Memory Service, and the operator's wait for a leader.
    NeverGetsCaches,
    /// Mode `staged` has added it.
    OfModeStaged,
    /// It is an init container that ends before the others begin.
    RunsBefore,
    /// Its command line shows no engine and no `dynamo.*` module, or another container is the likelier one.
    ShowsNothing,
}

/// The engine of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DetectedEngine {
    /// This one.
    Engine(Engine),
    /// The annotation says none.
    None,
    /// Neither the command nor the image shows one.
    Unknown,
}

impl SelectedContainer<'_> {
    /// Whether the model cache is one of its caches.
    pub fn wants_model_cache(&self) -> bool {
        self.role != ContainerRole::Planner
    }

    /// Whether the compile cache is one of its caches.
    pub fn wants_compile_cache(&self) -> bool {
        self.role == ContainerRole::Engine
    }
}

/// A container that may be selected, with what its command line shows.
struct Candidate<'p> {
    index: ContainerIndex,
    container: &'p Container<'p>,
    command_line: CommandLine<'p>,
}

impl Candidate<'_> {
    /// A container, or an init container that runs beside them.
    fn runs_beside(&self) -> bool {
        !self.index.init || self.container.is_restartable()
    }

    /// Whether it may be an engine that no rule recognises.
    fn may_be_an_engine(&self) -> bool {
        let asks = self.container.asks_for_gpu() || self.container.claims_resources();
        asks && self.runs_beside() && !self.never_gets_caches()
    }

    /// Whether it is an init container that mode `staged` adds.
    fn is_of_mode_staged(&self) -> bool {
        self.index.init && CONTAINERS.contains(&self.container.name())
    }

    /// Whether it is GPU Memory Service, the operator's wait for a leader, or a container of ours, which get no caches even where
    /// they are named.
    fn never_gets_caches(&self) -> bool {
        let name = self.container.name();
        self.is_of_mode_staged()
            || name.starts_with("gms-")
            || name == "wait-for-leader-mp"
            || (self.command_line.gpu_memory_service && self.command_line.engine.is_none())
    }
}

/// Says whether a pod is a component and which containers get caches, and warns of annotations that do not parse.
pub fn classify<'p>(pod: &'p Pod<'p>) -> (Classification<'p>, Vec<Warning>) {
    let mut warnings = Vec::new();
    let inject = Annotations::new(pod, &mut warnings).word(INJECT, &["false", "true"]);
    if inject == Some("false") {
        return (Classification::Untouched(Reason::OptedOut), warnings);
    }
    let candidates = candidates(pod);
    let evidence = evidence(pod, inject, &candidates);
    let untouched = if evidence.is_none() {
        Some(Reason::NotAComponent)
    } else if pod.annotation(MIRROR).is_some() {
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
    let evidence = match (untouched, evidence) {
        (None, Some(evidence)) => evidence,
        (reason, _) => return (Classification::Untouched(reason.unwrap_or(Reason::NotAComponent)), warnings),
    };
    let engines = ["none", "sglang", "trtllm", "vllm"];
    let mut annotations = Annotations::new(pod, &mut warnings);
    let engine = annotations.word(ENGINE, &engines);
    let names = annotations.names();
    let (selected, others) = select(pod, candidates, names, &mut warnings);
    let role_of_pod = role_of_type(pod.label(COMPONENT_TYPE));
    let selected = selected.into_iter().map(|(candidate, rule)| assign(&candidate, rule, engine, role_of_pod));
    let unknown = others.iter().filter(|candidate| names.is_none() && candidate.may_be_an_engine());
    let unknown: Vec<_> = unknown.map(|candidate| candidate.container.name()).collect();
    warnings.extend(unknown.iter().map(|name| Warning::container_unknown(name)));
    (Classification::Component(evidence, selected.collect(), unknown), warnings)
}

fn candidates<'p>(pod: &'p Pod<'p>) -> Vec<Candidate<'p>> {
    let of = |init: bool, containers: &'p [Container<'p>]| {
        containers.iter().enumerate().map(move |(position, container)| Candidate {
            index: ContainerIndex { init, position },
            container,
            command_line: CommandLine::parse(container),
        })
    };
    of(true, pod.init_containers()).chain(of(false, pod.containers())).collect()
}

fn evidence<'p>(pod: &Pod<'p>, inject: Option<&str>, candidates: &[Candidate<'p>]) -> Option<Evidence<'p>> {
    if inject == Some("true") {
        return Some(Evidence::Annotation);
    }
    let label = COMPONENT_LABELS.into_iter().find(|label| pod.label(label).is_some());
    let runs = |candidate: &&Candidate<'_>| candidate.runs_beside() && candidate.command_line.runs_dynamo;
    let module = || candidates.iter().find(runs).map(|candidate| Evidence::Module(candidate.container.name()));
    label.map(Evidence::Label).or_else(module)
}

fn is_windows(pod: &Pod<'_>) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let os = spec.os.as_ref().and_then(|os| os.name.as_deref());
    let selected = spec.node_selector.as_ref().and_then(|labels| labels.value(NODE_OS));
    os == Some("windows") || selected.is_some_and(|os| &**os == "windows")
}

/// Whether Dynamo Snapshot captures or restores the pod, or may.
fn is_snapshot(pod: &Pod<'_>) -> bool {
    let metadata = pod.metadata.as_ref();
    let labels = metadata.and_then(|metadata| metadata.labels.as_ref());
    let labelled = labels.is_some_and(|labels| labels.0.iter().any(|(name, _)| name.starts_with(SNAPSHOT_PREFIX)));
    let annotated = pod.annotations().is_some_and(|annotations| {
        annotations.0.iter().any(|(name, value)| {
            &**name == RESTORE_FROM
                || name.starts_with(RESTORE_PREFIX)
                || (&**name == RESTORE_CANDIDATE && &**value == "true")
        })
    });
    labelled || annotated
}

fn is_model_express_server(candidate: &Candidate<'_>) -> bool {
    let image = candidate.container.image_name();
    !candidate.index.init
        && (candidate.command_line.model_express_server || command_line::is_model_express_server(image))
}

/// Why a container is not among those that were selected.
pub fn why_not_selected<'p>(pod: &'p Pod<'p>, name: &str) -> NotSelected {
    let candidates = candidates(pod);
    let Some(candidate) = candidates.iter().find(|candidate| candidate.container.name() == name) else {
        return NotSelected::ShowsNothing;
    };
    let names_others = Annotations::new(pod, &mut Vec::new()).names().is_some();
    if candidate.is_of_mode_staged() {
        NotSelected::OfModeStaged
    } else if candidate.never_gets_caches() {
        NotSelected::NeverGetsCaches
    } else if names_others {
        NotSelected::NamesOthers
    } else if candidate.runs_beside() {
        NotSelected::ShowsNothing
    } else {
        NotSelected::RunsBefore
    }
}

/// `engine-0`, `engine-1`: the operator's names for the containers of a failover worker, which has no `main`.
pub fn is_numbered_engine(name: &str) -> bool {
    name.strip_prefix("engine-")
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn role_of_type(component_type: Option<&str>) -> ContainerRole {
    match component_type {
        Some("epp" | "frontend") => ContainerRole::Frontend,
        Some("planner") => ContainerRole::Planner,
        _ => ContainerRole::Engine,
    }
}

fn assign<'p>(
    candidate: &Candidate<'p>,
    selection: SelectionRule,
    annotated: Option<&str>,
    role_of_pod: ContainerRole,
) -> SelectedContainer<'p> {
    let Candidate { index, container, command_line } = *candidate;
    let annotated = annotated.map(|name| Engine::named(name).map_or(DetectedEngine::None, DetectedEngine::Engine));
    let (role, engine) = match (command_line.engine, command_line.component) {
        (Some((engine, _)), _) => (ContainerRole::Engine, annotated.unwrap_or(DetectedEngine::Engine(engine))),
        (None, Some(Component::Planner)) => (ContainerRole::Planner, DetectedEngine::Unknown),
        (None, Some(Component::Unknown)) if container.asks_for_gpu() => {
            (ContainerRole::Engine, annotated.unwrap_or(DetectedEngine::Unknown))
        }
        (None, Some(_)) => (ContainerRole::Frontend, DetectedEngine::Unknown),
        (None, None) => {
            let role =
                if matches!(annotated, Some(DetectedEngine::Engine(_))) { ContainerRole::Engine } else { role_of_pod };
            let is_python = command_line.python_module || command_line.python_file;
            let of_image = || Engine::of_image(container.image_name()).filter(|_| !is_python);
            (role, annotated.or_else(|| of_image().map(DetectedEngine::Engine)).unwrap_or(DetectedEngine::Unknown))
        }
    };
    SelectedContainer { index, container, command_line, rule: selection, role, engine }
}
