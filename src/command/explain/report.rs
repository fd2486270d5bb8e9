//! An account of a pod, as a page.

use serde_json::Value;
use std::fmt::Write as _;

use super::unseen::Unseen;
use crate::admission::plan::Cache;
use crate::admission::reason::Reason;
use crate::admission::settings::Level;
use crate::command::account::{Account, CacheAccount, ContainerAccount};
use crate::command::recorded::Recorded;
use crate::command::table::aligned;

/// What is known of a pod only because it lives.
pub(super) struct Live<'l> {
    /// Its namespace.
    pub(super) namespace: &'l str,
    /// Its status annotation.
    pub(super) status: Option<Value>,
    /// Where it has none: why.
    pub(super) unseen: Option<Unseen>,
    /// The command that has it made anew.
    pub(super) restart: String,
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
        lines.push(format!("  without {}: {}.", crate::admission::settings::STATUS, unseen.why));
        lines.push(format!("    {}", unseen.fix));
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
    let status = live.and_then(|live| live.status.as_ref());
    let is_unseen = live.is_some_and(|live| live.status.is_none());
    for cache in &container.caches {
        about_cache(&container.name, cache, (status, is_unseen), lines);
    }
}

fn about_cache(
    container: &str,
    cache: &CacheAccount,
    (status, is_unseen): (Option<&Value>, bool),
    lines: &mut Vec<String>,
) {
    let in_place = if is_unseen { "would be in place" } else { "in place" };
    let then = status.map(|status| Recorded::of(status, container, cache.cache));
    let mut say = |line: String| lines.push(line);
    let left_out = |reason: &Reason, claim: &Option<String>| {
        let claim = claim.as_ref().map(|claim| format!(" (claim {claim})")).unwrap_or_default();
        (format!("{}{claim} [{reason}]", reason.sentence()), format!("      {}", reason.fix()))
    };
    let was_left_out = then.as_ref().is_some_and(|then| !then.in_place);
    match (&cache.in_place, &then) {
        (Some(_), Some(then)) if !then.in_place && cache.cache != Cache::LoadFormat => {
            // Decided otherwise today: what was told then stands.
            if then.reasons.is_empty() {
                say(format!("    {}: not asked for when the pod was created", cache.cache));
            }
            for reason in &then.reasons {
                let (line, fix) = left_out(reason, &None);
                say(format!("    {}: left out when the pod was created: {line}", cache.cache));
                say(fix);
            }
            say(format!("      It could be in place now: {container} would get it if the pod were made anew."));
        }
        (Some(details), _) => {
            say(format!("    {}: {in_place}", cache.cache));
            for detail in details {
                say(format!("      {detail}"));
            }
        }
        (None, Some(then)) if then.in_place => {
            say(format!("    {}: in place since the pod was created", cache.cache));
        }
        (None, _) => {}
    }
    let was_in_place = then.as_ref().is_some_and(|then| then.in_place);
    for (reason, claim) in &cache.left_out {
        let (line, fix) = left_out(reason, claim);
        if was_in_place {
            say(format!("      Made anew it would be left out: {line}"));
        } else {
            say(format!("    {}: left out: {line}", cache.cache));
        }
        say(fix);
    }
    let explains = |reason: &&Reason| !cache.left_out.iter().any(|(now, _)| now == *reason);
    for reason in then.iter().flat_map(|then| &then.reasons).filter(explains) {
        if was_left_out && cache.in_place.is_none() {
            let (line, _) = left_out(reason, &None);
            say(format!("      When the pod was created: {line}"));
        }
    }
}

/// Whether the pod would get something today that it did not get.
fn outdated(account: &Account, live: &Live<'_>) -> bool {
    let Some(status) = &live.status else { return account.left_alone.is_none_or(|reason| !reason.leaves_no_status()) };
    let caches =
        account.containers.iter().flat_map(|container| container.caches.iter().map(move |cache| (container, cache)));
    caches.into_iter().any(|(container, cache)| {
        cache.in_place.is_some() && !Recorded::of(status, &container.name, cache.cache).in_place
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
