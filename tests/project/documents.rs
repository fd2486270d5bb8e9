//! The documents: links lead somewhere, the index is complete, and each command is run or names the test that runs it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::harness::ROOT;
use crate::harness::document_commands::{Commands, NOT_RUN, NotRun};
use crate::harness::markdown::{blocks, fenced, pages, text, with_commands};

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
fn a_command_that_is_not_run_here_exists_and_so_does_the_test_that_runs_it() {
    let all: Vec<_> = with_commands().iter().flat_map(|page| blocks(page)).collect();
    for NotRun { what, why, test } in &NOT_RUN {
        let (Commands::Block(begin) | Commands::Command(begin)) = what;
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
