//! List the Dynamo components of a namespace, or of all namespaces, and the caches of each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::Context as _;

use crate::admission::cache::Cache;
use crate::admission::pod::Pod;
use crate::admission::reason::Reason;
use crate::admission::{status, unreviewed};
use crate::cli::Status;
use crate::inspect;
use crate::inspect::api;
use crate::inspect::api::{Api, Item};
use crate::inspect::installation;
use crate::inspect::namespace::NamespaceSnapshot;
use crate::inspect::owner::Workloads;
use crate::inspect::pod::{Head, Recorded};
use crate::manifest::context::{BaseSettings, DecisionContext};
use crate::manifest::explanation::{CacheExplanation, Explanation};
use crate::manifest::uninject;
use crate::terminal::table::{Rows, why_not};
use crate::terminal::{note_all, print};

/// The components of one namespace.
#[derive(Default)]
struct Components {
    /// The rows of the table.
    rows: Rows,
    count: usize,
    /// How many have every cache in place, or are untouched for a reason.
    complete: usize,
    without_status: usize,
    /// Why a cache is not in place, for all components.
    reasons: BTreeSet<Reason>,
    /// The caches that could be in place now, by what was missing and the command that recreates the pod.
    advice: BTreeMap<(Missing, String), BTreeSet<String>>,
    /// The commands that recreate the components that the webhook did not review.
    unreviewed: BTreeSet<String>,
}

/// What was missing when a pod was created, so that a cache is not in place that could be now.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Missing {
    /// A usable claim.
    Claim,
    /// The current settings.
    Setting,
}

impl Missing {
    /// Continues "Started ".
    fn words(self) -> &'static str {
        match self {
            Missing::Claim => "without a claim that is usable now",
            Missing::Setting => "with other settings than the current ones",
        }
    }
}

/// Runs `status`.
///
/// # Errors
/// The namespace does not exist, or the cluster does not answer.
pub(super) fn run(options: &Status) -> anyhow::Result<()> {
    print(&api::with_cluster(&options.cluster, async |api| report(&api, options).await)?)
}

async fn report(api: &Api, options: &Status) -> anyhow::Result<String> {
    let webhook = installation::find(api).await?;
    let base = inspect::settings::in_force(api, &webhook, options.config.as_deref()).await?;
    note_all(&base.notes);
    let (mut survey, mut path) = (Survey::new(api, &base), "/api/v1/pods".to_owned());
    if !options.all_namespaces {
        survey.enter(&api.namespace).await?;
        path = format!("/api/v1/namespaces/{}/pods", api.namespace);
    }
    let mut pages = api.pages(&path);
    loop {
        let page = pages.next().await;
        let page =
            if options.all_namespaces { page.context("failed to list the pods of all namespaces")? } else { page? };
        let Some(page) = page else { break };
        for item in page.items() {
            survey.add(item).await?;
        }
    }
    Ok(page(&survey.found))
}

/// The components found so far.
struct Survey<'a> {
    api: &'a Api,
    base: &'a BaseSettings,
    /// The namespace of the current pod. The API server lists pods by namespace, so it changes once per namespace.
    current: Option<(String, DecisionContext)>,
    found: BTreeMap<String, Components>,
    workloads: Workloads,
}

impl<'a> Survey<'a> {
    fn new(api: &'a Api, base: &'a BaseSettings) -> Self {
        Survey { api, base, current: None, found: BTreeMap::new(), workloads: Workloads::default() }
    }

    /// Reads what decides about the pods of a namespace, unless it is the current one.
    async fn enter(&mut self, namespace: &str) -> anyhow::Result<()> {
        if self.current.as_ref().is_some_and(|(current, _)| current == namespace) {
            return Ok(());
        }
        let snapshot = NamespaceSnapshot::read(self.api, namespace).await?;
        note_all(&snapshot.notes);
        self.current = Some((namespace.to_owned(), self.base.with(snapshot.facts)));
        Ok(())
    }

    /// Adds a pod, if it is a component. Pods that have ended are skipped.
    async fn add(&mut self, item: Item<'_>) -> anyhow::Result<()> {
        let Some(pod) = item.view::<Pod<'_>>() else { return Ok(()) };
        // Most namespaces have no component, and are not read any further.
        if !unreviewed::leaves_status(&pod) {
            return Ok(());
        }
        let Some(head) = item.view::<Head<'_>>() else { return Ok(()) };
        let namespace = head.namespace();
        self.enter(namespace).await?;
        let Some((_, context)) = self.current.as_ref().filter(|_| !head.has_ended()) else { return Ok(()) };
        let current = Explanation::of_pod(&pod, context);
        let status = status::Status::of_pod(&pod);
        let recreated = status.as_ref().and_then(|_| recreated(item, context));
        let recreated = recreated.as_ref().unwrap_or(&current);
        let found = self.found.entry(namespace.to_owned()).or_default();
        let mut could_have = found.add(namespace, head.name(), &current, recreated, status.as_ref());
        if self.base.mistakes.is_some() {
            // The replicas use the last settings without mistakes, which may name other claims.
            could_have.clear();
        } else if self.base.unknown.is_some() {
            // With unknown settings, only the state of the claims is certain.
            could_have.retain(|(missing, _)| *missing == Missing::Claim);
        }
        if current.is_unreviewed || !could_have.is_empty() {
            let command = self.workloads.restart_command(self.api, namespace, head.name(), head.controller()).await;
            if current.is_unreviewed {
                found.unreviewed.insert(command);
            } else {
                for (missing, what) in could_have {
                    found.advice.entry((missing, command.clone())).or_default().insert(what);
                }
            }
        }
        Ok(())
    }
}

/// The explanation of a pod with a status annotation as it would be if it were recreated.
fn recreated(item: Item<'_>, context: &DecisionContext) -> Option<Explanation> {
    let text = uninject::uninject(item.object()?).to_string();
    let pod: Pod<'_> = serde_json::from_str(&text).ok()?;
    Some(Explanation::of_pod(&pod, context))
}

impl Components {
    /// Adds a component, and returns the caches that it does not have but would get if it were recreated.
    fn add(
        &mut self,
        namespace: &str,
        name: &str,
        current: &Explanation,
        recreated: &Explanation,
        status: Option<&status::Status<'_>>,
    ) -> Vec<(Missing, String)> {
        let mut add_row = |cells: [&str; 4]| self.rows.push([namespace, name].into_iter().chain(cells));
        self.count += 1;
        self.without_status += usize::from(current.is_unreviewed);
        if let Some(reason) = current.untouched {
            self.complete += 1;
            add_row(["–", &format!("untouched: {reason}"), "", ""]);
            return Vec::new();
        }
        let selected: Vec<_> = current.containers.iter().filter(|container| container.engine.is_some()).collect();
        let (mut could_have, mut complete) = (Vec::new(), status.is_some());
        if selected.is_empty() {
            add_row(["–", "no container is selected", "", ""]);
        }
        for container in selected {
            let Some(status) = status else {
                add_row([&container.name, "no status", "no status", "no status"]);
                continue;
            };
            let cell = |cache: Cache| {
                let is_wanted = container.caches.iter().any(|explanation| explanation.cache == cache);
                let recorded = Recorded::new(status, &container.name, cache);
                if is_wanted || recorded.in_place { recorded.summary() } else { "–".to_owned() }
            };
            let cells = [Cache::Model, Cache::Compile, Cache::ModelExpress].map(cell);
            add_row([&container.name, &cells[0], &cells[1], &cells[2]]);
            for cache in &container.caches {
                let recorded = Recorded::new(status, &container.name, cache.cache);
                complete &= recorded.in_place && recorded.reasons.is_empty();
                self.reasons.extend(&recorded.reasons);
                let recreated = recreated.cache(&container.name, cache.cache).unwrap_or(cache);
                could_have.extend(improvement(cache, recreated, &recorded));
            }
        }
        self.complete += usize::from(complete);
        could_have
    }
}

/// What a cache of a running pod would gain if the pod were recreated.
fn improvement(
    cache: &CacheExplanation,
    recreated: &CacheExplanation,
    recorded: &Recorded,
) -> Option<(Missing, String)> {
    let what = match cache.cache {
        Cache::Compile | Cache::Model => format!("{} cache", cache.cache),
        Cache::LoadFormat | Cache::ModelExpress => cache.cache.to_string(),
    };
    if recorded.in_place {
        return recreated.other_claim(cache).map(|claim| (Missing::Setting, format!("{what} on claim {claim}")));
    }
    let lacked_claim = recorded.reasons.iter().any(|reason| reason.concerns_claim());
    recreated.in_place.as_ref().map(|_| (if lacked_claim { Missing::Claim } else { Missing::Setting }, what))
}

fn page(found: &BTreeMap<String, Components>) -> String {
    if found.is_empty() {
        return "There are no Dynamo components.\n".to_owned();
    }
    let mut rows = Rows::default();
    rows.push(["NAMESPACE", "POD", "CONTAINER", "MODEL", "COMPILE", "MODEL EXPRESS"]);
    for components in found.values() {
        rows.append(&components.rows);
    }
    let mut text = rows.aligned("");
    text.push('\n');
    for (namespace, Components { count, complete, without_status, .. }) in found {
        let plural = if *count == 1 { "component" } else { "components" };
        let _ = write!(text, "{namespace}: {count} {plural}, {complete} with every cache in place");
        if *without_status > 0 {
            let _ =
                write!(text, ", {without_status} without a status (dynamo-cache explain POD -n {namespace} shows why)");
        }
        text.push('\n');
    }
    text += &why_not(&found.values().flat_map(|found| found.reasons.clone()).map(|reason| (reason, None)).collect());
    let unreviewed: Vec<_> =
        found.values().flat_map(|found| &found.unreviewed).map(|command| format!("  {command}\n")).collect();
    if !unreviewed.is_empty() {
        let _ = write!(
            text,
            "\nNot reviewed by the webhook; once `dynamo-cache check` passes, recreate the pods:\n{}",
            unreviewed.concat()
        );
    }
    // Each command once, with everything that it improves.
    let mut advice: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for ((missing, command), caches) in found.values().flat_map(|found| &found.advice) {
        let caches: Vec<_> = caches.iter().map(String::as_str).collect();
        advice.entry(command).or_default().push(format!("{} ({})", missing.words(), caches.join(", ")));
    }
    for (command, why) in advice {
        let _ = writeln!(text, "\nStarted {}:\n  {command}", why.join(" and "));
    }
    text
}
