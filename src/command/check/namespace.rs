//! A namespace with Dynamo pods: its label, its claims, what was injected, and its Model Express server.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::express;
use super::probe::Use;
use super::report::Report;
use crate::admission::plan::Cache;
use crate::admission::reason::Reason;
use crate::admission::settings;
use crate::command::api::Api;
use crate::command::change;
use crate::command::installed::Webhook;
use crate::command::recorded;
use crate::command::room::Room;
use crate::command::selector;
use crate::command::world::{Base, World};

/// Checks a namespace; the answer is how a worker would use its claims, as far as it would.
///
/// # Errors
/// It is not there, or the API server was not reached.
pub(super) async fn check(
    api: &Api,
    name: &str,
    webhook: &Webhook,
    base: &Base,
    report: &mut Report,
) -> anyhow::Result<Vec<Use>> {
    report.group(&format!("Namespace {name}"));
    let room = Room::seen(api, name).await?;
    let is_selected = if let Some(namespace) = &room.namespace {
        label(name, webhook, namespace, report)
    } else {
        report.not_checked("label", room.notes.join("; "));
        true
    };
    let world = base.with(room.facts);
    let uses = match room.hidden {
        None => {
            let claims = api.list(&format!("/api/v1/namespaces/{name}/persistentvolumeclaims")).await?;
            claims_of(name, &claims, &world, report)?
        }
        Some(why) => {
            report.not_checked("model-claim", &*why);
            report.not_checked("compile-claim", why);
            Vec::new()
        }
    };
    if is_selected {
        injected(api, name, &world, report).await?;
    } else {
        report.not_checked("injected", "it depends on the label");
    }
    let (settings, _) = settings::resolve(&world.settings, &world.facts.namespace, None);
    express::check(api, name, settings.express.url.as_deref(), report).await?;
    Ok(uses)
}

/// Whether the webhook is asked about its pods.
fn label(name: &str, webhook: &Webhook, namespace: &Value, report: &mut Report) -> bool {
    let shipped = json!({"matchLabels": {"dynamo-cache.io/inject": "enabled"}});
    let selector = match webhook {
        Webhook::Installed(installed) => installed.entry.get("namespaceSelector").unwrap_or(&shipped),
        Webhook::Absent | Webhook::Hidden(_) => &shipped,
    };
    match selector::refusal(selector, namespace.pointer("/metadata/labels")) {
        None => {
            report.good("label", "its label asks for caches");
            true
        }
        Some(refusal) => {
            let hint = format!("kubectl label namespace {name} dynamo-cache.io/inject=enabled");
            report.bad("label", format!("the webhook is not asked about its pods: its {refusal}"), hint);
            false
        }
    }
}

/// What a worker would be refused for the claims' sake, and how the claims are; how it would use the others.
fn claims_of(name: &str, claims: &[Value], world: &World, report: &mut Report) -> anyhow::Result<Vec<Use>> {
    let worker = json!({"kind": "Pod", "metadata": {"name": "worker"}, "spec": {"containers": [
        {"name": "main", "command": ["python3", "-m", "dynamo.vllm"]},
    ]}});
    let changed = change::change(worker, world, &[], &mut BTreeSet::new())?;
    let containers = changed.accounts.iter().flat_map(|account| &account.containers);
    let (settings, _) = settings::resolve(&world.settings, &world.facts.namespace, None);
    let mut uses = Vec::new();
    for cache in containers.flat_map(|container| &container.caches) {
        let (check, claim) = match cache.cache {
            Cache::Model => ("model-claim", &settings.model.claim),
            Cache::Compile => ("compile-claim", &settings.compile.claim),
            Cache::LoadFormat | Cache::ModelExpress => continue,
        };
        let about = claims.iter().find(|object| object.pointer("/metadata/name").is_some_and(|found| found == claim));
        match cache.left_out.first() {
            Some((Reason::SkippedByUser, _)) => {
                report.not_checked(check, Reason::SkippedByUser.sentence());
            }
            Some((reason, _)) => {
                let hint = match reason {
                    Reason::ClaimNotFound => format!("kubectl apply -n {name} -f manifests/examples/claims.yaml"),
                    other => other.fix().to_owned(),
                };
                report.bad(
                    check,
                    format!("{} cache, claim {claim}: {} [{reason}]", cache.cache, reason.sentence()),
                    hint,
                );
            }
            None => {
                report.good(check, format!("{} cache, claim {claim}: {}", cache.cache, phase(about)));
                uses.extend(Use::of(cache.cache, &changed.after));
            }
        }
    }
    Ok(uses)
}

/// How a claim is: its phase and its access modes.
fn phase(claim: Option<&Value>) -> String {
    let text = |pointer: &str| claim.and_then(|claim| claim.pointer(pointer)?.as_str());
    let modes = claim.and_then(|claim| claim.pointer("/spec/accessModes")?.as_array());
    let modes: Vec<_> = modes.into_iter().flatten().filter_map(Value::as_str).collect();
    match text("/status/phase") {
        None => "not there, and injected all the same".to_owned(),
        Some("Pending") => format!("waiting to be bound, {}", modes.join(", ")),
        Some(phase) => format!("{}, {}", phase.to_lowercase(), modes.join(", ")),
    }
}

/// Whether components run that the webhook did not see.
async fn injected(api: &Api, name: &str, world: &World, report: &mut Report) -> anyhow::Result<()> {
    let (mut components, mut missed) = (0_usize, Vec::new());
    let pods = match api.list(&format!("/api/v1/namespaces/{name}/pods")).await {
        Err(error) if error.is_forbidden() => {
            report.not_checked("injected", error.to_string());
            return Ok(());
        }
        pods => pods?,
    };
    for pod in pods {
        if recorded::has_ended(&pod) {
            continue;
        }
        let pod_name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let Ok(changed) = change::change(pod, world, &[], &mut BTreeSet::new()) else { continue };
        if let Some(account) = changed.accounts.first().filter(|account| account.is_component()) {
            components += 1;
            missed.extend(account.is_missed.then_some(pod_name));
        }
    }
    match missed.first() {
        None => report.good("injected", format!("all its Dynamo components were seen by the webhook ({components})")),
        Some(first) => {
            let text = format!("{} of {components} Dynamo components were not seen by the webhook", missed.len());
            report.warning("injected", text, format!("dynamo-cache explain {first} -n {name}"));
        }
    }
    Ok(())
}
