//! Our annotations on the namespaces that opted in; nothing else of a namespace is asked for.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use kube::core::metadata::PartialObjectMeta;
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::sync::watch;

use super::live::Live;
use super::store::Store;
use super::watching::{in_pages, relisting};
use crate::admission::settings::PREFIX;
use crate::metrics::{Kind, Metrics};

/// The annotations of namespaces.
#[derive(Debug)]
pub struct Namespaces {
    /// Of metadata alone: the API server sends no more.
    api: Api<PartialObjectMeta<Namespace>>,
    /// Whom the webhook is called for, as a label selector.
    selector: String,
    store: Store<Arc<[(String, String)]>>,
    live: Live<Arc<[(String, String)]>>,
    /// Whether all of them were ever known.
    listed: watch::Sender<bool>,
    metrics: Arc<Metrics>,
}

impl Namespaces {
    pub(super) fn of(client: &Client, selector: &str, metrics: &Arc<Metrics>) -> Self {
        Namespaces {
            api: Api::all(client.clone()),
            selector: selector.to_owned(),
            store: Store::new(),
            live: Live::new(Kind::Namespace, metrics),
            listed: watch::Sender::new(false),
            metrics: Arc::clone(metrics),
        }
    }

    /// Watches, for ever. `tell` is called whenever all of them are known, and when the watch fails.
    pub async fn follow(&self, tell: impl Fn(Result<(), String>)) {
        let events = relisting(|| watcher(self.api.clone(), in_pages().labels(&self.selector)));
        let tell = |known: Result<(), String>| {
            if known.is_ok() {
                self.listed.send_replace(true);
            }
            tell(known);
        };
        self.store.follow(events, ours, (Kind::Namespace, &self.metrics), tell).await;
    }

    /// Whether a namespace is known to have opted in; one that did a moment ago is not yet.
    pub(super) fn has(&self, name: &str) -> bool {
        self.store.find("", name).is_some()
    }

    /// The names of those that opted in, as soon as all of them are known.
    pub(super) async fn opted_in(&self) -> Vec<Box<str>> {
        // Its sender is here, so it never ends before.
        let _ = self.listed.subscribe().wait_for(|listed| *listed).await;
        self.store.names("")
    }

    /// Our annotations on a namespace. One that opted in a moment ago, or never, is read.
    pub(super) async fn annotations(&self, name: &str) -> Arc<[(String, String)]> {
        if let Some(annotations) = self.store.find("", name) {
            return annotations;
        }
        let (api, wanted) = (self.api.clone(), name.to_owned());
        let fetch = || async move { Ok(api.get_opt(&wanted).await?.as_ref().map(ours)) };
        self.live.read(name.to_owned(), fetch).await.unwrap_or_default()
    }
}

/// Our annotations alone: others may be of any size.
fn ours(namespace: &PartialObjectMeta<Namespace>) -> Arc<[(String, String)]> {
    let annotations = namespace.metadata.annotations.iter().flatten();
    let ours = annotations.filter(|(key, _)| key.starts_with(PREFIX));
    ours.map(|(key, value)| (key.clone(), value.clone())).collect()
}
