//! How many component pods of the namespaces that opted in have no status of ours: counted from metadata, page by page.
//!
//! Every replica counts for itself: no lease has to be held for a number that all of them find alike. Nothing of a pod
//! outlives its page.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1;
use kube::{Client, Resource as _};
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
use crate::cluster::skipped::Skipped;
use crate::cluster::webhook_configuration::Seen;
use crate::metrics::{Counting, Kind, Metrics, Skip};

/// Bytes of one pod's annotations, and of its labels that matter. The API server takes 256 KiB of annotations, each of whose
/// characters it writes as six at most, and an object of 1.5 MiB.
const STRINGS: usize = 2 << 20;

/// What all labels begin with by which a pod is judged.
const LABELLED: &str = "nvidia.com/";

/// Pods that have ended are no more without caches than with them. Metadata does not tell, so the API server is asked.
const NOT_ENDED: &str = "status.phase!=Failed,status.phase!=Succeeded";

/// Counts pods, again and again.
pub struct Pods {
    client: Client,
    namespaces: Arc<Namespaces>,
    /// The configuration by which we are called, if it is watched: it may exclude namespaces.
    called: Option<watch::Receiver<Seen>>,
    /// Pods in one page.
    page: u32,
    skipped: Skipped,
    metrics: Arc<Metrics>,
}

impl Pods {
    /// Counts them in `namespaces`, but for those that the configuration by which we are `called` excludes.
    pub fn of(
        client: &Client,
        namespaces: &Arc<Namespaces>,
        called: Option<watch::Receiver<Seen>>,
        page: u32,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let (client, namespaces, metrics) = (client.clone(), Arc::clone(namespaces), Arc::clone(metrics));
        Pods { client, namespaces, called, page, skipped: Skipped::new(Kind::Pod, &metrics), metrics }
    }

    /// Counts for ever, at first as soon as the namespaces are known. A count that fails leaves the last number, which
    /// grows older.
    pub async fn follow(mut self, every: Duration) {
        let mut last = 0;
        loop {
            if let Some((missed, at)) = self.count().await {
                match at {
                    _ if missed == last => debug!(missed, "counted the component pods without our status"),
                    None => info!("every component pod has our status now"),
                    Some(namespace) => {
                        info!(missed, namespace, "component pods have no status of ours; dynamo-cache check tells why");
                    }
                }
                last = missed;
            }
            sleep(spread(every)).await;
        }
    }

    /// The number, and a namespace in which there are some; nothing where it cannot be known.
    async fn count(&mut self) -> Option<(u64, Option<String>)> {
        let (mut all, mut somewhere) = (0, None);
        for namespace in self.asked_for().await {
            match self.missed(&namespace).await {
                Ok(0) => {}
                Ok(missed) => {
                    all += missed;
                    somewhere.get_or_insert(namespace.into_string());
                }
                // A number without this namespace would be a lie.
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    warn!(namespace = &*namespace, error, "failed to count the pods without our status; trying again");
                    self.metrics.counted_pods(Counting::Failed);
                    return None;
                }
            }
        }
        self.metrics.missed.set(all, SystemTime::now());
        self.metrics.counted_pods(Counting::Done);
        Some((all, somewhere))
    }

    /// The namespaces whose pods are sent to us.
    async fn asked_for(&mut self) -> Vec<Box<str>> {
        let mut names = self.namespaces.opted_in().await;
        if let Some(called) = &mut self.called {
            // Where its sender is gone, what it said last stands.
            let _ = called.wait_for(|seen| *seen != Seen::NotYet).await;
            if let Seen::Installed(entries) = &*called.borrow() {
                names.retain(|name| !entries.iter().any(|entry| entry.excluded.contains(&**name)));
            }
        }
        names
    }

    async fn missed(&self, namespace: &str) -> Result<u64, Error> {
        let path = v1::Pod::url_path(&(), Some(namespace));
        let mut missed = 0;
        for labels in selectors() {
            let collection = Collection::new(&self.client, path.clone(), true, fields()).labelled(&labels);
            let mut parameters = collection.parameters().fields(NOT_ENDED).limit(self.page);
            loop {
                let page = collection.page(&parameters, |kept| {
                    let pod = Object::read(&kept.text, kept.cut, |text| {
                        let pod: Pod<'_> = serde_json::from_slice(text)?;
                        Ok(is_unreviewed(&pod))
                    });
                    match pod.value {
                        Ok(is_unreviewed) => missed += u64::from(is_unreviewed),
                        // The number is without it; the API server stores no such pod.
                        Err(why) => self.skipped.count(Skip::Unreadable, namespace, &pod.name, &why),
                    }
                });
                let Some(token) = page.await?.next.filter(|token| !token.is_empty()) else { break };
                parameters = parameters.continue_token(&token);
            }
        }
        Ok(missed)
    }
}

/// What is read of a pod: `is_unreviewed` looks at nothing else of metadata.
fn fields() -> Fields {
    let labels = ("labels", Fields::Strings(LABELLED, STRINGS));
    collection::object(vec![labels, ("annotations", Fields::Strings("", STRINGS))], Vec::new())
}

/// Selectors that together select every pod with a component label, each once: selectors know no `or`.
fn selectors() -> impl Iterator<Item = String> {
    COMPONENT_LABELS.iter().enumerate().map(|(index, label)| {
        let earlier = COMPONENT_LABELS.iter().take(index).map(|label| format!(",!{label}"));
        earlier.fold((*label).to_owned(), |selector, not| selector + &not)
    })
}

/// Nine to eleven tenths of a time: replicas that began together drift apart, and the API server is not asked by all at
/// once.
fn spread(every: Duration) -> Duration {
    every.mul_f64(0.9 + 0.2 * random())
}

impl fmt::Debug for Pods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pods").field("namespaces", &self.namespaces).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::{COMPONENT_LABELS, LABELLED, Pod, fields, is_unreviewed, selectors, spread};
    use crate::cluster::projection::{Part, Projection};

    #[test]
    fn each_pod_is_selected_once() {
        let selectors: Vec<_> = selectors().collect();
        assert_eq!(selectors[0], "nvidia.com/dynamo-component-type");
        assert_eq!(selectors[1], "nvidia.com/dynamo-component,!nvidia.com/dynamo-component-type");
        let last =
            "nvidia.com/dynamo-graph-deployment-name,!nvidia.com/dynamo-component-type,!nvidia.com/dynamo-component";
        assert_eq!(selectors[2..], [last]);
    }

    #[test]
    fn what_is_kept_of_a_pod_tells_whether_it_was_missed() {
        let metadata = |annotations: serde_json::Value| {
            json!({"name": "a", "labels": {"nvidia.com/dynamo-component": "w", "app": "x".repeat(63)},
                "annotations": annotations, "managedFields": [{"manager": "kubelet"}]})
        };
        let full = "<".repeat(260_000);
        for (annotations, missed) in [
            (json!({}), true),
            (json!({"dynamo-cache.io/status": "{}"}), false),
            (json!({"dynamo-cache.io/inject": "false"}), false),
            (json!({"large": "x".repeat(200_000)}), true),
            (json!({"large": full}), false),
        ] {
            // As the API server writes it.
            let json = json!({"metadata": metadata(annotations)}).to_string().replace('<', "\\u003c");
            let (fields, mut json) = (fields(), json.as_bytes());
            let Ok(Some(Part::Document(kept))) = Projection::new(&fields).advance(&mut json) else {
                panic!("one document")
            };
            let pod: Pod<'_> = serde_json::from_slice(&kept.text).unwrap();
            assert!(!kept.cut);
            assert_eq!(is_unreviewed(&pod), missed);
            assert!(COMPONENT_LABELS.iter().all(|label| label.starts_with(LABELLED)));
        }
    }

    #[test]
    fn a_wait_is_spread_around_its_middle() {
        let every = Duration::from_secs(300);
        let waits: Vec<_> = (0..100).map(|_| spread(every)).collect();
        assert!(waits.iter().all(|wait| (270..=330).contains(&wait.as_secs())), "{waits:?}");
        assert!(waits.iter().any(|wait| *wait != waits[0]), "a die that always shows the same");
    }
}
