//! The pods of objects whose kinds are known.

use serde_json::Value;

use super::kinds::{Elsewhere, KINDS, Kind, Metadata, Pods, Shape};
use super::object::Type;
use super::pointer::expand;
use super::search::{SET_NAME, Search};
use super::{Pod, role_based_group};

impl Search<'_> {
    /// Finds the pods of an object of a known kind; `false` if the kind is unknown.
    pub(super) fn known_kind(&mut self, kind: Type<'_>) -> bool {
        let Some(Kind { pods, elsewhere, .. }) = KINDS.iter().find(|known| kind.is(known.group, known.name)) else {
            return false;
        };
        for Pods(pattern, shape) in *pods {
            for pointer in expand(self.object, pattern) {
                self.shape(&pointer, shape);
            }
        }
        let has = |pointer: &str| self.object.pointer(pointer).is_some_and(|value| !value.is_null());
        let hidden: Vec<_> =
            elsewhere.iter().filter(|Elsewhere(part, pods)| has(part) && !has(pods)).map(|hidden| hidden.0).collect();
        match hidden.as_slice() {
            // The name of the object says it all.
            [_] if self.found.is_empty() => self.hide(""),
            hidden => hidden.iter().for_each(|part| self.hide(part)),
        }
        true
    }

    /// Adds the pods that something at a pointer describes.
    fn shape(&mut self, pointer: &str, shape: &Shape) {
        match shape {
            Shape::Template => self.template(pointer),
            Shape::WithClaims(claims) => {
                self.template(pointer);
                self.with_volumes(0, claims);
            }
            Shape::Spec(metadata) => self.spec(pointer, *metadata),
            Shape::Set => self.set(pointer),
            Shape::Roles => role_based_group::add_roles(self, pointer),
            Shape::Cliques => self.cliques(pointer),
            Shape::RayNode => self.ray_node(pointer),
        }
    }

    /// Adds the value at a pointer below the object as the spec of a pod. What may be something else must have containers.
    fn spec(&mut self, pointer: &str, metadata: Metadata) {
        let has_containers = self.object.pointer(&format!("{pointer}/containers")).is_some();
        if !has_containers && !matches!(metadata, Metadata::OfTheObject) {
            return;
        }
        let around = pointer.rsplit_once('/').map_or("", |(around, _)| around);
        let spec = format!("{}{pointer}", self.at);
        let own = match metadata {
            Metadata::OfTheObject => Some(format!("{}/metadata", self.at)),
            Metadata::InTheSpec => Some(spec.clone()),
            Metadata::Around | Metadata::Nowhere => None,
        };
        let mut template = self.new_template(spec.clone(), Pod::Parts { metadata: own, spec });
        match metadata {
            Metadata::Around => template.inherit(self.object.pointer(around)),
            // KServe copies what the object itself has, too.
            Metadata::InTheSpec => template.inherit(self.object.get("metadata")),
            Metadata::OfTheObject | Metadata::Nowhere => {}
        }
        let has = |pointer: String| self.object.pointer(&pointer).is_some();
        // A LeaderWorkerSet, of a size that follows from the parallelism, or a predictor with its workers.
        let is_one_of_several = match metadata {
            Metadata::Around => has(format!("{around}/worker")) || pointer.ends_with("/workerSpec"),
            Metadata::InTheSpec => has(format!("{pointer}/workerSpec")),
            Metadata::OfTheObject | Metadata::Nowhere => false,
        };
        if is_one_of_several {
            template.labels.push((SET_NAME.to_owned(), self.own_name().to_owned()));
        }
        self.found.push(template);
    }

    /// Adds the pods of a `LeaderWorkerSet`.
    fn set(&mut self, pointer: &str) {
        let from = self.found.len();
        for template in ["leaderTemplate", "workerTemplate"] {
            for template in expand(self.object, &format!("{pointer}/{template}")) {
                self.template(&template);
            }
        }
        let size = self.object.pointer(&format!("{pointer}/size")).and_then(Value::as_u64);
        let name = self.own_name();
        self.of_set(from, name, size);
        self.with_volumes(from, &format!("{pointer}/volumeClaimTemplates"));
    }

    /// Adds a pod in which `KubeRay` puts `ray start` before the command of the first container, unless an annotation says that the
    /// command does it itself. <https://docs.ray.io/en/latest/cluster/kubernetes/user-guides/pod-command.html>
    fn ray_node(&mut self, pointer: &str) {
        self.template(pointer);
        let name = self.own_name();
        let own = self.object.pointer(&format!("{pointer}/metadata/annotations/ray.io~1overwrite-container-cmd"));
        if own.and_then(Value::as_str) != Some("true")
            && let Some(template) = self.found.last_mut()
        {
            // The mark of any pod that is one of several.
            template.labels.push((SET_NAME.to_owned(), name.to_owned()));
        }
    }

    /// A clique's labels and annotations are beside its spec, not in a `metadata` of their own.
    fn cliques(&mut self, pointer: &str) {
        let list = |below: &str| {
            self.object.pointer(&format!("{pointer}/{below}")).and_then(Value::as_array).into_iter().flatten()
        };
        let cliques: Vec<_> = list("cliques").map(|clique| clique.get("name")).collect();
        let groups = list("podCliqueScalingGroups").filter_map(|group| {
            let cliques = group.get("cliqueNames")?.as_array()?;
            Some((group.get("name")?.as_str()?, cliques))
        });
        let groups: Vec<_> = groups.collect();
        for (index, name) in cliques.into_iter().enumerate() {
            let clique = format!("{}{pointer}/cliques/{index}", self.at);
            let spec = format!("{clique}/spec/podSpec");
            let mut template = self.new_template(spec.clone(), Pod::Parts { metadata: Some(clique), spec });
            let group = groups.iter().find(|(_, cliques)| name.is_some_and(|name| cliques.contains(name)));
            if let Some((group, _)) = group {
                template.labels.push(("grove.io/podcliquescalinggroup".to_owned(), (*group).to_owned()));
            }
            self.found.push(template);
        }
    }
}
