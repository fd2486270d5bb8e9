//! What a webhook adds to the creation of a pod on a real API server. `cargo bench --bench hook`.
//!
//! Against no webhook, and against policies of the API server itself that make the same pod. Then what creations cost
//! that are asked to come again. The webhook is installed as the tests install it: the chart, by Helm.
//!
//! `cargo bench --bench hook -- burst` instead: bursts of creations, with two replicas.
#![allow(clippy::print_stdout, reason = "a bench prints")]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a bench that cannot go on ends")]

#[allow(dead_code, reason = "the tests take other parts")]
#[path = "../../tests"]
mod tests {
    pub(crate) mod harness;
}

#[allow(dead_code, reason = "other benches take other parts")]
#[path = "../load/caller.rs"]
mod caller;
#[allow(dead_code, reason = "other benches take other parts")]
#[path = "../samples.rs"]
mod samples;
#[path = "../machine.rs"]
mod machine;

mod burst;
mod create;
mod policy;
mod rounds;
mod shed;

// The harness names its own parts from the top.
use self::tests::harness;

use self::harness::control_plane::namespace::Namespace;
use self::harness::control_plane::{shared, webhook};

fn main() {
    let parts: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    assert!(parts.is_empty() || parts == ["burst"], "hook takes no argument but burst");
    println!("{}\n", machine::line());
    let plane = shared();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if !parts.is_empty() {
        return burst::run(plane, &runtime);
    }
    let webhook = webhook::running();
    // What is measured is the webhook. Its guard is a policy beside it, and would be counted with it.
    plane.kubectl(&["delete", "validatingadmissionpolicybinding", "dynamo-cache-guard"]).unwrap();
    let hooked = Namespace::opted_in(plane, &[]);
    hooked.claims(&["model-cache", "compilation-cache"]);
    runtime.block_on(async {
        let client = plane.client().await;
        rounds::run(plane, &client, &hooked).await;
        shed::run(plane, &client, &hooked, &webhook).await;
    });
}
