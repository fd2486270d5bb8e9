//! The user and groups with which Jobs work on claims: those of the components in the namespace where they agree.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::admission::cache::Cache;
use crate::cli::Id;
use crate::inspect::pod;
use crate::inspect::pod::OnVolume;

/// The fields of a pod's security context that decide whether it can write to a volume.
const FIELDS: [&str; 4] = ["runAsUser", "runAsGroup", "fsGroup", "supplementalGroups"];

/// The user of Dynamo's images; its group is 0.
const DYNAMO: i64 = 1000;

/// The users and groups of the components in a namespace.
#[derive(Default)]
pub(crate) struct Users {
    /// What the security contexts of all of them say; empty if they differ, `None` if there is none.
    agreed: Option<Map<String, Value>>,
    /// By the name of a claim, the first component that has a model cache on it, with its user and groups.
    models: BTreeMap<String, String>,
}

impl Users {
    /// Adds those of a component.
    pub(crate) fn add(&mut self, pod: &Value) {
        let context = of_pod(pod);
        for claim in model_claims(pod) {
            if !self.models.contains_key(claim) {
                let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
                self.models.insert(claim.to_owned(), format!("pod {name} ({})", describe(&context, None)));
            }
        }
        match &mut self.agreed {
            None => self.agreed = Some(context),
            Some(agreed) if *agreed != context => agreed.clear(),
            Some(_) => {}
        }
    }

    /// The component that has a model cache on a claim, with its user and groups, if there is one.
    pub(crate) fn of_model(&self, claim: &str) -> Option<String> {
        self.models.get(claim).cloned()
    }
}

/// The security context of a Job: what the options say, else what all components have, else the user of Dynamo's images.
pub(crate) fn resolve(components: &Users, user: Option<Id>, fs_group: Option<Id>) -> Map<String, Value> {
    let mut context = components.agreed.clone().unwrap_or_default();
    let uid = match user {
        Some(id) => {
            context.remove("runAsGroup");
            id.0
        }
        // The Job's pod meets the Pod Security Standard `restricted`, which allows no root.
        None => context.get("runAsUser").and_then(Value::as_i64).filter(|user| *user != 0).or(Some(DYNAMO)),
    };
    if let Some(uid) = uid {
        context.insert("runAsUser".to_owned(), uid.into());
        context.entry("runAsGroup").or_insert(0.into());
    }
    if let Some(group) = fs_group.and_then(|id| id.0) {
        context.insert("fsGroup".to_owned(), group.into());
    }
    remove_declined(&mut context, user, fs_group);
    context
}

/// Removes what `none` leaves to the cluster.
pub(crate) fn remove_declined(context: &mut Map<String, Value>, user: Option<Id>, fs_group: Option<Id>) {
    let user = user.is_some_and(|id| id.0.is_none());
    let group = fs_group.is_some_and(|id| id.0.is_none());
    context.retain(|field, _| match field.as_str() {
        "runAsUser" | "runAsGroup" => !user,
        "fsGroup" | "fsGroupChangePolicy" => !group,
        _ => true,
    });
}

fn of_pod(pod: &Value) -> Map<String, Value> {
    let context = pod.pointer("/spec/securityContext").and_then(Value::as_object);
    let fields = context.into_iter().flatten().filter(|(name, value)| FIELDS.contains(&&***name) && !value.is_null());
    fields.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// A security context in words. The user that a process has reported is the right one.
pub(crate) fn describe(context: &Map<String, Value>, reported: Option<u32>) -> String {
    let number = |field: &str| context.get(field).and_then(Value::as_i64);
    let user = reported.map(i64::from).or(number("runAsUser"));
    let mut words = vec![user.map_or_else(|| "the image's user".to_owned(), |user| format!("user {user}"))];
    words.extend(number("runAsGroup").map(|group| format!("group {group}")));
    words.extend(number("fsGroup").map(|group| format!("fsGroup {group}")));
    let groups = context.get("supplementalGroups").and_then(Value::as_array).into_iter().flatten();
    let groups: Vec<_> = groups.map(Value::to_string).collect();
    if !groups.is_empty() {
        words.push(format!("supplementalGroups {}", groups.join(" and ")));
    }
    words.join(", ")
}

/// The claims on which a pod has a model cache.
fn model_claims(pod: &Value) -> impl Iterator<Item = &str> {
    let status = pod::status(pod);
    let lists = ["/spec/containers", "/spec/initContainers"].into_iter();
    let containers = lists.filter_map(|list| pod.pointer(list)?.as_array()).flatten();
    containers.filter_map(move |container| {
        let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
        let hub = OnVolume::of_variable(pod, container, "HF_HUB_CACHE")?;
        hub.claim().filter(|_| status.as_ref().is_some_and(|status| status.has(name, Cache::Model)))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Users, describe, resolve};
    use crate::cli::{Check, Cli, Command};

    fn users(pods: &[Value]) -> Users {
        let mut users = Users::default();
        for pod in pods {
            users.add(pod);
        }
        users
    }

    fn resolved(contexts: &[Value], arguments: &[&str]) -> Value {
        let typed: Vec<_> =
            [&["dynamo-cache", "check", "--write-probe"], arguments].concat().iter().map(Into::into).collect();
        let Command::Check(Check { probe, .. }) = Cli::read(&typed).unwrap().command else { panic!() };
        let pods: Vec<_> = contexts.iter().map(|context| json!({"spec": {"securityContext": context}})).collect();
        resolve(&users(&pods), probe.probe_user, probe.probe_fs_group).into()
    }

    #[test]
    fn the_probe_runs_as_the_components_do_where_they_agree() {
        let today = json!({"runAsUser": 1000, "runAsGroup": 0});
        let operator = json!({"fsGroup": 1000});
        let own = json!({"runAsUser": 7, "runAsGroup": 8, "fsGroup": 9, "supplementalGroups": [5, 6]});
        let with_policy = json!({"fsGroup": 1000, "fsGroupChangePolicy": "OnRootMismatch", "runAsUser": null});
        let of_operator = json!({"runAsUser": 1000, "runAsGroup": 0, "fsGroup": 1000});
        for (contexts, context) in [
            (&[][..], &today),
            (&[Value::Null], &today),
            (&[operator.clone(), with_policy], &of_operator),
            (&[operator.clone(), json!({})], &today),
            (&[operator.clone(), own.clone()], &today),
            (&[own.clone(), own.clone()], &own),
            (&[operator.clone(), json!({}), json!({})], &today),
            (&[json!({"runAsUser": 0})], &today),
        ] {
            assert_eq!(resolved(contexts, &[]), *context, "{contexts:?}");
        }
    }

    #[test]
    fn an_option_wins_over_what_the_components_have() {
        let own = [json!({"runAsUser": 7, "runAsGroup": 8, "fsGroup": 9})];
        for (arguments, context) in [
            (&["--probe-user", "3"][..], json!({"runAsUser": 3, "runAsGroup": 0, "fsGroup": 9})),
            (&["--probe-user", "none"], json!({"fsGroup": 9})),
            (&["--probe-fs-group", "3"], json!({"runAsUser": 7, "runAsGroup": 8, "fsGroup": 3})),
            (&["--probe-fs-group", "none"], json!({"runAsUser": 7, "runAsGroup": 8})),
            (&["--probe-user", "none", "--probe-fs-group", "none"], json!({})),
        ] {
            assert_eq!(resolved(&own, arguments), context, "{arguments:?}");
        }
    }

    #[test]
    fn the_component_that_has_a_model_cache_on_the_claim_is_named() {
        let pod = |caches: &[&str]| {
            let status = json!({"version": "1", "containers": {"main": caches}, "skipped": []}).to_string();
            let volume = |claim: &str| json!({"name": claim, "persistentVolumeClaim": {"claimName": claim}});
            let container = json!({
                "name": "main",
                "env": [{"name": "HF_HUB_CACHE", "value": "/m/hub"}, {"name": "VLLM_CACHE_ROOT", "value": "/c/key"}],
                "volumeMounts": [{"name": "models", "mountPath": "/m"}, {"name": "compiled", "mountPath": "/c"}],
            });
            json!({
                "metadata": {"name": "worker", "annotations": {"dynamo-cache.io/status": status}},
                "spec": {
                    "securityContext": {"fsGroup": 1000, "supplementalGroups": [5, 6]},
                    "volumes": [volume("models"), volume("compiled")],
                    "containers": [container],
                },
            })
        };
        let named = "pod worker (the image's user, fsGroup 1000, supplementalGroups 5 and 6)".to_owned();
        let both = pod(&["model", "compile"]);
        let mut later = both.clone();
        later["metadata"]["name"] = json!("later");
        let all = users(&[pod(&["compile"]), both, later]);
        assert_eq!(all.of_model("models"), Some(named));
        assert_eq!(all.of_model("compiled"), None, "a compile cache has nothing that has to be kept");
        assert_eq!(users(&[pod(&["compile"])]).of_model("models"), None);
        let context = resolved(&[json!({"fsGroup": 0})], &[]);
        assert_eq!(describe(context.as_object().unwrap(), Some(7)), "user 7, group 0, fsGroup 0");
    }
}
