//! Builds a Job that works on a claim.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::manifest::input::embedded_json;

/// The name of the container that works.
pub(crate) const CONTAINER: &str = "dynamo-cache";

/// Where the claim is mounted.
pub(crate) const MOUNT: &str = "/claim";

/// The program, in the image that has it.
const PROGRAM: &str = "/dynamo-cache";

/// How long beyond its timeout the Job may run, in seconds.
const GRACE_SECONDS: u64 = 60;

/// How long the cluster keeps a finished Job that was not removed, in seconds: an API server that is away for a while still has the
/// log when it is back.
const KEPT_SECONDS: u64 = 600;

/// What the Jobs have in common.
pub(crate) struct Template {
    /// The image that has dynamo-cache.
    pub(crate) image: String,
    /// The security context of the pods: the workers' user and groups.
    pub(crate) security: Map<String, Value>,
    /// How long a Job may take.
    pub(crate) timeout: Duration,
}

impl Template {
    /// A Job that runs dynamo-cache with these arguments on a claim. Its pod meets the Pod Security Standard `restricted` unless
    /// its user is root.
    pub(crate) fn job(&self, purpose: &str, claim: &str, is_read_only: bool, args: &[String]) -> Value {
        let mut job = embedded_json(include_str!("job.json"));
        job["metadata"]["generateName"] = format!("dynamo-cache-{purpose}-").into();
        let spec = &mut job["spec"];
        spec["activeDeadlineSeconds"] = self.timeout.as_secs().saturating_add(GRACE_SECONDS).into();
        spec["ttlSecondsAfterFinished"] = KEPT_SECONDS.into();
        let pod = &mut spec["template"]["spec"];
        for (field, value) in &self.security {
            pod["securityContext"][field] = value.clone();
        }
        if self.security.get("runAsUser").is_some_and(|user| user == 0) {
            pod["securityContext"]["runAsNonRoot"] = false.into();
        }
        pod["volumes"][0]["persistentVolumeClaim"]["claimName"] = claim.into();
        let container = &mut pod["containers"][0];
        container["image"] = self.image.as_str().into();
        container["command"] = std::iter::once(PROGRAM).chain(args.iter().map(String::as_str)).collect();
        if is_read_only {
            container["volumeMounts"][0]["readOnly"] = true.into();
            // Else the kubelet would give all of the claim to the fsGroup.
            pod["volumes"][0]["persistentVolumeClaim"]["readOnly"] = true.into();
        }
        job
    }
}

/// Makes a Job run scripts with the client of the hub instead: one that installs the client if the image has none, and one that
/// works on the claim.
pub(crate) fn client(mut job: Value, image: &str, install: &str, script: &str, variables: &[(&str, &str)]) -> Value {
    let pod = &mut job["spec"]["template"]["spec"];
    let volumes = ["client", "tmp"].map(|name| json!({"name": name, "emptyDir": {}}));
    let mounts = ["client", "tmp"].map(|name| json!({"name": name, "mountPath": format!("/{name}")}));
    let mut main = pod["containers"][0].take();
    main["image"] = image.into();
    main["resources"] =
        json!({"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}});
    let mut environment = vec![json!({"name": "HOME", "value": "/tmp"})];
    environment.extend(variables.iter().map(|(name, value)| json!({"name": name, "value": value})));
    let mut init = main.clone();
    // The init container runs what it installs, and must not reach the claim.
    init["name"] = "client".into();
    init["command"] = json!(["bash", "-c", install]);
    init["env"] = json!([environment[0]]);
    init["volumeMounts"] = json!(mounts);
    main["command"] = json!(["bash", "-c", script]);
    main["env"] = json!(environment);
    let claim = main["volumeMounts"][0].take();
    let read_only = json!({"name": "client", "mountPath": "/client", "readOnly": true});
    main["volumeMounts"] = json!([claim, read_only, mounts[1]]);
    let of_claim = pod["volumes"][0].take();
    pod["volumes"] = std::iter::once(of_claim).chain(volumes).collect();
    pod["initContainers"] = json!([init]);
    pod["containers"] = json!([main]);
    job
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::{Template, client};

    #[test]
    fn the_job_mounts_one_claim_and_is_root_only_on_request() {
        let mut template = Template {
            image: "tool:1".to_owned(),
            security: json!({"runAsUser": 7, "fsGroup": 0}).as_object().cloned().unwrap(),
            timeout: Duration::from_secs(90),
        };
        let job = template.job("usage", "models", true, &["measure".to_owned(), "/claim".to_owned()]);
        let pod = &job["spec"]["template"]["spec"];
        assert_eq!(job["spec"]["activeDeadlineSeconds"], 150, "the cluster ends a Job that cannot be removed");
        let claim = json!({"claimName": "models", "readOnly": true});
        assert_eq!(pod["volumes"], json!([{"name": "claim", "persistentVolumeClaim": claim}]));
        let mount = json!([{"name": "claim", "mountPath": "/claim", "readOnly": true}]);
        assert_eq!(pod["containers"][0]["volumeMounts"], mount);
        assert_eq!(pod["containers"][0]["command"], json!(["/dynamo-cache", "measure", "/claim"]));
        let security = json!({
            "runAsNonRoot": true, "runAsUser": 7, "fsGroup": 0, "seccompProfile": {"type": "RuntimeDefault"},
        });
        assert_eq!(pod["securityContext"], security);
        template.security.insert("runAsUser".to_owned(), 0.into());
        let job = template.job("prune", "models", false, &[]);
        assert_eq!(job["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"], false);

        let job = client(job, "python:1", "install", "script", &[("TARGET", "model/a")]);
        let pod = &job["spec"]["template"]["spec"];
        let mounts = json!([
            {"name": "claim", "mountPath": "/claim"},
            {"name": "client", "mountPath": "/client", "readOnly": true},
            {"name": "tmp", "mountPath": "/tmp"},
        ]);
        assert_eq!(pod["containers"][0]["volumeMounts"], mounts);
        assert_eq!(pod["initContainers"][0]["volumeMounts"].as_array().map(Vec::len), Some(2), "it has no claim");
        assert_eq!(pod["volumes"].as_array().map(Vec::len), Some(3));
    }
}
