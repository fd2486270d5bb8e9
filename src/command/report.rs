//! Report how long the engines of each owner took to start, with a compile cache and without.

mod group;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};

use crate::admission::cache::Cache;
use crate::admission::names::STAGE_CONTAINER;
use crate::admission::pod::Pod;
use crate::admission::status::Status;
use crate::cli::{Report, ReportOutput};
use crate::inspect::api;
use crate::inspect::api::{Api, Item};
use crate::inspect::owner::Workloads;
use crate::inspect::pod::Head;
use crate::inspect::stage_log::StageLogs;
use crate::inspect::start;
use crate::manifest::context::{BaseSettings, DecisionContext};
use crate::manifest::explanation::Explanation;
use crate::manifest::facts::Facts;
use crate::terminal::print;
use crate::terminal::table::aligned;

use group::{FEWEST, Found, Group};

/// How many logs are read at once.
const LOGS: usize = 8;

/// Groups by namespace, owner and what the pods found.
type Groups = BTreeMap<(String, String, Found), Group>;

/// Runs `report`, which changes nothing.
///
/// # Errors
/// The pods cannot be listed, or the cluster does not answer.
pub(super) fn run(options: &Report) -> anyhow::Result<()> {
    let groups = api::with_cluster(&options.cluster, async |api| collect(&api, options.all_namespaces).await)?;
    print(&match options.output {
        ReportOutput::Json => json(&groups),
        ReportOutput::Table => table(&groups),
    })
}

async fn collect(api: &Api, all_namespaces: bool) -> anyhow::Result<Groups> {
    let path =
        if all_namespaces { "/api/v1/pods".to_owned() } else { format!("/api/v1/namespaces/{}/pods", api.namespace) };
    let (mut groups, mut workloads, logs) = (Groups::new(), Workloads::default(), StageLogs::new(api));
    // What a pod is does not depend on settings or claims.
    let context = BaseSettings::default().with(Facts::default());
    let mut pages = api.pages(&path);
    while let Some(page) = pages.next().await.context("failed to list the pods")? {
        let mut staged = Vec::new();
        for start in page.items().filter_map(|item| Start::new(item, &context)) {
            let (head, time_to_ready) = (start.head, start.time_to_ready);
            let (namespace, name) = (head.namespace().to_owned(), head.name());
            let owner = workloads.find(api, &namespace, name, head.controller()).await;
            match start.cache {
                CompileCache::None => group(&mut groups, namespace, owner, Found::Nothing).add(time_to_ready, None),
                CompileCache::Direct => group(&mut groups, namespace, owner, Found::Cache).add(time_to_ready, None),
                CompileCache::Staged => staged.push((namespace, name.to_owned(), owner, time_to_ready)),
            }
        }
        let read = staged.into_iter().map(async |(namespace, name, owner, time_to_ready)| {
            let log = logs.read(&namespace, &name).await;
            (namespace, name, owner, time_to_ready, log)
        });
        // In the order of the pods, so that notes have that order too.
        let mut read = stream::iter(read).buffered(LOGS);
        while let Some((namespace, name, owner, time_to_ready, log)) =
            api.waiting_for("reading the logs of stages", read.next()).await
        {
            let restore = logs.restore(&namespace, &name, log);
            group(&mut groups, namespace, owner, Found::staged(restore)).add(time_to_ready, restore);
        }
    }
    Ok(groups)
}

fn group(groups: &mut Groups, namespace: String, owner: String, found: Found) -> &mut Group {
    groups.entry((namespace, owner, found)).or_default()
}

/// The start of an engine.
struct Start<'p> {
    head: Head<'p>,
    time_to_ready: Option<Duration>,
    cache: CompileCache,
}

/// Where a pod has its compile cache.
enum CompileCache {
    /// It has none.
    None,
    /// On its claim.
    Direct,
    /// On local disk, restored by a stage.
    Staged,
}

impl<'p> Start<'p> {
    /// The start of a pod; `None` if it does not run, or has no engine.
    fn new(item: Item<'p>, context: &DecisionContext) -> Option<Start<'p>> {
        let head = item.view::<Head<'_>>().filter(Head::is_running)?;
        let pod = item.view::<Pod<'_>>().filter(|pod| is_engine(&Explanation::of_pod(pod, context)))?;
        let cache = if !has_compile_cache(&pod) {
            CompileCache::None
        } else if pod.init_containers().iter().any(|container| container.name() == STAGE_CONTAINER) {
            CompileCache::Staged
        } else {
            CompileCache::Direct
        };
        Some(Start { head, time_to_ready: start::time_to_ready(&item.object()?), cache })
    }
}

/// Whether a container compiles anything.
fn is_engine(pod: &Explanation) -> bool {
    pod.containers.iter().any(|container| container.caches.iter().any(|cache| cache.cache == Cache::Compile))
}

/// Whether the status annotation has a compile cache in place.
fn has_compile_cache(pod: &Pod<'_>) -> bool {
    Status::of_pod(pod).is_some_and(|status| {
        let mut containers = status.containers();
        containers.any(|container| status.has(container, Cache::Compile))
    })
}

fn json(groups: &Groups) -> String {
    let row = |((namespace, owner, found), group): (&(String, String, Found), &Group)| {
        let (bytes, seconds) = group.restored().unzip();
        json!({
            "namespace": namespace, "owner": owner, "compileCache": found.word(),
            "pods": group.pods, "starts": group.starts.len(), "medianSeconds": group.median(),
            "medianRestoredBytes": bytes, "medianRestoreSeconds": seconds, "misses": group.misses,
        })
    };
    let rows: Vec<Value> = groups.iter().map(row).collect();
    format!("{:#}\n", Value::Array(rows))
}

fn table(groups: &Groups) -> String {
    if groups.is_empty() {
        return "No Dynamo engine runs.\n".to_owned();
    }
    let head = ["NAMESPACE", "OWNER", "COMPILE CACHE", "PODS", "SCHEDULED TO READY", "RESTORED"];
    let row = |((namespace, owner, found), group): (&(String, String, Found), &Group)| {
        let median = match (group.median(), group.starts.len()) {
            (Some(seconds), _) => format!("{seconds} s"),
            (None, 0) => "not known".to_owned(),
            (None, starts) => format!("too few ({starts})"),
        };
        let owner = owner.clone();
        vec![namespace.clone(), owner, found.word().to_owned(), group.pods.to_string(), median, restored(group)]
    };
    let rows: Vec<_> = std::iter::once(head.map(str::to_owned).to_vec()).chain(groups.iter().map(row)).collect();
    let mut text = aligned("", &rows);
    let _ = writeln!(
        text,
        "\nThe time is the median of the pods that became ready and have not restarted, where there are {FEWEST} or more."
    );
    text
}

/// What stages restored, or why not, and how many.
fn restored(group: &Group) -> String {
    if let Some((bytes, seconds)) = group.restored() {
        return format!("{} MB in {seconds:.1} s", bytes.div_ceil(1_000_000));
    }
    let misses = group.misses.iter().map(|(reason, pods)| format!("{reason} ({pods})"));
    misses.collect::<Vec<_>>().join(", ")
}
