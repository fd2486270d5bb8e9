//! The webhook as it is installed: its configuration, and where it runs.

use serde_json::Value;

use super::api::{Api, Error};

/// The entry that the API server calls for pods; its name never changes.
pub(super) const ENTRY: &str = "pods.dynamo-cache.io";

/// Where configurations of mutating webhooks are.
pub(super) const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

/// What was found of the webhook.
pub(super) enum Webhook {
    /// No configuration has the entry.
    Absent,
    /// Whoever asks may not see configurations; the API server's sentence.
    Hidden(String),
    /// There it is.
    Installed(Installed),
}

/// An installed webhook.
pub(super) struct Installed {
    /// The configuration's name.
    pub(super) name: String,
    /// The configuration.
    pub(super) configuration: Value,
    /// Its entry for pods.
    pub(super) entry: Value,
    /// The namespace of its Service.
    pub(super) namespace: String,
    /// Its Service's name, which the chart gives to all that belongs to it.
    pub(super) service: String,
}

/// Finds the webhook.
///
/// # Errors
/// The API server was not reached.
pub(super) async fn find(api: &Api) -> Result<Webhook, Error> {
    find_among(api).await.map(|(webhook, _)| webhook)
}

/// The same, and the other configurations of mutating webhooks.
///
/// # Errors
/// The API server was not reached.
pub(super) async fn find_among(api: &Api) -> Result<(Webhook, Vec<Value>), Error> {
    let configurations = match api.list(CONFIGURATIONS).await {
        Err(error) if error.is_forbidden() => return Ok((Webhook::Hidden(error.to_string()), Vec::new())),
        answer => answer?,
    };
    let mut others = Vec::new();
    let mut webhook = Webhook::Absent;
    for configuration in configurations {
        match (&webhook, Installed::of(configuration)) {
            (Webhook::Absent, Ok(installed)) => webhook = Webhook::Installed(installed),
            (_, Ok(installed)) => others.push(installed.configuration),
            (_, Err(other)) => others.push(other),
        }
    }
    Ok((webhook, others))
}

impl Installed {
    /// What a configuration says of itself where it has the entry, else the configuration.
    pub(super) fn of(configuration: Value) -> Result<Self, Value> {
        let entries = configuration.get("webhooks").and_then(Value::as_array);
        let mut entries = entries.into_iter().flatten();
        let Some(entry) = entries.find(|entry| entry.get("name").is_some_and(|name| name == ENTRY)).cloned() else {
            return Err(configuration);
        };
        let text = |value: &Value, pointer: &str| {
            value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        Ok(Installed {
            name: text(&configuration, "/metadata/name"),
            namespace: text(&entry, "/clientConfig/service/namespace"),
            service: text(&entry, "/clientConfig/service/name"),
            configuration,
            entry,
        })
    }
}
