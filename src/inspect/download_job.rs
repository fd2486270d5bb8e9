//! The Jobs of `download`, recognised and read.

use serde_json::Value;

use crate::admission::settings::Layout;
use crate::inspect::api::{Api, Error};
use crate::inspect::job_status::{condition, plain};
use crate::manifest::models::TOKENIZER_FILES;

/// The Job's volume of the model claim.
pub(crate) const MODEL_VOLUME: &str = "model-cache";

/// The Job's volume of the compile claim.
pub(crate) const COMPILE_VOLUME: &str = "compilation-cache";

/// The container that downloads.
pub(crate) const CONTAINER: &str = "download";

/// Where models are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hub<'s> {
    /// The claim.
    pub(crate) claim: &'s str,
    /// What the root of the claim is.
    pub(crate) layout: Layout,
}

/// Where the Job has the hub of a claim with this layout.
pub(crate) fn hub_path(layout: Layout) -> &'static str {
    match layout {
        Layout::Home => "/model-cache/hub",
        Layout::Hub => "/model-cache",
    }
}

/// A Job of `download`, with its newest pod.
#[derive(Clone)]
pub(crate) struct DownloadJob {
    /// The object of the Job.
    pub(crate) object: Value,
    /// Its newest pod; `None` if there is none, or if the user may not list pods.
    pub(crate) pod: Option<Value>,
}

/// What a finished Job has brought, as far as its pod still says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Downloaded {
    /// The commit to which the revision was resolved.
    pub(crate) commit: Option<String>,
    /// The size of its files.
    pub(crate) bytes: Option<u64>,
}

/// The model that a Job downloads; `None` if the Job is not one of `download`.
pub(crate) fn model(job: &Value) -> Option<&str> {
    variable(job, "MODEL")
}

/// The claim of the Job's volume with this name.
pub(crate) fn claim<'j>(job: &'j Value, volume: &str) -> Option<&'j str> {
    let volumes = job.pointer("/spec/template/spec/volumes")?.as_array()?;
    let volume = volumes.iter().find(|found| found["name"] == volume)?;
    volume.pointer("/persistentVolumeClaim/claimName")?.as_str()
}

fn variable<'j>(job: &'j Value, name: &str) -> Option<&'j str> {
    let variables = job.pointer("/spec/template/spec/containers/0/env")?.as_array()?;
    variables.iter().find(|variable| variable["name"] == name)?.get("value")?.as_str()
}

/// Lists the download Jobs of a namespace.
///
/// # Errors
/// The API server was not reached, or the user may not list Jobs.
pub(crate) async fn list(api: &Api, namespace: &str) -> Result<Vec<DownloadJob>, Error> {
    let mut objects = api.list(&format!("/apis/batch/v1/namespaces/{namespace}/jobs")).await?;
    objects.retain(|job| model(job).is_some());
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let selector = "labelSelector=batch.kubernetes.io/job-name";
    let mut pods = match api.select(&format!("/api/v1/namespaces/{namespace}/pods"), selector).await {
        Err(error) if error.is_forbidden() => Vec::new(),
        pods => pods?,
    };
    pods.sort_by_key(|pod| text(pod, "/metadata/creationTimestamp").to_owned());
    let with_pod = |object: Value| {
        let name = text(&object, "/metadata/name");
        let pod = pods.iter().rfind(|pod| text(pod, "/metadata/labels/batch.kubernetes.io~1job-name") == name).cloned();
        DownloadJob { object, pod }
    };
    Ok(objects.into_iter().map(with_pod).collect())
}

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

impl DownloadJob {
    /// The name of the Job.
    pub(crate) fn name(&self) -> &str {
        text(&self.object, "/metadata/name")
    }

    /// The model.
    pub(crate) fn model(&self) -> &str {
        model(&self.object).unwrap_or_default()
    }

    /// The revision as it was asked for.
    pub(crate) fn revision(&self) -> &str {
        variable(&self.object, "REVISION").unwrap_or_default()
    }

    /// The options that say which files are downloaded: `--include GLOB`, `--exclude GLOB`.
    pub(crate) fn patterns(&self) -> Vec<&str> {
        let args = self.object.pointer("/spec/template/spec/containers/0/args").and_then(Value::as_array);
        args.into_iter().flatten().skip(2).filter_map(Value::as_str).collect()
    }

    /// Whether it brings no more than a tokenizer and its configuration.
    pub(crate) fn is_of_tokenizer(&self) -> bool {
        let globs: Vec<_> = self.patterns().into_iter().filter(|pattern| *pattern != "--include").collect();
        globs == TOKENIZER_FILES
    }

    /// Whether it has brought its model to its claim.
    pub(crate) fn has_completed(&self) -> bool {
        condition(&self.object, "Complete").is_some()
    }

    /// Whether it was given up.
    pub(crate) fn has_failed(&self) -> bool {
        condition(&self.object, "Failed").is_some()
    }

    /// What it has brought, by the message of its pod.
    pub(crate) fn downloaded(&self) -> Downloaded {
        message(self.pod.as_ref(), CONTAINER).map(read_message).unwrap_or_default()
    }

    /// Whether it is about this revision of a model, in this hub: by the revision that it was asked for, or by the commit that it
    /// was.
    pub(crate) fn is_about(&self, model: &str, revision: &str, hub: Hub<'_>) -> bool {
        self.model() == model
            && self.is_of_revision(revision)
            && claim(&self.object, MODEL_VOLUME) == Some(hub.claim)
            && self.hub() == Some(hub_path(hub.layout))
    }

    /// Where it has the hub.
    pub(crate) fn hub(&self) -> Option<&str> {
        variable(&self.object, "HF_HUB_CACHE")
    }

    /// Whether it brings this revision: by the revision that it was asked for, or by the commit that it was.
    pub(crate) fn is_of_revision(&self, revision: &str) -> bool {
        self.revision() == revision || self.downloaded().commit.as_deref() == Some(revision)
    }
}

/// Reads the message that the script leaves when it has succeeded.
fn read_message(message: &str) -> Downloaded {
    let message = plain(message);
    let value = |key: &str| message.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    let is_commit = |text: &&str| text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    Downloaded {
        commit: value("commit").filter(is_commit).map(str::to_owned),
        bytes: value("bytes").and_then(|bytes| bytes.parse().ok()),
    }
}

/// The message that a container of a Job's pod has left.
pub(crate) fn message<'p>(pod: Option<&'p Value>, container: &str) -> Option<&'p str> {
    let lists = ["/status/containerStatuses", "/status/initContainerStatuses"];
    let mut statuses = lists.iter().filter_map(|list| pod?.pointer(list)?.as_array()).flatten();
    statuses.find(|status| status["name"] == container)?.pointer("/state/terminated/message")?.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{DownloadJob, Downloaded, Hub, message, read_message};
    use crate::admission::settings::Layout;

    const COMMIT: &str = "c1899de289a04d12100db370d81485cdf75e47ca";

    #[test]
    fn a_message_is_that_of_the_container_of_the_name() {
        let status = |name: &str| json!({"name": name, "state": {"terminated": {"message": format!("of {name}")}}});
        let pod = json!({"status": {
            "containerStatuses": [status("proxy"), status("download")],
            "initContainerStatuses": [status("proxy-init"), status("client")],
        }});
        let found = |name| message(Some(&pod), name);
        assert_eq!((found("download"), found("client")), (Some("of download"), Some("of client")));
        assert_eq!((found("none"), message(None, "client")), (None, None));
    }

    #[test]
    fn a_finished_job_says_which_commit_it_has_brought() {
        let whole = Downloaded { commit: Some(COMMIT.to_owned()), bytes: Some(12) };
        assert_eq!(read_message(&format!("uid 1000\nwrote\ncommit {COMMIT}\nbytes 12\n")), whole);
        assert_eq!(read_message("uid 1000\nwrote\ncommit none\nbytes -1\ncommitted x"), Downloaded::default());
        let container = json!({"name": "download", "args": ["script", "download", "--include", "*.json"], "env": [
            {"name": "MODEL", "value": "a/b"}, {"name": "REVISION", "value": "main"},
            {"name": "HF_HUB_CACHE", "value": "/model-cache"},
        ]});
        let volumes = json!([{"name": "model-cache", "persistentVolumeClaim": {"claimName": "models"}}]);
        let object = json!({"spec": {"template": {"spec": {"containers": [container], "volumes": volumes}}}});
        let terminated = json!({"terminated": {"message": format!("commit {COMMIT}")}});
        let pod = json!({"status": {"containerStatuses": [{"name": "download", "state": terminated}]}});
        let job = DownloadJob { object, pod: Some(pod) };
        assert_eq!(job.patterns(), ["--include", "*.json"]);
        let hub = Hub { claim: "models", layout: Layout::Hub };
        assert!(job.is_about("a/b", "main", hub) && job.is_about("a/b", COMMIT, hub));
        assert!(!job.is_about("a/b", "v1", hub) && !job.is_about("a/b", "main", Hub { claim: "other", ..hub }));
        assert!(!job.is_about("a/b", "main", Hub { layout: Layout::Home, ..hub }));
        assert!(!job.has_completed() && !job.has_failed());
    }
}
