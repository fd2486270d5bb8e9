//! Starts what follows the cluster for as long as we run: the watches of what decides, the count of pods, events.

use std::sync::Arc;

use kube::Client;
use tokio::sync::watch;

use crate::cli::Serve;
use crate::cluster::Facts;
use crate::cluster::events::Events;
use crate::cluster::pod_count::Pods;
use crate::cluster::webhook_configuration::Seen;
use crate::metrics::Metrics;
use crate::readiness::{Condition, Readiness};
use crate::serve::tasks::Parts;

/// Starts the watches of what decides.
pub(super) fn decisive(parts: &mut Parts, facts: &Facts, readiness: &Arc<Readiness>) {
    let Facts::Watched { namespaces, claims } = facts.clone() else { return };
    let tell = |condition| {
        let readiness = Arc::clone(readiness);
        move |known: Result<(), String>| match known {
            Ok(()) => readiness.set_met(condition),
            Err(why) => readiness.set_unmet(condition, why),
        }
    };
    let (about_namespaces, about_claims) = (tell(Condition::Namespaces), tell(Condition::Claims));
    let (same_conditions, same_claims) = (Arc::clone(readiness), Arc::clone(&claims));
    let about_classes = move |known: Result<(), String>| {
        let how = known.map_or_else(|why| format!("not needed, and not known: {why}"), |()| "ok".to_owned());
        same_conditions.set_met_as(Condition::StorageClasses, how);
    };
    parts.start("the watch of namespaces", async move { namespaces.follow(about_namespaces).await });
    parts.start("the watch of claims", async move { claims.follow(about_claims).await });
    parts.start("the watch of StorageClasses", async move { same_claims.follow_classes(about_classes).await });
}

/// Starts the count of pods without our status, unless it is not wanted.
pub(super) fn missed(
    parts: &mut Parts,
    options: &Serve,
    (client, facts): (&Client, &Facts),
    called: Option<watch::Receiver<Seen>>,
    metrics: &Arc<Metrics>,
) {
    let Facts::Watched { namespaces, .. } = facts else { return };
    if !options.no_pod_count {
        let pods = Pods::of(client, namespaces, called, options.times.count_page, metrics);
        parts.start("the count of pods", pods.follow(options.times.count));
    }
}

/// Starts the writing of events, of which there are some only while the settings say so.
pub(super) fn events(
    parts: &mut Parts,
    (client, facts): (&Client, &Facts),
    called: Option<watch::Receiver<Seen>>,
    metrics: &Arc<Metrics>,
) -> Option<Arc<Events>> {
    let Facts::Watched { namespaces, .. } = facts else { return None };
    let (events, writer) = Events::of(client, namespaces, called, metrics);
    parts.start("the writing of events", writer.follow());
    Some(events)
}
