//! A namespace with Dynamo pods: its label, its claims, what was injected, and its Model Express server.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::report::Report;
use crate::admission::annotation::PREFIX;
use crate::admission::cache::Cache;
use crate::admission::reason::Reason;
use crate::admission::settings;
use crate::admission::warning::Warning;
use crate::command::check::write_probe::Use;
use crate::command::check::{model_express, pods};
use crate::inspect::api::Api;
use crate::inspect::installation::Webhook;
use crate::inspect::namespace::Room;
use crate::inspect::opt_in;
use crate::inspect::opt_in::NotAsked;
use crate::manifest::context::{Base, World};
use crate::manifest::inject;

/// Checks a namespace; the answer is how a worker would use its claims, as far as it would.
///
/// # Errors
/// It is not there, or the API server was not reached.
pub(super) async fn check(
    api: &Api,
    name: &str,
    webhook: &Webhook,
    base: &Base,
    report: &mut Report,
) -> anyhow::Result<Vec<Use>> {
    report.group(&format!("Namespace {name}"));
    let room = Room::seen(api, name).await?;
    let asked = if room.namespace.is_some() {
        label(name, webhook, room.namespace.as_ref(), report)
    } else {
        report.not_checked("label", room.notes.join("; "));
        Asked::Perhaps
    };
    let world = base.with(room.facts);
    let (settings, warnings) = settings::resolve(&world.settings, &world.facts.namespace, None);
    // What is not known decides here.
    let depends = if asked == Asked::Never {
        // Nothing is to be prepared where nothing will come.
        Some("no pod of this namespace is ever touched")
    } else if base.unknown.is_some() {
        Some("it depends on the settings")
    } else if room.namespace.is_none() {
        Some("it depends on the namespace's annotations")
    } else {
        None
    };
    if room.namespace.is_some() {
        annotations(&warnings, report);
    } else {
        report.not_checked("annotations", "it depends on the label, which cannot be read either");
    }
    let uses = if let Some(why) = room.hidden.as_deref().or(depends) {
        report.not_checked("model-claim", why);
        report.not_checked("compile-claim", why);
        Vec::new()
    } else {
        claims_of(name, &room.claims, &world, report)?
    };
    if asked == Asked::Perhaps {
        pods::check(api, name, &world, report).await?;
    } else {
        report.not_checked("injected", "it depends on the label");
    }
    let address = format!("{PREFIX}model-express-url:");
    if let Some(why) = depends {
        report.not_checked(model_express::CHECK, why);
    } else if let Some(warning) = warnings.iter().find(|warning| warning.text.starts_with(&address)) {
        report.bad(model_express::CHECK, &*warning.text, warning.reason.fix());
    } else {
        model_express::check(api, name, settings.express.url.as_deref(), report).await?;
    }
    Ok(uses)
}

/// Whether a webhook is asked about a namespace's pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// Not now.
    Later,
    /// The namespace is excluded.
    Never,
    /// Nothing that is known speaks against it.
    Perhaps,
}

/// Whether the webhook is asked about its pods.
fn label(name: &str, webhook: &Webhook, namespace: Option<&Value>, report: &mut Report) -> Asked {
    const CHECK: &str = "label";
    let not_asked = opt_in::not_asked(webhook, name, namespace);
    match (&not_asked, webhook) {
        (_, Webhook::Absent) => report.not_checked(CHECK, "it depends on the configuration"),
        (None, _) => report.good(CHECK, "the webhook is asked about its pods"),
        (Some(NotAsked { why, fix, .. }), _) => {
            report.bad(CHECK, format!("the webhook is not asked about its pods: its {why}"), fix);
        }
    }
    match not_asked {
        None => Asked::Perhaps,
        Some(NotAsked { is_never: true, .. }) => Asked::Never,
        Some(_) => Asked::Later,
    }
}

/// Whether the annotations of ours on the namespace are understood.
fn annotations(warnings: &[Warning], report: &mut Report) {
    const CHECK: &str = "annotations";
    if warnings.is_empty() {
        report.good(CHECK, "its annotations are understood");
        return;
    }
    for warning in warnings {
        report.warning(CHECK, &*warning.text, warning.reason.fix());
    }
}

/// What a worker would be refused for the claims' sake, and how the claims are; how it would use the others.
fn claims_of(name: &str, claims: &[Value], world: &World, report: &mut Report) -> anyhow::Result<Vec<Use>> {
    let worker = json!({"kind": "Pod", "metadata": {"name": "worker"}, "spec": {"containers": [
        {"name": "main", "command": ["python3", "-m", "dynamo.vllm"]},
    ]}});
    let changed = inject::change(worker, world, &[], &mut BTreeSet::new())?;
    let containers = changed.accounts.iter().flat_map(|account| &account.containers);
    let (settings, _) = settings::resolve(&world.settings, &world.facts.namespace, None);
    let mut uses = Vec::new();
    for cache in containers.flat_map(|container| &container.caches) {
        let (check, claim) = match cache.cache {
            Cache::Model => ("model-claim", &settings.model.claim),
            Cache::Compile => ("compile-claim", &settings.compile.claim),
            Cache::LoadFormat | Cache::ModelExpress => continue,
        };
        let about = claims.iter().find(|object| object.pointer("/metadata/name").is_some_and(|found| found == claim));
        match cache.left_out.first() {
            Some((Reason::SkippedByUser, _)) => {
                report.not_checked(check, Reason::SkippedByUser.sentence());
            }
            Some((reason, _)) => {
                let hint = match reason {
                    Reason::ClaimNotFound => creates(cache.cache, claim, name),
                    other => other.fix().to_owned(),
                };
                report.bad(
                    check,
                    format!("{} cache, claim {claim}: {} [{reason}]", cache.cache, reason.sentence()),
                    hint,
                );
            }
            None => {
                report.good(check, format!("{} cache, claim {claim}: {}", cache.cache, phase(about)));
                uses.extend(Use::of(cache.cache, &changed.after));
            }
        }
    }
    Ok(uses)
}

/// How to come by a claim that is not there.
fn creates(cache: Cache, claim: &str, namespace: &str) -> String {
    match cache {
        Cache::Model => format!(
            "dynamo-cache download MODEL -n {namespace} --create-claim SIZE --apply creates claim {claim} and fills it"
        ),
        _ => format!(
            "Create claim {claim}, ReadWriteMany, in namespace {namespace}: manifests/examples/claims.yaml shows one"
        ),
    }
}

/// How a claim is: its phase and its access modes.
fn phase(claim: Option<&Value>) -> String {
    let text = |pointer: &str| claim.and_then(|claim| claim.pointer(pointer)?.as_str());
    let modes = claim.and_then(|claim| claim.pointer("/spec/accessModes")?.as_array());
    let modes: Vec<_> = modes.into_iter().flatten().filter_map(Value::as_str).collect();
    match text("/status/phase") {
        None => "not there, and injected all the same".to_owned(),
        Some("Pending") => format!("waiting to be bound, {}", modes.join(", ")),
        Some(phase) => format!("{}, {}", phase.to_lowercase(), modes.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{Asked, annotations, creates, label};
    use crate::admission::cache::Cache;
    use crate::admission::settings;
    use crate::command::check::report::Report;
    use crate::inspect::installation::{ENTRY, Installed, Webhook};

    /// State, text and hint of each line.
    fn lines(report: &Report) -> (Vec<String>, Vec<String>, Vec<String>) {
        let lines: Vec<Value> = serde_json::from_str(&report.json()).unwrap();
        let all = |key: &str| lines.iter().map(|line| line[key].as_str().unwrap_or_default().to_owned()).collect();
        (all("state"), all("text"), all("hint"))
    }

    #[test]
    fn nobody_is_asked_where_no_webhook_is_and_an_excluded_namespace_is_told_apart() {
        let selector = serde_json::json!({
            "matchLabels": {"dynamo-cache.io/inject": "enabled"},
            "matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["excluded"]}],
        });
        let configuration = serde_json::json!({"webhooks": [{"name": ENTRY, "namespaceSelector": selector}]});
        let installed = Webhook::Installed(Installed::of(configuration).unwrap());
        let labelled = serde_json::json!({"metadata": {"labels": {"dynamo-cache.io/inject": "enabled"}}});
        let plain = serde_json::json!({"metadata": {}});
        for (webhook, name, namespace, asked, state) in [
            (&installed, "models", &labelled, Asked::Perhaps, "ok"),
            (&installed, "models", &plain, Asked::Later, "failed"),
            (&installed, "excluded", &labelled, Asked::Never, "failed"),
            (&Webhook::Absent, "models", &labelled, Asked::Perhaps, "not-checked"),
            (&Webhook::Absent, "models", &plain, Asked::Later, "not-checked"),
            (&Webhook::Absent, "kube-system", &plain, Asked::Never, "not-checked"),
        ] {
            let mut report = Report::default();
            assert_eq!(label(name, webhook, Some(namespace), &mut report), asked, "{name}");
            assert_eq!(lines(&report).0, [state], "{name}");
        }
    }

    #[test]
    fn annotations_that_are_not_understood_are_told_with_what_to_do() {
        let told = |entries: &[(&str, &str)]| {
            let defaults = settings::Settings::default();
            let entries: Vec<_> =
                entries.iter().map(|(name, value)| (format!("dynamo-cache.io/{name}"), (*value).to_owned())).collect();
            let (_, warnings) = settings::resolve(&defaults, &entries, None);
            let mut report = Report::default();
            annotations(&warnings, &mut report);
            lines(&report)
        };
        assert_eq!(told(&[("model-claim", "models")]).0, ["ok"]);
        for (name, value, code) in [
            ("model-express-url", "https://mx:8001", "annotation-invalid"),
            ("model-clam", "models", "annotation-unknown"),
            ("engine", "vllm", "annotation-ignored"),
        ] {
            let (states, texts, hints) = told(&[(name, value)]);
            assert_eq!(states, ["warning"], "{name}");
            assert!(texts[0].contains(name) && texts[0].contains(code) && !hints[0].is_empty(), "{texts:?}: {hints:?}");
        }
        let three = [("model-offline", "yes"), ("model-clam", "models"), ("compile-key", "gpus")];
        let (states, texts, hints) = told(&three);
        assert_eq!(states, ["warning"; 3]);
        for ((name, _), (text, hint)) in three.iter().zip(texts.iter().zip(&hints)) {
            let begin = if *name == "model-clam" { "Correct the name; " } else { "Correct the value; " };
            assert!(text.contains(name) && hint.starts_with(begin), "{name}: {text}: {hint}");
            assert_eq!((text.matches("dynamo-cache.io/").count(), hint.matches("Correct").count()), (1, 1), "{text}");
        }
    }

    #[test]
    fn a_claim_that_is_not_there_is_named_in_its_hint() {
        let model = creates(Cache::Model, "models", "n");
        assert!(model.starts_with("dynamo-cache download MODEL -n n --create-claim SIZE --apply"), "{model}");
        for cache in [Cache::Model, Cache::Compile] {
            assert!(creates(cache, "mine", "n").contains("claim mine"));
        }
    }
}
