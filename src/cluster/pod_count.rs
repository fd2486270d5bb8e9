//! Counts the component pods without a status annotation in the namespaces that opted in, page by page and from
//! metadata only.
//!
//! Every replica counts on its own: a number that all replicas compute alike needs no lease. No data of a pod outlives
//! its page.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1;
use kube::{Client, Resource as _};
use smol_str::SmolStr;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use crate::admission::annotation::COMPONENT_LABELS;
use crate::admission::pod::Pod;
use crate::admission::unreviewed::is_unreviewed;
use crate::cluster::backoff::random;
use crate::cluster::collection;
use crate::cluster::collection::{Collection, Error};
use crate::cluster::namespaces::Namespaces;
use crate::cluster::projection::Fields;
use crate::cluster::reflector::Object;
use crate::cluster::skipped_objects::Skipped;
use crate::cluster::webhook_configuration::ObservedConfiguration;
use crate::metrics::{Kind, Metrics, PodCountResult, SkipReason};

/// The most bytes of one pod's annotations, and of its relevant labels. The API server accepts 256 KiB of annotations,
/// escapes a character as six at most, and accepts an object of 1.5 MiB.
const MAX_BYTES: usize = 2 << 20;

/// The prefix of all labels that make a pod a component.
const LABEL_PREFIX: &str = "nvidia.com/";

/// Excludes pods that have ended, which need no caches. Metadata does not have the phase, so the API server filters.
const NOT_ENDED: &str = "status.phase!=Failed,status.phase!=Succeeded";

/// Counts pods periodically.
pub struct UnreviewedPodCounter {
    client: Client,
    namespaces: Arc<Namespaces>,
    /// The watched webhook configuration, if any. It may exclude namespaces.
    configuration: Option<watch::Receiver<ObservedConfiguration>>,
    /// The number of pods per page.
    page: u32,
    skipped: Skipped,
    metrics: Arc<Metrics>,
}

impl UnreviewedPodCounter {
    /// A counter for `namespaces`, except those that the webhook configuration excludes.
    pub fn new(
        client: &Client,
        namespaces: &Arc<Namespaces>,
        configuration: Option<watch::Receiver<ObservedConfiguration>>,
        page: u32,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let (client, namespaces, metrics) = (client.clone(), Arc::clone(namespaces), Arc::clone(metrics));
        UnreviewedPodCounter {
            client,
            namespaces,
            configuration,
            page,
            skipped: Skipped::new(Kind::Pod, &metrics),
            metrics,
        }
    }

    /// Counts for ever, first as soon as the namespaces are known. If a count fails, the gauge keeps its last value and
    /// its timestamp grows old.
    pub async fn follow(mut self, every: Duration) {
        let mut last = 0;
        loop {
            if let Some((unreviewed, at)) = self.count().await {
                match at {
                    _ if unreviewed == last => {
                        debug!(unreviewed, "counted the component pods without a status annotation");
                    }
                    None => info!("every component pod has a status annotation now"),
                    Some(namespace) => {
                        info!(
                            unreviewed,
                            namespace, "component pods have no status annotation; dynamo-cache check explains why"
                        );
                    }
                }
                last = unreviewed;
            }
            sleep(jitter(every)).await;
        }
    }

    /// The number, and a namespace that has such pods. `None` if the count failed.
    async fn count(&mut self) -> Option<(u64, Option<String>)> {
        let (mut all, mut somewhere) = (0, None);
        for namespace in self.matched_namespaces().await {
            match self.count_in(&namespace).await {
                Ok(0) => {}
                Ok(unreviewed) => {
                    all += unreviewed;
                    somewhere.get_or_insert(namespace.into());
                }
                // A sum without this namespace would be wrong.
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    warn!(
                        namespace = &*namespace,
                        error, "failed to count the pods without a status annotation; retrying"
                    );
                    self.metrics.record_pod_count(PodCountResult::Failed);
                    return None;
                }
            }
        }
        self.metrics.unreviewed_pods.set(all, SystemTime::now());
        self.metrics.record_pod_count(PodCountResult::Completed);
        Some((all, somewhere))
    }

    /// The namespaces for whose pods the API server calls the webhook.
    async fn matched_namespaces(&mut self) -> Vec<SmolStr> {
        let mut names = self.namespaces.opted_in().await;
        if let Some(configuration) = &mut self.configuration {
            // If the sender is gone, the last state still applies.
            let _ = configuration.wait_for(|observed| *observed != ObservedConfiguration::Unknown).await;
            if let ObservedConfiguration::Installed(entries) = &*configuration.borrow() {
                names.retain(|name| !entries.iter().any(|entry| entry.excluded.contains(&**name)));
            }
        }
        names
    }

    async fn count_in(&self, namespace: &str) -> Result<u64, Error> {
        let path = v1::Pod::url_path(&(), Some(namespace));
        let mut unreviewed = 0;
        for labels in selectors() {
            let collection = Collection::new(&self.client, path.clone(), true, fields()).with_labels(&labels);
            let mut parameters = collection.parameters().fields(NOT_ENDED).limit(self.page);
            loop {
                let page = collection.page(&parameters, |projected| {
                    let pod = Object::parse(&projected.text, projected.truncated, |text| {
                        let pod: Pod<'_> = serde_json::from_slice(text)?;
                        Ok(is_unreviewed(&pod))
                    });
                    match pod.value {
                        Ok(is_unreviewed) => unreviewed += u64::from(is_unreviewed),
                        // The count omits it. The API server stores no such pod.
                        Err(why) => self.skipped.record(SkipReason::Unreadable, namespace, &pod.name, &why),
                    }
                });
                let Some(token) = page.await?.next.filter(|token| !token.is_empty()) else { break };
                parameters = parameters.continue_token(&token);
            }
        }
        Ok(unreviewed)
    }
}

/// The fields of a pod. `is_unreviewed` reads no other metadata.
fn fields() -> Fields {
    let labels = ("labels", Fields::Strings(LABEL_PREFIX, MAX_BYTES));
    collection::object_fields(vec![labels, ("annotations", Fields::Strings("", MAX_BYTES))], Vec::new())
}

/// Selectors that together match every pod with a component label exactly once. Selectors have no `or`.
fn selectors() -> impl Iterator<Item = String> {
    COMPONENT_LABELS.iter().enumerate().map(|(index, label)| {
        let earlier = COMPONENT_LABELS.iter().take(index).map(|label| format!(",!{label}"));
        earlier.fold((*label).to_owned(), |selector, not| selector + &not)
    })
}

/// A duration of 90 % to 110 % of `every`, so that replicas that started together do not call the API server together.
fn jitter(every: Duration) -> Duration {
    every.mul_f64(0.9 + 0.2 * random())
}

impl fmt::Debug for UnreviewedPodCounter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnreviewedPodCounter").field("namespaces", &self.namespaces).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::{COMPONENT_LABELS, LABEL_PREFIX, Pod, fields, is_unreviewed, jitter, selectors};
    use crate::cluster::projection::{Part, Projection};

    #[test]
    fn every_pod_is_selected_once() {
        let selectors: Vec<_> = selectors().collect();
        assert_eq!(selectors[0], "nvidia.com/dynamo-component-type");
        assert_eq!(selectors[1], "nvidia.com/dynamo-component,!nvidia.com/dynamo-component-type");
        let last =
            "nvidia.com/dynamo-graph-deployment-name,!nvidia.com/dynamo-component-type,!nvidia.com/dynamo-component";
        assert_eq!(selectors[2..], [last]);
    }

    #[test]
    fn the_fields_of_a_pod_decide_whether_it_is_unreviewed() {
        let metadata = |annotations: serde_json::Value| {
            json!({"name": "a", "labels": {"nvidia.com/dynamo-component": "w", "app": "x".repeat(63)},
                "annotations": annotations, "managedFields": [{"manager": "kubelet"}]})
        };
        let full = "<".repeat(260_000);
        for (annotations, unreviewed) in [
            (json!({}), true),
            (json!({"dynamo-cache.io/status": "{}"}), false),
            (json!({"dynamo-cache.io/inject": "false"}), false),
            (json!({"large": "x".repeat(200_000)}), true),
            (json!({"large": full}), false),
        ] {
            // As the API server encodes it.
            let json = json!({"metadata": metadata(annotations)}).to_string().replace('<', "\\u003c");
            let (fields, mut json) = (fields(), json.as_bytes());
            let Ok(Some(Part::Document(projected))) = Projection::new(&fields).advance(&mut json) else {
                panic!("one document")
            };
            let pod: Pod<'_> = serde_json::from_slice(&projected.text).unwrap();
            assert!(!projected.truncated);
            assert_eq!(is_unreviewed(&pod), unreviewed);
            assert!(COMPONENT_LABELS.iter().all(|label| label.starts_with(LABEL_PREFIX)));
        }
    }

    #[test]
    fn a_wait_varies_around_its_middle() {
        let every = Duration::from_secs(300);
        let waits: Vec<_> = (0..100).map(|_| jitter(every)).collect();
        assert!(waits.iter().all(|wait| (270..=330).contains(&wait.as_secs())), "{waits:?}");
        assert!(waits.iter().any(|wait| *wait != waits[0]), "the waits are not random");
    }
}
