//! List the Dynamo components of a namespace, or of all namespaces, and the caches of each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::Context as _;
use serde_json::Value;

use crate::admission::cache::Cache;
use crate::admission::reason::Reason;
use crate::admission::status;
use crate::cli::Status;
use crate::inspect;
use crate::inspect::api;
use crate::inspect::api::Api;
use crate::inspect::installation;
use crate::inspect::namespace::NamespaceSnapshot;
use crate::inspect::owner;
use crate::inspect::pod;
use crate::inspect::pod::Recorded;
use crate::manifest::context::BaseSettings;
use crate::manifest::explanation::{CacheExplanation, Explanation};
use crate::manifest::facts::Facts;
use crate::manifest::{inject, uninject};
use crate::terminal::table::{aligned, why_not};
use crate::terminal::{note_all, print};

/// The components of one namespace.
#[derive(Default)]
struct Components {
    /// The rows of the table.
    rows: Vec<Vec<String>>,
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
    let mut found = BTreeMap::new();
    if options.all_namespaces {
        let mut pods: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for pod in api.list("/api/v1/pods").await.context("failed to list the pods of all namespaces")? {
            let namespace = pod.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default().to_owned();
            pods.entry(namespace).or_default().push(pod);
        }
        // Most namespaces have no component, and are not read any further.
        let without_facts = base.with(Facts::default());
        let is_component = |pod: &Value| {
            let injected = inject::inject(pod.clone(), &without_facts, &[]);
            injected.is_ok_and(|injected| injected.explanations.first().is_some_and(Explanation::is_component))
        };
        pods.retain(|_, pods| pods.iter().any(is_component));
        for (namespace, pods) in pods {
            let snapshot = NamespaceSnapshot::read(api, &namespace).await?;
            note_all(&snapshot.notes);
            let components = collect(api, &namespace, pods, &base, snapshot.facts).await;
            found.insert(namespace, components);
        }
    } else {
        let snapshot = NamespaceSnapshot::read(api, &api.namespace).await?;
        note_all(&snapshot.notes);
        let pods = api.list(&format!("/api/v1/namespaces/{}/pods", api.namespace)).await?;
        let components = collect(api, &api.namespace, pods, &base, snapshot.facts).await;
        found.insert(api.namespace.clone(), components);
    }
    Ok(page(&found))
}

/// Collects the components among the pods of a namespace; pods that have ended are skipped.
async fn collect(api: &Api, namespace: &str, pods: Vec<Value>, base: &BaseSettings, facts: Facts) -> Components {
    let (mut found, context) = (Components::default(), base.with(facts));
    // The restart command of each controller, so that each ReplicaSet is read once.
    let mut commands = BTreeMap::new();
    for pod in pods {
        if pod::has_ended(&pod) {
            continue;
        }
        let Ok(current) = inject::inject(pod.clone(), &context, &[]) else { continue };
        let Some(current) = current.explanations.first().filter(|explanation| explanation.is_component()) else {
            continue;
        };
        let status = pod::status(&pod);
        let recreated = inject::inject(uninject::uninject(&pod), &context, &[]).ok();
        let recreated = recreated.as_ref().and_then(|recreated| recreated.explanations.first()).unwrap_or(current);
        let mut could_have = found.add(namespace, &pod, current, recreated, status.as_ref());
        if base.mistakes.is_some() {
            // The replicas use the last settings without mistakes, which may name other claims.
            could_have.clear();
        } else if base.unknown.is_some() {
            // With unknown settings, only the state of the claims is certain.
            could_have.retain(|(missing, _)| *missing == Missing::Claim);
        }
        if current.is_unreviewed || !could_have.is_empty() {
            let owner = owner::controller(&pod).map(|owner| format!("{}/{}", owner.kind, owner.name));
            let known = owner.as_ref().and_then(|owner| commands.get(owner)).cloned();
            let command: String = match known {
                Some(command) => command,
                None => owner::restart_command(api, namespace, &pod).await,
            };
            if command.starts_with("kubectl rollout") {
                commands.extend(owner.map(|owner| (owner, command.clone())));
            }
            if current.is_unreviewed {
                found.unreviewed.insert(command);
            } else {
                for (missing, what) in could_have {
                    found.advice.entry((missing, command.clone())).or_default().insert(what);
                }
            }
        }
    }
    found
}

impl Components {
    /// Adds a component, and returns the caches that it does not have but would get if it were recreated.
    fn add(
        &mut self,
        namespace: &str,
        pod: &Value,
        current: &Explanation,
        recreated: &Explanation,
        status: Option<&status::Status<'_>>,
    ) -> Vec<(Missing, String)> {
        let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let row = |cells: [&str; 4]| {
            let begin = [namespace, name].into_iter().chain(cells);
            begin.map(str::to_owned).collect::<Vec<_>>()
        };
        self.count += 1;
        self.without_status += usize::from(current.is_unreviewed);
        if let Some(reason) = current.untouched {
            self.complete += 1;
            self.rows.push(row(["–", &format!("untouched: {reason}"), "", ""]));
            return Vec::new();
        }
        let selected: Vec<_> = current.containers.iter().filter(|container| container.engine.is_some()).collect();
        let (mut could_have, mut complete) = (Vec::new(), status.is_some());
        if selected.is_empty() {
            self.rows.push(row(["–", "no container is selected", "", ""]));
        }
        for container in selected {
            let Some(status) = status else {
                self.rows.push(row([&container.name, "no status", "no status", "no status"]));
                continue;
            };
            let cell = |cache: Cache| {
                let is_wanted = container.caches.iter().any(|explanation| explanation.cache == cache);
                let recorded = Recorded::new(status, &container.name, cache);
                if is_wanted || recorded.in_place { recorded.summary() } else { "–".to_owned() }
            };
            let cells = [Cache::Model, Cache::Compile, Cache::ModelExpress].map(cell);
            self.rows.push(row([&container.name, &cells[0], &cells[1], &cells[2]]));
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
    let found: BTreeMap<_, _> = found.iter().filter(|(_, components)| components.count > 0).collect();
    if found.is_empty() {
        return "There are no Dynamo components.\n".to_owned();
    }
    let head = ["NAMESPACE", "POD", "CONTAINER", "MODEL", "COMPILE", "MODEL EXPRESS"].map(str::to_owned).to_vec();
    let rows: Vec<_> = std::iter::once(head).chain(found.values().flat_map(|found| found.rows.clone())).collect();
    let mut text = aligned("", &rows);
    text.push('\n');
    for (namespace, Components { count, complete, without_status, .. }) in &found {
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
