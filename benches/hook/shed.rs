//! Creations while the server has no room: how often the API server comes again, and what that costs.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use kube::Client;

use crate::caller::Caller;
use crate::create::{create, worker};
use crate::harness::control_plane::ControlPlane;
use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::webhook::Webhook;
use crate::harness::pods::status;

const CREATIONS: usize = 20;

/// Bodies that together take the whole budget, as soon as they are announced.
const HELD: [usize; 4] = [16 * 1024 * 1024; 4];

/// Prints handshakes and answers for creations of which each was shed.
pub(crate) async fn run(plane: &ControlPlane, client: &Client, hooked: &Namespace<'_>, webhook: &Webhook) {
    let log = webhook.log();
    let line = log.lines().rfind(|line| line.contains("listening") && line.contains("webhook")).unwrap();
    let address: SocketAddr = line.split("address=").nth(1).unwrap().trim().parse().unwrap();
    let configuration = plane.read(&["mutatingwebhookconfiguration", "dynamo-cache"]);
    let bundle = STANDARD.decode(configuration["webhooks"][0]["clientConfig"]["caBundle"].as_str().unwrap()).unwrap();
    let _held = HELD.map(|length| {
        let mut caller = Caller::connect_by_name(address, "dynamo-cache.dynamo-cache.svc", &bundle).unwrap();
        caller.send(length, b"{");
        caller
    });
    // Small bodies need no budget, so this one is not small.
    let pod = worker(425);
    let before = [HANDSHAKES, SHED].map(|name| counted(webhook, name));
    let created = join_all((0..CREATIONS).map(|_| create(client, &hooked.name, &pod))).await;
    let after = [HANDSHAKES, SHED].map(|name| counted(webhook, name));
    // The API server comes again after a second, when others may take the room of a body that is not complete.
    let reviewed = created.iter().filter(|(pod, _)| !status(pod).is_null()).count();
    assert!(after[1] > before[1], "no creation was rejected: there was room");
    let longest = created.iter().map(|(_, took)| took.as_secs_f64()).fold(0.0, f64::max);
    println!(
        "{CREATIONS} creations at once without room: {} handshakes, {} answers of 503, {longest:.1} s, all created, \
         {reviewed} of them with a review\n",
        after[0] - before[0],
        after[1] - before[1]
    );
}

const HANDSHAKES: &str = "dynamo_cache_handshakes_total{result=\"completed\"} ";
const SHED: &str = "dynamo_cache_shed_total{limit=\"bytes\"} ";

fn counted(webhook: &Webhook, name: &str) -> u64 {
    let page = webhook.admin("/metrics").unwrap();
    page.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap()
}
