//! Starts the tasks that follow the cluster: the watches of facts, the count of pods, and the writer of events.

use std::sync::Arc;

use kube::Client;
use tokio::sync::watch;

use crate::cli::Serve;
use crate::cluster::Facts;
use crate::cluster::events::Events;
use crate::cluster::pod_count::UnreviewedPodCounter;
use crate::cluster::webhook_configuration::ObservedConfiguration;
use crate::metrics::Metrics;
use crate::readiness::{Condition, Readiness};
use crate::serve::tasks::Tasks;

/// Starts the watches of the facts that decisions depend on.
pub(super) fn start_fact_watches(tasks: &mut Tasks, facts: &Facts, readiness: &Arc<Readiness>) {
    let Facts::Watched { namespaces, claims } = facts.clone() else { return };
    let report_to = |condition| {
        let readiness = Arc::clone(readiness);
        move |known: Result<(), String>| match known {
            Ok(()) => readiness.set_met(condition),
            Err(why) => readiness.set_unmet(condition, why),
        }
    };
    let (on_namespaces, on_claims) = (report_to(Condition::Namespaces), report_to(Condition::Claims));
    let (class_readiness, class_claims) = (Arc::clone(readiness), Arc::clone(&claims));
    let on_classes = move |known: Result<(), String>| {
        let how = known.map_or_else(|why| format!("not needed, and not known: {why}"), |()| "ok".to_owned());
        class_readiness.set_met_with(Condition::StorageClasses, how);
    };
    tasks.start("the watch of namespaces", async move { namespaces.follow(on_namespaces).await });
    tasks.start("the watch of claims", async move { claims.follow(on_claims).await });
    tasks.start("the watch of StorageClasses", async move { class_claims.follow_classes(on_classes).await });
}

/// Starts counting the pods without a status annotation, unless `--no-pod-count` is set.
pub(super) fn start_pod_count(
    tasks: &mut Tasks,
    options: &Serve,
    client: &Client,
    facts: &Facts,
    configuration: Option<watch::Receiver<ObservedConfiguration>>,
    metrics: &Arc<Metrics>,
) {
    let Facts::Watched { namespaces, .. } = facts else { return };
    if !options.no_pod_count {
        let pods =
            UnreviewedPodCounter::new(client, namespaces, configuration, options.timing.pod_count_page_size, metrics);
        tasks.start("the count of pods", pods.follow(options.timing.pod_count_interval));
    }
}

/// Starts the writer of events. Reviews queue events only while the settings turn them on.
pub(super) fn start_events(
    tasks: &mut Tasks,
    client: &Client,
    facts: &Facts,
    configuration: Option<watch::Receiver<ObservedConfiguration>>,
    metrics: &Arc<Metrics>,
) -> Option<Arc<Events>> {
    let Facts::Watched { namespaces, .. } = facts else { return None };
    let (events, writer) = Events::new(client, namespaces, configuration, metrics);
    tasks.start("the writing of events", writer.run());
    Some(events)
}
