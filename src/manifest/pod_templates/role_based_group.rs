//! The pods of a RoleBasedGroup: each role has a template of its own, or a shared one with a patch.

use serde_json::Value;

use super::Pod;
use super::pointer::expand;
use super::search::Search;
use super::strategic_merge::merge;

/// How a role names its shared template, and where the patches for it are: v1alpha1, and two patterns of v1alpha2.
struct Pattern {
    /// What contains `template` or `templateRef`, below the role.
    at: &'static str,
    /// The patch of the shared template.
    patch: &'static str,
    /// The patches for the leader and the workers, if they differ.
    groups: [&'static str; 2],
    /// The number of pods in a group.
    size: &'static str,
}

const PATTERNS: [Pattern; 3] = [
    Pattern {
        at: "",
        patch: "/templatePatch",
        groups: ["/leaderWorkerSet/patchLeaderTemplate", "/leaderWorkerSet/patchWorkerTemplate"],
        size: "/leaderWorkerSet/size",
    },
    Pattern { at: "/standalonePattern", patch: "/standalonePattern/templateRef/patch", groups: ["", ""], size: "" },
    Pattern {
        at: "/leaderWorkerPattern",
        patch: "/leaderWorkerPattern/templateRef/patch",
        groups: ["/leaderWorkerPattern/leaderTemplatePatch", "/leaderWorkerPattern/workerTemplatePatch"],
        size: "/leaderWorkerPattern/size",
    },
];

/// Adds the pods of every role of the group whose spec is at a pointer.
pub(super) fn add_roles(search: &mut Search<'_>, group: &str) {
    for role in expand(search.object, &format!("{group}/roles/*")) {
        let from = search.found.len();
        for pattern in &PATTERNS {
            add_pattern(search, group, &role, pattern);
        }
        for components in ["components", "customComponentsPattern/components"] {
            for template in expand(search.object, &format!("{role}/{components}/*/template")) {
                search.template(&template);
            }
        }
        let text = |pointer: &str| search.object.pointer(&format!("{role}{pointer}")).and_then(Value::as_str);
        // `~1` is a slash in a JSON Pointer.
        let workload =
            text("/workload/kind").or_else(|| text("/annotations/rbg.workloads.x-k8s.io~1role-workload-type"));
        if workload.is_some_and(|workload| workload.ends_with("LeaderWorkerSet")) {
            let name = text("/name").unwrap_or_default().to_owned();
            let sizes = PATTERNS.iter().filter(|pattern| !pattern.size.is_empty());
            let mut sizes = sizes.filter_map(|pattern| search.object.pointer(&format!("{role}{}", pattern.size)));
            let size = sizes.next().and_then(Value::as_u64);
            search.of_set(from, &name, size);
        }
    }
}

/// Adds the pods of a role in one pattern, if it has it.
fn add_pattern(search: &mut Search<'_>, group: &str, role: &str, pattern: &Pattern) {
    let object = search.object;
    let at = |below: &str| object.pointer(&format!("{role}{below}")).filter(|value| !value.is_null());
    let reference = at(&format!("{}/templateRef", pattern.at));
    let own = at(&format!("{}/template", pattern.at));
    let patches = pattern.groups.map(|patch| if patch.is_empty() { None } else { at(patch) });
    let has_groups = patches.iter().any(Option::is_some);
    // The template of all pods of the role, its pointer, and the patch of the reference.
    let (shared, base, patch) = match (reference, own) {
        (None, None) => return,
        (None, Some(_)) if !has_groups => {
            search.template(&format!("{role}{}/template", pattern.at));
            return;
        }
        (None, own) => (own, format!("{role}{}/template", pattern.at), None),
        (Some(reference), _) => {
            let name = reference.get("name");
            let templates = object.pointer(&format!("{group}/roleTemplates")).and_then(Value::as_array);
            let index = templates.into_iter().flatten().position(|template| template.get("name") == name);
            let base = format!("{group}/roleTemplates/{}/template", index.unwrap_or_default());
            (index.and_then(|_| object.pointer(&base)), base, at(pattern.patch))
        }
    };
    if !has_groups {
        search.patched(&format!("{role}{}", pattern.patch), &base, shared.cloned(), patch);
        return;
    }
    let shared = shared.and_then(|shared| patch.map_or_else(|| Some(shared.clone()), |patch| merge(shared, patch)));
    for (pointer, patch) in pattern.groups.into_iter().zip(patches) {
        search.patched(&format!("{role}{pointer}"), &base, shared.clone(), patch);
    }
}

impl Search<'_> {
    /// Adds the template that another one becomes with the patch at a pointer. The other one begins at `base`.
    fn patched(&mut self, pointer: &str, base: &str, template: Option<Value>, patch: Option<&Value>) {
        let pod = template.as_ref().and_then(|template| match patch {
            Some(patch) => merge(template, patch),
            None => Some(template.clone()),
        });
        let (Some(template), Some(pod)) = (template, pod) else { return self.hide(pointer) };
        let (patch, base) = (format!("{}{pointer}", self.at), format!("{}{base}", self.at));
        let template = self.new_template(patch.clone(), Pod::Patched { pod, patch, template, base });
        self.found.push(template);
    }
}
