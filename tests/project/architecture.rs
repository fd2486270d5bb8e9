//! Promises about the tree: the core asks for nothing, and the shells around it do not know each other.

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Packages that compute and do nothing else.
const CORE_MAY_USE: [&str; 7] = ["base64", "memchr", "serde", "serde_json", "sha2", "strsim", "thiserror"];

/// What the core is handed instead: it asks for no clock, file, network, task or environment.
const CORE_NEVER_ASKS: [&str; 7] =
    ["std::env", "std::fs", "std::net::Tcp", "std::net::Udp", "std::process", "std::thread", "std::time"];

/// What has to do with the world outside. The two commands that run the server know all of it.
const SHELLS: [&str; 5] = ["certificate", "cluster", "command", "server", "signal"];
const KNOW_EVERYONE: [&str; 2] = ["command/serve", "command/try_it"];

/// The handler is where the journey of a review gathers its facts; `check` verifies a certificate by the server's rules,
/// and removes what it created when it gets a signal.
const MAY_KNOW: [(&str, &str); 3] = [
    ("server/route.rs", "cluster"),
    ("command/check/certificate.rs", "certificate"),
    ("command/check/probe.rs", "signal"),
];

/// Every Rust file below src/: its path there, and what it says outside comments.
fn sources() -> Vec<(String, String)> {
    fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let (source, mut files) = (Path::new(ROOT).join("src"), Vec::new());
    collect(&source, &mut files);
    let read = |file: PathBuf| {
        let text = fs::read_to_string(&file).unwrap();
        let code: Vec<_> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
        (file.strip_prefix(&source).unwrap().display().to_string(), code.join("\n"))
    };
    files.into_iter().map(read).collect()
}

/// Whether code names something, `kube::` say, and not as the end of a longer word.
fn mentions(code: &str, path: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    code.match_indices(path).any(|(at, _)| !code[..at].ends_with(inside))
}

/// Whether code names one of our modules from the top.
fn knows(code: &str, module: &str) -> bool {
    ["crate::", "dynamo_cache::"].iter().any(|top| {
        let ends = |behind: &str| !behind.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        let path = format!("{top}{module}");
        code.match_indices(&path).any(|(at, _)| ends(&code[at + path.len()..]))
    })
}

#[test]
fn the_core_uses_what_computes_and_nothing_else() {
    let core = Path::new(ROOT).join("src/admission");
    let manifest = fs::read_to_string(core.join("Cargo.toml")).unwrap();
    let tables = manifest.lines().filter(|line| line.starts_with('[') && line.contains("dependencies"));
    assert_eq!(tables.collect::<Vec<_>>(), ["[dependencies]"]);
    assert!(!core.join("build.rs").exists(), "nothing runs while the core is built");
    let dependencies = manifest.split("[dependencies]").nth(1).and_then(|rest| rest.split("\n[").next()).unwrap();
    let packages: Vec<_> = dependencies.lines().filter_map(|line| line.split_once(['.', ' ', '='])).collect();
    let packages: Vec<_> = packages.into_iter().map(|(package, _)| package).collect();
    assert_eq!(packages, CORE_MAY_USE);
    for (file, code) in sources().iter().filter(|(file, _)| file.starts_with("admission/")) {
        for asked in CORE_NEVER_ASKS {
            assert!(!mentions(code, asked), "src/{file} uses {asked}");
        }
    }
}

#[test]
fn the_packages_of_the_product_are_those_that_fuzzing_looks_at() {
    let manifest = fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).unwrap();
    assert!(manifest.contains("\nmembers = [\"src/admission\"]\n"), "another package: fuzz/instrumented is to name it");
    let instrumented = fs::read_to_string(Path::new(ROOT).join("fuzz/instrumented")).unwrap();
    let crates = instrumented.split("crates=(").nth(1).and_then(|rest| rest.split(')').next()).unwrap();
    let crates: Vec<_> = crates.split(' ').collect();
    assert!(["dynamo_cache", "dynamo_cache_admission"].iter().all(|ours| crates.contains(ours)), "{crates:?}");
}

#[test]
fn shells_do_not_know_each_other() {
    for (file, code) in &sources() {
        let own = file.split(['/', '.']).next().unwrap_or_default();
        let knows_everyone = KNOW_EVERYONE.iter().any(|command| file.starts_with(command));
        if knows_everyone || !SHELLS.contains(&own) {
            continue;
        }
        for shell in SHELLS.into_iter().filter(|shell| *shell != own && !MAY_KNOW.contains(&(file.as_str(), *shell))) {
            assert!(!knows(code, shell), "src/{file} knows {shell}; only the commands that run the server may");
        }
    }
}
