//! Take the webhook out of the API server's way first, and say how the rest goes.

use std::fmt::Write as _;

use anyhow::Context as _;
use serde_json::Value;

use crate::cli::Uninstall;
use crate::inspect::api;
use crate::inspect::api::Api;
use crate::inspect::installation;
use crate::inspect::installation::{
    BINDING, CONFIGURATIONS, ENTRY, GUARD, Installed, POLICIES, POLICY, Webhook, release,
};
use crate::terminal::print;

/// The command that removes what the manifests have installed.
const MANIFESTS: &str = "kubectl delete -f manifests/install.yaml --ignore-not-found";

/// What the manifests call what they install, and the namespace of it, where nothing of the cluster tells.
const USUAL: &str = "dynamo-cache";

/// Runs `uninstall`.
///
/// # Errors
/// The API server refuses, or was not reached.
pub(super) fn run(options: &Uninstall) -> anyhow::Result<()> {
    print(&api::ask(&options.cluster, async |api| uninstall(&api, options.yes).await)?)
}

async fn uninstall(api: &Api, yes: bool) -> anyhow::Result<String> {
    let (webhook, others) = installation::find_among(api).await?;
    let (objects, removals) = match webhook {
        Webhook::Absent => {
            // Whoever switched the webhook off by hand may have left the guard, which then warns of every pod, or refuses it.
            let guard = guard(api).await?;
            let Some((_, _, first)) = guard.first() else { return Ok(nothing()) };
            let removals = vec![removal(first)];
            let names = guard.iter().map(|(kind, path, _)| (*kind, path.clone()));
            (names.collect::<Vec<_>>(), removals)
        }
        Webhook::Hidden(sentence) => anyhow::bail!("{sentence}"),
        Webhook::Installed(installed) => {
            // A second dynamo-cache would go on, and new pods would have caches.
            let second = others.into_iter().filter_map(|other| Installed::of(other).ok());
            let all: Vec<_> = std::iter::once(installed).chain(second).collect();
            (all.iter().flat_map(objects_of).collect(), all.iter().map(|one| removal(&one.configuration)).collect())
        }
    };
    let mut lines = String::new();
    for (kind, path) in objects {
        let of_object = path.rsplit('/').next().unwrap_or_default();
        if !yes {
            if api.get(&path).await?.is_some() {
                let _ = writeln!(lines, "would delete {kind}/{of_object}");
            }
        } else if api.delete(&path).await? {
            // At once, so that it is known also where the next is refused.
            print(&format!("deleted {kind}/{of_object}\n"))?;
        }
    }
    if !yes {
        return Ok(format!("{lines}\nNothing was deleted; --yes does it.\n"));
    }
    Ok(format!("\n{}", told(&removals)))
}

/// What the API server acts on, in the order in which it goes.
fn objects_of(installed: &Installed) -> [(&'static str, String); 3] {
    let [binding, policy] = installation::guard(&installed.name);
    // The guard's binding first: with the webhook gone it would warn of every pod, or refuse it.
    [binding, ("MutatingWebhookConfiguration", format!("{CONFIGURATIONS}/{}", installed.name)), policy]
}

/// What is said where neither webhook nor guard is there.
fn nothing() -> String {
    format!(
        "Nothing to do: no MutatingWebhookConfiguration has an entry {ENTRY}, and there is no guard.\n\
         What else was installed, if it is still there, goes by helm uninstall RELEASE --namespace NAMESPACE, or by\n  {MANIFESTS}\n"
    )
}

/// The guard's objects, with their kinds and paths, the bindings before the policies: by our label, or by the usual name.
async fn guard(api: &Api) -> anyhow::Result<Vec<(&'static str, String, Value)>> {
    let mut found = Vec::new();
    for (kind, plural) in [BINDING, POLICY] {
        let objects = api.list(&format!("{POLICIES}/{plural}")).await;
        let objects =
            objects.with_context(|| format!("no webhook is there; whether its guard is, is not known ({plural})"))?;
        for object in objects {
            let name = text(&object, "/metadata/name").unwrap_or_default().to_owned();
            if is_guard(&object, &name) {
                found.push((kind, format!("{POLICIES}/{plural}/{name}"), object));
            }
        }
    }
    Ok(found)
}

/// Whether a policy or its binding is our guard: the chart's name is in its label, whatever its release is called.
fn is_guard(object: &Value, name: &str) -> bool {
    // The pointer's way of writing a slash in a key.
    let label = text(object, "/metadata/labels/app.kubernetes.io~1name");
    name.strip_suffix(GUARD).is_some_and(|begin| begin == USUAL || label == Some(USUAL))
}

/// The command that removes what belongs to an object: by its release of Helm, where it is of one.
fn removal(object: &Value) -> String {
    match release(object) {
        Some((release, namespace)) => format!("helm uninstall {release} --namespace {namespace}"),
        None => MANIFESTS.to_owned(),
    }
}

fn told(removals: &[String]) -> String {
    let removals = removals.join("\n  ");
    format!(
        "New pods start without caches from now on; those that run keep theirs. What is left:\n  {removals}\n  \
         kubectl label namespaces --selector dynamo-cache.io/inject dynamo-cache.io/inject-\n\
         Claims and what is on them stay.\n"
    )
}

fn text<'o>(object: &'o Value, pointer: &str) -> Option<&'o str> {
    object.pointer(pointer).and_then(Value::as_str)
}
