//! The documents: links lead somewhere, the index is whole, and each command is run or named with the test that runs it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::harness::ROOT;

/// What begins so is not run by `documents_on_cluster`.
enum What {
    /// All commands of a block that has such a one.
    Block(&'static str),
    /// One command.
    Command(&'static str),
}

/// Something that is not run by `documents_on_cluster`, and why.
struct Elsewhere {
    what: What,
    why: &'static str,
    /// The file and the name of the test that runs it, where there is one.
    test: Option<(&'static str, &'static str)>,
}

/// What runs the commands of `docs/kustomize.md`.
const KUSTOMIZE: &str = "the_rendered_manifests_are_a_base_for_kustomize_and_what_the_document_removes_leaves_nothing";

/// All that `documents_on_cluster` does not run.
const ELSEWHERE: [Elsewhere; 16] = [
    Elsewhere { what: What::Command("tests/run"), why: "it is what runs the tests", test: None },
    Elsewhere {
        what: What::Command("tests/try"),
        why: "starts a cluster of its own",
        test: Some((
            "tests/cluster/try_script.rs",
            "a_person_gets_a_cluster_to_try_it_on_and_ctrl_c_removes_all_of_it",
        )),
    },
    Elsewhere {
        what: What::Block("kubectl kustomize ."),
        why: "wants the overlay of its page",
        test: Some(("tests/cluster/chart.rs", KUSTOMIZE)),
    },
    Elsewhere {
        what: What::Block("kubectl delete -k ."),
        why: "the same",
        test: Some(("tests/cluster/chart.rs", KUSTOMIZE)),
    },
    Elsewhere {
        what: What::Command("docker build "),
        why: "needs a container engine; tests/node/image builds the same image without one",
        test: Some(("tests/node/suite/install.rs", "the_image_takes_at_most_12_megabytes")),
    },
    Elsewhere { what: What::Command("docker push "), why: "needs a registry", test: None },
    Elsewhere {
        what: What::Block("cosign verify "),
        why: "needs what was published; `.ci/publish --trial` runs it with what it publishes on this machine",
        test: None,
    },
    Elsewhere { what: What::Block("gh attestation verify "), why: "needs GitHub", test: None },
    Elsewhere {
        what: What::Command("helm install dynamo-cache dynamo-cache-"),
        why: "needs the chart that was pulled, which `.ci/publish --trial` pulls",
        test: None,
    },
    Elsewhere {
        what: What::Command("dynamo-cache check -n inference --write-probe"),
        why: "needs a kubelet",
        test: Some(("tests/node/suite/check.rs", "a_healthy_installation_is_all_well_and_its_claims_are_written")),
    },
    Elsewhere {
        what: What::Command("kubectl wait -n inference --for=condition=complete --timeout=1h job/download-qwen3-0-6b"),
        why: "needs a kubelet, on which a test waits for this Job",
        test: Some((
            "tests/node/suite/life.rs",
            "a_worker_finds_its_model_with_the_network_gone_and_without_the_label_it_does_not",
        )),
    },
    Elsewhere {
        what: What::Command(
            "dynamo-cache download Qwen/Qwen3-0.6B --revision c1899de289a04d12100db370d81485cdf75e47ca -n inference --create-claim",
        ),
        why: "needs a kubelet",
        test: Some((
            "tests/node/suite/download.rs",
            "a_download_creates_and_prepares_its_claims_where_pods_are_restricted_and_a_second_one_downloads_nothing",
        )),
    },
    Elsewhere {
        what: What::Command("kubectl logs --namespace dynamo-cache deployment/dynamo-cache"),
        why: "needs a kubelet, and shows what a container has written, which other tests read from the program",
        test: None,
    },
    Elsewhere {
        what: What::Block("kubectl port-forward "),
        why: "needs a kubelet; the page is asked for at the port itself",
        test: Some(("tests/node/suite/install.rs", "the_service_leads_to_two_ready_replicas_whose_probes_answer")),
    },
    Elsewhere {
        what: What::Block("kubectl scale --namespace dynamo-cache deployment/dynamo-cache --replicas=0"),
        why: "takes the webhook away",
        test: Some((
            "tests/cluster/certificates/recovery.rs",
            "a_ca_that_is_thrown_away_as_the_readme_says_is_trusted_no_more",
        )),
    },
    Elsewhere {
        what: What::Block("certs/dev --out"),
        why: "another mode of certificates",
        test: Some(("tests/cluster/certificates/from_files.rs", "a_pair_that_a_person_brings_is_served_and_trusted")),
    },
];

impl What {
    fn is(&self, block: &[String], command: &str) -> bool {
        match self {
            What::Block(begin) => block.iter().any(|command| command.starts_with(begin)),
            What::Command(begin) => command.starts_with(begin),
        }
    }
}

/// Whether a command of a block is run elsewhere.
pub(crate) fn elsewhere(block: &[String], command: &str) -> bool {
    ELSEWHERE.iter().any(|entry| entry.what.is(block, command))
}

/// The Markdown files of a folder of the checkout, in their order.
pub(crate) fn pages(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(Path::new(ROOT).join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let markdown = names.filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "md"));
    let pages: BTreeSet<_> =
        markdown.map(|name| format!("{folder}/{name}").trim_start_matches("./").to_owned()).collect();
    pages.into_iter().collect()
}

fn text(page: &str) -> String {
    fs::read_to_string(format!("{ROOT}/{page}")).unwrap_or_else(|why| panic!("{page}: {why}"))
}

/// A page's fenced blocks: what stands behind the fence, and the lines.
fn fenced(page: &str) -> Vec<(String, Vec<String>)> {
    let (mut blocks, mut open) = (Vec::new(), None::<(String, Vec<String>)>);
    for line in text(page).lines() {
        match (line.trim().strip_prefix("```"), open.take()) {
            (Some(kind), None) => open = Some((kind.to_owned(), Vec::new())),
            (Some(_), Some(block)) => blocks.push(block),
            (None, Some((kind, mut lines))) => {
                lines.push(line.trim().to_owned());
                open = Some((kind, lines));
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{page}: a block has no end");
    blocks
}

/// The commands of each `sh` block of a page, continued lines as one.
pub(crate) fn blocks(page: &str) -> Vec<Vec<String>> {
    let shell = fenced(page).into_iter().filter(|(kind, _)| kind == "sh");
    let commands = |lines: Vec<String>| {
        let (mut commands, mut command) = (Vec::new(), String::new());
        for line in lines.iter().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (part, goes_on) = match line.strip_suffix('\\') {
                Some(part) => (part.trim_end(), true),
                None => (line.as_str(), line.ends_with('|')),
            };
            command = if command.is_empty() { part.to_owned() } else { format!("{command} {part}") };
            if !goes_on {
                commands.push(std::mem::take(&mut command));
            }
        }
        assert!(command.is_empty() && !commands.is_empty(), "{page}: {lines:?}");
        commands
    };
    shell.map(|(_, lines)| commands(lines)).collect()
}

/// Every page whose commands are run.
fn with_commands() -> Vec<String> {
    [vec!["README.md".to_owned()], pages("docs"), pages("certs")].concat()
}

/// The names by which a page's headings can be linked to.
fn anchors(page: &str) -> BTreeSet<String> {
    let (mut anchors, mut inside) = (BTreeSet::new(), false);
    for line in text(page).lines() {
        inside ^= line.trim().starts_with("```");
        if let (Some(heading), false) = (line.strip_prefix('#'), inside) {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            anchors.insert(kept.map(|c| if c == ' ' { '-' } else { c }).collect());
        }
    }
    anchors
}

/// A path below the checkout, from the folder of a page, or nothing where it leads out.
fn resolve(page: &str, link: &str) -> Option<String> {
    let mut parts: Vec<_> = page.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[test]
fn every_link_between_the_documents_leads_somewhere() {
    let (mut broken, mut seen) = (Vec::new(), 0);
    for page in [pages("."), pages("docs"), pages("certs"), pages("benches")].concat() {
        for (_, behind) in text(&page).match_indices("](").map(|(at, _)| (at, text(&page)[at + 2..].to_owned())) {
            let link = behind.split(')').next().unwrap();
            if link.contains("://") {
                continue;
            }
            seen += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { Some(page.clone()) } else { resolve(&page, path) };
            let is_there = target.is_some_and(|target| {
                Path::new(ROOT).join(&target).exists() && (anchor.is_empty() || anchors(&target).contains(anchor))
            });
            if !is_there {
                broken.push(format!("{page}: {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(seen > 50, "only {seen} links were seen");
}

#[test]
fn every_page_is_in_the_index() {
    let index = text("docs/README.md");
    for page in pages("docs").iter().filter(|page| *page != "docs/README.md") {
        let name = page.trim_start_matches("docs/");
        assert!(index.contains(&format!("]({name})")), "docs/README.md does not lead to {page}");
    }
    assert!(text("README.md").contains("](docs/README.md)"), "README.md does not lead to the index");
}

#[test]
fn a_command_that_is_not_run_with_the_others_is_there_and_so_is_the_test_that_runs_it() {
    let all: Vec<_> = with_commands().iter().flat_map(|page| blocks(page)).collect();
    for Elsewhere { what, why, test } in &ELSEWHERE {
        let (What::Block(begin) | What::Command(begin)) = what;
        let used = all.iter().any(|block| block.iter().any(|command| what.is(block, command)));
        assert!(used, "no document has {begin:?} any more: take it off the list");
        assert!(!why.is_empty(), "{begin:?} has no reason");
        if let Some((file, test)) = test {
            assert!(text(file).contains(&format!("#[test]\nfn {test}(")), "{file} has no test {test}, for {begin:?}");
        }
    }
}

/// With `--reuse-values` a newer chart fails, or goes without its new defaults: the old ones count too.
#[test]
fn an_upgrade_takes_the_defaults_of_a_newer_chart() {
    let examples = fs::read_dir(format!("{ROOT}/manifests/examples")).unwrap();
    let examples = examples.map(|entry| format!("manifests/examples/{}", entry.unwrap().file_name().display()));
    let mut upgrades = 0;
    for page in [with_commands(), pages("manifests/chart"), examples.collect()].concat() {
        let text = text(&page);
        assert!(!text.contains("--reuse-values"), "{page}: --reset-then-reuse-values also takes new defaults");
        upgrades += text.matches("--reset-then-reuse-values").count();
    }
    assert!(upgrades > 3, "only {upgrades} upgrades were seen");
}

#[test]
fn no_command_hides_in_a_block_that_is_not_run() {
    let programs = ["cargo", "certs/", "curl", "docker", "dynamo-cache", "flux", "helm", "kubectl", "oc", "tests/"];
    for page in with_commands() {
        for (kind, lines) in fenced(&page) {
            assert!(
                !["bash", "console", "shell", "zsh"].contains(&kind.as_str()),
                "{page}: a block of kind {kind} is not run"
            );
            let hidden = |line: &&String| programs.iter().any(|program| line.starts_with(&format!("{program} ")));
            assert_eq!(lines.iter().find(hidden).filter(|_| kind != "sh"), None, "{page}");
        }
    }
}
