//! Show which caches the workloads and pods of a namespace would get, before it is labelled.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::admission::cache::Cache;
use crate::admission::pod::Pod;
use crate::admission::reason::Reason;
use crate::admission::settings;
use crate::admission::settings::ModelCache;
use crate::cli::{Preview, PreviewOutput};
use crate::inspect;
use crate::inspect::api;
use crate::inspect::api::{Api, Item};
use crate::inspect::download_job;
use crate::inspect::download_job::Hub;
use crate::inspect::installation;
use crate::inspect::namespace::NamespaceSnapshot;
use crate::inspect::opt_in;
use crate::inspect::opt_in::Exclusion;
use crate::inspect::wanted_models;
use crate::inspect::workloads;
use crate::inspect::workloads::Workloads;
use crate::manifest::context::DecisionContext;
use crate::manifest::explanation::{CacheExplanation, Explanation, InPlace};
use crate::manifest::inject;
use crate::manifest::inject::Injected;
use crate::manifest::models::{self, ConfigMaps, ObjectModels};
use crate::manifest::pod_templates;
use crate::terminal::table::{Rows, why_not};
use crate::terminal::{colour, diff};
use crate::terminal::{note, note_all, print, print_exact};

/// Runs `preview`, which changes nothing.
///
/// # Errors
/// The namespace does not exist, or the cluster does not answer.
pub(super) fn run(options: &Preview) -> anyhow::Result<()> {
    let config = options.config.as_deref();
    api::with_cluster(&options.cluster, async |api| match options.output {
        PreviewOutput::Diff => {
            let coloured = colour::is_wanted();
            let Decided { digests: diffs, .. } = decide(&api, config, |item, context| {
                Some(injected(item, context)?.map(|injected| difference(injected, coloured)))
            })
            .await?;
            print_exact(&diffs.concat())
        }
        PreviewOutput::Table => {
            let Decided { digests, exclusion, model } = decide(&api, config, entry).await?;
            note_all(digests.iter().flat_map(|entry| &entry.mistakes));
            let hub = Hub { claim: &model.claim, layout: model.layout };
            let missing = missing_models(&api, &digests, hub).await?;
            print(&format!("{}{missing}", table(&digests, &api.namespace, exclusion.as_ref())))
        }
    })
}

/// What was decided about a namespace.
struct Decided<T> {
    /// What is printed of each workload and pod.
    digests: Vec<T>,
    /// Why the webhook does not review them yet.
    exclusion: Option<Exclusion>,
    /// The settings of the model cache.
    model: ModelCache,
}

/// Decides about every workload and pod of the namespace. `digest` makes of each what is printed, or a note.
async fn decide<T>(
    api: &Api,
    config: Option<&Path>,
    digest: impl Fn(Item<'_>, &DecisionContext) -> Option<Result<T, String>>,
) -> anyhow::Result<Decided<T>> {
    let webhook = installation::find(api).await?;
    let base = inspect::settings::in_force(api, &webhook, config).await?;
    let snapshot = NamespaceSnapshot::read(api, &api.namespace).await?;
    let context = base.with(snapshot.facts);
    let Workloads { found, hidden } = workloads::list(api, &api.namespace, |item| digest(item, &context)).await?;
    note_all(base.notes.iter().chain(&snapshot.notes).chain(&hidden));
    let exclusion = opt_in::exclusion_reason(&webhook, &api.namespace, snapshot.namespace.as_ref());
    let digests = found.into_iter().filter_map(|digest| digest.map_err(|line| note(&line)).ok());
    let (settings, _) = settings::resolve(&context.settings, &context.facts.namespace, None);
    Ok(Decided { digests: digests.collect(), exclusion, model: settings.model.clone() })
}

/// An object with the caches; `None` if it cannot be parsed, or if only its controller knows its pods: those are listed instead.
fn injected(item: Item<'_>, context: &DecisionContext) -> Option<Result<Injected, String>> {
    let object = item.object()?;
    let name = pod_templates::name(&object);
    match inject::inject(object, context, &[]) {
        Ok(injected) => injected.operator_notes.is_empty().then_some(Ok(injected)),
        Err(error) => Some(Err(not_understood(&name, &error))),
    }
}

fn not_understood(name: &str, error: &inject::Error) -> String {
    format!("{name} cannot be understood: {error}")
}

fn difference(Injected { name, before, after, .. }: Injected, coloured: bool) -> String {
    let without_status = |mut object: Value| {
        if let Some(object) = object.as_object_mut() {
            object.remove("status");
        }
        object
    };
    diff::unified(&name, &without_status(before), &without_status(after), coloured)
}

/// What the table has of an object.
#[derive(Default)]
struct Entry {
    rows: Rows,
    /// Why caches were skipped or pods are untouched, with the claim that a reason concerns.
    reasons: Vec<(Reason, Option<String>)>,
    /// How many pods and templates there are, and how many would change; sketches never do.
    count: usize,
    changes: usize,
    /// The object's name, if it is a graph without workloads.
    sketch: Option<String>,
    /// The models that it names.
    models: Vec<ObjectModels>,
    /// The mistakes in components of a graph, one line each.
    mistakes: Vec<String>,
}

/// What the table has of an object of a list; `None` if it cannot be parsed.
fn entry(item: Item<'_>, context: &DecisionContext) -> Option<Result<Entry, String>> {
    if item.kind() == "Pod"
        && let Some(pod) = item.view::<Pod<'_>>()
    {
        let explanation = Explanation::of_pod(&pod, context);
        // Of a pod that is no component, no more than this is read.
        let object = if explanation.untouched.is_none() { item.object() } else { None };
        return Some(Ok(Entry::new(&[explanation], None).naming(object.as_ref())));
    }
    let injected = injected(item, context)?;
    if injected.as_ref().is_ok_and(|injected| download_job::model(&injected.before).is_some()) {
        // What fills the claim is none of the workloads that get it.
        return None;
    }
    Some(injected.map(|injected| {
        let Injected { name, before, explanations, mistakes, .. } = injected;
        let mistakes = mistakes.iter().map(|mistake| not_understood(&name, mistake)).collect();
        let is_sketch = explanations.iter().any(|explanation| explanation.unknown.is_some());
        let entry = Entry::new(&explanations, is_sketch.then_some(name)).naming(Some(&before));
        Entry { mistakes, ..entry }
    }))
}

impl Entry {
    fn new(explanations: &[Explanation], sketch: Option<String>) -> Self {
        let mut entry = Entry { sketch, ..Entry::default() };
        for explanation in explanations {
            let is_sketch = explanation.unknown.is_some();
            entry.count += usize::from(!is_sketch);
            entry.changes += usize::from(explanation.changes && !is_sketch);
            entry.reasons.extend(explanation.skipped());
            entry.reasons.extend(explanation.untouched.map(|reason| (reason, None)));
            for row in rows_of(explanation) {
                entry.rows.push(row);
            }
        }
        entry
    }

    /// Adds the models that the object names.
    fn naming(mut self, object: Option<&Value>) -> Self {
        self.models = object.map(|object| models::of_object(object, &ConfigMaps::default())).unwrap_or_default();
        self
    }
}

/// Sentences about the models that the objects name and that no finished download Job has brought; empty also where the user may not
/// list Jobs.
async fn missing_models(api: &Api, entries: &[Entry], hub: Hub<'_>) -> anyhow::Result<String> {
    let namespace = &api.namespace;
    let mut wanted: Vec<_> = entries.iter().flat_map(|entry| entry.models.iter().cloned()).collect();
    if wanted.is_empty() {
        return Ok(String::new());
    }
    let is_unclear = |object: &ObjectModels| object.containers.iter().any(|container| !container.unclear.is_empty());
    if wanted.iter().any(is_unclear) {
        // A ConfigMap may say it, and was not read with the object.
        match wanted_models::read(api, namespace).await {
            Err(error) if error.is_forbidden() => {}
            read => wanted = read?.objects,
        }
    }
    let jobs = match download_job::list(api, namespace).await {
        Err(error) if error.is_forbidden() => return Ok(String::new()),
        jobs => jobs?,
    };
    let missing = wanted_models::missing(&wanted, &jobs, hub);
    if missing.is_empty() {
        return Ok(String::new());
    }
    let (claim, models) = (hub.claim, wanted_models::in_words(&missing));
    Ok(format!(
        "\nNo finished download has brought to claim {claim}: {models}\n\
         To bring what is missing: dynamo-cache download --from -n {namespace} --apply --wait\n"
    ))
}

/// A row per container, then every reason once, then the next step.
fn table(entries: &[Entry], namespace: &str, exclusion: Option<&Exclusion>) -> String {
    let count: usize = entries.iter().map(|entry| entry.count).sum();
    let sketches: Vec<_> = entries.iter().filter_map(|entry| entry.sketch.as_deref()).collect();
    if count == 0 && sketches.is_empty() {
        return format!("Namespace {namespace} has no pods and no workloads that create pods.\n");
    }
    let mut rows = Rows::default();
    rows.push(["WORKLOAD", "CONTAINER", "MODEL", "COMPILE", "MODEL EXPRESS"]);
    for entry in entries {
        rows.append(&entry.rows);
    }
    let mut text = rows.aligned("");

    let reasons: BTreeSet<_> = entries.iter().flat_map(|entry| &entry.reasons).cloned().collect();
    text += &why_not(&reasons);
    if !sketches.is_empty() {
        let names = sketches.join(", ");
        let _ = writeln!(text, "\nAs far as the graph describes them, until its operator has made the pods: {names}");
        let _ = writeln!(text, "`dynamo-cache explain -f FILE` with the graph's file shows more of them.");
    }
    if let Some(Exclusion { why, fix, is_label: false, .. }) = exclusion {
        let _ = writeln!(
            text,
            "\nNothing would change: the webhook does not review pods of namespace {namespace}: {why}. {fix}."
        );
        return text;
    }
    let changes: usize = entries.iter().map(|entry| entry.changes).sum();
    text.push('\n');
    if count > 0 {
        let _ = writeln!(text, "{changes} of {count} would change; -o diff shows how.");
    }
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
    let codes: Vec<_> = cache.skipped.iter().map(|part| part.reason.code()).collect();
    match &cache.in_place {
        None => codes.join(", "),
        Some(in_place) => {
            let state = if matches!(in_place, InPlace::Added(_)) { "added" } else { "present" };
            let state = if cache.is_staged { format!("{state} (staged)") } else { state.to_owned() };
            if codes.is_empty() { state } else { format!("{state}; {}", codes.join(", ")) }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Entry, Exclusion, table};
    use crate::manifest::context::BaseSettings;
    use crate::manifest::facts::Facts;
    use crate::manifest::inject;

    #[test]
    fn nothing_changes_in_a_namespace_that_is_never_selected() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [
            {"name": "main", "image": "i", "command": ["python3", "-m", "dynamo.vllm"]},
        ]}});
        let context = BaseSettings::default().with(Facts::default());
        let entries = [Entry::new(&inject::inject(pod, &context, &[]).unwrap().explanations, None)];
        let (why, fix) = ("label x is so", "Do this");
        let exclusion =
            |is_label| Exclusion { why: why.to_owned(), fix: fix.to_owned(), is_label, is_never: !is_label };
        let last = |exclusion: Option<Exclusion>| {
            let text = table(&entries, "kube-system", exclusion.as_ref());
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
