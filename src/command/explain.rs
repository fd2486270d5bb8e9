//! Explain which caches a pod got, and why.

mod report;
mod why_not_reviewed;

use std::path::Path;

use crate::cli::Explain;
use crate::inspect;
use crate::inspect::api;
use crate::inspect::api::Api;
use crate::inspect::installation;
use crate::inspect::installation::{Publisher, Webhook};
use crate::inspect::namespace::NamespaceSnapshot;
use crate::inspect::owner;
use crate::inspect::pod;
use crate::manifest::context::DecisionContext;
use crate::manifest::input::Input;
use crate::manifest::{inject, uninject};
use crate::terminal::{note, note_all, print};

use report::LivePod;

/// Runs `explain`.
///
/// # Errors
/// The pod does not exist, a file cannot be read, or the cluster does not answer.
pub(super) fn run(options: &Explain) -> anyhow::Result<()> {
    match (&options.filename, &options.pod) {
        (Some(file), _) => explain_file(file, options),
        (None, Some(pod)) => {
            let report = api::with_cluster(&options.cluster, async |api| {
                explain_pod(&api, pod, options.config.as_deref()).await
            })?;
            print(&report)
        }
        (None, None) => anyhow::bail!("name a pod, or a file with -f"),
    }
}

fn explain_file(file: &Path, options: &Explain) -> anyhow::Result<()> {
    let (context, notes) = DecisionContext::from_options(options.config.as_deref(), &options.known)?;
    let input = Input::read(file)?;
    let mut reports = Vec::new();
    for document in input.documents()? {
        let at = document.at;
        let injected =
            inject::inject(document.value, &context, &[]).map_err(|error| input.error([format!("{at}: {error}")]))?;
        if injected.explanations.is_empty() {
            let lines = if injected.operator_notes.is_empty() {
                vec![format!("{} has no pods", injected.name)]
            } else {
                injected.operator_notes
            };
            for line in lines {
                note(&input.at(format!("{at}: {line}")));
            }
        }
        reports.extend(injected.explanations.iter().map(|explanation| report::report(explanation, None)));
    }
    note_all(&notes);
    print(&reports.join("\n"))
}

/// Explains a live pod as it is, and as it would be if it were recreated.
async fn explain_pod(api: &Api, name: &str, config: Option<&Path>) -> anyhow::Result<String> {
    let namespace = api.namespace.as_str();
    let Some(pod) = api.get(&format!("/api/v1/namespaces/{namespace}/pods/{name}")).await? else {
        anyhow::bail!("there is no pod {name} in namespace {namespace}");
    };
    let webhook = installation::find(api).await?;
    let base = inspect::settings::in_force(api, &webhook, config).await?;
    let snapshot = NamespaceSnapshot::read(api, namespace).await?;
    let context = base.with(snapshot.facts);
    let current = inject::inject(pod.clone(), &context, &[])?;
    let current = current.explanations.first().ok_or_else(|| anyhow::anyhow!("the API server sent no pod"))?;
    let status = pod::status(&pod);
    let recreated = inject::inject(uninject::uninject(&pod), &context, &[])?;
    let recreated = recreated.explanations.first().unwrap_or(current);
    let publisher = match &webhook {
        Webhook::Installed(installed) if installed.bundle().is_none() => installed.publisher(api).await,
        _ => Publisher::Unknown,
    };
    let not_reviewed = status
        .is_none()
        .then(|| why_not_reviewed::find(&pod, current, &webhook, &publisher, snapshot.namespace.as_ref()));
    let restart_command = owner::restart_command(api, namespace, &pod).await;
    note_all(base.notes.iter().chain(&snapshot.notes));
    let are_settings_valid = base.mistakes.is_none();
    let live = LivePod { namespace, status, recreated, not_reviewed, restart_command, are_settings_valid };
    Ok(report::report(current, Some(&live)))
}
