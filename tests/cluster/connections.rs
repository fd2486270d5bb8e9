//! What hostile callers cannot do to a cluster whose pods wait for the webhook.

use serde_json::json;

use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::{ControlPlane, shared, webhook};
use crate::harness::hostile_connections::{CONNECTION_LIMIT, silent_connections};
use crate::harness::pods::{status, worker};
use crate::harness::wait_for;

/// The policy of the entry for pods; `Ignore` again when this ends.
struct Policy(&'static ControlPlane);

impl Policy {
    fn fail(plane: &'static ControlPlane) -> Self {
        let policy = Policy(plane);
        policy.set("Fail");
        policy
    }

    fn set(&self, policy: &str) {
        let is_for_pods = json!({"op": "test", "path": "/webhooks/0/name", "value": "pods.dynamo-cache.io"});
        let replace = json!({"op": "replace", "path": "/webhooks/0/failurePolicy", "value": policy});
        let patch = json!([is_for_pods, replace]).to_string();
        let configuration = ["mutatingwebhookconfiguration", "dynamo-cache", "--type=json", "--patch", &patch];
        self.0.kubectl(&[&["patch"], configuration.as_slice()].concat()).unwrap();
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        self.set("Ignore");
    }
}

#[test]
fn silent_connections_keep_no_api_server_out_that_has_no_connection_yet() {
    let mut webhook = webhook::stopped();
    let namespace = Namespace::opted_in(shared(), &[]);
    let _policy = Policy::fail(shared());
    wait_for("a pod that waits for the webhook", || match namespace.create(&worker("early").to_string()) {
        Ok(_) => Err("it was created without".to_owned()),
        Err(why) if why.contains("failed calling webhook") => Ok(()),
        Err(why) => Err(why),
    });
    webhook.start_while_others_wait();
    let silent = silent_connections(webhook.address(), 2 * CONNECTION_LIMIT);
    for number in 0..10 {
        let name = format!("cold-{number}");
        namespace.create(&worker(&name).to_string()).unwrap();
        assert!(status(&namespace.pod(&name)).is_object(), "{name}");
    }
    drop(silent);
}
