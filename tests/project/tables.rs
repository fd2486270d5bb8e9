//! The tables of the documents are those of the code. `UPDATE=1` rewrites them.

use std::fmt::Write as _;
use std::fs;

use dynamo_cache::admission::reason::Reason;
use dynamo_cache::admission::settings;

use crate::harness::program;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs");

#[test]
fn the_documents_list_every_setting() {
    let mut table = "| file | annotation | takes | default | meaning |\n|---|---|---|---|---|\n".to_owned();
    for setting in settings::ALL {
        let code = |text: Option<&str>| {
            text.filter(|text| !text.is_empty()).map_or("–".to_owned(), |text| format!("`{text}`"))
        };
        let (file, annotation) = (code(setting.key), code(setting.annotation));
        let (takes, default) = (setting.takes.describe(), code(Some(setting.default)));
        writeln!(table, "| {file} | {annotation} | {takes} | {default} | {} |", setting.meaning).unwrap();
    }
    table.push_str(
        "| `events` | – | true or false | `false` | events on the pod's owner where something was skipped |\n",
    );
    agrees("settings.md", "settings", &table);
}

#[test]
fn the_documents_list_every_reason() {
    let mut table = "| reason | what happened | what to do |\n|---|---|---|\n".to_owned();
    for reason in Reason::ALL {
        writeln!(table, "| `{reason}` | {} | {} |", reason.sentence(), reason.fix()).unwrap();
    }
    agrees("how-it-decides.md", "reasons", &table);
}

/// Holds a table against the one between a page's marks of that name.
fn agrees(page: &str, name: &str, table: &str) {
    let path = format!("{DOCS}/{page}");
    let text = fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let (before, rest) = text.split_once(&begin).expect("the page has the mark where the table begins");
    let (written, after) = rest.split_once(&end).expect("the page has the mark where the table ends");
    if program::updates() {
        fs::write(path, format!("{before}{begin}{table}{end}{after}")).unwrap();
    } else {
        assert!(written == table, "docs/{page} is out of date: UPDATE=1 tests/run the_documents_list");
    }
}
