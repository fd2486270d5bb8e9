//! What the Dynamo components of a namespace, or of all, got.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::Context as _;
use serde_json::Value;

use crate::admission::cache::Cache;
use crate::admission::reason::Reason;
use crate::admission::status;
use crate::cli::Status;
use crate::inspect::api;
use crate::inspect::api::Api;
use crate::inspect::installation;
use crate::inspect::namespace::Room;
use crate::inspect::owner;
use crate::inspect::pod;
use crate::inspect::pod::Recorded;
use crate::manifest::context::Base;
use crate::manifest::explanation::{Account, CacheAccount};
use crate::manifest::facts::Facts;
use crate::manifest::{inject, uninject};
use crate::terminal::table::{aligned, why_not};
use crate::terminal::{note_all, print};

/// What is found in one namespace.
#[derive(Default)]
struct Found {
    rows: Vec<Vec<String>>,
    components: usize,
    complete: usize,
    without_status: usize,
    /// Why something is not in place, of any of them.
    reasons: BTreeSet<Reason>,
    /// What could be in place now, by why it is not and the command that brings it there.
    advice: BTreeMap<(Lack, String), BTreeSet<String>>,
    /// The commands that have those made anew that the webhook did not see.
    unseen: BTreeSet<String>,
}

/// Why a pod has not what it could have now.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lack {
    /// A claim could not be used then.
    Claim,
    /// The settings were others.
    Setting,
}

impl Lack {
    fn told(self) -> &'static str {
        match self {
            Lack::Claim => "without a claim that can be used now",
            Lack::Setting => "with other settings than those of now",
        }
    }
}

/// Runs `status`.
///
/// # Errors
/// The namespace is not there, or the cluster does not answer.
pub(super) fn run(options: &Status) -> anyhow::Result<()> {
    print(&api::ask(&options.cluster, async |api| report(&api, options).await)?)
}

async fn report(api: &Api, options: &Status) -> anyhow::Result<String> {
    let webhook = installation::find(api).await?;
    let base = crate::inspect::settings::in_force(api, &webhook, options.config.as_deref()).await?;
    note_all(&base.notes);
    let mut found = BTreeMap::new();
    if options.all_namespaces {
        let mut pods: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for pod in api.list("/api/v1/pods").await.context("failed to list the pods of all namespaces")? {
            let namespace = pod.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default().to_owned();
            pods.entry(namespace).or_default().push(pod);
        }
        // Most namespaces of a cluster have none, and need not be asked about.
        let nothing = base.with(Facts::default());
        let is_ours = |pod: &Value| {
            let changed = inject::change(pod.clone(), &nothing, &[], &mut BTreeSet::new());
            changed.is_ok_and(|changed| changed.accounts.first().is_some_and(Account::is_component))
        };
        pods.retain(|_, pods| pods.iter().any(is_ours));
        for (namespace, pods) in pods {
            let room = Room::of(api, &namespace).await?;
            note_all(&room.notes);
            let of_namespace = look(api, &namespace, pods, &base, room.facts).await;
            found.insert(namespace, of_namespace);
        }
    } else {
        let room = Room::of(api, &api.namespace).await?;
        note_all(&room.notes);
        let pods = api.list(&format!("/api/v1/namespaces/{}/pods", api.namespace)).await?;
        let of_namespace = look(api, &api.namespace, pods, &base, room.facts).await;
        found.insert(api.namespace.clone(), of_namespace);
    }
    Ok(page(&found))
}

/// Looks at the components among the pods of a namespace; pods that have ended are left out.
async fn look(api: &Api, namespace: &str, pods: Vec<Value>, base: &Base, facts: Facts) -> Found {
    let (mut found, world) = (Found::default(), base.with(facts));
    let mut commands = BTreeMap::new();
    for pod in pods {
        if pod::has_ended(&pod) {
            continue;
        }
        let Ok(changed) = inject::change(pod.clone(), &world, &[], &mut BTreeSet::new()) else { continue };
        let Some(account) = changed.accounts.first().filter(|account| account.is_component()) else { continue };
        let status = pod::status(&pod);
        let anew = inject::change(uninject::without_ours(&pod), &world, &[], &mut BTreeSet::new()).ok();
        let anew = anew.as_ref().and_then(|anew| anew.accounts.first()).unwrap_or(account);
        let mut could_have = found.take(namespace, &pod, (account, anew), status.as_ref());
        if base.mistakes.is_some() {
            // The last settings without mistakes may name other claims.
            could_have.clear();
        } else if base.unknown.is_some() {
            // Nobody knows then whether the webhook would decide otherwise.
            could_have.retain(|(lack, _)| *lack == Lack::Claim);
        }
        if account.is_unreviewed || !could_have.is_empty() {
            let owner = owner::controller(&pod).map(|(kind, name)| format!("{kind}/{name}"));
            let known = owner.as_ref().and_then(|owner| commands.get(owner)).cloned();
            let command: String = match known {
                Some(command) => command,
                None => owner::restart(api, namespace, &pod).await,
            };
            if command.starts_with("kubectl rollout") {
                commands.extend(owner.map(|owner| (owner, command.clone())));
            }
            if account.is_unreviewed {
                found.unseen.insert(command);
            } else {
                for (lack, what) in could_have {
                    found.advice.entry((lack, command.clone())).or_default().insert(what);
                }
            }
        }
    }
    found
}

impl Found {
    /// Takes a component in, as it stands and as it would be made anew; says what it could have now and has not.
    fn take(
        &mut self,
        namespace: &str,
        pod: &Value,
        (account, anew): (&Account, &Account),
        status: Option<&status::Status<'_>>,
    ) -> Vec<(Lack, String)> {
        let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let row = |cells: [&str; 4]| {
            let begin = [namespace, name].into_iter().chain(cells);
            begin.map(str::to_owned).collect::<Vec<_>>()
        };
        self.components += 1;
        self.without_status += usize::from(account.is_unreviewed);
        if let Some(reason) = account.left_alone {
            self.complete += 1;
            self.rows.push(row(["–", &format!("left alone: {reason}"), "", ""]));
            return Vec::new();
        }
        let chosen: Vec<_> = account.containers.iter().filter(|container| container.engine.is_some()).collect();
        let (mut could_have, mut complete) = (Vec::new(), status.is_some());
        if chosen.is_empty() {
            self.rows.push(row(["–", "no container is chosen", "", ""]));
        }
        for container in chosen {
            let Some(status) = status else {
                self.rows.push(row([&container.name, "no status", "no status", "no status"]));
                continue;
            };
            let cell = |cache: Cache| {
                let is_asked = container.caches.iter().any(|account| account.cache == cache);
                let recorded = Recorded::new(status, &container.name, cache);
                if is_asked || recorded.in_place { recorded.summary() } else { "–".to_owned() }
            };
            let cells = [Cache::Model, Cache::Compile, Cache::ModelExpress].map(cell);
            self.rows.push(row([&container.name, &cells[0], &cells[1], &cells[2]]));
            for cache in &container.caches {
                let recorded = Recorded::new(status, &container.name, cache.cache);
                complete &= recorded.in_place && recorded.reasons.is_empty();
                self.reasons.extend(&recorded.reasons);
                let anew = anew.cache(&container.name, cache.cache).unwrap_or(cache);
                could_have.extend(lacks(cache, anew, &recorded));
            }
        }
        self.complete += usize::from(complete);
        could_have
    }
}

/// What a cache of a running pod is not, and would be if the pod were made anew.
fn lacks(cache: &CacheAccount, anew: &CacheAccount, recorded: &Recorded) -> Option<(Lack, String)> {
    let what = match cache.cache {
        Cache::Compile | Cache::Model => format!("{} cache", cache.cache),
        Cache::LoadFormat | Cache::ModelExpress => cache.cache.to_string(),
    };
    if recorded.in_place {
        return anew.other_claim(cache).map(|claim| (Lack::Setting, format!("{what} on claim {claim}")));
    }
    let waited = recorded.reasons.iter().any(|reason| reason.concerns_claim());
    anew.in_place.as_ref().map(|_| (if waited { Lack::Claim } else { Lack::Setting }, what))
}

fn page(found: &BTreeMap<String, Found>) -> String {
    let found: BTreeMap<_, _> = found.iter().filter(|(_, found)| found.components > 0).collect();
    if found.is_empty() {
        return "There are no Dynamo components.\n".to_owned();
    }
    let head = ["NAMESPACE", "POD", "CONTAINER", "MODEL", "COMPILE", "MODEL EXPRESS"].map(str::to_owned).to_vec();
    let rows: Vec<_> = std::iter::once(head).chain(found.values().flat_map(|found| found.rows.clone())).collect();
    let mut text = aligned("", &rows);
    text.push('\n');
    for (namespace, Found { components, complete, without_status, .. }) in &found {
        let plural = if *components == 1 { "component" } else { "components" };
        let _ = write!(text, "{namespace}: {components} {plural}, {complete} with all that is theirs");
        if *without_status > 0 {
            let _ =
                write!(text, ", {without_status} without a status (dynamo-cache explain POD -n {namespace} tells why)");
        }
        text.push('\n');
    }
    text += &why_not(&found.values().flat_map(|found| found.reasons.clone()).map(|reason| (reason, None)).collect());
    let unseen: Vec<_> =
        found.values().flat_map(|found| &found.unseen).map(|command| format!("  {command}\n")).collect();
    if !unseen.is_empty() {
        let _ = write!(
            text,
            "\nNot seen by the webhook; where `dynamo-cache check` is content now, have them made anew:\n{}",
            unseen.concat()
        );
    }
    // Each command once, with all that it is good for.
    let mut advice: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for ((lack, command), caches) in found.values().flat_map(|found| &found.advice) {
        let caches: Vec<_> = caches.iter().map(String::as_str).collect();
        advice.entry(command).or_default().push(format!("{} ({})", lack.told(), caches.join(", ")));
    }
    for (command, why) in advice {
        let _ = writeln!(text, "\nStarted {}:\n  {command}", why.join(" and "));
    }
    text
}
