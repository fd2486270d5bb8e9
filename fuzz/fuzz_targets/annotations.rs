//! Annotations of a namespace and of a pod. Three bytes choose the surroundings and the pod of a case; then names and values take
//! turns, each ended by a NUL: those of the namespace up to an empty name, then those of the pod. A name without a slash is
//! one of ours.
#![no_main]

use std::cell::LazyCell;

use dynamo_cache::admission::annotation::PREFIX;
use dynamo_cache::admission::claim::{Claim, Claims};
use dynamo_cache::admission::settings::{Level, origins, resolve};
use dynamo_cache::admission::{Evaluation, warning};
use dynamo_cache_fuzz::surroundings::Surroundings;
use dynamo_cache_fuzz::{case, law};
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::{Value, json};

thread_local! {
    static ROOMS: LazyCell<Vec<Surroundings>> = LazyCell::new(Surroundings::all);
    static PODS: LazyCell<Vec<Value>> = LazyCell::new(|| case::all().into_iter().map(|case| case.pod).collect());
}

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Some(([surroundings, high, low], rest)) = bytes.split_first_chunk() else { return Corpus::Reject };
    let Ok(text) = std::str::from_utf8(rest) else { return Corpus::Reject };
    let mut words = text.split('\0');
    let namespace: Vec<_> = pairs(&mut words).collect();
    let of_pod: Vec<_> = pairs(&mut words).collect();
    ROOMS.with(|rooms| {
        let surroundings = &rooms[usize::from(*surroundings) % rooms.len()];
        let index = usize::from(u16::from_be_bytes([*high, *low]));
        let mut pod = PODS.with(|pods| pods[index % pods.len()].clone());
        for (name, value) in of_pod {
            pod["metadata"]["annotations"][name] = json!(value);
        }
        let namespace = if namespace.is_empty() { &surroundings.namespace } else { &namespace };
        let (after, changes) = decide(surroundings, namespace, &pod);
        if changes > 0 {
            assert_eq!(decide(surroundings, namespace, &after).1, 0, "a second pass changes something");
        }
    });
    Corpus::Keep
});

/// The next annotations, up to an empty name.
fn pairs<'t>(words: &mut impl Iterator<Item = &'t str>) -> impl Iterator<Item = (String, String)> {
    std::iter::from_fn(|| {
        let name = words.next().filter(|name| !name.is_empty())?;
        let name = if name.contains('/') { name.to_owned() } else { format!("{PREFIX}{name}") };
        Some((name, words.next().unwrap_or_default().to_owned()))
    })
}

/// The pod as it leaves us, and the number of operations that it took.
fn decide(surroundings: &Surroundings, namespace: &[(String, String)], pod: &Value) -> (Value, usize) {
    let text = pod.to_string();
    let view = serde_json::from_str(&text).expect("the pod of a case has the shape of a pod");
    let evaluation = Evaluation::new(&view, &surroundings.config.settings, namespace);

    // The levels that `explain` shows yield the settings that apply.
    let (settings, _) = resolve(&surroundings.config.settings, namespace, view.annotations());
    let mut of_origins = surroundings.config.settings.clone();
    for origin in origins(&[], namespace, view.annotations()) {
        if matches!(origin.level, Level::Namespace | Level::Pod) {
            // One that is removed says so, and applies.
            let _ = origin.setting.apply(&mut of_origins, &origin.value);
        }
    }
    assert_eq!(*settings, of_origins);

    let all: Claims = evaluation.claims().map(|name| (name.to_owned(), Claim::default())).collect();
    let outcome = evaluation.decide(surroundings.claims.as_ref().unwrap_or(&all));
    for warning in warning::to_response_lines(&outcome.warnings) {
        assert!(warning.chars().count() <= 120, "{warning}");
    }
    let operations = serde_json::to_value(outcome.operations()).expect("operations are JSON");
    (law::apply(pod, &operations), outcome.operations().len())
}
