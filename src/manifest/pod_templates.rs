//! Finds the pods and pod templates in objects of Kubernetes, Dynamo, Grove, LeaderWorkerSet and RoleBasedGroup.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::admission::annotation::PREFIX;

/// A pod or a pod template in a document.
pub(crate) struct Template {
    /// The kind and name of its object, with the pointer if the object has several.
    pub(crate) name: String,
    /// The JSON Pointer of the pod or template itself.
    pub(crate) pointer: String,
    /// The JSON Pointer of the metadata with its labels and annotations.
    pub(crate) metadata: String,
    /// The JSON Pointer of its spec.
    pub(crate) spec: String,
    /// The names of the volumes that the controller adds to its pods.
    pub(crate) volumes: Vec<String>,
    /// The labels that the controller adds to its pods.
    pub(crate) labels: Vec<(&'static str, String)>,
}

/// The pods and pod templates of a document, and the objects that have none or hide them.
#[derive(Default)]
pub(crate) struct Templates {
    /// Its pods and pod templates.
    pub(crate) found: Vec<Template>,
    /// Annotations of dynamo-cache on objects around them, where they have no effect: object and annotation.
    pub(crate) ignored: Vec<(String, String)>,
    /// Objects whose pods only the Dynamo operator knows: names, and namespaces if they have one.
    pub(crate) operator_managed: Vec<(String, Option<String>)>,
    /// Objects of unknown kinds, which may have pods somewhere.
    pub(crate) unknown: Vec<String>,
    /// The given pointers that led to a pod template.
    pub(crate) used_pointers: BTreeSet<String>,
}

/// Kinds of Dynamo whose pods only its operator knows.
const OPERATOR_MANAGED: [&str; 3] =
    ["DynamoComponentDeployment", "DynamoGraphDeployment", "DynamoGraphDeploymentRequest"];

/// The kind and name of an object: `Deployment/worker`.
pub(crate) fn name(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let kind = text("/kind").unwrap_or("object");
    match (text("/metadata/name"), text("/metadata/generateName")) {
        (Some(name), _) => format!("{kind}/{name}"),
        (None, Some(begin)) => format!("{kind}/{begin}…"),
        (None, None) => kind.to_owned(),
    }
}

/// Finds the pods and pod templates of a document, which may be a list of objects. `pointers` are tried on objects of
/// unknown kinds.
pub(crate) fn find(document: &Value, pointers: &[String]) -> Templates {
    let mut templates = Templates::default();
    visit_objects(document, Type::new(document), String::new(), &mut |object, kind, at| {
        let mut search = Search { object, kind, at, found: Vec::new() };
        if !search.known_kind() {
            for pointer in pointers {
                if search.template(pointer) {
                    templates.used_pointers.insert(pointer.clone());
                }
            }
            if search.found.is_empty() && OPERATOR_MANAGED.contains(&kind.name) {
                let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str);
                templates.operator_managed.push((name(object), namespace.map(str::to_owned)));
            } else if search.found.is_empty() && kind.may_have_pods() {
                templates.unknown.push(name(object));
            }
        }
        templates.ignored.extend(ignored(&search));
        let mut found = search.found;
        if let [_, _, ..] = found.as_slice() {
            for template in &mut found {
                template.name = format!("{} {}", template.name, template.pointer);
            }
        }
        templates.found.extend(found);
    });
    templates
}

/// The kind and API group of an object.
#[derive(Clone, Copy)]
struct Type<'d> {
    name: &'d str,
    /// The API group; `None` if the object has no `apiVersion`.
    group: Option<&'d str>,
}

impl<'d> Type<'d> {
    fn new(object: &'d Value) -> Self {
        let text = |key: &str| object.get(key).and_then(Value::as_str);
        let group = |version: &'d str| version.rsplit_once('/').map_or("", |(group, _)| group);
        Type { name: text("kind").unwrap_or_default(), group: text("apiVersion").map(group) }
    }
}

impl Type<'_> {
    /// Whether an unknown kind may have pods. Kubernetes' own kinds with pods are all known.
    fn may_have_pods(self) -> bool {
        let of_kubernetes = |group: &str| {
            matches!(group, "" | "apps" | "autoscaling" | "batch" | "policy") || group.ends_with(".k8s.io")
        };
        !self.name.is_empty() && !self.group.is_some_and(of_kubernetes)
    }
}

/// Calls `visit` with every object, its kind and its JSON Pointer. A kind that ends in `List` stands for its items.
fn visit_objects<'d>(
    object: &'d Value,
    kind: Type<'d>,
    at: String,
    visit: &mut impl FnMut(&'d Value, Type<'d>, String),
) {
    match (object.get("items").and_then(Value::as_array), kind.name.strip_suffix("List")) {
        (Some(items), Some(name)) => {
            for (index, item) in items.iter().enumerate() {
                // The items of a DeploymentList from the API server do not repeat their kind.
                let own = Type::new(item);
                let kind = if own.name.is_empty() { Type { name, group: kind.group } } else { own };
                visit_objects(item, kind, format!("{at}/items/{index}"), visit);
            }
        }
        _ => visit(object, kind, at),
    }
}

/// Annotations of dynamo-cache on an object that has pods and is not one itself.
fn ignored(search: &Search<'_>) -> Vec<(String, String)> {
    let own = format!("{}/metadata", search.at);
    if search.found.is_empty() || search.found.iter().any(|template| template.metadata == own) {
        return Vec::new();
    }
    let annotations = search.object.pointer("/metadata/annotations").and_then(Value::as_object);
    let ours = annotations.into_iter().flatten().filter(|(key, _)| key.starts_with(PREFIX));
    ours.map(|(key, _)| (name(search.object), key.clone())).collect()
}

/// The search for pods in one object.
struct Search<'d> {
    object: &'d Value,
    kind: Type<'d>,
    /// The object's JSON Pointer in the document.
    at: String,
    found: Vec<Template>,
}

impl Search<'_> {
    /// Finds the pods of an object of a known kind; `false` if the kind is unknown.
    fn known_kind(&mut self) -> bool {
        let Type { name: kind, group } = self.kind;
        // The group distinguishes kinds of the same name. Without an apiVersion, the name alone decides.
        let is = |wanted: &str| group.is_none_or(|group| group == wanted);
        match kind {
            "Pod" if is("") => {
                let (metadata, spec) = (format!("{}/metadata", self.at), format!("{}/spec", self.at));
                self.add(self.at.clone(), metadata, spec);
            }
            "PodTemplate" if is("") => drop(self.template("/template")),
            "ReplicationController" if is("") => drop(self.template("/spec/template")),
            "DaemonSet" | "Deployment" | "ReplicaSet" if is("apps") => drop(self.template("/spec/template")),
            "StatefulSet" if is("apps") => {
                self.template("/spec/template");
                self.with_volumes("/spec/volumeClaimTemplates");
            }
            "Job" if is("batch") => drop(self.template("/spec/template")),
            "CronJob" if is("batch") => drop(self.template("/spec/jobTemplate/spec/template")),
            "LeaderWorkerSet" if is("leaderworkerset.x-k8s.io") => {
                self.leader_worker_set();
                self.with_volumes("/spec/leaderWorkerTemplate/volumeClaimTemplates");
            }
            "RoleBasedGroup" if is("workloads.x-k8s.io") => self.role_based_group(),
            "PodClique" if is("grove.io") => {
                // The operator copies the object's own labels and annotations to its pods.
                let (metadata, spec) = (format!("{}/metadata", self.at), format!("{}/spec/podSpec", self.at));
                self.add(spec.clone(), metadata, spec);
            }
            "PodCliqueSet" if is("grove.io") => self.pod_clique_set(),
            _ => return false,
        }
        true
    }

    /// Adds the value at a pointer below the object as a pod template; `false` if there is none.
    fn template(&mut self, pointer: &str) -> bool {
        if self.object.pointer(pointer).is_none_or(Value::is_null) {
            return false;
        }
        let pointer = format!("{}{pointer}", self.at);
        self.add(pointer.clone(), format!("{pointer}/metadata"), format!("{pointer}/spec"));
        true
    }

    fn add(&mut self, pointer: String, metadata: String, spec: String) {
        let (volumes, labels) = (Vec::new(), Vec::new());
        self.found.push(Template { name: name(self.object), pointer, metadata, spec, volumes, labels });
    }

    /// Adds the claim templates at a pointer as volumes of every pod.
    fn with_volumes(&mut self, pointer: &str) {
        let claims = self.object.pointer(pointer).and_then(Value::as_array);
        let names = claims.into_iter().flatten().filter_map(|claim| claim.pointer("/metadata/name")?.as_str());
        let names: Vec<_> = names.map(str::to_owned).collect();
        for template in &mut self.found {
            template.volumes.clone_from(&names);
        }
    }

    /// Adds a label to the pods of the templates from index `from` on.
    fn with_label(&mut self, from: usize, key: &'static str, value: &str) {
        for template in self.found.iter_mut().skip(from) {
            template.labels.push((key, value.to_owned()));
        }
    }

    fn own_name(&self) -> &str {
        self.object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
    }

    /// The controller labels leader and worker pods with the set's name.
    fn leader_worker_set(&mut self) {
        self.template("/spec/leaderWorkerTemplate/leaderTemplate");
        self.template("/spec/leaderWorkerTemplate/workerTemplate");
        let name = self.own_name().to_owned();
        self.with_label(0, SET_NAME, &name);
    }

    /// A role's template is in the role itself (v1alpha1), in one of its patterns (v1alpha2), or shared between roles.
    fn role_based_group(&mut self) {
        let roles = self.object.pointer("/spec/roles").and_then(Value::as_array);
        for (index, role) in roles.into_iter().flatten().enumerate() {
            let (from, at) = (self.found.len(), format!("/spec/roles/{index}"));
            for pattern in ["", "/standalonePattern", "/leaderWorkerPattern"] {
                self.template(&format!("{at}{pattern}/template"));
            }
            for components in ["/components", "/customComponentsPattern/components"] {
                let several = role.pointer(components).and_then(Value::as_array).map_or(0, Vec::len);
                for index in 0..several {
                    self.template(&format!("{at}{components}/{index}/template"));
                }
            }
            let workload = role.pointer("/workload/kind").or_else(|| {
                // `~1` is a slash in a JSON Pointer.
                role.pointer("/annotations/rbg.workloads.x-k8s.io~1role-workload-type")
            });
            if workload.and_then(Value::as_str).is_some_and(|workload| workload.ends_with("LeaderWorkerSet")) {
                self.with_label(from, SET_NAME, role.get("name").and_then(Value::as_str).unwrap_or_default());
            }
        }
        let shared = self.object.pointer("/spec/roleTemplates").and_then(Value::as_array).map_or(0, Vec::len);
        for index in 0..shared {
            self.template(&format!("/spec/roleTemplates/{index}/template"));
        }
    }

    /// A clique's labels and annotations are beside its spec, not in a `metadata` of their own.
    fn pod_clique_set(&mut self) {
        let list = |pointer: &str| self.object.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        let cliques: Vec<_> = list("/spec/template/cliques").map(|clique| clique.get("name")).collect();
        let groups = list("/spec/template/podCliqueScalingGroups").filter_map(|group| {
            let cliques = group.get("cliqueNames")?.as_array()?;
            Some((group.get("name")?.as_str()?, cliques))
        });
        let groups: Vec<_> = groups.collect();
        for (index, name) in cliques.into_iter().enumerate() {
            let (from, clique) = (self.found.len(), format!("{}/spec/template/cliques/{index}", self.at));
            let spec = format!("{clique}/spec/podSpec");
            self.add(spec.clone(), clique, spec);
            let group = groups.iter().find(|(_, cliques)| name.is_some_and(|name| cliques.contains(name)));
            if let Some((group, _)) = group {
                self.with_label(from, "grove.io/podcliquescalinggroup", group);
            }
        }
    }
}

/// The label that `LeaderWorkerSet` puts on its pods.
const SET_NAME: &str = "leaderworkerset.sigs.k8s.io/name";
