//! Promises about the tree: the core asks for nothing, the shells around it do not know each other, and no files depend on
//! each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Packages that compute and do nothing else.
const CORE_MAY_USE: [&str; 8] = ["base64", "memchr", "serde", "serde_json", "sha2", "strsim", "thiserror", "wide"];

/// What the core is handed instead: it asks for no clock, file, network, task or environment.
const CORE_NEVER_ASKS: [&str; 7] =
    ["std::env", "std::fs", "std::net::Tcp", "std::net::Udp", "std::process", "std::thread", "std::time"];

/// What has to do with the world outside. `serve` puts the webhook together and knows all of it, and so do the two commands that
/// run it.
const SHELLS: [&str; 6] = ["certificate", "cluster", "command", "inspect", "serve", "server"];
const KNOW_EVERYONE: [&str; 3] = ["serve", "command.rs", "command/try_it"];

/// The handler is where the journey of a review gathers its facts; `check` verifies a certificate by the server's rules;
/// commands look at the cluster.
const MAY_KNOW: [(&str, &str); 3] =
    [("server/webhook.rs", "cluster"), ("command/check/certificate.rs", "certificate"), ("command/", "inspect")];

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
        let may_know = |shell: &str| MAY_KNOW.iter().any(|(from, to)| file.starts_with(from) && *to == shell);
        for shell in SHELLS.into_iter().filter(|shell| *shell != own && !may_know(shell)) {
            assert!(!knows(code, shell), "src/{file} knows {shell}; only the commands that run the server may");
        }
    }
}

/// The modules of a package below a folder of src/, by their paths from its root, with what each of them uses of the others
/// outside its tests. What a module uses of those above it does not count: it is a part of them.
fn uses(package: &str) -> BTreeMap<String, BTreeSet<String>> {
    let files = sources().into_iter().filter_map(|(file, _)| {
        let inside = file.strip_prefix(package)?;
        let is_core = file.starts_with("admission/");
        (is_core == (package == "admission/")).then(|| inside.to_owned())
    });
    let module = |file: &str| match file.strip_suffix(".rs").unwrap() {
        "lib" | "main" => String::new(),
        path => path.replace('/', "::"),
    };
    let files: BTreeMap<_, _> = files.map(|file| (module(&file), file)).collect();
    let names: BTreeSet<_> = files.keys().cloned().collect();
    files
        .iter()
        .map(|(module, file)| {
            let text = fs::read_to_string(Path::new(ROOT).join("src").join(package).join(file)).unwrap();
            let mut paths = Paths { found: Vec::new() };
            paths.visit_file(&syn::parse_file(&text).unwrap());
            let used = paths.found.iter().filter_map(|path| resolve(module, path, &names));
            let is_above = |used: &String| used.is_empty() || format!("{module}::").starts_with(&format!("{used}::"));
            (module.clone(), used.filter(|used| !is_above(used)).collect())
        })
        .collect()
}

/// The module that a path leads to, as it stands in another module.
fn resolve(from: &str, path: &[String], modules: &BTreeSet<String>) -> Option<String> {
    let mut base: Vec<_> = from.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let mut rest = path;
    match path.first().map(String::as_str) {
        Some("crate") => (base, rest) = (Vec::new(), &path[1..]),
        Some("super" | "self") => {
            while let Some((first, behind)) =
                rest.split_first().filter(|(first, _)| *first == "super" || *first == "self")
            {
                if first == "super" {
                    base.pop();
                }
                rest = behind;
            }
        }
        _ => {
            let child = [base.as_slice(), &path[..1]].concat().join("::");
            if !modules.contains(&child) {
                return None;
            }
        }
    }
    base.extend(rest.iter().cloned());
    (0..=base.len()).rev().map(|length| base[..length].join("::")).find(|module| modules.contains(module))
}

/// Every path in a file, but for its tests.
struct Paths {
    found: Vec<Vec<String>>,
}

impl Paths {
    fn tree(&mut self, above: &[String], tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) => self.tree(&[above, &[path.ident.to_string()]].concat(), &path.tree),
            syn::UseTree::Name(name) => self.found.push([above, &[name.ident.to_string()]].concat()),
            syn::UseTree::Rename(name) => self.found.push([above, &[name.ident.to_string()]].concat()),
            syn::UseTree::Glob(_) => self.found.push(above.to_vec()),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.tree(above, tree)),
        }
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let is_test = module.attrs.iter().any(|attribute| attribute.path().is_ident("cfg"));
        if !is_test {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.found.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }
}

/// A way from a module back to itself, where there is one.
fn circle(uses: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn walk(
        module: &str,
        uses: &BTreeMap<String, BTreeSet<String>>,
        way: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> Option<Vec<String>> {
        if let Some(begin) = way.iter().position(|passed| passed == module) {
            return Some(way[begin..].to_vec());
        }
        if !done.insert(module.to_owned()) {
            return None;
        }
        way.push(module.to_owned());
        let found = uses[module].iter().find_map(|next| walk(next, uses, way, done));
        way.pop();
        found
    }
    let mut done = BTreeSet::new();
    uses.keys().find_map(|module| walk(module, uses, &mut Vec::new(), &mut done))
}

#[test]
fn no_files_of_a_package_depend_on_each_other_in_a_circle() {
    for package in ["admission/", ""] {
        let uses = uses(package);
        assert!(uses.values().map(BTreeSet::len).sum::<usize>() > 50, "the arrows are not found: {uses:#?}");
        assert_eq!(circle(&uses), None, "src/{package}");
    }
    let named = |pairs: &[(&str, &str)]| {
        let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, to) in pairs {
            uses.entry((*from).to_owned()).or_default().insert((*to).to_owned());
            uses.entry((*to).to_owned()).or_default();
        }
        uses
    };
    assert_eq!(circle(&named(&[("a", "b"), ("b", "c"), ("a", "c")])), None);
    assert_eq!(circle(&named(&[("a", "b"), ("b", "c"), ("c", "b")])), Some(vec!["b".to_owned(), "c".to_owned()]));
}

#[test]
fn rooms_keep_to_themselves() {
    let uses = uses("");
    let top = |module: &str| module.split("::").take(2).map(str::to_owned).collect::<Vec<_>>();
    for (from, used) in &uses {
        for to in used {
            let (from_top, to_top) = (top(from), top(to));
            let is_command = from_top.len() == 2 && from_top[0] == "command";
            assert!(
                !(is_command && to_top.len() == 2 && to_top[0] == "command" && from_top != to_top),
                "{from} uses {to}: no command uses another"
            );
            let of_files = from_top.first().is_some_and(|room| room == "manifest");
            let needs_cluster = to_top.first().is_some_and(|room| room == "cluster" || room == "inspect");
            assert!(!(of_files && needs_cluster), "{from} uses {to}: what works on files needs no cluster");
        }
    }
}
