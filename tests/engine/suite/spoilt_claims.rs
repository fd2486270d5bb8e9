//! Claims on which the engine died, though it would have started without them.

use serde_json::json;

use crate::deployment::{MODEL, annotate, run_as, worker};
use crate::harness::namespace::Namespace;
use crate::harness::pod::PYTHON;
use crate::harness::release;
use crate::harness::volume::Volume;
use crate::model;

/// A claim that root alone may write to, as most network volumes are at first.
fn of_root(claim: &str) -> Volume<'_> {
    Volume { mode: "0755", ..Volume::prepared(claim) }
}

/// What `check --write-probe` says of the claims that the namespace names now; it ends with this code.
fn probe(namespace: &Namespace, code: i32) -> String {
    let said =
        namespace.cluster.dynamo_cache(&["check", "-n", &namespace.name, "--write-probe", "--probe-image", PYTHON]);
    assert_eq!(said.code, Some(code), "{}{}", said.output, said.errors);
    said.output
}

/// Names claims for the pods to come, and for `check`.
fn name_claims(namespace: &Namespace, model: &str, compile: &str) {
    let [model, compile] =
        [("model", model), ("compile", compile)].map(|(cache, claim)| format!("dynamo-cache.io/{cache}-claim={claim}"));
    namespace.kubectl(&["annotate", "--overwrite", "namespace", &namespace.name, &model, &compile]).unwrap();
}

#[test]
fn a_worker_starts_beside_claims_that_it_cannot_write_to_or_that_are_full() {
    let _running = release::running();
    let namespace = Namespace::opted_in(&[]);
    namespace.claims(&[
        Volume::proven("model-cache"),
        of_root("models-of-root"),
        of_root("of-root"),
        Volume::proven("proven"),
        Volume { access: "ReadOnlyMany", writable: "true", ..Volume::prepared("read-only") },
    ]);
    model::bring(&namespace, "model-cache");
    namespace.small_claim(&Volume::prepared("filling"), "64m");

    // One that fills up while a worker uses it.
    name_claims(&namespace, "model-cache", "filling");
    let said = probe(&namespace, 0);
    assert!(said.contains("claim filling is marked"), "{said}");
    let offline = [("model-offline", "true")];
    let mut before = worker("before", &[]);
    annotate(&mut before, &offline);
    namespace.create(&before);
    let start = namespace.one_ready("before", "cold, on a small claim");
    start.assert_cold();
    // With all that is needed for the key, as it is on a claim that became read-only later.
    let folder = format!("/volumes/{}", namespace.name);
    namespace.on_host("copy", &format!("cp -a {folder}/filling/. {folder}/read-only/"));
    namespace.fill("filling", 0);
    let said = probe(&namespace, 1);
    assert!(said.contains("No space left on device"), "{said}");
    assert_eq!(namespace.writable("filling"), json!("false"), "{said}");
    assert_eq!(namespace.one_ready("before", "the same, its claim full since").restarts(), 0);
    namespace.stop("before");

    // Every other way that it died.
    name_claims(&namespace, "models-of-root", "of-root");
    probe(&namespace, 1);
    for claim in ["models-of-root", "of-root"] {
        assert_eq!(namespace.writable(claim), json!("false"), "{claim}");
    }
    let hub = model::hub(&namespace);
    let with = |name: &str, arguments: &[&str], claims: [(&str, &str); 2], more: &[(&str, &str)]| {
        let mut worker = worker(name, arguments);
        annotate(&mut worker, &claims);
        annotate(&mut worker, more);
        worker
    };
    let claims = |compile| [("model-claim", "model-cache"), ("compile-claim", compile)];
    // With a key that is not on the claim yet: what is there can still be read.
    let full = with("full", &["--max-model-len", "1024"], claims("filling"), &offline);
    let of_root = with("of-root", &[], claims("of-root"), &offline);
    let read_only = with("read-only", &[], claims("read-only"), &offline);
    let mut other_user = with("other-user", &[], claims("proven"), &offline);
    run_as(&mut other_user, 2000);
    let unwritable = [("model-claim", "models-of-root"), ("compile-claim", "of-root")];
    let mut neither = with("neither", &[], unwritable, &[]);
    let main = &mut neither["spec"]["template"]["spec"]["containers"][0];
    main["env"].as_array_mut().unwrap().push(json!({"name": "HF_ENDPOINT", "value": hub}));
    let model: &[&str] = &["model"];
    let unproven = ("compile", "claim-unproven");
    let starts = [
        (full, "beside a full claim", model, vec![unproven]),
        (of_root, "beside a claim of root", model, vec![unproven]),
        (read_only, "beside a read-only claim that has its key", model, vec![("compile", "claim-read-only")]),
        (other_user, "as a user for whom the claim is not proven", model, vec![unproven]),
        (neither, "beside two claims of root", &[], vec![unproven, ("model", "claim-unproven")]),
    ];
    for pair in starts.chunks(2) {
        for (worker, ..) in pair {
            namespace.create(worker);
        }
        for (worker, what, caches, skipped) in pair {
            let name = worker["metadata"]["name"].as_str().unwrap();
            let start = namespace.one_ready(name, what);
            assert_eq!(start.caches(), *caches, "{name}");
            let reasons = start.skipped();
            let reasons: Vec<(&str, &str)> =
                reasons.iter().map(|(cache, reason)| (cache.as_str(), reason.as_str())).collect();
            assert_eq!(reasons, *skipped, "{name}");
            assert_eq!((start.restarts(), start.variable("VLLM_CACHE_ROOT")), (0, None), "{name}");
        }
        for (worker, ..) in pair {
            namespace.stop(worker["metadata"]["name"].as_str().unwrap());
        }
    }
    let given = namespace.kubectl(&["logs", "hub"]).unwrap();
    assert!(given.contains(&format!("GET /{MODEL}/resolve/")), "the last brought the model itself: {given}");
}
