//! Show what a namespace's workloads and pods would get, before anybody labels it.

mod workloads;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::admission::cache::Cache;
use crate::cli::{Preview, PreviewOutput};
use crate::inspect::api;
use crate::inspect::api::Api;
use crate::inspect::installation;
use crate::inspect::namespace::Room;
use crate::inspect::opt_in;
use crate::inspect::opt_in::NotAsked;
use crate::manifest::explanation::{Account, CacheAccount, InPlace};
use crate::manifest::inject;
use crate::manifest::inject::Changed;
use crate::manifest::pod_templates;
use crate::terminal::diff;
use crate::terminal::table::{aligned, why_not};
use crate::terminal::{note, note_all, print, print_exact};

/// Runs `preview`. Nothing is changed.
///
/// # Errors
/// The namespace is not there, or the cluster does not answer.
pub(super) fn run(options: &Preview) -> anyhow::Result<()> {
    api::ask(&options.cluster, async |api| {
        let (changed, not_asked) = decide(&api, options.config.as_deref()).await?;
        match options.output {
            PreviewOutput::Diff => print_exact(&diffs(&changed)),
            PreviewOutput::Table => print(&table(&changed, &api.namespace, not_asked.as_ref())),
        }
    })
}

/// Everything with pods in the namespace, as the engine would change it, and why the webhook is not asked about it yet.
async fn decide(api: &Api, config: Option<&Path>) -> anyhow::Result<(Vec<Changed>, Option<NotAsked>)> {
    let webhook = installation::find(api).await?;
    let base = crate::inspect::settings::in_force(api, &webhook, config).await?;
    let room = Room::of(api, &api.namespace).await?;
    let (found, hidden) = workloads::of(api, &api.namespace).await?;
    note_all(base.notes.iter().chain(&room.notes).chain(&hidden));
    let not_asked = opt_in::not_asked(&webhook, &api.namespace, room.namespace.as_ref());
    let world = base.with(room.facts);
    let mut changed = Vec::new();
    for object in found {
        let name = pod_templates::name(&object);
        match inject::change(object, &world, &[], &mut BTreeSet::new()) {
            Ok(done) => changed.push(done),
            Err(error) => note(&format!("{name} cannot be understood: {error}")),
        }
    }
    Ok((changed, not_asked))
}

fn diffs(changed: &[Changed]) -> String {
    let coloured = diff::wants_colour();
    let without_noise = |object: &Value| {
        let mut object = object.clone();
        if let Some(object) = object.as_object_mut() {
            object.remove("status");
            if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.remove("managedFields");
            }
        }
        object
    };
    let one = |Changed { name, before, after, .. }: &Changed| {
        diff::unified(name, &without_noise(before), &without_noise(after), coloured)
    };
    changed.iter().map(one).collect()
}

/// A row per container, then every reason once, then how to go on.
fn table(changed: &[Changed], namespace: &str, not_asked: Option<&NotAsked>) -> String {
    let accounts: Vec<_> = changed.iter().flat_map(|changed| &changed.accounts).collect();
    if accounts.is_empty() {
        return format!("There are no pods in namespace {namespace}, and nothing that makes pods.\n");
    }
    let head = ["WORKLOAD", "CONTAINER", "MODEL", "COMPILE", "MODEL EXPRESS"].map(str::to_owned).to_vec();
    let mut rows = vec![head];
    rows.extend(accounts.iter().flat_map(|account| rows_of(account)));
    let mut text = aligned("", &rows);

    let left_alone = accounts.iter().filter_map(|account| Some((account.left_alone?, None)));
    text += &why_not(&accounts.iter().flat_map(|account| account.left_out()).chain(left_alone).collect());
    let change = accounts.iter().filter(|account| account.changes).count();
    if let Some(NotAsked { why, fix, is_label: false, .. }) = not_asked {
        let _ = writeln!(
            text,
            "\nNothing would change: the webhook is not asked about namespace {namespace}, its {why}. {fix}."
        );
        return text;
    }
    let _ = writeln!(text, "\n{change} of {} would change; -o diff shows how.", accounts.len());
    let _ = match not_asked {
        Some(NotAsked { fix, .. }) => writeln!(text, "To switch it on: {fix}"),
        None => writeln!(
            text,
            "Pods get it as they are created; `dynamo-cache status -n {namespace}` shows what those that run have."
        ),
    };
    text
}

fn rows_of(account: &Account) -> Vec<Vec<String>> {
    if let Some(reason) = account.left_alone {
        return vec![vec![account.name.clone(), "–".to_owned(), format!("left alone: {reason}")]];
    }
    let chosen = account.containers.iter().filter(|container| container.engine.is_some());
    let row = chosen.map(|container| {
        let cell = |cache: Cache| {
            container.caches.iter().find(|account| account.cache == cache).map_or_else(|| "–".to_owned(), in_short)
        };
        let (model, compile, express) = (cell(Cache::Model), cell(Cache::Compile), cell(Cache::ModelExpress));
        vec![account.name.clone(), container.name.clone(), model, compile, express]
    });
    row.collect()
}

/// `added`, `there`, or the codes of what keeps it from being so.
fn in_short(cache: &CacheAccount) -> String {
    let codes: Vec<_> = cache.left_out.iter().map(|(reason, _)| reason.code()).collect();
    match &cache.in_place {
        None => codes.join(", "),
        Some(basis) => {
            let state = if matches!(basis, InPlace::Added(_)) { "added" } else { "there" };
            if codes.is_empty() { state.to_owned() } else { format!("{state}; {}", codes.join(", ")) }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::{NotAsked, table};
    use crate::manifest::facts::Facts;
    use crate::manifest::inject;

    #[test]
    fn a_namespace_that_is_never_selected_is_promised_nothing() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [
            {"name": "main", "image": "i", "command": ["python3", "-m", "dynamo.vllm"]},
        ]}});
        let world = crate::manifest::context::Base::default().with(Facts::default());
        let changed = [inject::change(pod, &world, &[], &mut BTreeSet::new()).unwrap()];
        let (why, fix) = ("label x is so", "Do this");
        let not_asked = |is_label| NotAsked { why: why.to_owned(), fix: fix.to_owned(), is_label, is_never: !is_label };
        let last = |not_asked: Option<NotAsked>| {
            let text = table(&changed, "kube-system", not_asked.as_ref());
            text.rsplit_once("\n\n").unwrap().1.to_owned()
        };
        let promise = "1 of 1 would change; -o diff shows how.\n";
        let there =
            "Pods get it as they are created; `dynamo-cache status -n kube-system` shows what those that run have.\n";
        assert_eq!(last(None), format!("{promise}{there}"));
        assert_eq!(last(Some(not_asked(true))), format!("{promise}To switch it on: Do this\n"));
        let never =
            "Nothing would change: the webhook is not asked about namespace kube-system, its label x is so. Do this.\n";
        assert_eq!(last(Some(not_asked(false))), never);
    }
}
