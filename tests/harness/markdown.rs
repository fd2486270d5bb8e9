//! The Markdown pages of the repository: their text, their fenced blocks, and the commands in these.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::ROOT;

/// The Markdown files of a folder of the checkout, in their order.
pub(crate) fn pages(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(Path::new(ROOT).join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let markdown = names.filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "md"));
    let pages: BTreeSet<_> =
        markdown.map(|name| format!("{folder}/{name}").trim_start_matches("./").to_owned()).collect();
    pages.into_iter().collect()
}

pub(crate) fn text(page: &str) -> String {
    fs::read_to_string(format!("{ROOT}/{page}")).unwrap_or_else(|why| panic!("{page}: {why}"))
}

/// A page's fenced blocks: the word behind the fence, and the lines.
pub(crate) fn fenced(page: &str) -> Vec<(String, Vec<String>)> {
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
pub(crate) fn with_commands() -> Vec<String> {
    [vec!["README.md".to_owned()], pages("docs"), pages("certs")].concat()
}
