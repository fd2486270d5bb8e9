//! `dynamo-cache download` where pods run: claims that it creates and prepares, its progress, and the result.

use std::io::{BufRead as _, BufReader, Read as _};

use serde_json::json;

use super::cluster::shared;
use super::hub::{COMMIT, Hub, MODEL};
use super::namespace::Namespace;
use super::pod::{self, PYTHON};
use super::release;
use super::volume::Volume;

/// The layout that clients read, by the real client without a hub, and what can be written.
const LOOKS: &str = r#"
python3 - <<'PYTHON'
import os, pathlib, huggingface_hub
folder = pathlib.Path(huggingface_hub.snapshot_download("Qwen/Qwen3-0.6B", local_files_only=True))
print("snapshot", folder)
for file in sorted(folder.iterdir()):
    print("file", file.name, file.stat().st_size)
PYTHON
cat "$HF_HUB_CACHE/models--Qwen--Qwen3-0.6B/refs/main"; echo
for place in "$HF_HUB_CACHE" "$VLLM_CACHE_ROOT"; do mkdir -p "$place"; touch "$place/written"; echo "wrote to $place"; done
"#;

/// The percentage that a line with a bar shows.
fn percent(line: &str) -> Option<u64> {
    let (bar, rest) = line.split_once(" %")?;
    let percent = bar.trim_start_matches(['█', '░']).trim().parse().ok()?;
    rest.contains(" of ").then_some(percent)
}

#[test]
fn a_download_prepares_its_claims_for_restricted_pods_and_is_not_repeated() {
    let cluster = shared();
    let namespace = Namespace::opted_in(&[("model-offline", "true")]);
    // Roots that are not prepared.
    namespace.volumes(&[Volume::of_root("model-cache"), Volume::of_root("compilation-cache")]);
    let hub = Hub::serve_and_hold_back(&namespace);
    namespace
        .kubectl(&["label", "namespace", &namespace.name, "pod-security.kubernetes.io/enforce=restricted"])
        .unwrap();
    let _running = release::running();

    let at_the_hub =
        ["--endpoint", &hub.endpoint, "--image", PYTHON, "-n", &namespace.name, "--apply", "--wait", "--timeout", "5m"];
    let download = [&["download", MODEL, "--revision", COMMIT], at_the_hub.as_slice()].concat();
    let mut running = cluster.start_dynamo_cache(&[&download, ["--create-claim", "1Gi"].as_slice()].concat());
    let (mut said, mut printed) = (String::new(), Vec::new());
    for line in BufReader::new(running.stderr.take().unwrap()).lines().map_while(Result::ok) {
        said.push_str(&line);
        said.push('\n');
        // Each time that the bar has moved, the hub gives one more of the two files that it holds back.
        if let Some(percent) = percent(&line).filter(|percent| printed.last().is_none_or(|last| last < percent)) {
            printed.push(percent);
            if printed.len() <= 2 {
                hub.go();
            }
        }
    }
    let mut created = String::new();
    running.stdout.take().unwrap().read_to_string(&mut created).unwrap();
    println!("---- dynamo-cache {}\n{created}{said}----", download.join(" "));
    assert!(running.wait().unwrap().success(), "{said}");
    let job = "download-qwen3-0-6b-c1899de289a0-d5e15aa7";
    let expected = "created PersistentVolumeClaim/model-cache\ncreated PersistentVolumeClaim/compilation-cache\n";
    assert_eq!(created, format!("{expected}created Job/{job}\n"));
    assert!(printed.len() >= 2, "the bar moved: {printed:?}\n{said}");
    let (_, last_words) = said.split_once("\ndone\n").unwrap_or_else(|| panic!("{said}"));
    assert!(!last_words.contains("--write-probe"), "both claims are proven: {last_words}");
    for claim in ["model-cache", "compilation-cache"] {
        assert_eq!(namespace.writable(claim), "1000", "{last_words}");
        assert!(last_words.contains(&format!("claim {claim} is marked as writable for user 1000 (")), "{last_words}");
    }
    let claims = namespace.read(&["persistentvolumeclaims"]);
    for claim in claims["items"].as_array().unwrap() {
        assert_eq!(claim["status"]["phase"], "Bound", "{claim:#}");
    }

    // The worker has no fsGroup, and reads and writes as the Job has left it.
    let mut engine = pod::engine("worker", LOOKS);
    engine["spec"]["securityContext"]["seccompProfile"] = json!({"type": "RuntimeDefault"});
    engine["spec"]["containers"][0]["securityContext"] =
        json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    let ended = namespace.run(&engine);
    let hub_folder = "/home/dynamo/.cache/huggingface/hub";
    ended.assert_said(&[
        &format!("snapshot {hub_folder}/models--Qwen--Qwen3-0.6B/snapshots/{COMMIT}"),
        "file config.json 44",
        "file held-1.bin 2621440",
        "file held-2.bin 2621440",
        "file tokenizer.json 19",
        COMMIT,
        &format!("wrote to {hub_folder}"),
    ]);
    let said = cluster.dynamo_cache(&["check", "-n", &namespace.name, "--write-probe", "--probe-image", PYTHON]);
    assert_eq!(said.code, Some(0), "{}", said.output);

    let given = hub.given();
    assert!(given >= 5, "{}", hub.log());
    let said = cluster.dynamo_cache(&[&download, ["--replace"].as_slice()].concat());
    assert_eq!((said.code, said.output.as_str()), (Some(0), &*format!("deleted Job/{job}\ncreated Job/{job}\n")));
    assert_eq!(hub.given(), given, "a second run downloads nothing: {}", hub.log());

    let wrong = [&["download", "Qwen/None-Such"], at_the_hub.as_slice()].concat();
    let said = cluster.dynamo_cache(&wrong);
    assert_eq!(said.code, Some(1));
    let reason = " failed: Error: the hub has no model Qwen/None-Such that this token may read (HTTP 404)\n";
    assert!(said.errors.ends_with(reason), "{}", said.errors);
}
