//! Our `MutatingWebhookConfiguration`: which entries of it call us, and whom the API server trusts there.
//!
//! `caBundle` is written by a strategic merge patch under a field manager of our own, not by server-side apply: an apply
//! would also own the entry itself, and a `helm rollback` to a chart without that entry would leave a stub of it and fail
//! with 422 (seen with Helm 4 and Kubernetes 1.37). Of a patch we own the one field, and it goes with its entry.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use futures::StreamExt as _;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::api::{Patch, PatchParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::watch;

use crate::metrics::{Kind, Metrics};

/// By which name the API server knows that we wrote a field.
const MANAGER: &str = "dynamo-cache";

/// Who calls us, as the configuration names us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Service {
    /// The name by which the API server calls.
    pub fn host(&self) -> String {
        format!("{}.{}.svc", self.name, self.namespace)
    }
}

/// The configuration, and what was last seen of it.
pub struct Configuration {
    api: Api<MutatingWebhookConfiguration>,
    name: String,
    service: Service,
    seen: watch::Sender<Seen>,
    metrics: Arc<Metrics>,
}

/// What was last seen of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Seen {
    /// It has entries that call us, at least one.
    Installed(Vec<Entry>),
    /// It is not there, or none of its entries calls us.
    NotInstalled,
    /// Nothing yet.
    #[default]
    NotYet,
}

/// An entry that calls us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is called.
    pub name: String,
    /// Whom the API server trusts there, in PEM; empty where nothing is set.
    pub bundle: Vec<u8>,
    /// Who else than we has written a `caBundle` in this configuration.
    pub writers: BTreeSet<String>,
}

/// What came of publishing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// There was nothing to write.
    Already,
    /// Somebody else wrote meanwhile, and what came of it is seen next.
    Changed,
    /// There is no such configuration or entry.
    NotInstalled,
    /// It was written.
    Written,
}

impl Configuration {
    /// The configuration of this name, which becomes known as `follow` is run.
    pub fn of(client: &Client, name: &str, service: &Service, metrics: &Arc<Metrics>) -> Self {
        Configuration {
            api: Api::all(client.clone()),
            name: name.to_owned(),
            service: service.clone(),
            seen: watch::Sender::default(),
            metrics: Arc::clone(metrics),
        }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whom it has to name to call us.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// What is seen of it, now and as it changes.
    pub fn seen(&self) -> watch::Receiver<Seen> {
        self.seen.subscribe()
    }

    /// Watches, for ever.
    pub async fn follow(&self) {
        let mut events = std::pin::pin!(watch_object(self.api.clone(), &self.name).default_backoff());
        while let Some(event) = events.next().await {
            match event {
                Ok(found) => self.see(found.as_ref()),
                Err(error) => super::watch_failed(Kind::Configuration, &self.metrics, &error),
            }
        }
    }

    fn see(&self, found: Option<&MutatingWebhookConfiguration>) {
        let entries = found.map(|found| entries(found, &self.service)).unwrap_or_default();
        let seen = if entries.is_empty() { Seen::NotInstalled } else { Seen::Installed(entries) };
        self.seen.send_if_modified(|last| {
            let changed = *last != seen;
            *last = seen;
            changed
        });
    }

    /// Reads the entries that call us, and writes what `amend` wants of the `caBundle` of each, where it wants anything.
    ///
    /// # Errors
    /// The API server refused or could not be reached. An entry that is gone is no error.
    pub async fn publish(&self, amend: impl Fn(&[u8]) -> Option<String>) -> Result<Published, kube::Error> {
        let Some(found) = self.api.get_opt(&self.name).await? else { return Ok(Published::NotInstalled) };
        let entries = entries(&found, &self.service);
        let amended = entries.iter().filter_map(|entry| {
            let bundle = amend(&entry.bundle)?;
            let bundle = k8s_openapi::ByteString(bundle.into_bytes());
            Some(json!({"name": entry.name, "clientConfig": {"caBundle": bundle}}))
        });
        let webhooks: Vec<_> = amended.collect();
        if webhooks.is_empty() {
            return Ok(if entries.is_empty() { Published::NotInstalled } else { Published::Already });
        }
        let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        // Only over what was just read: a replica that wrote meanwhile may have added what we do not know of.
        let metadata = json!({"resourceVersion": found.metadata.resource_version});
        let patch = Patch::Strategic(json!({"metadata": metadata, "webhooks": webhooks}));
        match self.api.patch(&self.name, &parameters, &patch).await {
            Ok(written) => {
                // The watch will say the same, later.
                self.see(Some(&written));
                Ok(Published::Written)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Published::Changed),
            // An entry that has gone since is 409 too. 422 would be a bundle that the API server refuses.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Published::NotInstalled),
            Err(error) => Err(error),
        }
    }
}

impl fmt::Debug for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Configuration").field("name", &self.name).finish_non_exhaustive()
    }
}

fn entries(configuration: &MutatingWebhookConfiguration, service: &Service) -> Vec<Entry> {
    let writers = writers(configuration);
    let ours = configuration.webhooks.iter().flatten().filter(|webhook| {
        let named = webhook.client_config.service.as_ref();
        named.is_some_and(|named| named.name == service.name && named.namespace == service.namespace)
    });
    let entry = |webhook: &k8s_openapi::api::admissionregistration::v1::MutatingWebhook| Entry {
        name: webhook.name.clone(),
        bundle: webhook.client_config.ca_bundle.as_ref().map(|bundle| bundle.0.clone()).unwrap_or_default(),
        writers: writers.clone(),
    };
    ours.map(entry).collect()
}

/// The field managers that have written a `caBundle`, but for ours.
fn writers(configuration: &MutatingWebhookConfiguration) -> BTreeSet<String> {
    let managers = configuration.metadata.managed_fields.iter().flatten();
    let wrote = managers.filter(|fields| {
        fields.fields_v1.as_ref().is_some_and(|fields| fields.0.to_string().contains("\"f:caBundle\""))
    });
    wrote.filter_map(|fields| fields.manager.clone()).filter(|manager| manager != MANAGER).collect()
}
