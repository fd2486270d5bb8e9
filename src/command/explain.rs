//! Tell why a pod got what it got.

mod report;
mod why_not_reviewed;

use std::collections::BTreeSet;
use std::path::Path;

use crate::cli::Explain;
use crate::inspect::api;
use crate::inspect::api::Api;
use crate::inspect::installation;
use crate::inspect::installation::{Publisher, Webhook};
use crate::inspect::namespace::Room;
use crate::inspect::owner;
use crate::inspect::pod;
use crate::manifest::context::World;
use crate::manifest::input::Input;
use crate::manifest::{inject, uninject};
use crate::terminal::{note, note_all, print};

use report::Live;

/// Runs `explain`.
///
/// # Errors
/// The pod is not there, a file cannot be read, or the cluster does not answer.
pub(super) fn run(options: &Explain) -> anyhow::Result<()> {
    match (&options.filename, &options.pod) {
        (Some(file), _) => of_file(file, options),
        (None, Some(pod)) => {
            let report = api::ask(&options.cluster, async |api| live(&api, pod, options.config.as_deref()).await)?;
            print(&report)
        }
        (None, None) => anyhow::bail!("name a pod, or a file by -f"),
    }
}

fn of_file(file: &Path, options: &Explain) -> anyhow::Result<()> {
    let (world, notes) = World::told(options.config.as_deref(), &options.known)?;
    let input = Input::read(file)?;
    let mut reports = Vec::new();
    for document in input.documents()? {
        let at = document.at;
        let changed = inject::change(document.value, &world, &[], &mut BTreeSet::new());
        let changed = changed.map_err(|error| input.wrong([format!("{at}: {error}")]))?;
        if changed.accounts.is_empty() {
            let nothing = || vec![format!("{} has no pods", changed.name)];
            let told = if changed.of_operators.is_empty() { nothing() } else { changed.of_operators };
            for line in told {
                note(&input.at(format!("{at}: {line}")));
            }
        }
        reports.extend(changed.accounts.iter().map(|account| report::report(account, None)));
    }
    note_all(&notes);
    print(&reports.join("\n"))
}

async fn live(api: &Api, name: &str, config: Option<&Path>) -> anyhow::Result<String> {
    let namespace = api.namespace.as_str();
    let Some(pod) = api.get(&format!("/api/v1/namespaces/{namespace}/pods/{name}")).await? else {
        anyhow::bail!("there is no pod {name} in namespace {namespace}");
    };
    let webhook = installation::find(api).await?;
    let base = crate::inspect::settings::in_force(api, &webhook, config).await?;
    let room = Room::of(api, namespace).await?;
    let world = base.with(room.facts);
    let changed = inject::change(pod.clone(), &world, &[], &mut BTreeSet::new())?;
    let account = changed.accounts.first().ok_or_else(|| anyhow::anyhow!("the API server sent no pod"))?;
    let status = pod::status(&pod);
    let anew = inject::change(uninject::without_ours(&pod), &world, &[], &mut BTreeSet::new())?;
    let anew = anew.accounts.first().unwrap_or(account);
    let publisher = match &webhook {
        Webhook::Installed(installed) if installed.bundle().is_none() => installed.publisher(api).await,
        _ => Publisher::Unknown,
    };
    let unseen =
        status.is_none().then(|| why_not_reviewed::why(&pod, account, &webhook, &publisher, room.namespace.as_ref()));
    let restart = owner::restart(api, namespace, &pod).await;
    note_all(base.notes.iter().chain(&room.notes));
    let is_settled = base.mistakes.is_none();
    Ok(report::report(account, Some(&Live { namespace, status, anew, unseen, restart, is_settled })))
}
