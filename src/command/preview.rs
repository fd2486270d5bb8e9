//! Show which caches the workloads and pods of a namespace would get, before it is labelled.

mod workloads;

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::admission::cache::Cache;
use crate::cli::{Preview, PreviewOutput};
use crate::inspect;
use crate::inspect::api;
use crate::inspect::api::Api;
use crate::inspect::installation;
use crate::inspect::namespace::NamespaceSnapshot;
use crate::inspect::opt_in;
use crate::inspect::opt_in::Exclusion;
use crate::manifest::explanation::{CacheExplanation, Explanation, InPlace};
use crate::manifest::inject;
use crate::manifest::inject::Injected;
use crate::manifest::pod_templates;
use crate::terminal::table::{aligned, why_not};
use crate::terminal::{colour, diff};
use crate::terminal::{note, note_all, print, print_exact};

/// Runs `preview`, which changes nothing.
///
/// # Errors
/// The namespace does not exist, or the cluster does not answer.
pub(super) fn run(options: &Preview) -> anyhow::Result<()> {
    api::with_cluster(&options.cluster, async |api| {
        let (injected, exclusion) = decide(&api, options.config.as_deref()).await?;
        match options.output {
            PreviewOutput::Diff => print_exact(&diffs(&injected)),
            PreviewOutput::Table => print(&table(&injected, &api.namespace, exclusion.as_ref())),
        }
    })
}

/// Injects the caches into every workload and pod of the namespace, and returns why the webhook does not review them yet.
async fn decide(api: &Api, config: Option<&Path>) -> anyhow::Result<(Vec<Injected>, Option<Exclusion>)> {
    let webhook = installation::find(api).await?;
    let base = inspect::settings::in_force(api, &webhook, config).await?;
    let snapshot = NamespaceSnapshot::read(api, &api.namespace).await?;
    let (found, hidden) = workloads::list(api, &api.namespace).await?;
    note_all(base.notes.iter().chain(&snapshot.notes).chain(&hidden));
    let exclusion = opt_in::exclusion_reason(&webhook, &api.namespace, snapshot.namespace.as_ref());
    let context = base.with(snapshot.facts);
    let mut injected = Vec::new();
    for object in found {
        let name = pod_templates::name(&object);
        match inject::inject(object, &context, &[]) {
            Ok(one) => injected.push(one),
            Err(error) => note(&format!("{name} cannot be understood: {error}")),
        }
    }
    Ok((injected, exclusion))
}

fn diffs(injected: &[Injected]) -> String {
    let coloured = colour::is_wanted();
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
    let one = |Injected { name, before, after, .. }: &Injected| {
        diff::unified(name, &without_noise(before), &without_noise(after), coloured)
    };
    injected.iter().map(one).collect()
}

/// A row per container, then every reason once, then the next step.
fn table(injected: &[Injected], namespace: &str, exclusion: Option<&Exclusion>) -> String {
    let explanations: Vec<_> = injected.iter().flat_map(|injected| &injected.explanations).collect();
    if explanations.is_empty() {
        return format!("Namespace {namespace} has no pods and no workloads that create pods.\n");
    }
    let head = ["WORKLOAD", "CONTAINER", "MODEL", "COMPILE", "MODEL EXPRESS"].map(str::to_owned).to_vec();
    let mut rows = vec![head];
    rows.extend(explanations.iter().flat_map(|explanation| rows_of(explanation)));
    let mut text = aligned("", &rows);

    let untouched = explanations.iter().filter_map(|explanation| Some((explanation.untouched?, None)));
    text += &why_not(&explanations.iter().flat_map(|explanation| explanation.skipped()).chain(untouched).collect());
    let count = explanations.iter().filter(|explanation| explanation.changes).count();
    if let Some(Exclusion { why, fix, is_label: false, .. }) = exclusion {
        let _ = writeln!(
            text,
            "\nNothing would change: the webhook does not review pods of namespace {namespace}: {why}. {fix}."
        );
        return text;
    }
    let _ = writeln!(text, "\n{count} of {} would change; -o diff shows how.", explanations.len());
    let _ = match exclusion {
        Some(Exclusion { fix, .. }) => writeln!(text, "To switch it on: {fix}"),
        None => writeln!(
            text,
            "New pods get these caches; `dynamo-cache status -n {namespace}` shows those of the running pods."
        ),
    };
    text
}

fn rows_of(explanation: &Explanation) -> Vec<Vec<String>> {
    if let Some(reason) = explanation.untouched {
        return vec![vec![explanation.name.clone(), "–".to_owned(), format!("untouched: {reason}")]];
    }
    let selected = explanation.containers.iter().filter(|container| container.engine.is_some());
    let row = selected.map(|container| {
        let cell = |cache: Cache| {
            let found = container.caches.iter().find(|explanation| explanation.cache == cache);
            found.map_or_else(|| "–".to_owned(), summarize)
        };
        let (model, compile, express) = (cell(Cache::Model), cell(Cache::Compile), cell(Cache::ModelExpress));
        vec![explanation.name.clone(), container.name.clone(), model, compile, express]
    });
    row.collect()
}

/// A table cell: `added`, `present`, or the codes of the reasons for which the cache is skipped.
fn summarize(cache: &CacheExplanation) -> String {
    let codes: Vec<_> = cache.skipped.iter().map(|(reason, _)| reason.code()).collect();
    match &cache.in_place {
        None => codes.join(", "),
        Some(in_place) => {
            let state = if matches!(in_place, InPlace::Added(_)) { "added" } else { "present" };
            if codes.is_empty() { state.to_owned() } else { format!("{state}; {}", codes.join(", ")) }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Exclusion, table};
    use crate::manifest::context::BaseSettings;
    use crate::manifest::facts::Facts;
    use crate::manifest::inject;

    #[test]
    fn nothing_changes_in_a_namespace_that_is_never_selected() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [
            {"name": "main", "image": "i", "command": ["python3", "-m", "dynamo.vllm"]},
        ]}});
        let context = BaseSettings::default().with(Facts::default());
        let injected = [inject::inject(pod, &context, &[]).unwrap()];
        let (why, fix) = ("label x is so", "Do this");
        let exclusion =
            |is_label| Exclusion { why: why.to_owned(), fix: fix.to_owned(), is_label, is_never: !is_label };
        let last = |exclusion: Option<Exclusion>| {
            let text = table(&injected, "kube-system", exclusion.as_ref());
            text.rsplit_once("\n\n").unwrap().1.to_owned()
        };
        let change = "1 of 1 would change; -o diff shows how.\n";
        let new_pods =
            "New pods get these caches; `dynamo-cache status -n kube-system` shows those of the running pods.\n";
        assert_eq!(last(None), format!("{change}{new_pods}"));
        assert_eq!(last(Some(exclusion(true))), format!("{change}To switch it on: Do this\n"));
        let never = "Nothing would change: the webhook does not review pods of namespace kube-system: label x is so. \
                     Do this.\n";
        assert_eq!(last(Some(exclusion(false))), never);
    }
}
