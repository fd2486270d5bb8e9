//! Remove the webhook from the API server first, and print how to remove the rest.

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

/// The command that removes an installation from the manifests.
const MANIFESTS: &str = "kubectl delete -f manifests/install.yaml --ignore-not-found";

/// The name that the manifests give to their objects.
const DEFAULT_NAME: &str = "dynamo-cache";

/// Runs `uninstall`.
///
/// # Errors
/// The API server refuses or was not reached.
pub(super) fn run(options: &Uninstall) -> anyhow::Result<()> {
    print(&api::with_cluster(&options.cluster, async |api| uninstall(&api, options.yes).await)?)
}

async fn uninstall(api: &Api, yes: bool) -> anyhow::Result<String> {
    let (webhook, others) = installation::find_with_others(api).await?;
    let (objects, removals) = match webhook {
        Webhook::Absent => {
            // If the webhook was removed by hand, the guard may still exist. It warns of every pod or refuses it.
            let guard = find_guard(api).await?;
            let Some(first) = guard.first() else { return Ok(nothing_to_do()) };
            let removals = vec![removal_command(&first.object)];
            (guard.into_iter().map(|found| (found.kind, found.path)).collect::<Vec<_>>(), removals)
        }
        Webhook::Hidden(message) => anyhow::bail!("{message}"),
        Webhook::Installed(installed) => {
            // With a second dynamo-cache left, new pods would still get caches.
            let second = others.into_iter().filter_map(|other| Installed::from_configuration(other).ok());
            let all: Vec<_> = std::iter::once(installed).chain(second).collect();
            let removals = all.iter().map(|one| removal_command(&one.configuration)).collect();
            (all.iter().flat_map(objects_of).collect(), removals)
        }
    };
    let mut lines = String::new();
    for (kind, path) in objects {
        let name = path.rsplit('/').next().unwrap_or_default();
        if !yes {
            if api.get(&path).await?.is_some() {
                let _ = writeln!(lines, "would delete {kind}/{name}");
            }
        } else if api.delete(&path).await? {
            // Printed at once, in case the next deletion is refused.
            print(&format!("deleted {kind}/{name}\n"))?;
        }
    }
    if !yes {
        return Ok(format!("{lines}\nNothing was deleted; add --yes to delete.\n"));
    }
    Ok(format!("\n{}", next_steps(&removals)))
}

/// The objects that the API server acts on, in the order of their deletion.
fn objects_of(installed: &Installed) -> [(&'static str, String); 3] {
    let [binding, policy] = installation::guard_objects(&installed.name);
    // The guard's binding first: without the webhook, the guard would warn of every pod or refuse it.
    [binding, ("MutatingWebhookConfiguration", format!("{CONFIGURATIONS}/{}", installed.name)), policy]
}

/// The message if neither webhook nor guard exists.
fn nothing_to_do() -> String {
    format!(
        "Nothing to do: no MutatingWebhookConfiguration has an entry {ENTRY}, and there is no guard.\n\
         If other objects of the installation remain, remove them with helm uninstall RELEASE --namespace NAMESPACE, or with\n  {MANIFESTS}\n"
    )
}

/// An object of a guard.
struct GuardObject {
    kind: &'static str,
    path: String,
    object: Value,
}

/// Finds the objects of guards by label or by the default name, bindings before policies.
async fn find_guard(api: &Api) -> anyhow::Result<Vec<GuardObject>> {
    let mut found = Vec::new();
    for (kind, plural) in [BINDING, POLICY] {
        let objects = api.list(&format!("{POLICIES}/{plural}")).await;
        let objects =
            objects.with_context(|| format!("no webhook is installed; whether its guard is, is unknown ({plural})"))?;
        for object in objects {
            let name = text(&object, "/metadata/name").unwrap_or_default().to_owned();
            if is_guard(&object, &name) {
                found.push(GuardObject { kind, path: format!("{POLICIES}/{plural}/{name}"), object });
            }
        }
    }
    Ok(found)
}

/// Whether a policy or binding is the guard's: it has the chart's label, whatever the name of the release, or the default name.
fn is_guard(object: &Value, name: &str) -> bool {
    // `~1` is a slash in a JSON Pointer.
    let label = text(object, "/metadata/labels/app.kubernetes.io~1name");
    name.strip_suffix(GUARD).is_some_and(|begin| begin == DEFAULT_NAME || label == Some(DEFAULT_NAME))
}

/// The command that removes the installation of an object: that of its Helm release, else that of the manifests.
fn removal_command(object: &Value) -> String {
    match release(object) {
        Some(release) => release.uninstall_command(),
        None => MANIFESTS.to_owned(),
    }
}

/// What remains to be removed, with the commands.
fn next_steps(removals: &[String]) -> String {
    let removals = removals.join("\n  ");
    format!(
        "From now on, new pods start without caches; running pods keep theirs. Still to be removed:\n  {removals}\n  \
         kubectl label namespaces --selector dynamo-cache.io/inject dynamo-cache.io/inject-\n\
         Claims and their data stay.\n"
    )
}

fn text<'o>(object: &'o Value, pointer: &str) -> Option<&'o str> {
    object.pointer(pointer).and_then(Value::as_str)
}
