//! The models that the workloads of a namespace name.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::inspect::api::{Api, Error, Item};
use crate::inspect::download_job::{DownloadJob, Hub};
use crate::inspect::workloads;
use crate::inspect::workloads::{WITHOUT_PODS, Workloads};
use crate::manifest::models::{self, ConfigMaps, MAIN, ObjectModels, Purpose};

/// What the workloads of a namespace name.
pub(crate) struct WantedModels {
    /// Each workload, pod or component with the models that it names.
    pub(crate) objects: Vec<ObjectModels>,
    /// What could not be read, one line each.
    pub(crate) notes: Vec<String>,
}

/// Reads the live workloads and pods of a namespace, and the `ConfigMaps` from which their variables come.
///
/// # Errors
/// The API server was not reached, or the user may not list pods.
pub(crate) async fn read(api: &Api, namespace: &str) -> Result<WantedModels, Error> {
    // Of an object that names none, nothing is kept. A variable from a ConfigMap names one that is not known yet.
    let naming = |item: Item<'_>| {
        let object = item.object()?;
        let names = !models::of_object(&object, &ConfigMaps::default()).is_empty();
        Some(names.then_some(object))
    };
    let Workloads { found, hidden: mut notes } = workloads::list(api, namespace, naming).await?;
    let mut found: Vec<_> = found.into_iter().flatten().collect();
    let (without_pods, hidden) = workloads::list_kinds(api, namespace, &WITHOUT_PODS).await?;
    found.extend(without_pods);
    notes.extend(hidden);
    from_objects(api, namespace, &found, notes).await
}

/// The same for objects that were read already; `notes` is what could not be read of them.
///
/// # Errors
/// The API server was not reached.
pub(crate) async fn from_objects(
    api: &Api,
    namespace: &str,
    found: &[Value],
    notes: Vec<String>,
) -> Result<WantedModels, Error> {
    with_config_maps(api, namespace, found, ConfigMaps::default(), notes).await
}

/// The same for objects that were read already, with `ConfigMaps` that count before those of the cluster; `notes` is what could not be
/// read of them.
///
/// # Errors
/// The API server was not reached.
pub(crate) async fn with_config_maps(
    api: &Api,
    namespace: &str,
    found: &[Value],
    mut config_maps: ConfigMaps,
    mut notes: Vec<String>,
) -> Result<WantedModels, Error> {
    for name in models::referenced_config_maps(found) {
        if config_maps.has(&name) {
            continue;
        }
        match api.get(&format!("/api/v1/namespaces/{namespace}/configmaps/{name}")).await {
            Ok(Some(object)) => config_maps.insert(&object),
            Ok(None) => config_maps.insert_missing(&name),
            Err(error) if error.is_forbidden() => notes.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    let objects = found.iter().flat_map(|object| models::of_object(object, &config_maps)).collect();
    Ok(WantedModels { objects, notes })
}

/// A model that is named and that no finished download has brought.
pub(crate) struct MissingModel {
    /// The model, with its revision if one is named.
    pub(crate) model: String,
    /// Who names it: the object, and the flag or variable.
    pub(crate) by: String,
}

/// The models of which no finished Job says that it has brought them to the hub, each revision once.
pub(crate) fn missing(objects: &[ObjectModels], jobs: &[DownloadJob], hub: Hub<'_>) -> Vec<MissingModel> {
    let mut all = BTreeMap::new();
    for object in objects {
        for model in object.containers.iter().flat_map(|container| &container.models) {
            let revision = model.revision.as_deref().unwrap_or(MAIN);
            // A tokenizer is there with any of the files.
            let is_downloaded = |job: &DownloadJob| {
                job.has_completed()
                    && job.is_about(&model.name, revision, hub)
                    && (model.purpose == Purpose::Tokenizer || !job.is_of_tokenizer())
            };
            if !jobs.iter().any(is_downloaded) {
                let at = model.revision.as_ref().map(|revision| format!(" at {revision}")).unwrap_or_default();
                let by = format!("{}, {}", object.name, model.by);
                all.entry(format!("{}{at}", model.name)).or_insert(by);
            }
        }
    }
    all.into_iter().map(|(model, by)| MissingModel { model, by }).collect()
}

/// The models in words: the first three, and the number of others.
pub(crate) fn in_words(missing: &[MissingModel]) -> String {
    const NAMED: usize = 3;
    let named = missing.iter().take(NAMED).map(|model| format!("{} ({})", model.model, model.by));
    let named = named.collect::<Vec<_>>().join(", ");
    match missing.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{in_words, missing};
    use crate::admission::settings::Layout;
    use crate::inspect::download_job::{DownloadJob, Hub};
    use crate::manifest::models::{ConfigMaps, TOKENIZER_FILES, of_object};

    fn job(model: &str, revision: &str, patterns: &[&str], has_completed: bool) -> DownloadJob {
        let env = [("MODEL", model), ("REVISION", revision), ("HF_HUB_CACHE", "/model-cache/hub")];
        let env = env.map(|(name, value)| json!({"name": name, "value": value}));
        let args: Vec<_> = ["script", "download"].iter().chain(patterns).collect();
        let volumes = json!([{"name": "model-cache", "persistentVolumeClaim": {"claimName": "c"}}]);
        let spec = json!({"containers": [{"name": "download", "env": env, "args": args}], "volumes": volumes});
        let kind = if has_completed { "Complete" } else { "Failed" };
        let conditions = json!([{"type": kind, "status": "True"}]);
        let object = json!({"spec": {"template": {"spec": spec}}, "status": {"conditions": conditions}});
        DownloadJob { object, pod: None }
    }

    fn deployment(name: &str, args: &[&str]) -> Value {
        let main = json!({"name": "main", "command": ["python3", "-m", "dynamo.vllm"], "args": args});
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"template": {"spec": {"containers": [main]}}}})
    }

    #[test]
    fn a_model_is_missing_until_a_job_has_brought_it() {
        let objects = [
            deployment("a", &["--model", "a/b", "--revision", "v1", "--tokenizer", "t/t"]),
            deployment("b", &["--model", "c/d"]),
            deployment("c", &["--model", "c/d"]),
        ];
        let objects: Vec<_> = objects.iter().flat_map(|one| of_object(one, &ConfigMaps::default())).collect();
        let hub = |claim, layout| Hub { claim, layout };
        let words = |jobs: &[DownloadJob]| in_words(&missing(&objects, jobs, hub("c", Layout::Home)));
        let all = "a/b at v1 (Deployment/a, --model), c/d (Deployment/b, --model), t/t (Deployment/a, --tokenizer)";
        assert_eq!(words(&[]), all);
        assert_eq!(words(&[job("a/b", "main", &[], true), job("c/d", "main", &[], false)]), all);
        let part = ["--include", "*.json"];
        let downloaded = [
            job("a/b", "v1", &[], true),
            job("c/d", "main", &TOKENIZER_FILES.map(|glob| ["--include", glob]).concat(), true),
            job("t/t", "main", &part, true),
        ];
        assert_eq!(words(&downloaded), "c/d (Deployment/b, --model)");
        for elsewhere in [hub("other", Layout::Home), hub("c", Layout::Hub)] {
            assert_eq!(in_words(&missing(&objects, &downloaded, elsewhere)), all);
        }
    }
}
