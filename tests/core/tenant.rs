//! What a tenant cannot do who may create pods and annotate a namespace: no setting and no field of a pod adds anything to
//! a pod that its author could not have written, and no text of theirs ends up where it is executed.

use std::collections::BTreeMap;

use dynamo_cache::admission::Evaluation;
use dynamo_cache::admission::annotation::PREFIX;
use dynamo_cache::admission::claim::{Access, Claim, Claims};
use dynamo_cache::admission::settings::{LoadFormat, Settings};
use serde_json::{Value, json};

const CLAIMS: [&str; 2] = ["model-cache", "compilation-cache"];

/// Where a mount would hide what the image or the kubelet has put there.
const PLACES: [&str; 19] = [
    "/",
    "/bin",
    "/dev/shm",
    "/etc",
    "/etc/ssl/certs",
    "/home",
    "/home/dynamo",
    "/home/dynamo/../../etc",
    "/lib/x86_64-linux-gnu",
    "/lib64",
    "/proc/1/root",
    "/root",
    "/run/secrets/kubernetes.io/serviceaccount",
    "/sys/fs/cgroup",
    "/usr/local/bin",
    "/var/run/secrets/kubernetes.io/serviceaccount",
    "/workspace",
    "relative/../../etc",
    "/a:/etc",
];

/// Homes below which a mount would do so.
const HOMES: [&str; 10] = [
    "/bin",
    "/dev/shm",
    "/etc",
    "/home/dynamo/../../etc",
    "/lib64",
    "/root",
    "/run/secrets/kubernetes.io/serviceaccount",
    "/usr/local/bin",
    "relative/../../etc",
    "/a:/etc",
];

/// Words that are no claim of this namespace, and would be something else where they were not taken for a name.
const NAMES: [&str; 7] = ["../other", "other-namespace/claim", "Other", "a;b", "$(HOME)", "a b", "a\nb"];

/// Words that would run something, read something, or call someone, where they were put into a command line or an address.
const WORDS: [&str; 10] = [
    "mx --trust-remote-code",
    "mx;id",
    "$(id)",
    "`id`",
    "/tmp/evil.py",
    "file:///etc/passwd",
    "http://user:$(TOKEN)@evil",
    "http://evil/\r\nHost: x",
    "../../../etc",
    "\u{0}",
];

/// Every setting, with what may be tried by it.
fn attempts() -> Vec<(&'static str, &'static str)> {
    let tried: [(&[&str], &[&str]); 5] = [
        (&["model-mount-path", "compile-mount-path"], &PLACES),
        (&["model-express-home"], &HOMES),
        (&["model-claim", "compile-claim"], &NAMES),
        (&["load-format", "model-express-url", "engine", "containers", "compile-key", "model-layout"], &WORDS),
        (
            &["inject", "skip", "missing-claim", "single-node-claim", "user-namespace", "compile-multi-node", "status"],
            &WORDS,
        ),
    ];
    tried
        .iter()
        .flat_map(|(settings, values)| {
            settings.iter().flat_map(|setting| values.iter().map(|value| (*setting, *value)))
        })
        .collect()
}

fn worker() -> Value {
    json!({"metadata": {"name": "w"}, "spec": {"containers": [{"name": "main",
        "image": "nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.6.1", "command": ["python3", "-m", "dynamo.vllm"]}]}})
}

/// What is added to a pod, but for the status, in text.
fn added(pod: &Value, namespace: &[(String, String)]) -> Vec<String> {
    let claim = Claim { access: Access::ReadWriteMany, ..Claim::default() };
    let claims: Claims = CLAIMS.iter().map(|name| ((*name).to_owned(), claim.clone())).collect::<BTreeMap<_, _>>();
    let text = pod.to_string();
    let view = serde_json::from_str(&text).unwrap();
    // As an administrator may have it: without an address there is no load format and no home to try anything by.
    let mut settings = Settings::default();
    settings.express.url = Some("http://model-express:8001".to_owned());
    settings.express.shared_storage = false;
    settings.load_format = Some(LoadFormat::Mx);
    let outcome = Evaluation::new(&view, &settings, namespace).decide(&claims);
    let operations = serde_json::to_value(outcome.operations()).unwrap();
    let operations = operations
        .as_array()
        .unwrap()
        .iter()
        .filter(|operation| !operation["path"].as_str().unwrap().starts_with("/metadata"));
    let mut texts = Vec::new();
    operations.for_each(|operation| collect(&operation["value"], &mut texts));
    texts
}

fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(members) => members.values().for_each(|member| collect(member, texts)),
        _ => {}
    }
}

#[test]
fn no_setting_puts_a_word_into_a_pod_that_is_no_name_path_or_address() {
    let attempts = attempts();
    assert!(attempts.len() > 150, "{}", attempts.len());
    let usual = added(&worker(), &[]);
    for text in ["/home/dynamo/.cache/huggingface", "/home/dynamo/.model-express/cache", "--load-format", "mx"] {
        assert!(usual.iter().any(|usual| usual == text), "{text}: {usual:?}");
    }
    for (setting, value) in attempts {
        let name = format!("{PREFIX}{setting}");
        let mut annotated = worker();
        annotated["metadata"]["annotations"] = json!({name.clone(): value});
        for (whose, texts) in [
            ("a pod's", added(&annotated, &[])),
            ("a namespace's", added(&worker(), &[(name.clone(), value.to_owned())])),
        ] {
            let found: Vec<_> = texts.iter().filter(|text| !usual.contains(text)).collect();
            assert!(found.is_empty(), "{whose} {setting}: {value:?}: {found:?}");
            // A container's name that none has chooses none, and a home that cannot be mounted is skipped.
            if !["containers", "model-express-home"].contains(&setting) {
                assert_eq!(texts, usual, "{whose} {setting}: {value:?}");
            }
        }
    }
}

#[test]
fn nothing_that_a_pod_says_of_itself_leads_out_of_its_own_folder_in_a_shared_claim() {
    for word in ["../../other-team", "/etc", "x/../../y", "..", "a/b:../c", "%2e%2e%2f", "\u{202e}x", "a\nb"] {
        let mut pod = worker();
        pod["spec"]["containers"][0]["image"] = json!(format!("registry/{word}:{word}"));
        pod["spec"]["containers"][0]["args"] = json!(["--model", word]);
        pod["spec"]["nodeSelector"] = json!({"nvidia.com/gpu.product": word});
        pod["metadata"]["labels"] =
            json!({"nvidia.com/dynamo-component-type": "worker", "nvidia.com/dynamo-namespace": word});
        for text in added(&pod, &[]) {
            let strange = |c: char| !(c.is_ascii_alphanumeric() || "/._-:".contains(c));
            assert!(!text.split('/').any(|part| part == "..") && !text.contains(strange), "{word:?}: {text:?}");
        }
    }
}

#[test]
fn a_status_annotation_from_the_author_of_a_pod_has_no_effect() {
    for status in [r#"{"containers":{"main":["model","compile","model-express"]},"version":"0.1.0"}"#, "{}", "not json"]
    {
        let mut pod = worker();
        pod["metadata"]["annotations"] = json!({format!("{PREFIX}status"): status});
        let forged = added(&pod, &[]);
        let usual = added(&worker(), &[]);
        assert!(forged.iter().all(|text| usual.contains(text)), "{forged:?}");
    }
}
