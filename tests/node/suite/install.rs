//! Promises about installing it where pods run.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use super::cluster::{Cluster, ROOT, shared, wait_for};
use super::namespace::Namespace;
use super::pod::{self, PYTHON};
use super::release::{self, NAME};
use super::storage::{READS_AND_WRITES, REFUSED, WROTE};
use super::volume::Volume;

/// The most that the image may take.
const IMAGE_BYTES: u64 = 14_000_000;

#[test]
fn helm_installs_upgrades_rolls_back_and_uninstalls_and_nothing_is_left() {
    let (cluster, _alone) = (shared(), release::alone());
    let chart = format!("{ROOT}/manifests/chart");
    release::install(cluster, &[]);
    let replicas = release::pods(cluster);
    assert_eq!(replicas.len(), 2, "{replicas:?}");

    // Two settings that the file alone has, or that nothing else shows: a group for volumes, and caches between nodes.
    let namespace = Namespace::opted_in(&[]);
    // A proof that is wrong: no user has written there.
    let proven = |claim| Volume { writable: "true", ..Volume::of_root(claim) };
    namespace.claims(&[proven("model-cache"), proven("compilation-cache")]);
    let seen = || {
        let pod = namespace.dry_run(&pod::worker(&["--nnodes", "2"]))?;
        let compile =
            pod::status(&pod)["containers"]["main"].as_array().is_some_and(|main| main.contains(&json!("compile")));
        Ok::<_, String>((pod["spec"]["securityContext"]["fsGroup"].as_u64(), compile))
    };
    let taken = release::settings_taken(cluster).unwrap();
    let wait_for_settings = |what: &str, files: u64, wanted: (Option<u64>, bool)| {
        // Each has a file of its own, which its kubelet brings when it likes.
        wait_for("every replica to take the settings", || {
            let now = release::settings_taken(cluster)?;
            let all = now.iter().zip(&taken).all(|(now, begin)| *now == begin + files);
            if all { Ok(()) } else { Err(format!("{now:?} after {taken:?}")) }
        });
        wait_for(what, || seen().and_then(|seen| if seen == wanted { Ok(()) } else { Err(format!("{seen:?}")) }));
        assert_eq!(release::pods(cluster), replicas, "a change of settings restarts no replica");
    };
    wait_for_settings("the settings as shipped", 0, (None, false));
    let refused = namespace.run(&pod::engine("as-shipped", READS_AND_WRITES));
    refused.assert_said(&REFUSED);

    let set = "config.fsGroup=0,config.compileCache.multiNode=true";
    cluster.helm(&["upgrade", NAME, &chart, "--namespace", NAME, "--wait", "--timeout=3m", "--set", set]).unwrap();
    wait_for_settings("the settings of the upgrade", 1, (Some(0), true));
    let wrote = namespace.run(&pod::engine("upgraded", READS_AND_WRITES));
    wrote.assert_said(&WROTE);

    cluster.helm(&["rollback", NAME, "1", "--namespace", NAME, "--wait", "--timeout=3m"]).unwrap();
    wait_for_settings("the settings from before", 2, (None, false));

    release::uninstall(cluster);
    let pristine = Namespace::plain();
    wait_for("nothing to be left", || {
        let left = objects(cluster, &["--all-namespaces", "--selector", &format!("app.kubernetes.io/instance={NAME}")]);
        let inside = objects(cluster, &["--namespace", NAME]);
        let inside: Vec<_> = inside.difference(&objects(cluster, &["--namespace", &pristine.name])).cloned().collect();
        if left.is_empty() && inside.is_empty() { Ok(()) } else { Err(format!("{left:?} {inside:?}")) }
    });
}

/// Objects of every kind that the cluster has, but for events, which report the past.
fn objects(cluster: &Cluster, which: &[&str]) -> BTreeSet<String> {
    let kinds = cluster.kubectl(&["api-resources", "--verbs=list", "--output=name"]).unwrap();
    let kinds: Vec<_> = kinds.lines().filter(|kind| !kind.starts_with("events")).collect();
    let found = cluster.kubectl(&[&["get", &kinds.join(","), "--output=name", "--ignore-not-found"], which].concat());
    let named = |line: &&str| !which.contains(&"--namespace") || !line.starts_with("namespace/");
    found.unwrap().lines().filter(named).map(str::to_owned).collect()
}

#[test]
fn the_service_leads_to_two_ready_replicas_whose_probes_answer() {
    let (cluster, _running) = (shared(), release::running());
    let service = cluster.read(&["service", NAME, "--namespace", NAME]);
    let address = service["spec"]["clusterIP"].as_str().unwrap();
    let selector = format!("kubernetes.io/service-name={NAME}");
    let slices = cluster.read(&["endpointslices", "--namespace", NAME, "--selector", &selector]);
    let slices = slices["items"].as_array().unwrap();
    let endpoints: Vec<_> = slices.iter().filter_map(|slice| slice["endpoints"].as_array()).flatten().collect();
    let ready = endpoints.iter().filter(|endpoint| endpoint["conditions"]["ready"] == true).count();
    assert_eq!(ready, 2, "{slices:#?}");

    for (pod, _) in release::pods(cluster) {
        let ask = |path: &str| {
            let pod = format!("/api/v1/namespaces/{NAME}/pods/{pod}:8080/proxy");
            cluster.kubectl(&["get", "--raw", &format!("{pod}{path}")]).unwrap()
        };
        ask("/livez");
        println!("{pod} /readyz?verbose:\n{}", ask("/readyz?verbose"));
        let metrics = ask("/metrics");
        let memory = metrics.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
        println!("{pod}: {} bytes of resident memory", memory.expect("a metric with the memory"));
    }

    // A pod calls it as an API server does, at the address of its Service.
    let configuration = cluster.read(&["mutatingwebhookconfiguration", NAME]);
    let authority = &configuration["webhooks"][0]["clientConfig"]["caBundle"];
    let question = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "a-question", "operation": "CREATE", "namespace": "default",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "object": pod::worker(&[]),
        },
    });
    let script = r#"
import base64, json, os, socket, ssl
context = ssl.create_default_context(cadata=base64.b64decode(os.environ["AUTHORITY"]).decode())
name, body = "dynamo-cache.dynamo-cache.svc", os.environ["QUESTION"].encode()
with context.wrap_socket(socket.create_connection((os.environ["ADDRESS"], 443), 30), server_hostname=name) as call:
    call.sendall(b"POST /mutate HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
                 b"Connection: close\r\n\r\n%s" % (name.encode(), len(body), body))
    answer = b"".join(iter(lambda: call.recv(65536), b""))
print(answer.split(b"\r\n")[0].decode())
print("allowed", json.loads(answer.split(b"\r\n\r\n", 1)[1])["response"]["allowed"])
"#;
    let variables =
        [("AUTHORITY", authority), ("ADDRESS", &json!(address)), ("QUESTION", &json!(question.to_string()))];
    let variables: Vec<Value> = variables.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    let main = json!({"name": "main", "image": PYTHON, "command": ["python3", "-c", script], "env": variables});
    let spec = json!({"restartPolicy": "Never", "containers": [main]});
    let caller = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "caller"}, "spec": spec});
    Namespace::plain().run(&caller).assert_said(&["HTTP/1.1 200 OK", "allowed True"]);
}

#[test]
fn the_image_takes_at_most_14_megabytes() {
    let cluster = shared();
    let bytes = cluster.image().map_or_else(
        || {
            let _running = release::running();
            let nodes = cluster.read(&["nodes"]);
            let nodes = nodes["items"].as_array().unwrap().iter();
            let images = nodes.filter_map(|node| node["status"]["images"].as_array()).flatten();
            let ours = |image: &&Value| image["names"].to_string().contains("dynamo-cache/dynamo-cache");
            images.filter(ours).filter_map(|image| image["sizeBytes"].as_u64()).max().expect("a node with the image")
        },
        |archive| fs::metadata(archive).unwrap().len(),
    );
    println!("the image takes {bytes} bytes");
    assert!(bytes <= IMAGE_BYTES, "the image takes {bytes} bytes");
}
