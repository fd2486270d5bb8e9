//! Checks one namespace: its label and annotations, its claims and their volumes, its running components, and its Model
//! Express server.

use serde_json::Value;

use crate::admission::annotation::PREFIX;
use crate::admission::cache::Cache;
use crate::admission::settings;
use crate::admission::settings::Mode;
use crate::admission::warning::Warning;
use crate::cli::Probe;
use crate::command::check::catalog::CheckId;
use crate::command::check::claims::Worker;
use crate::command::check::pods::Pods;
use crate::command::check::report::Report;
use crate::command::check::write_probe::ClaimUse;
use crate::command::check::{claims, model_express, models, offline, space, staging, volumes};
use crate::inspect::api::Api;
use crate::inspect::installation::Webhook;
use crate::inspect::namespace::NamespaceSnapshot;
use crate::inspect::opt_in;
use crate::inspect::opt_in::Exclusion;
use crate::inspect::volume_reader::VolumeReader;
use crate::manifest::context::BaseSettings;

/// Checks a namespace, and returns how a worker would use the claims that passed, or that lack nothing but a proof that they are
/// writable.
///
/// # Errors
/// The namespace does not exist, or the API server was not reached.
pub(super) async fn check(
    api: &Api,
    name: &str,
    webhook: &Webhook,
    base: &BaseSettings,
    probe: &Probe,
    reader: &VolumeReader<'_>,
    report: &mut Report,
) -> anyhow::Result<Vec<ClaimUse>> {
    report.begin_namespace(name);
    let snapshot = NamespaceSnapshot::read_permitted(api, name).await?;
    let is_readable = snapshot.namespace.is_some();
    let coverage = if is_readable {
        check_label(name, webhook, snapshot.namespace.as_ref(), report)
    } else {
        report.not_checked(CheckId::Label, snapshot.notes.join("; "));
        Coverage::Possible
    };
    let context = base.with(snapshot.facts);
    let (settings, warnings) = settings::resolve(&context.settings, &context.facts.namespace, None);
    // Why nothing that depends on the settings can be checked.
    let blocked = if coverage == Coverage::Never {
        Some("the webhook never touches pods of this namespace".to_owned())
    } else if base.unknown.is_some() {
        Some(format!("it depends on the {}", CheckId::Settings.noun()))
    } else if !is_readable {
        Some(format!("it depends on the {}", CheckId::Annotations.noun()))
    } else {
        None
    };
    if is_readable {
        check_annotations(&warnings, report);
    } else {
        report.not_checked(CheckId::Annotations, "the namespace cannot be read");
    }
    let is_covered = coverage == Coverage::Possible;
    let pods = if is_covered { Pods::read(api, name, &context).await? } else { Pods::default() };
    let worker = if let Some(why) = snapshot.hidden.as_ref().or(blocked.as_ref()) {
        report.not_checked(CheckId::ModelClaim, why);
        report.not_checked(CheckId::CompileClaim, why);
        Worker::default()
    } else {
        let namespace = claims::Namespace { name, object: snapshot.namespace.as_ref(), users: &pods.users };
        let worker = claims::check(&namespace, &snapshot.claims, &context, probe, report)?;
        if worker.uses.iter().any(|used| used.cache == Cache::Model) {
            offline::check(api, name, &settings, report).await?;
            if coverage == Coverage::Possible {
                models::check(api, name, &settings, report).await?;
            }
        }
        if settings.compile.mode == Mode::Staged {
            staging::check(api, name, &context, report).await?;
        }
        worker
    };
    volumes::check(reader, name, &worker.claims, &pods.mounts, report).await?;
    space::check(api, name, &worker.claims, &pods.nodes, report).await;
    if is_covered {
        pods.report(name, report);
    } else {
        report.depends_on(CheckId::Pods, CheckId::Label);
    }
    let address = format!("{PREFIX}model-express-url:");
    if let Some(why) = blocked {
        report.not_checked(CheckId::ModelExpress, why);
    } else if let Some(warning) = warnings.iter().find(|warning| warning.text.starts_with(&address)) {
        report.fail(CheckId::ModelExpress, &*warning.text, warning.reason.fix());
    } else {
        model_express::check(api, name, settings.express.url.as_deref(), report).await?;
        model_express::check_folder(&worker.pod, &settings.model.claim, name, report);
    }
    Ok(worker.uses)
}

/// Whether the webhook reviews the pods of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coverage {
    /// Never: the namespace is excluded by name.
    Never,
    /// Not with its current labels.
    NotYet,
    /// Yes, as far as is known.
    Possible,
}

/// Checks that the webhook's selector matches the namespace.
fn check_label(name: &str, webhook: &Webhook, namespace: Option<&Value>, report: &mut Report) -> Coverage {
    let exclusion = opt_in::exclusion_reason(webhook, name, namespace);
    match (&exclusion, webhook) {
        (_, Webhook::Absent) => report.depends_on(CheckId::Label, CheckId::Installation),
        (None, _) => report.ok(CheckId::Label, "the webhook reviews the pods of the namespace"),
        (Some(Exclusion { why, fix, .. }), _) => {
            report.fail(CheckId::Label, format!("the webhook does not review the pods of the namespace: {why}"), fix);
        }
    }
    match exclusion {
        None => Coverage::Possible,
        Some(Exclusion { is_never: true, .. }) => Coverage::Never,
        Some(_) => Coverage::NotYet,
    }
}

/// Reports the annotations of dynamo-cache on the namespace that are not valid.
fn check_annotations(warnings: &[Warning], report: &mut Report) {
    if warnings.is_empty() {
        report.ok(CheckId::Annotations, "the annotations of the namespace are valid");
        return;
    }
    for warning in warnings {
        report.warning(CheckId::Annotations, &*warning.text, warning.reason.fix());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{Coverage, check_annotations, check_label};
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
    fn the_label_decides_unless_the_namespace_is_excluded() {
        let selector = serde_json::json!({
            "matchLabels": {"dynamo-cache.io/inject": "enabled"},
            "matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["excluded"]}],
        });
        let configuration = serde_json::json!({"webhooks": [{"name": ENTRY, "namespaceSelector": selector}]});
        let installed = Webhook::Installed(Installed::from_configuration(configuration).unwrap());
        let labelled = serde_json::json!({"metadata": {"labels": {"dynamo-cache.io/inject": "enabled"}}});
        let plain = serde_json::json!({"metadata": {}});
        for (webhook, name, namespace, coverage, state) in [
            (&installed, "models", &labelled, Coverage::Possible, "ok"),
            (&installed, "models", &plain, Coverage::NotYet, "failed"),
            (&installed, "excluded", &labelled, Coverage::Never, "failed"),
            (&Webhook::Absent, "models", &labelled, Coverage::Possible, "not-checked"),
            (&Webhook::Absent, "models", &plain, Coverage::NotYet, "not-checked"),
            (&Webhook::Absent, "kube-system", &plain, Coverage::Never, "not-checked"),
        ] {
            let mut report = Report::default();
            assert_eq!(check_label(name, webhook, Some(namespace), &mut report), coverage, "{name}");
            assert_eq!(lines(&report).0, [state], "{name}");
        }
    }

    #[test]
    fn invalid_annotations_are_warnings_with_their_fix() {
        let check = |entries: &[(&str, &str)]| {
            let defaults = settings::Settings::default();
            let entries: Vec<_> =
                entries.iter().map(|(name, value)| (format!("dynamo-cache.io/{name}"), (*value).to_owned())).collect();
            let (_, warnings) = settings::resolve(&defaults, &entries, None);
            let mut report = Report::default();
            check_annotations(&warnings, &mut report);
            lines(&report)
        };
        assert_eq!(check(&[("model-claim", "models")]).0, ["ok"]);
        for (name, value, code) in [
            ("model-express-url", "https://mx:8001", "annotation-invalid"),
            ("model-clam", "models", "annotation-unknown"),
            ("engine", "vllm", "annotation-ignored"),
        ] {
            let (states, texts, hints) = check(&[(name, value)]);
            assert_eq!(states, ["warning"], "{name}");
            assert!(texts[0].contains(name) && texts[0].contains(code) && !hints[0].is_empty(), "{texts:?}: {hints:?}");
        }
        let three = [("model-offline", "yes"), ("model-clam", "models"), ("compile-key", "gpus")];
        let (states, texts, hints) = check(&three);
        assert_eq!(states, ["warning"; 3]);
        for ((name, _), (text, hint)) in three.iter().zip(texts.iter().zip(&hints)) {
            let begin = if *name == "model-clam" { "Correct the name; " } else { "Correct the value; " };
            assert!(text.contains(name) && hint.starts_with(begin), "{name}: {text}: {hint}");
            assert_eq!((text.matches("dynamo-cache.io/").count(), hint.matches("Correct").count()), (1, 1), "{text}");
        }
    }
}
