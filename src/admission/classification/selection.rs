//! Which containers of a component get caches, and by which rule.

use std::collections::BTreeSet;

use super::super::annotation::DEFAULT_CONTAINER;
use super::super::command_line::Component;
use super::super::pod::Pod;
use super::super::status::Status;
use super::super::warning::Warning;
use super::annotations::split_names;
use super::{Candidate, ContainerIndex, SelectionRule, is_numbered_engine};

/// Most warnings about names of containers that the pod does not have.
const MOST_MISSING: usize = 32;

/// The containers that get caches, each with the rule that selects it, and the others.
pub(super) fn select<'p>(
    pod: &'p Pod<'p>,
    candidates: Vec<Candidate<'p>>,
    names: Option<&str>,
    warnings: &mut Vec<Warning>,
) -> (Vec<(Candidate<'p>, SelectionRule)>, Vec<Candidate<'p>>) {
    let before = named_before(pod, &candidates);
    let names = names.map(|names| match_names(names, &candidates, warnings));
    let (meant, fallback) =
        if names.is_some() { (SelectionRule::Named, Vec::new()) } else { fallback(pod, &candidates, &before) };
    let rule = |candidate: &Candidate<'p>| match &names {
        Some(names) => names.contains(candidate.container.name()).then_some(SelectionRule::Named),
        None if shows_dynamo(candidate) => Some(SelectionRule::CommandLine),
        None => fallback.contains(&candidate.index).then_some(meant),
    };
    let (mut selected, mut others) = (Vec::new(), Vec::new());
    for candidate in candidates {
        let named_before = || before.contains(candidate.container.name()).then_some(SelectionRule::Earlier);
        match rule(&candidate).or_else(named_before).filter(|_| !candidate.never_gets_caches()) {
            Some(rule) => selected.push((candidate, rule)),
            None => others.push(candidate),
        }
    }
    (selected, others)
}

/// The containers of the pod that a list names, and a warning for others. Nothing has bounded the list yet, so no more is
/// kept of it.
fn match_names<'p>(names: &str, candidates: &[Candidate<'p>], warnings: &mut Vec<Warning>) -> BTreeSet<&'p str> {
    let there: BTreeSet<_> = candidates.iter().map(|candidate| candidate.container.name()).collect();
    let mut missing = 0;
    let found = split_names(names).filter_map(|name| {
        let found = there.get(name).copied();
        if found.is_none() && missing < MOST_MISSING {
            missing += 1;
            warnings.push(Warning::container_not_found(name));
        }
        found
    });
    found.collect()
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
    // The webhook never names a container that never gets caches, so another has written that name.
    let never = candidates.iter().filter(|candidate| candidate.never_gets_caches());
    let never: BTreeSet<_> = never.map(|candidate| candidate.container.name()).collect();
    let earlier = Status::of_pod(pod);
    let before: BTreeSet<_> = earlier.iter().flat_map(Status::containers).collect();
    once.retain(|name| before.contains(name) && !twice.contains(name) && !never.contains(name));
    once
}

fn shows_dynamo(candidate: &Candidate<'_>) -> bool {
    candidate.runs_beside() && (candidate.command_line.engine.is_some() || candidate.command_line.component.is_some())
}

/// The containers to select where no command line shows an engine, and by which rule.
fn fallback<'p>(
    pod: &'p Pod<'p>,
    candidates: &[Candidate<'p>],
    before: &BTreeSet<&str>,
) -> (SelectionRule, Vec<ContainerIndex>) {
    let by_command_line: Vec<_> = candidates.iter().filter(|candidate| shows_dynamo(candidate)).collect();
    if by_command_line.iter().any(|candidate| candidate.command_line.engine.is_some()) {
        return (SelectionRule::CommandLine, Vec::new());
    }
    let is_sidecar = |candidate: &Candidate<'_>| candidate.command_line.component == Some(Component::Sidecar);
    if !by_command_line.is_empty() && by_command_line.iter().all(|candidate| is_sidecar(candidate)) {
        let may_be_engine = |candidate: &&Candidate<'_>| {
            candidate.may_be_an_engine() && candidate.container.asks_for_gpu() && !is_sidecar(candidate)
        };
        let asking: Vec<_> = candidates.iter().filter(may_be_engine).map(|candidate| candidate.index).collect();
        if !asking.is_empty() {
            return (SelectionRule::Gpu, asking);
        }
    }
    let containers = || candidates.iter().filter(|candidate| !candidate.index.init);
    let named = |name: &str| containers().find(|candidate| candidate.container.name() == name);
    if let Some(main) = named("main") {
        return (SelectionRule::Main, vec![main.index]);
    }
    let engines = containers().filter(|candidate| is_numbered_engine(candidate.container.name()));
    let engines: Vec<_> = engines.map(|candidate| candidate.index).collect();
    // The last resort stays what it was on an earlier pass, also where another webhook put a container first.
    let was_selected = containers().any(|candidate| before.contains(candidate.container.name()));
    if was_selected || !engines.is_empty() || !by_command_line.is_empty() {
        return (SelectionRule::Numbered, engines);
    }
    if let Some(default) = pod.annotation(DEFAULT_CONTAINER).and_then(named) {
        return (SelectionRule::Default, vec![default.index]);
    }
    (SelectionRule::First, containers().next().map(|candidate| candidate.index).into_iter().collect())
}
