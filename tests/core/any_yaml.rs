//! Any pod, in any style of YAML: it is read as it is meant, and what `inject` adds leaves the rest of its text as it is.

use std::ops::Range;

use dynamo_cache::admission::Evaluation;
use dynamo_cache::admission::claim::Claim;
use dynamo_cache::admission::settings::Settings;
use dynamo_cache::config::Config;
use dynamo_cache::yaml;
use serde_json::{Value, json};

use crate::harness::odd_yaml::documents;
use crate::harness::program::cases;

#[test]
fn any_style_of_yaml_is_read_as_it_is_meant() {
    for (value, text) in documents(cases(3000)) {
        let read = yaml::documents(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(read.len(), 1, "{text}");
        assert_eq!(read[0].value, value, "{text}");
    }
}

/// Settings with what they add: caches alone, arguments too, containers and a group too.
fn settings() -> Vec<(Settings, Vec<(String, String)>)> {
    let begin = "apiVersion: dynamo-cache.io/v1alpha1\nkind: CacheConfig\nunprovenClaim: inject\n";
    let read = |text: &str| Config::read(&format!("{begin}{text}")).unwrap().settings;
    let load_format = ("dynamo-cache.io/load-format".to_owned(), "fastsafetensors".to_owned());
    let staged = "fsGroup: 1000\ncompileCache: {mode: staged}\nstaging: {image: registry.example.com/dynamo-cache:1}\n";
    vec![(Settings::default(), Vec::new()), (read(""), vec![load_format.clone()]), (read(staged), vec![load_format])]
}

#[test]
fn text_outside_of_what_is_added_stays_as_it_is() {
    let (settings, mut edited, mut refused) = (settings(), 0, Vec::new());
    for (index, (pod, text)) in documents(cases(3000)).into_iter().enumerate() {
        let (settings, annotations) = &settings[index % settings.len()];
        let view = pod.to_string();
        let Ok(view) = serde_json::from_str(&view) else { continue };
        let evaluation = Evaluation::new(&view, settings, annotations);
        let claims = evaluation.claims().map(|name| (name.to_owned(), Claim::default())).collect();
        let Value::Array(operations) = serde_json::to_value(evaluation.decide(&claims).operations()).unwrap() else {
            panic!()
        };
        if operations.is_empty() {
            continue;
        }
        let mut after = pod.clone();
        let patch: json_patch::Patch = serde_json::from_value(json!(operations)).unwrap();
        json_patch::patch(&mut after, &patch).unwrap();
        let source = yaml::sources(&text).next().unwrap().unwrap();
        let range = source.text.clone().unwrap();
        let Some(changed) = source.edit(&text, &operations, &after) else {
            refused.push(text);
            continue;
        };
        edited += 1;
        let whole = format!("{}{}", changed.text, &text[range.end..]);
        assert_eq!(yaml::documents(&whole).unwrap()[0].value, after, "{text}\n=====\n{whole}");
        let (mut rest, mut from) = (changed.text.as_str(), range.start);
        for (replaced, new) in &changed.changes {
            assert!(may_be_replaced(&text, replaced), "{:?} is lost:\n{text}", &text[replaced.clone()]);
            let kept = format!("{}{new}", &text[from..replaced.start]);
            rest = rest.strip_prefix(&kept).unwrap_or_else(|| panic!("no {kept:?} in {rest:?}"));
            from = replaced.end;
        }
        assert_eq!(rest, &text[from..range.end]);
    }
    // An anchor that `<<` merges may not get additions: they would be merged too. A status may be a block.
    let is_known = |text: &String| text.contains("<<: *") || text.contains("dynamo-cache.io/status");
    let other = refused.iter().find(|text| !is_known(text));
    assert!(other.is_none() && refused.len() < edited / 25, "{edited} edited, {} refused: {other:?}", refused.len());
}

/// Whether text may be replaced: nothing, an empty value with its tag, an alias whose anchor changed, the status of an earlier
/// pass.
fn may_be_replaced(text: &str, range: &Range<usize>) -> bool {
    let old = text[range.clone()].trim_matches(' ');
    let is_alias = old.strip_prefix("*a").is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    let line = text[..range.start].rsplit('\n').next().unwrap_or_default();
    let is_status = line.contains("dynamo-cache.io/status") && !old.contains('\n');
    let old = old.replace(' ', "");
    ["", "[]", "{}", "~", "null", "NULL"].contains(&old.as_str()) || is_alias || is_status
}
