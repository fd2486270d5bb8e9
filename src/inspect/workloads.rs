//! The live workloads and pods of a namespace. An object is omitted if its controller is listed too.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::admission::pod::{Controller, Text};
use crate::inspect::api::{Api, Error, Item};
use crate::manifest::pod_templates;

/// Kinds of Kubernetes, controllers before the objects that they create.
const KINDS: [(&str, &str); 8] = [
    ("/apis/apps/v1", "deployments"),
    ("/apis/apps/v1", "statefulsets"),
    ("/apis/apps/v1", "daemonsets"),
    ("/apis/batch/v1", "cronjobs"),
    ("/apis/batch/v1", "jobs"),
    ("/apis/apps/v1", "replicasets"),
    ("/api/v1", "replicationcontrollers"),
    ("/api/v1", "pods"),
];

/// Dynamo's kinds that name a model and have no pods of their own, as API group and plural.
pub(super) const WITHOUT_PODS: [(&str, &str); 2] =
    [("nvidia.com", "dynamographdeploymentrequests"), ("nvidia.com", "dynamomodels")];

/// Short names, as kubectl takes them.
const SHORT_NAMES: [(&str, &str); 15] = [
    ("cj", "cronjobs"),
    ("dcd", "dynamocomponentdeployments"),
    ("deploy", "deployments"),
    ("dgd", "dynamographdeployments"),
    ("dgdr", "dynamographdeploymentrequests"),
    ("dm", "dynamomodels"),
    ("ds", "daemonsets"),
    ("lws", "leaderworkersets"),
    ("pclq", "podcliques"),
    ("pcs", "podcliquesets"),
    ("po", "pods"),
    ("rbg", "rolebasedgroups"),
    ("rc", "replicationcontrollers"),
    ("rs", "replicasets"),
    ("sts", "statefulsets"),
];

/// The API group of Knative. It makes a Deployment of every object at once, which is listed by itself.
const KNATIVE: &str = "serving.knative.dev";

/// What was made of the objects of a namespace.
pub(crate) struct Workloads<T> {
    /// One for each object whose controller is not among the others.
    pub(crate) found: Vec<T>,
    /// Why kinds could not be listed, one line each.
    pub(crate) hidden: Vec<String>,
}

/// Lists the objects. `digest` makes of each what is kept of it, as soon as it is read; `None` if it is not to be listed, but what
/// it controls.
///
/// # Errors
/// The API server was not reached, or the user may not list pods.
pub(crate) async fn list<T>(
    api: &Api,
    namespace: &str,
    digest: impl Fn(Item<'_>) -> Option<T>,
) -> Result<Workloads<T>, Error> {
    let (mut lists, mut hidden) = of_other_controllers(api).await;
    lists.extend(KINDS.map(|(version, plural)| (version.to_owned(), plural.to_owned())));
    let mut listed = Listed::default();
    for (version, plural) in lists {
        let mut pages = api.pages(&format!("{version}/namespaces/{namespace}/{plural}"));
        loop {
            match pages.next().await {
                Ok(Some(page)) => page.items().for_each(|item| listed.add_item(item, &digest)),
                Ok(None) => break,
                Err(error) if error.is_forbidden() && plural != "pods" => {
                    hidden.push(error.to_string());
                    break;
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(Workloads { found: listed.finish(), hidden })
}

/// The path of a workload by its kind, as kubectl takes it, and its name; `None` if the kind is not known, or the cluster does not
/// have it.
///
/// # Errors
/// The API server was not reached.
pub(crate) async fn path(api: &Api, namespace: &str, kind: &str, name: &str) -> Result<Option<String>, Error> {
    let kind = SHORT_NAMES.iter().find(|(short, _)| *short == kind).map_or(kind, |(_, plural)| plural);
    let is_kind = |plural: &str| plural == kind || plural.strip_suffix('s') == Some(kind);
    let path = |version: &str, plural: &str| format!("{version}/namespaces/{namespace}/{plural}/{name}");
    if let Some((version, plural)) = KINDS.iter().find(|(_, plural)| is_kind(plural)) {
        return Ok(Some(path(version, plural)));
    }
    if let Some((version, plural)) = of_other_controllers(api).await.0.iter().find(|(_, plural)| is_kind(plural)) {
        return Ok(Some(path(version, plural)));
    }
    let Some((group, plural)) = WITHOUT_PODS.iter().find(|(_, plural)| is_kind(plural)) else { return Ok(None) };
    let resources = Resource::of_group(api, group).await?;
    let found = resources.iter().find(|resource| resource.plural == *plural);
    Ok(found.map(|resource| path(&resource.version, plural)))
}

/// Lists the objects of kinds by API group and plural. Also returns why kinds could not be listed, one line each.
///
/// # Errors
/// The API server was not reached.
pub(crate) async fn list_kinds(
    api: &Api,
    namespace: &str,
    kinds: &[(&str, &str)],
) -> Result<(Vec<Value>, Vec<String>), Error> {
    let (mut objects, mut hidden) = (Vec::new(), Vec::new());
    for (group, plural) in kinds {
        let resources = match Resource::of_group(api, group).await {
            Ok(resources) => resources,
            Err(error) => {
                hidden.push(error.to_string());
                continue;
            }
        };
        let Some(Resource { version, .. }) = resources.iter().find(|resource| resource.plural == *plural) else {
            continue;
        };
        match api.list(&format!("{version}/namespaces/{namespace}/{plural}")).await {
            Ok(found) => objects.extend(found),
            Err(error) if error.is_forbidden() => hidden.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    Ok((objects, hidden))
}

/// Lists the objects as they are.
///
/// # Errors
/// As for [`list`].
pub(crate) async fn list_objects(api: &Api, namespace: &str) -> Result<Workloads<Value>, Error> {
    fn whole(item: Item<'_>) -> Option<Value> {
        item.object()
    }
    list(api, namespace, whole).await
}

/// Where the objects of other controllers are listed.
///
/// Also returns what could not be read, one line each: its kinds are not listed, and may have workloads.
async fn of_other_controllers(api: &Api) -> (Vec<(String, String)>, Vec<String>) {
    let (mut lists, mut hidden) = (Vec::new(), Vec::new());
    let groups = api.get("/apis").await.unwrap_or_else(|error| {
        hidden.push(error.to_string());
        None
    });
    for group in groups.iter().filter_map(|groups| groups.get("groups")?.as_array()).flatten() {
        let name = group.get("name").and_then(Value::as_str).filter(|name| *name != KNATIVE).unwrap_or_default();
        let kinds = pod_templates::kinds_of(name);
        if kinds.is_empty() {
            continue;
        }
        match Resource::of_versions(api, group).await {
            Ok(resources) => {
                let known = resources.into_iter().filter(|resource| kinds.contains(&resource.kind.as_str()));
                lists.extend(known.map(|resource| (resource.version, resource.plural)));
            }
            Err(error) => hidden.push(error.to_string()),
        }
    }
    (lists, hidden)
}

/// A namespaced resource of an API group.
struct Resource {
    /// The path of its version: the preferred one of the group that has it, else any that does.
    version: String,
    plural: String,
    kind: String,
}

impl Resource {
    /// Those of an API group by its name; none if the API server does not have it.
    async fn of_group(api: &Api, name: &str) -> Result<Vec<Resource>, Error> {
        match api.get(&format!("/apis/{name}")).await? {
            Some(group) => Self::of_versions(api, &group).await,
            None => Ok(Vec::new()),
        }
    }

    /// Those of an API group as discovery describes it.
    async fn of_versions(api: &Api, group: &Value) -> Result<Vec<Resource>, Error> {
        let text = |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let list = |object: &Value, key: &str| object.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let all = list(group, "versions");
        let preferred = text(group, "/preferredVersion/groupVersion");
        let others = all.iter().filter_map(|version| text(version, "/groupVersion"));
        let mut found: Vec<Resource> = Vec::new();
        for version in preferred.into_iter().chain(others) {
            let version = format!("/apis/{version}");
            if found.iter().any(|resource| resource.version == version) {
                continue;
            }
            let described = api.get(&version).await?.unwrap_or_default();
            for resource in list(&described, "resources") {
                let (plural, kind) = (text(&resource, "/name"), text(&resource, "/kind"));
                let (Some(plural), Some(kind), true) = (plural, kind, resource["namespaced"] == true) else { continue };
                if !plural.contains('/') && !found.iter().any(|known| known.plural == plural) {
                    found.push(Resource { version: version.clone(), plural, kind });
                }
            }
        }
        Ok(found)
    }
}

/// What decides whether an object is shown.
#[derive(Deserialize)]
struct Object<'t> {
    #[serde(borrow, default)]
    kind: Option<Text<'t>>,
    #[serde(borrow)]
    metadata: Metadata<'t>,
    /// A tenant may write anything here into an object of another kind than Kubernetes' own.
    #[serde(borrow, default)]
    spec: Option<&'t RawValue>,
    #[serde(borrow, default)]
    status: Option<&'t RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata<'t> {
    #[serde(borrow)]
    uid: Text<'t>,
    #[serde(borrow)]
    owner_references: Option<Controller<'t>>,
}

/// What says of a Pod, a Job or a ReplicaSet whether it is current.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Progress<'t> {
    #[serde(borrow)]
    phase: Option<Text<'t>>,
    replicas: Option<u64>,
    active: Option<u64>,
    #[serde(borrow)]
    completion_time: Option<Text<'t>>,
}

impl Object<'_> {
    /// Whether an object still creates pods or is a running pod: not an ended pod, a completed Job or an old ReplicaSet.
    fn is_current(&self, kind: &str) -> bool {
        fn read(part: Option<&RawValue>) -> Progress<'_> {
            part.and_then(|part| serde_json::from_str(part.get()).ok()).unwrap_or_default()
        }
        let [spec, status] = [self.spec, self.status].map(read);
        match kind {
            "Pod" => !matches!(status.phase.as_deref(), Some("Failed" | "Succeeded")),
            "ReplicaSet" => spec.replicas != Some(0),
            "Job" => status.active.is_some() || status.completion_time.is_none(),
            _ => true,
        }
    }
}

/// The objects read so far.
struct Listed<T> {
    objects: Vec<Digested<T>>,
    /// The UIDs of the objects other than graphs, those that are certainly not shown included.
    uids: BTreeSet<String>,
}

/// An object that may be shown.
struct Digested<T> {
    is_graph: bool,
    uid: String,
    /// The UID of its controller.
    controller: Option<String>,
    digest: T,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Listed { objects: Vec::new(), uids: BTreeSet::new() }
    }
}

impl<T> Listed<T> {
    fn add_item(&mut self, item: Item<'_>, digest: impl Fn(Item<'_>) -> Option<T>) {
        let Some(object) = item.view::<Object<'_>>() else { return };
        let kind = object.kind.as_deref().unwrap_or(item.kind());
        if object.is_current(kind) {
            let controller = object.metadata.owner_references.as_ref().and_then(|controller| controller.0.as_ref());
            let controller = controller.map(|owner| owner.uid.as_deref().unwrap_or_default());
            self.add(kind, &object.metadata.uid, controller, || digest(item));
        }
    }

    fn add(&mut self, kind: &str, uid: &str, controller: Option<&str>, digest: impl FnOnce() -> Option<T>) {
        let is_graph = pod_templates::is_graph(kind);
        // Most pods: what controls them is shown, or what controls that.
        let is_hidden = kind == "Pod" && controller.is_some_and(|controller| self.uids.contains(controller));
        if !is_hidden {
            let Some(digest) = digest() else { return };
            let (uid, controller) = (uid.to_owned(), controller.map(str::to_owned));
            self.objects.push(Digested { is_graph, uid, controller, digest });
        }
        if !is_graph {
            self.uids.insert(uid.to_owned());
        }
    }

    /// What was made of the objects that are shown.
    fn finish(mut self) -> Vec<T> {
        self.remove_running_graphs();
        let Listed { objects, mut uids } = self;
        uids.extend(objects.iter().filter(|object| object.is_graph).map(|object| object.uid.clone()));
        let is_controlled = |object: &Digested<T>| object.controller.as_ref().is_some_and(|uid| uids.contains(uid));
        objects.into_iter().filter(|object| !is_controlled(object)).map(|object| object.digest).collect()
    }

    /// Removes the graphs and components whose operator has made workloads: those are the pods, and a graph is a sketch of them.
    fn remove_running_graphs(&mut self) {
        loop {
            let workloads = self.objects.iter().filter(|object| !object.is_graph);
            let running: BTreeSet<&String> = workloads.filter_map(|object| object.controller.as_ref()).collect();
            // A component is made by its graph, and stands for its workloads there.
            let graphs = self.objects.iter().filter(|object| object.is_graph && running.contains(&object.uid));
            let made = graphs.flat_map(|object| [Some(&object.uid), object.controller.as_ref()]);
            let made: BTreeSet<String> = made.flatten().cloned().collect();
            if made.is_empty() {
                return;
            }
            self.objects.retain(|object| !object.is_graph || !made.contains(&object.uid));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Listed;

    #[test]
    fn a_graph_is_shown_until_its_operator_has_made_workloads() {
        let (graph, component) = ("DynamoGraphDeployment", "DynamoComponentDeployment");
        let mut listed = Listed::default();
        for (kind, name, owner) in [
            (graph, "new", None),
            (component, "of-new", Some("new")),
            (graph, "runs", None),
            (component, "of-runs", Some("runs")),
            (graph, "in-grove", None),
            ("PodCliqueSet", "cliques", Some("in-grove")),
            (component, "alone", None),
            (component, "of-a-pod", None),
            ("Deployment", "worker", Some("of-runs")),
            ("StatefulSet", "led", Some("leader")),
            ("Pod", "leader", None),
            ("Pod", "of-led", Some("led")),
            ("Pod", "of-component", Some("of-a-pod")),
        ] {
            listed.add(kind, name, owner, || Some(name));
        }
        listed.add("Deployment", "broken", None, || None);
        listed.add("Pod", "of-broken", Some("broken"), || Some("of-broken"));
        listed.add("Pod", "of-leader", Some("leader"), || panic!("certainly not shown"));
        assert_eq!(listed.finish(), ["new", "cliques", "alone", "worker", "leader", "of-component", "of-broken"]);
    }
}
