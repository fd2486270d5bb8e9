//! The explanation of a pod as a page of text.

use std::fmt::Write as _;

use crate::admission::annotation::STATUS;
use crate::admission::plan::SCRATCH_PATH;
use crate::admission::reason::Reason;
use crate::admission::settings::Level;
use crate::admission::status::Status;
use crate::command::explain::why_not_reviewed::NotReviewed;
use crate::inspect::pod::Recorded;
use crate::inspect::volume::Finding;
use crate::manifest::explanation::{CacheExplanation, ContainerExplanation, Explanation, InPlace, SkippedPart};
use crate::terminal::table::aligned;

/// The facts that only a live pod has.
pub(super) struct LivePod<'l> {
    /// Its namespace.
    pub(super) namespace: &'l str,
    /// Its status annotation.
    pub(super) status: Option<Status<'l>>,
    /// The explanation of the pod as it would be if it were recreated now.
    pub(super) recreated: &'l Explanation,
    /// Why it has no status annotation, if it has none.
    pub(super) not_reviewed: Option<NotReviewed>,
    /// What keeps it from using the volumes of its claims.
    pub(super) volumes: Vec<Finding>,
    /// Why it waits for the program of mode `staged`, and what to do.
    pub(super) waits: Option<[String; 2]>,
    /// The kubectl command that recreates it.
    pub(super) restart_command: String,
    /// Whether the webhook's settings have no mistakes, so that `recreated` is reliable.
    pub(super) are_settings_valid: bool,
}

/// Formats the page about one pod.
pub(super) fn report(explanation: &Explanation, live: Option<&LivePod<'_>>) -> String {
    let mut lines = vec![match live {
        Some(live) => format!("{} in namespace {}", explanation.name, live.namespace),
        None => explanation.name.clone(),
    }];
    lines.push(match (&explanation.evidence, explanation.untouched) {
        (_, Some(reason)) => format!("  untouched: {} [{reason}]. {}", reason.sentence(), reason.fix()),
        (Some(evidence), None) => format!("  a Dynamo component, {evidence}"),
        (None, None) => "  a Dynamo component".to_owned(),
    });
    if let Some(not_reviewed) = live.and_then(|live| live.not_reviewed.as_ref()) {
        lines.push(format!("  without {STATUS}: {}.", not_reviewed.why));
        lines.extend(not_reviewed.fix.iter().map(|fix| format!("    {fix}")));
    }
    if let Some([why, fix]) = live.and_then(|live| live.waits.as_ref()) {
        lines.extend([format!("  {why}"), format!("    {fix}")]);
    }
    if explanation.untouched.is_none() {
        lines.push(String::new());
        lines.push(match live {
            Some(live) if live.status.is_none() => "Containers, as the webhook would handle them now".to_owned(),
            _ => "Containers".to_owned(),
        });
        for container in &explanation.containers {
            lines.extend(about_container(container, live));
        }
    }
    let mut text = lines.join("\n") + "\n";
    if let Some(live) = live.filter(|live| is_outdated(explanation, live)) {
        let _ = writeln!(text, "\nTo recreate the pod: {}", live.restart_command);
    }
    if let Some(live) = live.filter(|live| !live.volumes.is_empty()) {
        text += "\nVolumes\n";
        for Finding { text: line, fix } in &live.volumes {
            let _ = writeln!(text, "  {line}\n    {fix}");
        }
    }
    if !explanation.warnings.is_empty() {
        text += "\nWarnings\n";
        for (line, fix) in &explanation.warnings {
            let _ = writeln!(text, "  {line}\n    {fix}");
        }
    }
    if explanation.untouched.is_none() {
        text += "\nSettings\n";
        text += &settings(explanation);
    }
    text
}

/// What a graph does not describe of a pod: what its operator always adds, and what it decides about this one.
pub(super) fn sketch(unknown: &[String]) -> String {
    let mut text =
        "\nThis is the pod as far as the graph describes it. Its operator completes it; not known are\n".to_owned();
    let always =
        ["the operator's own Model Express address, which the webhook leaves in place", "what other webhooks add"];
    for line in always.into_iter().chain(unknown.iter().map(String::as_str)) {
        let _ = writeln!(text, "  {line}");
    }
    text
}

fn about_container(container: &ContainerExplanation, live: Option<&LivePod<'_>>) -> Vec<String> {
    let mut lines = vec![format!("  {}: {}", container.name, container.rule)];
    lines.extend(container.engine.iter().map(|engine| format!("    {engine}")));
    for cache in &container.caches {
        lines.extend(match live.and_then(|live| Some((live, live.status.as_ref()?))) {
            Some((live, status)) => {
                let recorded = Recorded::new(status, &container.name, cache.cache);
                about_recorded(&container.name, cache, live.recreated(&container.name, cache), &recorded)
            }
            None => about_cache(cache, live.is_some()),
        });
    }
    if !container.without_scratch.is_empty() {
        let variables = match container.without_scratch.as_slice() {
            [all @ .., last] if !all.is_empty() => format!("{} and {last}", all.join(", ")),
            all => all.concat(),
        };
        lines.push(format!("    without {variables}: {SCRATCH_PATH} is read-only, or not the container's own"));
    }
    lines
}

/// The lines about a cache of a pod without a status annotation: a pod in a file, or a live pod that was not reviewed.
fn about_cache(cache: &CacheExplanation, is_live: bool) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(in_place) = &cache.in_place {
        let state = if is_live { "would be in place" } else { "in place" };
        lines.push(format!("    {}: {state}{}", cache.cache, mode(cache)));
        lines.extend(about_in_place(in_place, "adds"));
    }
    for part in &cache.skipped {
        lines.extend(about_skipped(&format!("    {}: skipped", cache.cache), part));
    }
    lines
}

/// The lines about a cache of a pod with a status annotation: what was done when the pod was created, and what would be done
/// if the pod were recreated now.
fn about_recorded(
    container: &str,
    cache: &CacheExplanation,
    recreated: &CacheExplanation,
    recorded: &Recorded,
) -> Vec<String> {
    let mut lines = Vec::new();
    let name = cache.cache;
    let skipped_part = "      A part is skipped";
    if recorded.in_place {
        match (&cache.in_place, &cache.claim) {
            (Some(in_place), _) => {
                lines.push(format!("    {name}: in place{}", mode(cache)));
                // Additions are not on the pod yet.
                lines.extend(about_in_place(in_place, "recreated"));
            }
            (None, Some(claim)) => {
                lines.push(format!("    {name}: in place since the pod was created, on claim {claim}"));
            }
            (None, None) => lines.push(format!("    {name}: in place since the pod was created")),
        }
        lines.extend(
            recreated.other_claim(cache).map(|claim| format!("      If recreated, it would be on claim {claim}.")),
        );
        let begin = if recreated.in_place.is_some() { skipped_part } else { "      If recreated, it would be skipped" };
        for part in &recreated.skipped {
            lines.extend(about_skipped(begin, part));
        }
    } else if recreated.in_place.is_some() {
        // The decision would be another one now, so print the recorded reasons.
        if recorded.reasons.is_empty() {
            lines.push(format!("    {name}: not requested when the pod was created"));
        }
        for reason in &recorded.reasons {
            lines.push(format!("    {name}: skipped when the pod was created: {} [{reason}]", reason.sentence()));
            lines.push(format!("      {}", reason.fix()));
        }
        lines.push(format!("      It could be in place now: {container} would get it if the pod were recreated."));
        for part in &recreated.skipped {
            lines.extend(about_skipped(skipped_part, part));
        }
    } else {
        for part in &recreated.skipped {
            lines.extend(about_skipped(&format!("    {name}: skipped"), part));
        }
        let is_repeated = |reason: &Reason| recreated.skipped.iter().any(|part| part.reason == *reason);
        for reason in recorded.reasons.iter().filter(|reason| !is_repeated(reason)) {
            lines.push(format!("      When the pod was created: {} [{reason}]", reason.sentence()));
        }
    }
    lines
}

/// The mode of the cache, if it is another than direct.
fn mode(cache: &CacheExplanation) -> &'static str {
    if cache.is_staged { ", staged on local disk" } else { "" }
}

/// One line per mount, variable and flag; `added` is the word before those of the patch.
fn about_in_place(in_place: &InPlace, added: &str) -> Vec<String> {
    let (word, parts) = match in_place {
        InPlace::Added(parts) => (added, parts),
        InPlace::Present(parts) => ("present", parts),
    };
    parts.iter().map(|part| format!("      {word}: {part}")).collect()
}

/// A line with a reason, and a line with its fix.
fn about_skipped(begin: &str, SkippedPart { reason, claim, fix }: &SkippedPart) -> [String; 2] {
    let claim = claim.as_ref().map(|claim| format!(" (claim {claim})")).unwrap_or_default();
    [format!("{begin}: {}{claim} [{reason}]", reason.sentence()), format!("      {fix}")]
}

impl LivePod<'_> {
    /// The explanation of a cache if the pod were recreated.
    fn recreated<'a>(&'a self, container: &str, cache: &'a CacheExplanation) -> &'a CacheExplanation {
        self.recreated.cache(container, cache.cache).unwrap_or(cache)
    }
}

/// Whether the pod would get a cache now that it does not have, or get one from another claim.
fn is_outdated(explanation: &Explanation, live: &LivePod<'_>) -> bool {
    let Some(status) = &live.status else { return explanation.is_component() };
    let caches = explanation
        .containers
        .iter()
        .flat_map(|container| container.caches.iter().map(move |cache| (container, cache)));
    live.are_settings_valid
        && caches.into_iter().any(|(container, cache)| {
            let recreated = live.recreated(&container.name, cache);
            let was_in_place = Recorded::new(status, &container.name, cache.cache).in_place;
            if was_in_place { recreated.other_claim(cache).is_some() } else { recreated.in_place.is_some() }
        })
}

/// The table of settings with the origin of each.
fn settings(explanation: &Explanation) -> String {
    let rows = explanation.origins.iter().map(|origin| {
        let name = origin.setting.key.or(origin.setting.annotation).unwrap_or_default();
        let level = match (origin.level, origin.setting.annotation) {
            (Level::Default, _) => "built in".to_owned(),
            (Level::File, _) => "settings file".to_owned(),
            (Level::Namespace, annotation) => format!("namespace, dynamo-cache.io/{}", annotation.unwrap_or_default()),
            (Level::Pod, annotation) => format!("pod, dynamo-cache.io/{}", annotation.unwrap_or_default()),
        };
        let value = if origin.value.is_empty() { "–" } else { &origin.value };
        vec![name.to_owned(), value.to_owned(), level]
    });
    aligned("  ", &rows.collect::<Vec<_>>())
}
