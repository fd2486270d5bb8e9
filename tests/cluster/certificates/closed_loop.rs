//! No pod fails while replicas restart and certificates rotate.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, PostParams};

use crate::harness::control_plane::ControlPlane;
use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::replicas::{Installation, alone};
use crate::harness::pods::worker;
use crate::harness::wait_for;

const STATUS: &str = "dynamo-cache.io/status";

/// How much has to happen.
struct Measure {
    creates: usize,
    restarts: usize,
    rotations: usize,
    deadline: Duration,
    times: [&'static str; 4],
}

const SHORT: Measure = Measure {
    creates: 2_000,
    restarts: 5,
    rotations: 5,
    deadline: Duration::from_secs(600),
    times: ["--ca-lifetime=24s", "--leaf-lifetime=9s", "--propagation-delay=1s", "--shutdown-delay=1s"],
};

/// By the real drain, and with room for a machine that does something else as well.
const LONG: Measure = Measure {
    creates: 10_000,
    restarts: 10,
    rotations: 10,
    deadline: Duration::from_secs(3_600),
    times: ["--ca-lifetime=60s", "--leaf-lifetime=24s", "--propagation-delay=5s", "--shutdown-delay=15s"],
};

#[test]
fn no_pod_fails_while_replicas_restart_and_the_ca_rotates() {
    hold(&SHORT);
}

#[test]
#[ignore = "ten minutes: tests/run --long"]
fn no_pod_fails_while_replicas_restart_and_the_ca_rotates_at_length() {
    hold(&LONG);
}

/// What goes on at the same time.
struct Course {
    creates: AtomicUsize,
    restarts: AtomicUsize,
    over: AtomicBool,
    failures: Mutex<Vec<String>>,
    /// Held to read while a pod is created, and to write while connections are cut: a cut must not meet a call.
    gate: RwLock<()>,
}

#[allow(clippy::print_stdout, reason = "the numbers are what a person runs it for")]
fn hold(measure: &Measure) {
    let (plane, _one) = alone();
    let installation = Installation::new(plane, "replicas=2", &measure.times);
    let namespace = Namespace::opted_in(plane, &[]);
    let replicas = [installation.ready("one"), installation.ready("two")];
    wait_for("the API server to call", || namespace.create(&worker("canary").to_string()).map(drop));
    let course = Course {
        creates: AtomicUsize::new(0),
        restarts: AtomicUsize::new(0),
        over: AtomicBool::new(false),
        failures: Mutex::default(),
        gate: RwLock::new(()),
    };
    let begun = Instant::now();
    let (rotations, cuts) = std::thread::scope(|scope| {
        for thread in 0..4 {
            let (course, name) = (&course, &namespace.name);
            scope.spawn(move || create(plane, name, thread, course));
        }
        let (course, installation) = (&course, &installation);
        let restarting = scope.spawn(move || {
            let mut replicas = replicas;
            for turn in 0..2 * measure.restarts {
                let before = course.creates.load(Ordering::Relaxed);
                let enough = || course.creates.load(Ordering::Relaxed) > before + 20 || course.is_over();
                wait_for("some pods between two restarts", || enough().then_some(()).ok_or("too few".to_owned()));
                let slot = &mut replicas[turn % 2];
                let name = format!("restarted-{turn}");
                // As a Deployment does: another one starts, and the old one stops while it does.
                drop(std::mem::replace(slot, installation.start(&name)));
                slot.wait_until_ready();
                course.restarts.fetch_add(1, Ordering::Relaxed);
            }
            replicas
        });
        let ended = rotate(installation, course, measure, begun);
        course.over.store(true, Ordering::Relaxed);
        // Until here the last replicas went on answering.
        drop(restarting.join().unwrap());
        ended
    });
    let failures = course.failures.lock().unwrap();
    let (creates, restarts) = (course.creates.load(Ordering::Relaxed), course.restarts.load(Ordering::Relaxed));
    println!(
        "{creates} pods, {} failures, {restarts} restarts, {rotations} new CAs, {cuts} cuts, in {:?}",
        failures.len(),
        begun.elapsed()
    );
    assert!(
        failures.is_empty(),
        "{} of {creates} failed: {:#?}",
        failures.len(),
        failures.iter().take(5).collect::<Vec<_>>()
    );
    assert!(creates >= measure.creates && rotations >= measure.rotations && restarts >= 2 * measure.restarts);
    // A new CA in the Secret, in the bundle, and a leaf of it.
    assert!(cuts >= 3 * rotations, "{cuts} cuts for {rotations} rotations");
}

impl Course {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// Creates pods, one after another.
fn create(plane: &ControlPlane, namespace: &str, thread: usize, course: &Course) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let pods: Api<Pod> = Api::namespaced(runtime.block_on(plane.client()), namespace);
    for number in 0.. {
        if course.is_over() {
            return;
        }
        let _gate = course.gate.read().unwrap();
        let name = format!("pod-{thread}-{number}");
        let pod: Pod = serde_json::from_value(worker(&name)).unwrap();
        let failed = match runtime.block_on(pods.create(&PostParams::default(), &pod)) {
            Ok(pod) if pod.metadata.annotations.iter().flatten().any(|(key, _)| key == STATUS) => None,
            Ok(_) => Some("it was created without us".to_owned()),
            Err(why) => Some(why.to_string()),
        };
        course.creates.fetch_add(1, Ordering::Relaxed);
        if let Some(why) = failed {
            course.failures.lock().unwrap().push(why);
        }
        // The store stays small; that it went is no matter here.
        let _ = runtime.block_on(pods.delete(&name, &DeleteParams::default().grace_period(0)));
    }
}

/// Watches the rotations, and cuts every connection after each step of them, until enough has happened.
fn rotate(installation: &Installation<'_>, course: &Course, measure: &Measure, begun: Instant) -> (usize, usize) {
    let (mut newest, mut last, mut cuts, mut reported) = (HashSet::new(), None, 0, false);
    while begun.elapsed() < measure.deadline {
        let secret = installation.secret();
        let first = secret[0].split_inclusive("-----END CERTIFICATE-----").next().unwrap_or_default().to_owned();
        newest.insert(first);
        let leaves: Vec<_> = installation.balancer.admins().into_iter().map(leaf_ends).collect();
        reported |= leaves.iter().any(Option::is_some);
        let step = Some((installation.bundles(), secret, leaves));
        if step != last {
            let _alone = course.gate.write().unwrap();
            installation.balancer.cut();
            (last, cuts) = (step, cuts + 1);
        }
        let rotations = newest.len() - 1;
        let created = course.creates.load(Ordering::Relaxed) >= measure.creates;
        let restarted = course.restarts.load(Ordering::Relaxed) >= 2 * measure.restarts;
        let failed = course.failures.lock().unwrap().len() > 20;
        if failed || (created && restarted && rotations >= measure.rotations) {
            break;
        }
    }
    assert!(reported, "no replica ever reported its leaf");
    (newest.len() - 1, cuts)
}

/// When the leaf that a replica serves ends; none where it does not say.
fn leaf_ends(admin: std::net::SocketAddr) -> Option<String> {
    let page = crate::harness::control_plane::webhook::ask(admin, "/metrics").ok()?;
    page.lines()
        .find(|line| line.starts_with("dynamo_cache_certificate_expiration_timestamp_seconds "))
        .map(str::to_owned)
}
