//! What the commands that list pods cost on a real API server with 10,000 of them, next to kubectl. `cargo bench --bench commands`.
//!
//! The pods are copies of one that the webhook has changed. They are in one namespace, and have no controller, so that `preview`
//! shows each.
#![allow(clippy::print_stdout, reason = "a bench prints")]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a bench that cannot go on ends")]

#[allow(dead_code, reason = "the tests take other parts")]
#[path = "../tests"]
mod tests {
    pub(crate) mod harness;
}

#[path = "hook/create.rs"]
#[allow(dead_code, reason = "another bench takes other parts")]
mod create;
#[path = "machine.rs"]
mod machine;
#[allow(dead_code, reason = "other benches take other parts")]
#[path = "samples.rs"]
mod samples;

// The harness names its own parts from the top.
use self::tests::harness;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use kube::Client;
use serde_json::{Value, json};

use self::harness::control_plane::namespace::Namespace;
use self::harness::control_plane::{ControlPlane, shared, webhook};

const PODS: usize = 10_000;
const ROUNDS: usize = 5;

/// Creations at once.
const IN_FLIGHT: usize = 16;

/// How often memory and processor time of a command are read while it runs.
const INTERVAL: Duration = Duration::from_millis(2);

fn main() {
    let unknown = std::env::args().skip(1).find(|argument| argument != "--bench");
    assert_eq!(unknown, None, "commands takes no arguments");
    println!("{}\n", machine::line());
    let plane = shared();
    let _webhook = webhook::running();
    let (hooked, namespace) = (Namespace::opted_in(plane, &[]), Namespace::plain(plane));
    for namespace in [&hooked, &namespace] {
        namespace.claims(&["model-cache", "compilation-cache"]);
    }
    let pod = hooked.dry_run(&create::worker(0).to_string());
    assert!(harness::pods::status(&pod)["skipped"].as_array().is_some_and(Vec::is_empty), "{pod:#}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { create_all(&plane.client().await, &namespace.name, &pod).await });
    plane.kubectl(&["label", "namespace", &namespace.name, "dynamo-cache.io/inject=enabled"]).unwrap();

    let commands: [(&str, &[&str], String); 4] = [
        ("status -A", &["status", "-A"], format!("{}: {PODS} components, {PODS} with every cache", namespace.name)),
        ("check", &["check"], format!("reviewed all Dynamo components ({PODS})")),
        ("preview -n", &["preview", "-n", &namespace.name], format!("0 of {PODS} would change")),
        ("report -A", &["report", "-A"], "No Dynamo engine runs.".to_owned()),
    ];
    for (name, arguments, says) in &commands {
        let said = plane.dynamo_cache(arguments);
        assert!(said.output.contains(says), "{name}: {}", said.errors);
    }
    let mut kubectl = Vec::new();
    let mut ours: [Vec<Cost>; 4] = Default::default();
    for _ in 0..ROUNDS {
        kubectl.push(cost(&mut kubectl_get(plane)));
        for ((_, arguments, _), costs) in commands.iter().zip(&mut ours) {
            let mut command = Command::new(env!("CARGO_BIN_EXE_dynamo-cache"));
            costs.push(cost(command.args(*arguments).env("KUBECONFIG", plane.kubeconfig())));
        }
    }
    println!("| command | time | × kubectl | CPU | peak RSS |\n|---|---|---|---|---|");
    let reference = median(&kubectl, |cost| cost.seconds);
    let names = commands.iter().map(|(name, ..)| *name);
    let all = std::iter::once(("kubectl get pods -A -o json", &kubectl)).chain(names.zip(&ours));
    for (name, costs) in all {
        let (seconds, processor) = (median(costs, |cost| cost.seconds), median(costs, |cost| cost.processor));
        let peak = costs.iter().map(|cost| cost.memory).fold(0.0, f64::max);
        println!("| {name} | {seconds:.2} s | {:.2} | {processor:.2} s | {peak:.0} MiB |", seconds / reference);
    }
}

/// Creates the pods, as they are after the webhook has changed them.
async fn create_all(client: &Client, namespace: &str, pod: &Value) {
    let copy = |number: usize| {
        let mut copy = pod.clone();
        let metadata = copy["metadata"].as_object_mut().unwrap();
        metadata.retain(|key, _| matches!(key.as_str(), "annotations" | "labels"));
        metadata.insert("name".to_owned(), json!(format!("{}-{number:05}", pod["metadata"]["name"].as_str().unwrap())));
        copy.as_object_mut().unwrap().remove("status");
        copy.to_string().into_bytes()
    };
    let create = async |number| {
        let request = hyper::Request::post(format!("/api/v1/namespaces/{namespace}/pods"));
        let request = request.header("content-type", "application/json").body(copy(number)).unwrap();
        client.request_text(request).await.unwrap().len()
    };
    let bytes: Vec<_> = stream::iter(0..PODS).map(create).buffer_unordered(IN_FLIGHT).collect().await;
    println!("{PODS} pods of {} bytes each\n", bytes.iter().sum::<usize>() / PODS);
}

fn kubectl_get(plane: &ControlPlane) -> Command {
    let mut command = Command::new(plane.bash("command -v kubectl").unwrap().out.trim());
    command.args(["get", "pods", "-A", "-o", "json"]).env("KUBECONFIG", plane.kubeconfig());
    command
}

/// What a run costs: seconds, seconds of processor time, and the peak RSS in MiB.
struct Cost {
    seconds: f64,
    processor: f64,
    memory: f64,
}

fn cost(command: &mut Command) -> Cost {
    let begun = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (mut processor, mut memory) = (0.0, 0.0_f64);
    while child.try_wait().unwrap().is_none() {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", child.id())).unwrap_or_default();
        let (status, times) = (read("status"), read("stat"));
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = peak.and_then(|peak| peak.split_whitespace().next()?.parse::<f64>().ok());
        memory = memory.max(kilobytes.unwrap_or_default() / 1024.0);
        // Behind the name, whose parentheses end the second field: user and system time are fields 14 and 15, in hundredths.
        let fields: Vec<_> = times.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = fields.get(11..13).into_iter().flatten().filter_map(|field| field.parse::<f64>().ok());
        processor = f64::max(processor, ticks.sum::<f64>() / 100.0);
        #[expect(clippy::disallowed_methods, reason = "between two looks at the process")]
        std::thread::sleep(INTERVAL);
    }
    Cost { seconds: begun.elapsed().as_secs_f64(), processor, memory }
}

fn median(costs: &[Cost], value: fn(&Cost) -> f64) -> f64 {
    let mut values: Vec<_> = costs.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
