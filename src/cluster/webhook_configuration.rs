//! Our `MutatingWebhookConfiguration`: which entries of it call us, and whom the API server trusts there.
//!
//! `caBundle` is written by a strategic merge patch under a field manager of our own, not by server-side apply: an apply
//! would also own the entry itself, and a `helm rollback` to a chart without that entry would leave a stub of it and fail
//! with 422 (seen with Helm 4 and Kubernetes 1.37). Of a patch we own the one field, and it goes with its entry.

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

use crate::cluster::MANAGER;
use crate::cluster::object::{Found, Object};
use crate::cluster::observed::Observed;
use crate::metrics::{Kind, Metrics};

/// The label by which Kubernetes itself tells a namespace's name.
const NAMESPACE: &str = "kubernetes.io/metadata.name";

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
    api: Api<Object<MutatingWebhookConfiguration, Content>>,
    name: String,
    service: Service,
    observed: Observed<Seen>,
    versions: Mutex<Versions>,
    metrics: Arc<Metrics>,
}

/// What is read of a configuration. An API server stores no other than these, and all of them are optional there.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Content {
    metadata: Metadata,
    webhooks: Option<Vec<Webhook>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    /// Each is read by itself, and says nothing where it cannot be: it names who wrote a field, and decides nothing.
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

/// Who manages which fields, of the webhooks alone.
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

/// How far things have come.
#[derive(Clone, Copy, Debug, Default)]
struct Versions {
    /// What the watch told of last.
    watched: Option<u64>,
    /// What we wrote, until the watch has come as far.
    written: Option<u64>,
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
    /// Who else than we has written its `caBundle`.
    pub writers: BTreeSet<String>,
    /// Namespaces that its selector keeps from us by their names.
    pub excluded: BTreeSet<String>,
    /// Whether it promises the API server that nothing but the answer comes of a call: `sideEffects: None`.
    pub is_pure: bool,
}

impl Configuration {
    /// The configuration of this name, which becomes known as `follow` is run.
    pub fn of(client: &Client, name: &str, service: &Service, metrics: &Arc<Metrics>) -> Self {
        Configuration {
            api: Api::all(client.clone()),
            name: name.to_owned(),
            service: service.clone(),
            observed: Observed::default(),
            versions: Mutex::default(),
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
        self.observed.state()
    }

    /// Why nothing new is seen of it, where the watch fails, now and as it changes.
    pub fn failing(&self) -> watch::Receiver<Option<String>> {
        self.observed.failing()
    }

    /// Watches, for ever.
    pub async fn follow(&self) {
        let apply = |found: Result<Option<Found<Content>>, ()>| match found {
            Ok(found) => self.catch_up(found.as_ref()),
            // The listing that comes next is how things are, whatever we wrote.
            Err(()) => self.versions().written = None,
        };
        self.observed.follow(&self.api, &self.name, (Kind::Configuration, &self.metrics), apply).await;
    }

    /// Sees what the watch tells, unless it is from before our last writing: somebody would seem to have undone it.
    fn catch_up(&self, found: Option<&Found<Content>>) {
        let mut versions = self.versions();
        versions.watched = found.and_then(version);
        if versions.watched.zip(versions.written).is_some_and(|(watched, written)| watched < written) {
            return;
        }
        versions.written = None;
        self.see(found);
    }

    /// Sees what came of our writing, unless the watch has told of something later already.
    fn see_written(&self, written: &Found<Content>) {
        let mut versions = self.versions();
        if versions.watched.zip(version(written)).is_some_and(|(watched, written)| written <= watched) {
            return;
        }
        versions.written = version(written);
        self.see(Some(written));
    }

    /// Held for as long as something is seen, so that what comes later is also seen later.
    fn versions(&self) -> MutexGuard<'_, Versions> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn see(&self, found: Option<&Found<Content>>) {
        let entries = found.map(|found| entries(&found.content, &self.service)).unwrap_or_default();
        self.observed.set(if entries.is_empty() { Seen::NotInstalled } else { Seen::Installed(entries) });
    }

    /// Reads the entries that call us, and writes what `amend` wants of the `caBundle` of each, where it wants anything.
    /// False: nothing was written, for there was nothing to write or to write to, or somebody else wrote meanwhile, and
    /// what came of it is seen next.
    ///
    /// # Errors
    /// The API server refused or could not be reached. An entry that is gone is no error, and neither is a configuration
    /// that cannot be read: the watch tells of it.
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
        let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        // Only over what was just read: a replica that wrote meanwhile may have added what we do not know of.
        let metadata = json!({"resourceVersion": found.resource_version});
        let patch = Patch::Strategic(json!({"metadata": metadata, "webhooks": webhooks}));
        match self.api.patch(&self.name, &parameters, &patch).await {
            Ok(written) => {
                if let Ok(written) = written.into_found() {
                    self.see_written(&written);
                }
                Ok(true)
            }
            // An entry that has gone since is 409 too. 422 would be a bundle that the API server refuses.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl fmt::Debug for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Configuration").field("name", &self.name).finish_non_exhaustive()
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
        is_pure: webhook.side_effects == "None",
    };
    ours.map(entry).collect()
}

/// The names that an entry's `namespaceSelector` keeps away.
fn excluded(webhook: &Webhook) -> BTreeSet<String> {
    let selector = webhook.namespace_selector.as_ref();
    let expressions = selector.and_then(|selector| selector.match_expressions.as_deref()).unwrap_or_default();
    let names = expressions.iter().filter(|named| named.key == NAMESPACE && named.operator == "NotIn");
    names.flat_map(|named| named.values.iter().flatten().cloned()).collect()
}

/// The field managers that have written the `caBundle` of an entry, but for ours.
fn writers(configuration: &Content, entry: &str) -> BTreeSet<String> {
    let key = format!("k:{}", json!({"name": entry}));
    let managers = configuration.metadata.managed_fields.iter().flatten();
    let managers = managers.filter_map(|managed| serde_json::from_str::<Managed>(managed.get()).ok());
    let wrote = managers.filter(|managed| {
        let entry = managed.fields_v1.webhooks.get(&key);
        entry.and_then(|entry| entry.client_config.as_ref()?.ca_bundle).is_some()
    });
    wrote.map(|managed| managed.manager).filter(|manager| manager != MANAGER).collect()
}

/// Which of two objects is the older: versions of one kind are numbers that grow
/// (kubernetes.io/docs/reference/using-api/api-concepts, resource versions).
fn version(configuration: &Found<Content>) -> Option<u64> {
    configuration.resource_version.as_ref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
    use serde_json::json;

    use super::{Configuration, Content, Found, Object, Seen, Service};
    use crate::metrics::Metrics;

    fn stored(version: &str, bundle: &str) -> Found<Content> {
        let service = json!({"name": "ours", "namespace": "system"});
        let wrote = |manager: &str, entry: &str| {
            let fields =
                json!({"f:webhooks": {format!("k:{{\"name\":\"{entry}\"}}"): {"f:clientConfig": {"f:caBundle": {}}}}});
            json!({"manager": manager, "fieldsType": "FieldsV1", "fieldsV1": fields})
        };
        // None of the last three can be read by k8s-openapi, and so could not the object that has one of them.
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
    async fn the_latest_is_seen_whether_the_watch_or_our_writing_tells_of_it_first() {
        let client = kube::Client::try_from(kube::Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
        let service = Service { namespace: "system".to_owned(), name: "ours".to_owned() };
        let configuration = Configuration::of(&client, "ours", &service, &Arc::new(Metrics::default()));
        let bundle = || match &*configuration.seen().borrow() {
            Seen::Installed(entries) => entries.iter().map(|entry| entry.bundle.clone()).collect(),
            Seen::NotInstalled | Seen::NotYet => Vec::new(),
        };
        configuration.catch_up(Some(&stored("8", "b2xk")));
        assert_eq!(bundle(), [b"old"]);
        configuration.see_written(&stored("10", "bmV3"));
        configuration.catch_up(Some(&stored("9", "b2xk")));
        assert_eq!(bundle(), [b"new"], "9 is older than what we wrote");
        configuration.catch_up(Some(&stored("10", "bmV3")));
        configuration.catch_up(Some(&stored("11", "b2xk")));
        configuration.see_written(&stored("10", "bmV3"));
        assert_eq!(bundle(), [b"old"], "somebody wrote over ours before we had its answer");
        configuration.catch_up(Some(&stored("3", "bmV3")));
        assert_eq!(bundle(), [b"new"], "an API server that was restored from a backup counts from lower again");
        configuration.see_written(&stored("12", "b2xk"));
        configuration.catch_up(None);
        assert!(bundle().is_empty(), "what is gone is gone");
    }

    #[test]
    fn who_wrote_a_bundle_is_told_for_each_entry() {
        assert_eq!(super::writers(&stored("1", "").content, "a.io").into_iter().collect::<Vec<_>>(), ["stranger"]);
        assert_eq!(super::writers(&stored("1", "").content, "b.io").into_iter().collect::<Vec<_>>(), ["other"]);
    }
}
