//! Claims on which the engine died, though it would have started without them.

use serde_json::json;

use crate::deployment::{MODEL, annotate, worker};
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
        Volume { access: "ReadOnlyMany", writable: "true", ..Volume::prepared("read-only") },
    ]);
    model::bring(&namespace, "model-cache");
    namespace.small_claim("filling", 64);

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
    let folder = format!("/volumes/{}/filling", namespace.name);
    namespace.on_host("fill", &format!("dd if=/dev/zero of={folder}/filled bs=64k 2>/dev/null || df {folder}"));
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
        annotate(&mut worker, &claims.map(|(cache, claim)| (cache, claim)));
        annotate(&mut worker, more);
        worker
    };
    let claims = |compile| [("model-claim", "model-cache"), ("compile-claim", compile)];
    // With a key that is not on the claim yet: what is there can still be read.
    let full = with("full", &["--max-model-len", "1024"], claims("filling"), &offline);
    let of_root = with("of-root", &[], claims("of-root"), &offline);
    let read_only = with("read-only", &[], claims("read-only"), &offline);
    let unwritable = [("model-claim", "models-of-root"), ("compile-claim", "of-root")];
    let mut neither = with("neither", &[], unwritable, &[]);
    let main = &mut neither["spec"]["template"]["spec"]["containers"][0];
    main["env"].as_array_mut().unwrap().push(json!({"name": "HF_ENDPOINT", "value": hub}));
    for worker in [&full, &of_root, &read_only, &neither] {
        namespace.create(worker);
    }
    for (name, what, caches, skipped) in [
        ("full", "beside a full claim", &["model"][..], &[("compile", "claim-unproven")][..]),
        ("of-root", "beside a claim of root", &["model"], &[("compile", "claim-unproven")]),
        ("read-only", "beside a read-only claim", &["model"], &[("compile", "claim-read-only")]),
        ("neither", "beside two claims of root", &[], &[("compile", "claim-unproven"), ("model", "claim-unproven")]),
    ] {
        let start = namespace.one_ready(name, what);
        assert_eq!(start.caches(), caches, "{name}");
        let reasons = start.skipped();
        let reasons: Vec<(&str, &str)> =
            reasons.iter().map(|(cache, reason)| (cache.as_str(), reason.as_str())).collect();
        assert_eq!(reasons, skipped, "{name}");
        assert_eq!((start.restarts(), start.variable("VLLM_CACHE_ROOT")), (0, None), "{name}");
        if name == "neither" {
            let given = namespace.kubectl(&["logs", "hub"]).unwrap();
            assert!(given.contains(&format!("GET /{MODEL}/resolve/")), "it brought the model itself: {given}");
        }
        namespace.stop(name);
    }
}

impl Namespace {
    /// A claim that is bound to a file system of this size in MiB, prepared for Dynamo's images.
    pub(crate) fn small_claim(&self, claim: &str, mebibytes: u32) {
        let volume = Volume::prepared(claim);
        self.volumes(&[volume]);
        let folder = format!("/volumes/{}/{claim}", self.name);
        let options = format!("size={mebibytes}m,mode=0775,gid=0");
        self.mount_on_host(&format!("mount -t tmpfs -o {options} tmpfs {folder}"));
        self.create(&Volume::prepared(claim).claim());
        self.wait_until_bound();
    }

    /// Runs a script as root that mounts something on the node, below its folder with the volumes.
    fn mount_on_host(&self, script: &str) {
        let mount = json!({"name": "volumes", "mountPath": "/volumes", "mountPropagation": "Bidirectional"});
        let main = json!({
            "name": "main", "image": PYTHON, "command": ["bash", "-ec", script], "volumeMounts": [mount],
            "securityContext": {"privileged": true},
        });
        let volumes = json!([{"name": "volumes", "hostPath": {"path": self.cluster.volumes()}}]);
        let spec = json!({"restartPolicy": "Never", "containers": [main], "volumes": volumes});
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "mount"}, "spec": spec});
        self.run(&pod).assert_said(&[]);
    }
}
