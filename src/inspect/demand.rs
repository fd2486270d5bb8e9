//! What the workloads of a namespace want of its claims: which compile caches they would get, and which models they name.
//!
//! `prune` removes what none of them wants, so in doubt the answer is that something is wanted: claims count as proven, a live pod
//! keeps both what it has and what it would get if it were created again, and of a pod that is not known in full, every cache of
//! its image is kept.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::admission::cache::Cache;
use crate::inspect::api::{Api, Error};
use crate::inspect::owner::Workloads;
use crate::inspect::wanted_models::WantedModels;
use crate::inspect::workloads::Workloads as Listed;
use crate::inspect::{identity, owner, wanted_models, workloads};
use crate::manifest::context::DecisionContext;
use crate::manifest::explanation::{ClaimFolder, Explanation};
use crate::manifest::inject;
use crate::manifest::models::{MAIN, Unclear};
use crate::manifest::pod_templates;
use crate::manifest::uninject::uninject;
use crate::usage::contents::{Model, Revision};

/// The workloads and pods that want something, as kubectl names them.
pub(crate) type Users = BTreeSet<String>;

/// What the workloads of a namespace want of its claims.
#[derive(Default)]
pub(crate) struct Demand {
    /// The claims that have a cache of them.
    pub(crate) claims: BTreeSet<String>,
    /// Who would get each folder of a claim.
    folders: BTreeMap<(String, String), Users>,
    /// Who would get any folder of a claim that begins like this.
    beginnings: BTreeMap<(String, String), Users>,
    /// Who names each model, by its name and revision.
    models: BTreeMap<(String, Option<String>), Users>,
    /// The users and groups of the components among the pods.
    pub(crate) identities: identity::Users,
    /// Why more compile caches may be wanted, one line each.
    pub(crate) unknown: Vec<String>,
    /// Why more models may be wanted, one line each.
    pub(crate) unknown_models: Vec<String>,
}

impl Demand {
    /// Reads the live workloads and pods of the namespace, and decides about them.
    ///
    /// # Errors
    /// The API server was not reached, or the user may not list pods.
    pub(crate) async fn read(api: &Api, context: &DecisionContext) -> Result<Demand, Error> {
        let Listed { found, hidden } = workloads::list_objects(api, &api.namespace).await?;
        let mut demand = Demand { unknown: hidden, ..Demand::default() };
        for object in found {
            let name = lower_kind(&pod_templates::name(&object));
            demand.add(&name, object, context);
        }
        demand.add_models(wanted_models::read(api, &api.namespace).await?, &BTreeMap::new());
        let (mut owners, mut pages) =
            (Workloads::default(), api.pages(&format!("/api/v1/namespaces/{}/pods", api.namespace)));
        while let Some(page) = pages.next().await? {
            let (mut owner_of, mut pods) = (BTreeMap::new(), Vec::new());
            for pod in page.objects().filter(|pod| !has_ended(pod)) {
                let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
                let owner = owners.find(api, &api.namespace, name, owner::controller(&pod)).await;
                if is_component(&pod, context) {
                    demand.identities.add(&pod);
                }
                demand.add(&owner, uninject(pod.clone()), context);
                demand.add(&owner, pod.clone(), context);
                owner_of.insert(pod_templates::name(&pod), owner);
                pods.push(pod);
            }
            // A pod may still run with what its template no longer names.
            let of_pods = wanted_models::from_objects(api, &api.namespace, &pods, Vec::new()).await?;
            demand.add_models(of_pods, &owner_of);
        }
        Ok(demand)
    }

    /// Adds the models that objects name. `owner_of` has the workloads of objects that are pods.
    fn add_models(&mut self, wanted: WantedModels, owner_of: &BTreeMap<String, String>) {
        self.unknown_models.extend(wanted.notes);
        for object in wanted.objects {
            let name = owner_of.get(&object.name).cloned().unwrap_or_else(|| lower_kind(&object.name));
            for container in object.containers {
                for model in container.models {
                    self.models.entry((model.name, model.revision)).or_default().insert(name.clone());
                }
                let unclear = container.unclear.into_iter();
                let line = |unclear: Unclear| {
                    format!("{name} names a model that is not known here: {} {}", unclear.by, unclear.text)
                };
                self.unknown_models.extend(unclear.map(line));
            }
        }
    }

    /// Adds what the pods of an object want.
    fn add(&mut self, name: &str, object: Value, context: &DecisionContext) {
        let injected = match inject::inject(object, context, &[]) {
            Ok(injected) => injected,
            Err(error) => return self.unknown.push(format!("{name} cannot be understood: {error}")),
        };
        let mistakes = injected.mistakes.iter();
        self.unknown.extend(mistakes.map(|error| format!("{name} cannot be understood: {error}")));
        for explanation in &injected.explanations {
            self.add_pod(name, explanation);
        }
    }

    fn add_pod(&mut self, name: &str, explanation: &Explanation) {
        for cache in explanation.containers.iter().flat_map(|container| &container.caches) {
            if cache.cache == Cache::Model {
                self.claims.extend(cache.claim.clone());
            }
            for ClaimFolder { claim, path } in &cache.folders {
                self.claims.insert(claim.clone());
                let (of, path) = match path {
                    None => (&mut self.beginnings, String::new()),
                    Some(path) if explanation.unknown.is_some() => (&mut self.beginnings, image(path).to_owned()),
                    Some(path) => (&mut self.folders, path.clone()),
                };
                of.entry((claim.clone(), path)).or_default().insert(name.to_owned());
            }
        }
    }

    /// Who would get a folder of a claim, or may get it.
    pub(crate) fn users(&self, claim: &str, path: &str) -> Users {
        // A folder above one that is wanted is wanted, and so is one below.
        let meets = |wanted: &str| is_below(wanted, path) || is_below(path, wanted);
        let folders = self.folders.iter().filter(|((of, wanted), _)| of == claim && meets(wanted));
        let beginnings = self.beginnings.iter().filter(|((of, begin), _)| of == claim && path.starts_with(begin));
        folders.chain(beginnings).flat_map(|(_, users)| users.iter().cloned()).collect()
    }

    /// Who names a model.
    pub(crate) fn model_users(&self, model: &str) -> Users {
        let named = self.models.iter().filter(|((name, _), _)| name == model);
        named.flat_map(|(_, users)| users.iter().cloned()).collect()
    }

    /// Who names a revision of a model. One that leads to no revision of the claim may mean any.
    pub(crate) fn revision_users(&self, model: &Model, revision: &Revision) -> Users {
        let is_named = |wanted: &Option<String>| {
            let wanted = wanted.as_deref().unwrap_or(MAIN);
            let leads = |to: &Revision| to.revision == wanted || to.refs.iter().any(|name| name == wanted);
            leads(revision) || !model.revisions.iter().any(leads)
        };
        let named = self.models.iter().filter(|((name, wanted), _)| *name == model.model && is_named(wanted));
        named.flat_map(|(_, users)| users.iter().cloned()).collect()
    }

    /// The folders of a claim that somebody would get.
    pub(crate) fn folders_of(&self, claim: &str) -> impl Iterator<Item = &str> {
        let of_claim = self.folders.keys().filter(move |(of, path)| of == claim && !path.is_empty());
        of_claim.map(|(_, path)| path.as_str())
    }
}

/// Whether a pod runs no more.
fn has_ended(pod: &Value) -> bool {
    matches!(pod.pointer("/status/phase").and_then(Value::as_str), Some("Failed" | "Succeeded"))
}

/// Whether a pod is a component that the webhook does not leave untouched.
fn is_component(pod: &Value, context: &DecisionContext) -> bool {
    let injected = inject::inject(pod.clone(), context, &[]);
    injected.is_ok_and(|injected| injected.explanations.iter().any(|one| one.untouched.is_none()))
}

/// Whether a path is another one, or below it; every path is below the root.
fn is_below(path: &str, other: &str) -> bool {
    other.is_empty() || path.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The part of a folder that stands for the image, with all before it: all folders of that image begin so. Empty where the key has
/// no image.
fn image(path: &str) -> &str {
    let begin = path.rfind('/').map_or(0, |slash| slash + 1);
    let begin = if path.get(begin..).is_some_and(|name| name.starts_with("compile-")) {
        begin + "compile-".len()
    } else {
        begin
    };
    let digits = path.get(begin..).unwrap_or_default().split('-').next().unwrap_or_default();
    let is_image = digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_image { path.get(..begin + digits.len()).unwrap_or_default() } else { "" }
}

/// The name of an object as kubectl writes it: `deployment/worker`.
fn lower_kind(name: &str) -> String {
    name.split_once('/').map_or_else(|| name.to_owned(), |(kind, name)| format!("{}/{name}", kind.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::{Demand, image};
    use crate::admission::claim::Claim;
    use crate::inspect::wanted_models::WantedModels;
    use crate::manifest::context::{BaseSettings, DecisionContext};
    use crate::manifest::facts::Facts;
    use crate::manifest::models::{self, ConfigMaps};
    use crate::usage::contents::{Model, Revision, Size};

    fn context() -> DecisionContext {
        let claims = ["model-cache", "compilation-cache"].map(|name| (name.to_owned(), Claim::default()));
        let facts = Facts { claims: Some(claims.into()), ..Facts::default() };
        BaseSettings::default().with(facts.with_proven_claims())
    }

    fn pod(image: &str, more: &Value) -> Value {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [
            {"name": "main", "image": image, "command": ["python3", "-m", "dynamo.vllm"]},
        ]}});
        for (key, value) in more.as_object().into_iter().flatten() {
            pod["spec"]["containers"][0][key] = value.clone();
        }
        pod
    }

    fn folder(demand: &Demand) -> String {
        demand.folders_of("compilation-cache").next().unwrap_or_default().to_owned()
    }

    #[test]
    fn the_folder_that_a_pod_would_get_is_wanted_by_it_and_no_other_is() {
        let mut demand = Demand::default();
        demand.add("pod/a", pod("i:1", &json!({})), &context());
        demand.add("deployment/b", pod("i:1", &json!({})), &context());
        let folder = folder(&demand);
        assert!(folder.contains("-any-"), "{folder}");
        assert_eq!(demand.users("compilation-cache", &folder).len(), 2);
        for other in ["0123456789ab-any-ba9876543210", &folder[..folder.len() - 1], &format!("{folder}x")] {
            assert!(demand.users("compilation-cache", other).is_empty(), "{other}");
        }
        assert!(demand.users("model-cache", &folder).is_empty());
        assert_eq!(demand.users("compilation-cache", &format!("{folder}/torch_compile_cache")).len(), 2);
    }

    #[test]
    fn an_unproven_claim_counts_as_one_that_pods_will_have() {
        let mut demand = Demand::default();
        demand.add("pod/a", pod("i:1", &json!({})), &context());
        assert!(!folder(&demand).is_empty());
        assert!(demand.claims.contains("compilation-cache") && demand.claims.contains("model-cache"));
    }

    #[test]
    fn a_pod_whose_folder_is_not_shown_wants_every_folder_of_its_claims() {
        let mut unknown = pod(
            "i:1",
            &json!({
                "env": [{"name": "VLLM_CACHE_ROOT", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}],
                "volumeMounts": [{"name": "own", "mountPath": "/cache"}],
            }),
        );
        unknown["spec"]["volumes"] = json!([{"name": "own", "persistentVolumeClaim": {"claimName": "mine"}}]);
        let mut demand = Demand::default();
        demand.add("pod/a", unknown, &context());
        assert_eq!(demand.users("mine", "0123456789ab-any-ba9876543210").len(), 1);

        let mut part = pod(
            "i:1",
            &json!({
                "env": [{"name": "VLLM_CACHE_ROOT", "value": "/cache/below"}],
                "volumeMounts": [{"name": "own", "mountPath": "/cache", "subPath": "vllm/"}],
            }),
        );
        part["spec"]["volumes"] = json!([{"name": "own", "persistentVolumeClaim": {"claimName": "mine"}}]);
        let mut demand = Demand::default();
        demand.add("pod/a", part, &context());
        assert_eq!(demand.folders_of("mine").collect::<Vec<_>>(), ["vllm/below"]);
        assert_eq!(demand.users("mine", "vllm").len(), 1, "a folder above it");
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        let mut demand = Demand::default();
        demand.add("pod/a", json!({"kind": "Pod", "spec": {"containers": 7}}), &context());
        assert!(demand.unknown[0].starts_with("pod/a cannot be understood: "), "{:?}", demand.unknown);
    }

    #[test]
    fn all_folders_of_an_image_begin_alike() {
        assert_eq!(image("0123456789ab-any-ba9876543210-u1000"), "0123456789ab");
        assert_eq!(image("compile-0123456789ab-any-ba9876543210"), "compile-0123456789ab");
        assert_eq!(image("staged-v1/0123456789ab-any-ba9876543210"), "staged-v1/0123456789ab");
        assert_eq!((image("any-ba9876543210"), image("staged-v1/all"), image("")), ("", "", ""));
    }

    #[test]
    fn a_revision_is_wanted_by_those_whose_name_for_it_leads_there() {
        let revision = |digit: char, refs: &[&str]| Revision {
            revision: digit.to_string().repeat(40),
            refs: refs.iter().map(|name| (*name).to_owned()).collect(),
            size: Size::default(),
        };
        let revisions = vec![revision('a', &["main"]), revision('b', &["v1"]), revision('c', &[])];
        let model = Model { model: "a/b".to_owned(), hub: "hub".to_owned(), size: Size::default(), revisions };
        let commit = "c".repeat(40);
        let worker = |name: &str, revision: Option<&str>| {
            let revision = revision.map(|revision| format!(" --revision {revision}")).unwrap_or_default();
            let mut pod = pod("i:1", &json!({}));
            pod["metadata"]["name"] = name.into();
            pod["spec"]["containers"][0]["command"] =
                json!(["bash", "-c", format!("python3 -m dynamo.vllm --model a/b{revision}")]);
            pod
        };
        let mut demand = Demand::default();
        let mut users = |name: &str, revision: Option<&str>| {
            let pods = [worker(name, revision)];
            let objects = pods.iter().flat_map(|pod| models::of_object(pod, &ConfigMaps::default())).collect();
            demand.add_models(WantedModels { objects, notes: Vec::new() }, &BTreeMap::new());
            let named = model.revisions.iter().map(|revision| demand.revision_users(&model, revision).len());
            named.collect::<Vec<_>>()
        };
        assert_eq!(users("main", None), [1, 0, 0]);
        assert_eq!(users("tag", Some("v1")), [1, 1, 0]);
        assert_eq!(users("commit", Some(&commit)), [1, 1, 1]);
        assert_eq!(users("another", Some("v2")), [2, 2, 2], "it is not known which one that is");
        assert_eq!((demand.model_users("a/b").len(), demand.model_users("a/c").len()), (4, 0));
        assert!(demand.model_users("a/b").contains("pod/tag"));
    }
}
