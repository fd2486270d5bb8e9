//! Creates a staged worker as a dry run, so that the API server itself reports whether a namespace takes the containers that
//! mode `staged` adds.

use serde_json::{Value, json};

use crate::admission::annotation::{INJECT, PREFIX};
use crate::admission::names::STAGE_CONTAINER;
use crate::command::check::catalog::CheckId;
use crate::command::check::report::Report;
use crate::inspect::api::{Api, Error};
use crate::inspect::pod;
use crate::manifest::context::DecisionContext;
use crate::manifest::inject;
use crate::manifest::input::embedded_json;

const CHECK: CheckId = CheckId::Staging;

/// Checks that a namespace takes a staged worker: its quotas, limits and Pod Security level decide about each container.
///
/// # Errors
/// The API server was not reached, or the worker cannot be decided about.
pub(super) async fn check(
    api: &Api,
    namespace: &str,
    context: &DecisionContext,
    report: &mut Report,
) -> anyhow::Result<()> {
    if report.has_failed(CheckId::CompileClaim) {
        report.depends_on(CHECK, CheckId::CompileClaim);
        return Ok(());
    }
    let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
    let mut refusal = String::new();
    for resources in [json!({}), amounts("1", "1Gi")] {
        let mut worker = worker(resources);
        let taken = match create(api, &path, worker.clone()).await? {
            Ok(taken) => taken,
            Err(message) => {
                refusal = message;
                continue;
            }
        };
        // The webhook comes after a LimitRange has filled in what a container leaves open.
        worker["spec"]["containers"][0]["resources"] =
            taken.pointer("/spec/containers/0/resources").cloned().unwrap_or_default();
        let staged = inject::inject(worker, context, &[])?.after;
        if pod::init_container(&staged, STAGE_CONTAINER).is_none() {
            report.not_checked(CHECK, "a worker of this namespace is not staged: dynamo-cache explain shows why");
            return Ok(());
        }
        match create(api, &path, staged).await? {
            Ok(_) => report.ok(CHECK, "the API server takes a staged worker, as a dry run"),
            Err(message) => {
                let text = format!("the API server takes a worker, but not a staged one: {message}");
                report.fail(CHECK, text, hint(&message, namespace));
            }
        }
        return Ok(());
    }
    report.not_checked(CHECK, format!("the API server takes no worker, staged or not: {refusal}"));
    Ok(())
}

/// A vLLM worker that meets the Pod Security Standard `restricted`.
fn worker(resources: Value) -> Value {
    let mut pod = embedded_json(include_str!("staging.json"));
    pod["spec"]["containers"][0]["resources"] = resources;
    pod
}

/// The same requests and limits.
fn amounts(cpu: &str, memory: &str) -> Value {
    let amounts = json!({"cpu": cpu, "memory": memory});
    json!({"requests": amounts, "limits": amounts})
}

/// The pod as the API server would store it, or why the API server refuses it. The webhook leaves it as it is: what it would add
/// is there already, or is missing on purpose.
async fn create(api: &Api, path: &str, mut pod: Value) -> Result<Result<Value, String>, Error> {
    pod["metadata"]["annotations"][format!("{PREFIX}{INJECT}")] = "false".into();
    match api.create(path, &pod).await {
        Ok(pod) => Ok(Ok(pod)),
        Err(Error::Refused { message, .. }) => Ok(Err(message)),
        Err(unreachable) => Err(unreachable),
    }
}

/// What to do about a refusal.
fn hint(message: &str, namespace: &str) -> String {
    let has = |part: &str| message.contains(part);
    if has("exceeded quota") || has("must specify") {
        format!("kubectl describe resourcequotas -n {namespace}; staging.resources sets what the stage asks for")
    } else if has("usage per") || has("ratio") {
        format!("kubectl describe limitranges -n {namespace}; staging.resources sets what the stage asks for")
    } else if has("PodSecurity") {
        format!("kubectl describe namespace {namespace}")
    } else {
        format!("dynamo-cache.io/compile-mode: direct on namespace {namespace} does without these containers")
    }
}

#[cfg(test)]
mod tests {
    use super::hint;

    #[test]
    fn each_refusal_has_its_hint() {
        for (message, leads) in [
            ("pods \"x\" is forbidden: exceeded quota: few, requested: requests.cpu=1", "resourcequotas -n n"),
            ("pods \"x\" is forbidden: failed quota: few: must specify limits.cpu", "staging.resources"),
            ("pods \"x\" is forbidden: minimum memory usage per Container is 1Gi", "limitranges -n n"),
            ("pods \"x\" is forbidden: cpu max limit to request ratio per Container is 2", "limitranges -n n"),
            ("pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\"", "namespace n"),
            ("admission webhook \"policy\" denied the request: no emptyDir", "compile-mode: direct"),
        ] {
            assert!(hint(message, "n").contains(leads), "{message}");
        }
    }
}
