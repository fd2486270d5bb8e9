//! Explain which caches a pod got, and why.

mod report;
mod tool_image;
mod volumes;
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
use crate::inspect::owner::Workloads;
use crate::inspect::pod;
use crate::manifest::batch;
use crate::manifest::batch::Decided;
use crate::manifest::context::DecisionContext;
use crate::manifest::inject::Injected;
use crate::manifest::input::Input;
use crate::manifest::{inject, uninject};
use crate::terminal::{note_all, print};

use report::LivePod;

/// Runs `explain`.
///
/// # Errors
/// The pod does not exist, a file cannot be read, or the cluster does not answer.
pub(super) fn run(options: &Explain) -> anyhow::Result<()> {
    match &options.pod {
        None => explain_files(options),
        Some(pod) => {
            let report = api::with_cluster(&options.cluster, async |api| {
                explain_pod(&api, pod, options.config.as_deref()).await
            })?;
            print(&report)
        }
    }
}

fn explain_files(options: &Explain) -> anyhow::Result<()> {
    let (mut context, notes) = DecisionContext::from_options(options.config.as_deref(), &options.known)?;
    context.namespace.clone_from(&options.cluster.namespace);
    let inputs = Input::read_all(&options.files)?;
    let (mut reports, mut about_documents, mut mistakes) = (Vec::new(), Vec::new(), Vec::new());
    let about_input = batch::decide(&inputs, context, &options.pod_template, |decided| {
        let Decided { input, index, source, injected } = &decided;
        about_documents.extend(about(injected).iter().map(|line| input.at(format!("{}: {line}", source.at))));
        let mistake = |mistake| batch::at_its_place(input, *index, source.at, mistake);
        mistakes.extend(injected.mistakes.iter().map(mistake));
        reports.extend(injected.explanations.iter().map(|explanation| {
            let unknown = explanation.unknown.as_deref().map(report::sketch).unwrap_or_default();
            report::report(explanation, None) + &unknown
        }));
    })?;
    note_all(about_documents.iter().chain(&notes).chain(&about_input));
    print(&reports.join("\n"))?;
    anyhow::ensure!(mistakes.is_empty(), mistakes.join("\n"));
    Ok(())
}

/// Lines about a document beside the explanations of its pods.
fn about(injected: &Injected) -> Vec<String> {
    let mut lines = injected.operator_notes.clone();
    let has_pods = !injected.explanations.is_empty() || !injected.mistakes.is_empty();
    if !has_pods && lines.is_empty() && injected.unknown.is_empty() {
        lines.push(format!("{} has no pods", injected.name));
    }
    lines.extend_from_slice(&injected.ignored);
    lines
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
    let as_it_is = inject::inject(pod.clone(), &context, &[])?;
    let current = as_it_is.explanations.first().ok_or_else(|| anyhow::anyhow!("the API server sent no pod"))?;
    let status = pod::status(&pod);
    let remade = inject::inject(uninject::uninject(pod.clone()), &context, &[])?;
    let recreated = remade.explanations.first().unwrap_or(current);
    let volumes = volumes::find(api, namespace, &snapshot.claims, [&remade, &as_it_is]).await?;
    let publisher = match &webhook {
        Webhook::Installed(installed) if installed.bundle().is_none() => installed.publisher(api).await,
        _ => Publisher::Unknown,
    };
    let not_reviewed = status
        .is_none()
        .then(|| why_not_reviewed::find(&pod, current, &webhook, &publisher, snapshot.namespace.as_ref()));
    let restart_command = Workloads::default().restart_command(api, namespace, name, owner::controller(&pod)).await;
    note_all(base.notes.iter().chain(&snapshot.notes).chain(&volumes.unknown));
    let live = LivePod {
        namespace,
        status,
        recreated,
        not_reviewed,
        volumes: volumes.found,
        waits: tool_image::find_waiting(&pod),
        restart_command,
        are_settings_valid: base.mistakes.is_none(),
    };
    Ok(report::report(current, Some(&live)))
}
