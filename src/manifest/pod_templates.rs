//! Where the objects of Kubernetes, of Dynamo and of its neighbours have their pods.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::admission::annotation::PREFIX;

/// A pod or a pod template in a document.
pub(crate) struct Template {
    /// What it is, in words.
    pub(crate) name: String,
    /// The pointer of the pod or template itself.
    pub(crate) place: String,
    /// The pointer of what has its labels and annotations.
    pub(crate) metadata: String,
    /// The pointer of its spec.
    pub(crate) spec: String,
    /// Volumes that the controller adds to its pods.
    pub(crate) volumes: Vec<String>,
    /// Labels that the controller adds to its pods.
    pub(crate) labels: Vec<(&'static str, String)>,
}

/// What a document has for us.
#[derive(Default)]
pub(crate) struct Templates {
    /// Its pods and pod templates.
    pub(crate) found: Vec<Template>,
    /// Annotations of ours that are on the objects around them: whose, and which.
    pub(crate) ignored: Vec<(String, String)>,
    /// Its objects of which only an operator of Dynamo knows the pods: names, and namespaces where they have them.
    pub(crate) of_operators: Vec<(String, Option<String>)>,
    /// Its objects of other kinds that may have pods, and of which it is not known where.
    pub(crate) unknown: Vec<String>,
}

/// Kinds of Dynamo of which only its operator knows the pods.
const OF_OPERATORS: [&str; 3] = ["DynamoComponentDeployment", "DynamoGraphDeployment", "DynamoGraphDeploymentRequest"];

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

/// Everything with pods in a document, which may be a list of objects.
///
/// `pointers` are tried on objects of kinds that are not known; those that were of use leave `unused`.
pub(crate) fn templates<'o>(document: &Value, pointers: &'o [String], unused: &mut BTreeSet<&'o str>) -> Templates {
    let mut templates = Templates::default();
    objects(document, Type::of(document), String::new(), &mut |object, is, at| {
        let mut search = Search { object, is, at, found: Vec::new() };
        if !search.known_kind() {
            for pointer in pointers {
                if search.template(pointer) {
                    unused.remove(pointer.as_str());
                }
            }
            if search.found.is_empty() && OF_OPERATORS.contains(&is.kind) {
                let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str);
                templates.of_operators.push((name(object), namespace.map(str::to_owned)));
            } else if search.found.is_empty() && is.may_have_pods() {
                templates.unknown.push(name(object));
            }
        }
        templates.ignored.extend(ignored(&search));
        let mut found = search.found;
        if let [_, _, ..] = found.as_slice() {
            for template in &mut found {
                template.name = format!("{} {}", template.name, template.place);
            }
        }
        templates.found.extend(found);
    });
    templates
}

/// What an object is.
#[derive(Clone, Copy)]
struct Type<'d> {
    kind: &'d str,
    /// The API group; none where nothing tells.
    group: Option<&'d str>,
}

impl<'d> Type<'d> {
    fn of(object: &'d Value) -> Self {
        let text = |key: &str| object.get(key).and_then(Value::as_str);
        let group = |version: &'d str| version.rsplit_once('/').map_or("", |(group, _)| group);
        Type { kind: text("kind").unwrap_or_default(), group: text("apiVersion").map(group) }
    }
}

impl Type<'_> {
    /// Whether a kind that is not known may have pods: Kubernetes' own that have some are known.
    fn may_have_pods(self) -> bool {
        let of_kubernetes = |group: &str| {
            matches!(group, "" | "apps" | "autoscaling" | "batch" | "policy") || group.ends_with(".k8s.io")
        };
        !self.kind.is_empty() && !self.group.is_some_and(of_kubernetes)
    }
}

/// Hands on every object, what it is, and where; an object of a kind that ends in `List` is those of its items.
fn objects<'d>(object: &'d Value, is: Type<'d>, at: String, then: &mut impl FnMut(&'d Value, Type<'d>, String)) {
    match (object.get("items").and_then(Value::as_array), is.kind.strip_suffix("List")) {
        (Some(items), Some(kind)) => {
            for (index, item) in items.iter().enumerate() {
                // The items of a DeploymentList, as the API server answers it, do not repeat what they are.
                let own = Type::of(item);
                let is = if own.kind.is_empty() { Type { kind, group: is.group } } else { own };
                objects(item, is, format!("{at}/items/{index}"), then);
            }
        }
        _ => then(object, is, at),
    }
}

/// Annotations of ours on an object that has pods and is none itself.
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
    is: Type<'d>,
    /// The object's pointer in the document.
    at: String,
    found: Vec<Template>,
}

impl Search<'_> {
    /// Finds the pods of an object of a kind that is known; whether it is.
    fn known_kind(&mut self) -> bool {
        let Type { kind, group } = self.is;
        // The group tells kinds of one name apart. Without a version there is nothing to tell apart by.
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
                // The operator gives the object's own labels and annotations to its pods.
                let (metadata, spec) = (format!("{}/metadata", self.at), format!("{}/spec/podSpec", self.at));
                self.add(spec.clone(), metadata, spec);
            }
            "PodCliqueSet" if is("grove.io") => self.pod_clique_set(),
            _ => return false,
        }
        true
    }

    /// Takes what is at a pointer below the object for a pod template; whether there is anything.
    fn template(&mut self, pointer: &str) -> bool {
        if self.object.pointer(pointer).is_none_or(Value::is_null) {
            return false;
        }
        let place = format!("{}{pointer}", self.at);
        self.add(place.clone(), format!("{place}/metadata"), format!("{place}/spec"));
        true
    }

    fn add(&mut self, place: String, metadata: String, spec: String) {
        let (volumes, labels) = (Vec::new(), Vec::new());
        self.found.push(Template { name: name(self.object), place, metadata, spec, volumes, labels });
    }

    /// Claim templates are volumes of every pod.
    fn with_volumes(&mut self, pointer: &str) {
        let claims = self.object.pointer(pointer).and_then(Value::as_array);
        let names = claims.into_iter().flatten().filter_map(|claim| claim.pointer("/metadata/name")?.as_str());
        let names: Vec<_> = names.map(str::to_owned).collect();
        for template in &mut self.found {
            template.volumes.clone_from(&names);
        }
    }

    /// Labels the pods of the templates found from `from` on.
    fn with_label(&mut self, from: usize, key: &'static str, value: &str) {
        for template in self.found.iter_mut().skip(from) {
            template.labels.push((key, value.to_owned()));
        }
    }

    fn own_name(&self) -> &str {
        self.object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
    }

    /// Its controller labels every pod, the leaders' and the workers', with the set's name.
    fn leader_worker_set(&mut self) {
        self.template("/spec/leaderWorkerTemplate/leaderTemplate");
        self.template("/spec/leaderWorkerTemplate/workerTemplate");
        let name = self.own_name().to_owned();
        self.with_label(0, SET_NAME, &name);
    }

    /// A role's template is in the role itself (v1alpha1) or in one of its patterns (v1alpha2), or roles share one.
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
                // The pointer's way of writing a slash in a key.
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

    /// Labels and annotations of a clique are beside its spec, without `metadata` around them.
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
