//! An account of a pod, as a page.

use std::fmt::Write as _;

use crate::admission::reason::Reason;
use crate::admission::settings::Level;
use crate::admission::status::Status;
use crate::command::explain::why_not_reviewed::Unseen;
use crate::inspect::pod::Recorded;
use crate::manifest::explanation::{Account, CacheAccount, ContainerAccount, InPlace};
use crate::terminal::table::aligned;

/// What is known of a pod only because it lives.
pub(super) struct Live<'l> {
    /// Its namespace.
    pub(super) namespace: &'l str,
    /// Its status annotation.
    pub(super) status: Option<Status<'l>>,
    /// The account of the pod as it would be made anew.
    pub(super) anew: &'l Account,
    /// Where it has none: why.
    pub(super) unseen: Option<Unseen>,
    /// The command that has it made anew.
    pub(super) restart: String,
    /// Whether the settings are known by which it would be made anew, as well as they can be.
    pub(super) is_settled: bool,
}

/// The page about one pod.
pub(super) fn report(account: &Account, live: Option<&Live<'_>>) -> String {
    let mut lines = vec![match live {
        Some(live) => format!("{} in namespace {}", account.name, live.namespace),
        None => account.name.clone(),
    }];
    lines.push(match (&account.mark, account.left_alone) {
        (_, Some(reason)) => format!("  left alone: {} [{reason}]. {}", reason.sentence(), reason.fix()),
        (Some(mark), None) => format!("  a Dynamo component, {mark}"),
        (None, None) => "  a Dynamo component".to_owned(),
    });
    if let Some(unseen) = live.and_then(|live| live.unseen.as_ref()) {
        lines.push(format!("  without {}: {}.", crate::admission::annotation::STATUS, unseen.why));
        lines.extend(unseen.fix.iter().map(|fix| format!("    {fix}")));
    }
    if account.left_alone.is_none() {
        lines.push(String::new());
        lines.push(match live {
            Some(live) if live.status.is_none() => "Containers, as the webhook would see them now".to_owned(),
            _ => "Containers".to_owned(),
        });
        for container in &account.containers {
            about_container(container, live, &mut lines);
        }
    }
    let mut text = lines.join("\n") + "\n";
    if let Some(live) = live.filter(|live| outdated(account, live)) {
        let _ = writeln!(text, "\nTo have it made anew: {}", live.restart);
    }
    if !account.warnings.is_empty() {
        text += "\nWarnings\n";
        for (line, fix) in &account.warnings {
            let _ = writeln!(text, "  {line}\n    {fix}");
        }
    }
    if account.left_alone.is_none() {
        text += "\nSettings\n";
        text += &settings(account);
    }
    text
}

fn about_container(container: &ContainerAccount, live: Option<&Live<'_>>, lines: &mut Vec<String>) {
    lines.push(format!("  {}: {}", container.name, container.rule));
    lines.extend(container.engine.iter().map(|engine| format!("    {engine}")));
    for cache in &container.caches {
        match live.and_then(|live| Some((live, live.status.as_ref()?))) {
            Some((live, status)) => {
                let then = Recorded::new(status, &container.name, cache.cache);
                about_recorded(&container.name, cache, live.anew(&container.name, cache), &then, lines);
            }
            None => about_cache(cache, live.is_some(), lines),
        }
    }
}

/// What there is to say of a cache of a pod without a status: of one in a file, or of one that the webhook did not see.
fn about_cache(cache: &CacheAccount, is_unseen: bool, lines: &mut Vec<String>) {
    let in_place = if is_unseen { "would be in place" } else { "in place" };
    if let Some(basis) = &cache.in_place {
        lines.push(format!("    {}: {in_place}", cache.cache));
        about_basis(basis, "adds", lines);
    }
    for (reason, claim) in &cache.left_out {
        left_out(&format!("    {}: left out", cache.cache), *reason, claim.as_deref(), lines);
    }
}

/// The same of a pod with a status: what was done then, and what would be if it were made anew.
fn about_recorded(
    container: &str,
    cache: &CacheAccount,
    anew: &CacheAccount,
    then: &Recorded,
    lines: &mut Vec<String>,
) {
    let name = cache.cache;
    let part = "      Without a part of it";
    if then.in_place {
        match (&cache.in_place, &cache.claim) {
            (Some(basis), _) => {
                lines.push(format!("    {name}: in place"));
                // What would be added now is not there.
                about_basis(basis, "made anew", lines);
            }
            (None, Some(claim)) => {
                lines.push(format!("    {name}: in place since the pod was created, on claim {claim}"));
            }
            (None, None) => lines.push(format!("    {name}: in place since the pod was created")),
        }
        lines.extend(anew.other_claim(cache).map(|claim| format!("      Made anew it would be on claim {claim}.")));
        let begin = if anew.in_place.is_some() { part } else { "      Made anew it would be left out" };
        for (reason, claim) in &anew.left_out {
            left_out(begin, *reason, claim.as_deref(), lines);
        }
    } else if anew.in_place.is_some() {
        // Decided otherwise today: what was told then stands.
        if then.reasons.is_empty() {
            lines.push(format!("    {name}: not asked for when the pod was created"));
        }
        for reason in &then.reasons {
            left_out(&format!("    {name}: left out when the pod was created"), *reason, None, lines);
        }
        lines.push(format!("      It could be in place now: {container} would get it if the pod were made anew."));
        for (reason, claim) in &anew.left_out {
            left_out(part, *reason, claim.as_deref(), lines);
        }
    } else {
        for (reason, claim) in &anew.left_out {
            left_out(&format!("    {name}: left out"), *reason, claim.as_deref(), lines);
        }
        let is_told = |reason: &Reason| anew.left_out.iter().any(|(now, _)| now == reason);
        for reason in then.reasons.iter().filter(|reason| !is_told(reason)) {
            lines.push(format!("      When the pod was created: {} [{reason}]", reason.sentence()));
        }
    }
}

/// The lines of what makes a cache be in place, those of the patch behind `added`.
fn about_basis(basis: &InPlace, added: &str, lines: &mut Vec<String>) {
    let (word, parts) = match basis {
        InPlace::Added(parts) => (added, parts),
        InPlace::There(parts) => ("there", parts),
    };
    lines.extend(parts.iter().map(|part| format!("      {word}: {part}")));
}

/// A line about a reason, and one with its fix.
fn left_out(begin: &str, reason: Reason, claim: Option<&str>, lines: &mut Vec<String>) {
    let claim = claim.map(|claim| format!(" (claim {claim})")).unwrap_or_default();
    lines.push(format!("{begin}: {}{claim} [{reason}]", reason.sentence()));
    lines.push(format!("      {}", reason.fix()));
}

impl Live<'_> {
    /// What a cache of a container would be if the pod were made anew.
    fn anew<'a>(&'a self, container: &str, cache: &'a CacheAccount) -> &'a CacheAccount {
        self.anew.cache(container, cache.cache).unwrap_or(cache)
    }
}

/// Whether the pod would get something today that it did not get, or get it from elsewhere.
fn outdated(account: &Account, live: &Live<'_>) -> bool {
    let Some(status) = &live.status else { return account.left_alone.is_none_or(|reason| !reason.leaves_no_status()) };
    let caches =
        account.containers.iter().flat_map(|container| container.caches.iter().map(move |cache| (container, cache)));
    live.is_settled
        && caches.into_iter().any(|(container, cache)| {
            let anew = live.anew(&container.name, cache);
            let was_in_place = Recorded::new(status, &container.name, cache.cache).in_place;
            if was_in_place { anew.other_claim(cache).is_some() } else { anew.in_place.is_some() }
        })
}

fn settings(account: &Account) -> String {
    let rows = account.origins.iter().map(|origin| {
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
