//! The commands of the README, of `docs/` and of `certs/`, as a person would paste them, on a control plane of their own.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::control_plane::ControlPlane;
use crate::harness::control_plane::replicas::{Installation, lock_address};
use crate::harness::document_commands::is_skipped;
use crate::harness::markdown::{blocks, pages};
use crate::harness::{ROOT, wait_for};

/// A placeholder of the documents, and what replaces it here.
const STANDS_FOR: [(&str, &str); 1] =
    [(" POD ", " \"$(kubectl get pods -n inference -l app=vllm-worker -o name | sed -n '1s,.*/,,p')\" ")];

/// A command that needs a kubelet, and what does here what it would have done: both claims are there, and proven.
const DOWNLOADED: (&str, &str) = (
    "dynamo-cache download ",
    "kubectl apply -n inference -f manifests/examples/claims.yaml
     kubectl annotate pvc --all -n inference dynamo-cache.io/writable=1000",
);

/// A person with a checkout, the program in the path, and a cluster.
struct Person<'p> {
    plane: &'p ControlPlane,
    checkout: PathBuf,
    programs: PathBuf,
}

impl<'p> Person<'p> {
    /// The checkout is one of links, so that what is written stays out of the tree.
    fn new(plane: &'p ControlPlane) -> Self {
        let (checkout, programs) = (plane.folder("checkout"), plane.folder("path"));
        for folder in [&checkout, &programs] {
            fs::create_dir(folder).unwrap();
        }
        for entry in fs::read_dir(ROOT).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name() == ".git" {
                continue;
            }
            symlink(entry.path(), checkout.join(entry.file_name())).unwrap();
        }
        let program = env!("CARGO_BIN_EXE_dynamo-cache");
        symlink(program, programs.join("dynamo-cache")).unwrap();
        // `cargo run --` would build what is built already.
        let cargo = format!("#!/bin/sh\n[ \"$1 $2\" = 'run --' ] || exit 64\nshift 2\nexec '{program}' \"$@\"\n");
        fs::write(programs.join("cargo"), cargo).unwrap();
        fs::set_permissions(programs.join("cargo"), fs::Permissions::from_mode(0o755)).unwrap();
        Person { plane, checkout, programs }
    }

    /// Pastes a block of a page, without what another test runs; whether there was anything to paste.
    fn paste(&self, page: &str, block: &[String]) -> bool {
        let here = block.iter().filter_map(|command| {
            let downloads = command.starts_with(DOWNLOADED.0).then_some(DOWNLOADED.1);
            if is_skipped(block, command) { downloads } else { Some(command.as_str()) }
        });
        let mut script: String = here.flat_map(|command| [command, "\n"]).collect();
        if script.is_empty() {
            return false;
        }
        for (word, place) in STANDS_FOR {
            script = script.replace(word, place);
        }
        // A folder that no other run of this test uses.
        script = script.replace("/tmp/dynamo-cache-certs", &self.plane.folder("pair").display().to_string());
        let (checkout, programs) = (self.checkout.display(), self.programs.display());
        let said = self.plane.bash(&format!("cd '{checkout}'\nPATH='{programs}':$PATH\n{script}"));
        said.unwrap_or_else(|why| panic!("{page}: {script}{why}"));
        if script.contains("helm upgrade") || script.contains("helm rollback") {
            self.wait_for_the_webhook();
        }
        true
    }

    /// Pastes all blocks of a page, and takes back what they have set for the namespace.
    fn read(&self, page: &str) {
        for block in blocks(page) {
            self.paste(page, &block);
        }
        let namespace = self.plane.read(&["namespace", "inference"]);
        for key in namespace["metadata"]["annotations"].as_object().iter().flat_map(|all| all.keys()) {
            if key.starts_with("dynamo-cache.io/") {
                self.plane.kubectl(&["annotate", "namespace", "inference", &format!("{key}-")]).unwrap();
            }
        }
    }

    /// The API server takes a moment to see a configuration.
    fn wait_for_the_webhook(&self) {
        wait_for("the API server to call the webhook", || {
            // What it says of the namespaces of others is theirs.
            let said = self.plane.dynamo_cache(&["check"]);
            let calls = said.output.contains("✓ the API server called the webhook for a pod, and the webhook answered");
            if calls { Ok(()) } else { Err(format!("{}{}", said.output, said.errors)) }
        });
    }

    /// The status of the worker of the README.
    fn status(&self) -> String {
        wait_for("the worker to report what it got", || {
            let pods = self.plane.read(&["pods", "--namespace=inference", "--selector=app=vllm-worker"]);
            let status = pods.pointer("/items/0/metadata/annotations/dynamo-cache.io~1status");
            status.and_then(|status| status.as_str()).map(str::to_owned).ok_or_else(|| format!("{pods:#}"))
        })
    }
}

#[test]
fn the_commands_of_the_documents_run_in_their_order_from_install_to_uninstall() {
    let _address = lock_address();
    // To itself, since `check` looks at every namespace.
    let plane = &ControlPlane::start().unwrap();
    let person = Person::new(plane);
    let readme = blocks("README.md");
    let with = |words: &str| {
        let has = |block: &Vec<String>| block.iter().any(|command| command.starts_with(words));
        readme.iter().position(has).unwrap_or_else(|| panic!("README.md has no {words}"))
    };
    let (installs, removes) = (with("helm install"), with("helm uninstall"));
    assert!(installs < removes, "README.md removes before it installs");

    let pasted = readme[..=installs].iter().filter(|block| person.paste("README.md", block)).count();
    assert!(pasted >= 3, "{pasted} blocks");
    let installation = Installation::adopt(plane, &["--shutdown-delay=0s"]);
    let _replica = installation.ready("documents");
    person.wait_for_the_webhook();
    let mut status = None;
    for block in &readme[installs + 1..removes] {
        person.paste("README.md", block);
        if block.iter().any(|command| command.contains("vllm-worker.yaml")) {
            status.get_or_insert_with(|| person.status());
        }
    }
    let status: Value = serde_json::from_str(&status.expect("README.md creates a worker")).unwrap();
    assert_eq!(status["containers"], json!({"worker": ["model", "compile"]}), "{status:#}");
    for page in pages("docs") {
        person.read(&page);
    }

    let certs = plane.folder("pair").display().to_string();
    plane.bash(&format!("certs/dev --out '{certs}'")).unwrap();
    fs::copy(format!("{certs}/ca.crt"), person.checkout.join("ca.crt")).unwrap();
    let manager = |block: &[String]| block[0].contains("certificate.mode=cert-manager");
    for page in pages("certs") {
        for block in blocks(&page).iter().filter(|block| !manager(block)) {
            person.paste(&page, block);
        }
    }

    for block in &readme[removes..] {
        person.paste("README.md", block);
    }
    for kind in ["mutatingwebhookconfigurations", "validatingadmissionpolicies", "clusterroles,clusterrolebindings"] {
        let said = plane.kubectl(&["get", kind, "--output=name"]).unwrap().out;
        assert!(!said.contains("dynamo-cache"), "the README leaves {said}");
    }

    // Another way to install it, now that there is none.
    for (kind, plural) in [("Certificate", "certificates"), ("Issuer", "issuers")] {
        plane.define("cert-manager.io", "v1", kind, plural);
    }
    let block = blocks("certs/README.md").into_iter().find(|block| manager(block)).expect("a block for cert-manager");
    assert!(person.paste("certs/README.md", &block));
    plane.read(&["certificate.cert-manager.io", "--namespace=dynamo-cache"])["items"][0]["spec"]["dnsNames"]
        .as_array()
        .expect("the certificate has names");
}
