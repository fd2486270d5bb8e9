//! What the API server wrote into its audit log.

use std::fs;

use serde_json::Value;

use super::ControlPlane;
use super::namespace::Namespace;

impl ControlPlane {
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
