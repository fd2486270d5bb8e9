//! The `MutatingWebhookConfiguration`: the entries that reference this Service, and their `caBundle`.
//!
//! We write `caBundle` by a strategic merge patch with a field manager of our own, not by server-side apply. An apply
//! would also own the entry itself, so a `helm rollback` to a chart without that entry would leave a stub of it and
//! fail with 422 (seen with Helm 4 and Kubernetes 1.37). With a patch we own only the one field, which is deleted with
//! its entry.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::watch;

use crate::cluster::FIELD_MANAGER;
use crate::cluster::object::{Found, Object};
use crate::cluster::observed::Observed;
use crate::metrics::{Kind, Metrics};
use crate::service::Service;

/// The label that Kubernetes sets on every namespace to its name.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The configuration, and its last observed state.
pub struct WebhookConfiguration {
    api: Api<Object<MutatingWebhookConfiguration, Content>>,
    name: String,
    service: Service,
    observed: Observed<ObservedConfiguration>,
    versions: Mutex<Versions>,
    metrics: Arc<Metrics>,
}

/// The fields that are read from a configuration. The API server stores no other types for these, and each is optional
/// there.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Content {
    metadata: Metadata,
    webhooks: Option<Vec<Webhook>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    /// Each item is parsed on its own and ignored on error: it only names who wrote a field, and decides nothing.
    managed_fields: Option<Vec<Box<RawValue>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Webhook {
    name: String,
    client_config: ClientConfig,
    namespace_selector: Option<Selector>,
    side_effects: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ClientConfig {
    service: Option<Named>,
    /// In base64.
    ca_bundle: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Selector {
    match_expressions: Option<Vec<Expression>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Expression {
    key: String,
    operator: String,
    values: Option<Vec<String>>,
}

/// A field manager, and the fields of webhooks that it owns.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Managed {
    manager: String,
    fields_v1: ManagedFields,
}

#[derive(Deserialize)]
struct ManagedFields {
    #[serde(rename = "f:webhooks", default)]
    webhooks: HashMap<String, ManagedWebhook>,
}

#[derive(Deserialize)]
struct ManagedWebhook {
    #[serde(rename = "f:clientConfig")]
    client_config: Option<ManagedClientConfig>,
}

#[derive(Deserialize)]
struct ManagedClientConfig {
    #[serde(rename = "f:caBundle")]
    ca_bundle: Option<IgnoredAny>,
}

/// The versions that the watch and our writes have reached.
#[derive(Clone, Copy, Debug, Default)]
struct Versions {
    /// The last version that the watch delivered.
    watched: Option<u64>,
    /// The version of our last write, until the watch has reached it.
    written: Option<u64>,
}

/// The last observed state of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ObservedConfiguration {
    /// At least one entry references the Service.
    Installed(Vec<Entry>),
    /// The configuration does not exist, or no entry references the Service.
    NotInstalled,
    /// The watch has not delivered it yet.
    #[default]
    Unknown,
}

/// An entry that references the Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// The `caBundle` in PEM; empty if it is not set.
    pub bundle: Vec<u8>,
    /// The other field managers that have written its `caBundle`.
    pub writers: BTreeSet<String>,
    /// The namespaces that its selector excludes by name.
    pub excluded: BTreeSet<String>,
    /// Whether it says `sideEffects: None`: a call changes nothing else.
    pub declares_no_side_effects: bool,
}

impl WebhookConfiguration {
    /// The configuration of this name. It stays unknown until `follow` runs.
    pub fn new(client: &Client, name: &str, service: &Service, metrics: &Arc<Metrics>) -> Self {
        WebhookConfiguration {
            api: Api::all(client.clone()),
            name: name.to_owned(),
            service: service.clone(),
            observed: Observed::default(),
            versions: Mutex::default(),
            metrics: Arc::clone(metrics),
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The Service that its entries have to reference.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// The observed state, now and as it changes.
    pub fn observed(&self) -> watch::Receiver<ObservedConfiguration> {
        self.observed.state()
    }

    /// The error of the watch while it fails, now and as it changes.
    pub fn watch_error(&self) -> watch::Receiver<Option<String>> {
        self.observed.error()
    }

    /// Watches the configuration for ever.
    pub async fn follow(&self) {
        let apply = |found: Result<Option<Found<Content>>, ()>| match found {
            Ok(found) => self.observe_watched(found.as_ref()),
            // The next list is authoritative, whatever we wrote.
            Err(()) => self.versions().written = None,
        };
        self.observed.follow(&self.api, &self.name, Kind::Configuration, &self.metrics, apply).await;
    }

    /// Takes a state from the watch, unless it is older than our last write: that would look as if another client had
    /// reverted the write.
    fn observe_watched(&self, found: Option<&Found<Content>>) {
        let mut versions = self.versions();
        versions.watched = found.and_then(version);
        if versions.watched.zip(versions.written).is_some_and(|(watched, written)| watched < written) {
            return;
        }
        versions.written = None;
        self.update(found);
    }

    /// Takes the result of our write, unless the watch has delivered a later state already.
    fn observe_written(&self, written: &Found<Content>) {
        let mut versions = self.versions();
        if versions.watched.zip(version(written)).is_some_and(|(watched, written)| written <= watched) {
            return;
        }
        versions.written = version(written);
        self.update(Some(written));
    }

    /// Callers hold the lock while they update the state, so that states are set in order.
    fn versions(&self) -> MutexGuard<'_, Versions> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, found: Option<&Found<Content>>) {
        let entries = found.map(|found| entries(&found.content, &self.service)).unwrap_or_default();
        self.observed.set(if entries.is_empty() {
            ObservedConfiguration::NotInstalled
        } else {
            ObservedConfiguration::Installed(entries)
        });
    }

    /// Reads the entries that reference the Service, and writes a new `caBundle` for each for which `amend` returns
    /// one. Returns false if nothing was written: there was nothing to change, or another client wrote in the meantime,
    /// which the watch then delivers.
    ///
    /// # Errors
    /// The API server rejected the request, or could not be reached. An entry that is gone is not an error, and neither
    /// is a configuration that cannot be parsed: the watch reports it.
    pub async fn publish(&self, amend: impl Fn(&Entry) -> Option<String>) -> Result<bool, kube::Error> {
        let Some(found) = self.api.get_opt(&self.name).await? else { return Ok(false) };
        let Ok(found) = found.into_found() else { return Ok(false) };
        let entries = entries(&found.content, &self.service);
        let amended = entries.iter().filter_map(|entry| {
            let bundle = STANDARD.encode(amend(entry)?);
            Some(json!({"name": entry.name, "clientConfig": {"caBundle": bundle}}))
        });
        let webhooks: Vec<_> = amended.collect();
        if webhooks.is_empty() {
            return Ok(false);
        }
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        // Only over the version that was just read: another replica may have added a CA that this one does not know.
        let metadata = json!({"resourceVersion": found.resource_version});
        let patch = Patch::Strategic(json!({"metadata": metadata, "webhooks": webhooks}));
        match self.api.patch(&self.name, &parameters, &patch).await {
            Ok(written) => {
                if let Ok(written) = written.into_found() {
                    self.observe_written(&written);
                }
                Ok(true)
            }
            // An entry that was deleted since is 409 too. 422 would be a bundle that the API server rejects.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl fmt::Debug for WebhookConfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookConfiguration").field("name", &self.name).finish_non_exhaustive()
    }
}

fn entries(configuration: &Content, service: &Service) -> Vec<Entry> {
    let ours = configuration.webhooks.iter().flatten().filter(|webhook| {
        let named = webhook.client_config.service.as_ref();
        named.is_some_and(|named| named.name == service.name && named.namespace == service.namespace)
    });
    let entry = |webhook: &Webhook| Entry {
        name: webhook.name.clone(),
        bundle: STANDARD.decode(webhook.client_config.ca_bundle.as_deref().unwrap_or_default()).unwrap_or_default(),
        writers: writers(configuration, &webhook.name),
        excluded: excluded(webhook),
        declares_no_side_effects: webhook.side_effects == "None",
    };
    ours.map(entry).collect()
}

/// The namespaces that an entry's `namespaceSelector` excludes by name.
fn excluded(webhook: &Webhook) -> BTreeSet<String> {
    let selector = webhook.namespace_selector.as_ref();
    let expressions = selector.and_then(|selector| selector.match_expressions.as_deref()).unwrap_or_default();
    let names = expressions.iter().filter(|named| named.key == NAMESPACE_NAME_LABEL && named.operator == "NotIn");
    names.flat_map(|named| named.values.iter().flatten().cloned()).collect()
}

/// The field managers other than ours that have written the `caBundle` of an entry.
fn writers(configuration: &Content, entry: &str) -> BTreeSet<String> {
    let key = format!("k:{}", json!({"name": entry}));
    let managers = configuration.metadata.managed_fields.iter().flatten();
    let managers = managers.filter_map(|managed| serde_json::from_str::<Managed>(managed.get()).ok());
    let wrote = managers.filter(|managed| {
        let entry = managed.fields_v1.webhooks.get(&key);
        entry.and_then(|entry| entry.client_config.as_ref()?.ca_bundle).is_some()
    });
    wrote.map(|managed| managed.manager).filter(|manager| manager != FIELD_MANAGER).collect()
}

/// The resource version as a number. Versions of one kind grow (kubernetes.io/docs/reference/using-api/api-concepts,
/// resource versions).
fn version(configuration: &Found<Content>) -> Option<u64> {
    configuration.resource_version.as_ref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
    use serde_json::json;

    use super::{Content, Found, Object, ObservedConfiguration, Service, WebhookConfiguration};
    use crate::metrics::Metrics;

    fn stored(version: &str, bundle: &str) -> Found<Content> {
        let service = json!({"name": "ours", "namespace": "system"});
        let wrote = |manager: &str, entry: &str| {
            let fields =
                json!({"f:webhooks": {format!("k:{{\"name\":\"{entry}\"}}"): {"f:clientConfig": {"f:caBundle": {}}}}});
            json!({"manager": manager, "fieldsType": "FieldsV1", "fieldsV1": fields})
        };
        // `k8s-openapi` cannot parse an object with any of these three.
        let late = json!({"manager": "late", "time": "9999-12-31T23:59:59Z", "fieldsV1": {}});
        let deep: serde_json::Value = serde_json::from_str(&format!("{}{}", "[".repeat(120), "]".repeat(120))).unwrap();
        let deep = json!({"manager": "deep", "fieldsV1": {"f:metadata": deep}});
        let odd = json!({"manager": 7, "fieldsV1": "x"});
        let [stranger, own, other] = [wrote("stranger", "a.io"), wrote("dynamo-cache", "a.io"), wrote("other", "b.io")];
        let managers = [late, deep, odd, stranger, own, other];
        let entry = json!({"name": "a.io", "clientConfig": {"service": service, "caBundle": bundle},
            "admissionReviewVersions": ["v1"], "sideEffects": "None"});
        let metadata = json!({"name": "ours", "resourceVersion": version, "managedFields": managers});
        let text = json!({"metadata": metadata, "webhooks": [entry]}).to_string();
        let object: Object<MutatingWebhookConfiguration, Content> = serde_json::from_str(&text).unwrap();
        object.into_found().unwrap()
    }

    #[tokio::test]
    async fn the_latest_state_counts_whether_the_watch_or_our_write_delivers_it() {
        let client = kube::Client::try_from(kube::Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
        let service = Service { namespace: "system".to_owned(), name: "ours".to_owned() };
        let configuration = WebhookConfiguration::new(&client, "ours", &service, &Arc::new(Metrics::default()));
        let bundle = || match &*configuration.observed().borrow() {
            ObservedConfiguration::Installed(entries) => entries.iter().map(|entry| entry.bundle.clone()).collect(),
            ObservedConfiguration::NotInstalled | ObservedConfiguration::Unknown => Vec::new(),
        };
        configuration.observe_watched(Some(&stored("8", "b2xk")));
        assert_eq!(bundle(), [b"old"]);
        configuration.observe_written(&stored("10", "bmV3"));
        configuration.observe_watched(Some(&stored("9", "b2xk")));
        assert_eq!(bundle(), [b"new"], "9 is older than what we wrote");
        configuration.observe_watched(Some(&stored("10", "bmV3")));
        configuration.observe_watched(Some(&stored("11", "b2xk")));
        configuration.observe_written(&stored("10", "bmV3"));
        assert_eq!(bundle(), [b"old"], "another client overwrote ours before we had the response");
        configuration.observe_watched(Some(&stored("3", "bmV3")));
        assert_eq!(bundle(), [b"new"], "an API server that was restored from a backup counts from lower again");
        configuration.observe_written(&stored("12", "b2xk"));
        configuration.observe_watched(None);
        assert!(bundle().is_empty(), "what is gone is gone");
    }

    #[test]
    fn the_writers_of_a_bundle_are_known_for_each_entry() {
        assert_eq!(super::writers(&stored("1", "").content, "a.io").into_iter().collect::<Vec<_>>(), ["stranger"]);
        assert_eq!(super::writers(&stored("1", "").content, "b.io").into_iter().collect::<Vec<_>>(), ["other"]);
    }
}
