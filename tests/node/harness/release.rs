//! The webhook as a person installs it: the chart by Helm, which makes its certificate by itself.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::cluster::{Cluster, ROOT, shared, wait_at_most, wait_for};
use super::namespace::Namespace;
use super::pod;

/// What the release is called, its namespace, and all that is in it.
pub(crate) const NAME: &str = "dynamo-cache";

/// The longest that all tests together use the release as it is shipped: a stage publishes after minutes.
const OTHERS: Duration = Duration::from_secs(20 * 60);

/// The tests that use the release as it is shipped; it is installed while there are any.
struct Users {
    number: usize,
    failed: bool,
}

static USERS: Mutex<Users> = Mutex::new(Users { number: 0, failed: false });

/// The right to use the release as it is shipped, beside other tests.
pub(crate) struct Running(());

/// The right to install the release as a test likes: no other test uses it, and it does not exist yet.
pub(crate) struct Alone(#[expect(dead_code, reason = "held")] MutexGuard<'static, Users>);

/// The release as it is shipped, for as long as the answer is held. A test asks for it once.
pub(crate) fn running() -> Running {
    let mut users = USERS.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(!users.failed, "the release cannot be installed, another test says why");
    if users.number == 0 {
        users.failed = true;
        install(shared(), &[]);
        users.failed = false;
    }
    users.number += 1;
    Running(())
}

/// No release, for as long as the answer is held, but what its holder installs and uninstalls.
pub(crate) fn alone() -> Alone {
    wait_at_most(OTHERS, "the other tests to need the release no longer", || {
        let users = USERS.lock().unwrap_or_else(PoisonError::into_inner);
        if users.number == 0 { Ok(Alone(users)) } else { Err(format!("{} tests use it", users.number)) }
    })
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut users = USERS.lock().unwrap_or_else(PoisonError::into_inner);
        users.number -= 1;
        if users.number == 0 {
            uninstall(shared());
        }
    }
}

/// Installs the release by the README, with these arguments besides, until the API server calls it.
pub(crate) fn install(cluster: &'static Cluster, more: &[&str]) {
    let chart = format!("{ROOT}/manifests/chart");
    let install = ["install", NAME, &chart, "--namespace", NAME, "--create-namespace", "--wait", "--timeout=3m"];
    cluster.helm(&[&install, more].concat()).unwrap();
    let namespace = Namespace::opted_in(&[]);
    wait_for("the API server to call the webhook", || {
        let pod = namespace.dry_run(&pod::worker(&[]))?;
        if pod::status(&pod).is_null() { Err(format!("no status on the pod {pod:#}")) } else { Ok(()) }
    });
}

/// Uninstalls the release as the README says.
pub(crate) fn uninstall(cluster: &Cluster) {
    cluster.helm(&["uninstall", NAME, "--namespace", NAME]).unwrap();
}

/// The pods of the release that are not on their way out: names and UIDs.
pub(crate) fn pods(cluster: &Cluster) -> BTreeSet<(String, String)> {
    let pods = cluster.read(&["pods", "--namespace", NAME]);
    let pods = pods["items"].as_array().unwrap().iter();
    let pods = pods.filter(|pod| pod["metadata"].get("deletionTimestamp").is_none());
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    pods.map(|pod| (text(&pod["metadata"]["name"]), text(&pod["metadata"]["uid"]))).collect()
}

/// How many settings files each replica has taken, in the order of `pods`.
pub(crate) fn settings_taken(cluster: &Cluster) -> Result<Vec<u64>, String> {
    let taken = |(name, _): &(String, String)| {
        let page = format!("/api/v1/namespaces/{NAME}/pods/{name}:8080/proxy/metrics");
        let page = cluster.kubectl(&["get", "--raw", &page])?;
        let count = page.lines().find_map(|line| {
            line.strip_prefix("dynamo_cache_settings_reloads_total{result=\"accepted\"} ")?.parse().ok()
        });
        count.ok_or(page)
    };
    pods(cluster).iter().map(taken).collect()
}
