//! What the API server wrote into its audit log.

use std::fs;

use serde_json::Value;

use super::ControlPlane;
use super::namespace::Namespace;

impl ControlPlane {
    /// What the webhook's ServiceAccount has asked for so far: verb, resource and its group, and whether it was allowed.
    pub(crate) fn asked(&self) -> Vec<(String, String, bool)> {
        let log = fs::read_to_string(&self.audit_log).unwrap();
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let own = events.filter(|event| event["user"]["username"] == "system:serviceaccount:dynamo-cache:dynamo-cache");
        own.map(|event| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (resource, group) = (&event["objectRef"]["resource"], text(&event["objectRef"]["apiGroup"]));
            let resource = if group.is_empty() { text(resource) } else { format!("{}.{group}", text(resource)) };
            let allowed = event["annotations"]["authorization.k8s.io/decision"] == "allow";
            (text(&event["verb"]), resource, allowed)
        })
        .collect()
    }

    /// The annotations on the creation of each pod in a namespace, oldest first. The log names no pod: that stands in the
    /// body of the request, and the log holds metadata only.
    pub(crate) fn audit(&self, namespace: &Namespace) -> Vec<Value> {
        let log = fs::read_to_string(&self.audit_log).unwrap();
        // The last line may be half written.
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let ours = events.filter(|event| {
            event["verb"] == "create"
                && event["objectRef"]["namespace"] == namespace.name
                && event["objectRef"].get("subresource").is_none()
        });
        ours.map(|mut event| event["annotations"].take()).collect()
    }
}
