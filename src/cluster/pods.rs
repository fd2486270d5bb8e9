//! How many component pods of the namespaces that opted in have no status of ours: counted from metadata, page by page.
//!
//! Every replica counts for itself: no lease has to be held for a number that all of them find alike. Nothing of a pod
//! outlives its page.

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1;
use kube::api::ListParams;
use kube::core::Request;
use kube::{Client, Resource as _};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::namespaces::Namespaces;
use super::webhook::Seen;
use crate::admission::component::LABELS;
use crate::admission::missed::is_missed;
use crate::admission::pod::{Pod, Text};
use crate::metrics::{Counting, Metrics};

/// For one page: nobody waits for it.
const DEADLINE: Duration = Duration::from_secs(30);

/// Pods that have ended are no more without caches than with them. Metadata does not tell, so the API server is asked.
const NOT_ENDED: &str = "status.phase!=Failed,status.phase!=Succeeded";

/// Counts pods, again and again.
pub struct Pods {
    client: Client,
    namespaces: Arc<Namespaces>,
    /// The configuration by which we are called, if it is watched: it may exclude namespaces.
    called: Option<watch::Receiver<Seen>>,
    /// Pods in one page, whose text is held as a whole.
    page: u32,
    metrics: Arc<Metrics>,
}

/// Why there is no number.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Asked(#[from] kube::Error),
    #[error("failed to read the list: {0}")]
    Json(#[from] serde_json::Error),
    #[error("there was no answer within {} s", DEADLINE.as_secs())]
    Late(#[from] tokio::time::error::Elapsed),
    #[error("failed to write the question: {0}")]
    Question(#[from] kube::core::request::Error),
}

/// A `PartialObjectMetadataList`, its pods as the core reads them.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    metadata: Option<Next<'a>>,
    #[serde(borrow)]
    items: Option<Vec<Pod<'a>>>,
}

#[derive(Deserialize)]
struct Next<'a> {
    #[serde(borrow, rename = "continue")]
    token: Option<Text<'a>>,
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
        Pods { client, namespaces, called, page, metrics }
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
        let mut missed = 0;
        for labels in selectors() {
            let mut parameters = ListParams::default().labels(&labels).fields(NOT_ENDED).limit(self.page);
            loop {
                let request = Request::new(v1::Pod::url_path(&(), Some(namespace))).list_metadata(&parameters)?;
                let text = timeout(DEADLINE, self.client.request_text(request)).await??;
                let Page { metadata, items } = serde_json::from_str(&text)?;
                missed += items.iter().flatten().filter(|pod| is_missed(pod)).map(|_| 1).sum::<u64>();
                let token = metadata.and_then(|list| list.token).filter(|token| !token.is_empty());
                let Some(token) = token else { break };
                parameters = parameters.continue_token(&token);
            }
        }
        Ok(missed)
    }
}

/// Selectors that together select every pod with a component label, each once: selectors know no `or`.
fn selectors() -> impl Iterator<Item = String> {
    LABELS.iter().enumerate().map(|(index, label)| {
        let earlier = LABELS.iter().take(index).map(|label| format!(",!{label}"));
        earlier.fold((*label).to_owned(), |selector, not| selector + &not)
    })
}

/// Nine to eleven tenths of a time: replicas that began together drift apart, and the API server is not asked by all at
/// once.
fn spread(every: Duration) -> Duration {
    // Every hasher has other keys, so an empty one is a die.
    let [die, ..] = RandomState::new().build_hasher().finish().to_le_bytes();
    every.mul_f64(0.9 + 0.2 * f64::from(die) / 255.0)
}

impl fmt::Debug for Pods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pods").field("namespaces", &self.namespaces).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Page, is_missed, selectors, spread};

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
    fn a_page_of_metadata_is_read_as_pods() {
        let json = r#"{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1",
            "metadata":{"resourceVersion":"7","continue":"token","remainingItemCount":3},"items":[
            {"kind":"PartialObjectMetadata","metadata":{"name":"a","labels":{"nvidia.com/dynamo-component":"w"}}},
            {"metadata":{"name":"b","labels":{"nvidia.com/dynamo-component":"w"},
                "annotations":{"dynamo-cache.io/status":"{}"},"managedFields":[{"manager":"kubelet"}]}}]}"#;
        let page: Page<'_> = serde_json::from_str(json).unwrap();
        assert_eq!(&*page.metadata.unwrap().token.unwrap(), "token");
        let missed: Vec<_> = page.items.unwrap().iter().map(is_missed).collect();
        assert_eq!(missed, [true, false]);
        let empty: Page<'_> = serde_json::from_str(r#"{"metadata":{},"items":null}"#).unwrap();
        assert!(empty.items.is_none() && empty.metadata.unwrap().token.is_none());
    }

    #[test]
    fn a_wait_is_spread_around_its_middle() {
        let every = Duration::from_secs(300);
        let waits: Vec<_> = (0..100).map(|_| spread(every)).collect();
        assert!(waits.iter().all(|wait| (270..=330).contains(&wait.as_secs())), "{waits:?}");
        assert!(waits.iter().any(|wait| *wait != waits[0]), "a die that always shows the same");
    }
}
