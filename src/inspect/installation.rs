//! The webhook as it is installed: its configuration, and where it runs.

use serde_json::Value;

use crate::inspect::api::{Api, Error};

/// The entry that the API server calls for pods; its name never changes.
pub(crate) const ENTRY: &str = "pods.dynamo-cache.io";

/// Where configurations of mutating webhooks are.
pub(crate) const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

/// Where policies of the API server, and their bindings, are.
pub(crate) const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1";

/// What the guard's objects are called, after the name of all that belongs together.
pub(crate) const GUARD: &str = "-guard";

/// Kinds of the guard's objects, each with its name in a path.
pub(crate) const BINDING: (&str, &str) = ("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings");
pub(crate) const POLICY: (&str, &str) = ("ValidatingAdmissionPolicy", "validatingadmissionpolicies");

/// The kinds and paths of the guard's binding and policy, by the name that the chart gives to all of it.
pub(crate) fn guard(name: &str) -> [(&'static str, String); 2] {
    [BINDING, POLICY].map(|(kind, plural)| (kind, format!("{POLICIES}/{plural}/{name}{GUARD}")))
}

/// What was found of the webhook.
pub(crate) enum Webhook {
    /// No configuration has the entry.
    Absent,
    /// Whoever asks may not see configurations; the API server's sentence.
    Hidden(String),
    /// There it is.
    Installed(Installed),
}

/// An installed webhook.
pub(crate) struct Installed {
    /// The configuration's name.
    pub(crate) name: String,
    /// The configuration.
    pub(crate) configuration: Value,
    /// Its entry for pods.
    pub(crate) entry: Value,
    /// The namespace of its Service.
    pub(crate) namespace: String,
    /// Its Service's name, which the chart gives to all that belongs to it.
    pub(crate) service: String,
}

/// Finds the webhook.
///
/// # Errors
/// The API server was not reached.
pub(crate) async fn find(api: &Api) -> Result<Webhook, Error> {
    find_among(api).await.map(|(webhook, _)| webhook)
}

/// The same, and the other configurations of mutating webhooks, those of a second dynamo-cache among them.
///
/// # Errors
/// The API server was not reached.
pub(crate) async fn find_among(api: &Api) -> Result<(Webhook, Vec<Value>), Error> {
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

/// Who writes the CAs into `caBundle`.
pub(crate) enum Publisher {
    /// cert-manager.
    CertManager,
    /// Whoever brought the certificate.
    Person,
    /// The replicas.
    Replicas,
    /// It stands in the Deployment, which cannot be read.
    Unknown,
}

/// The annotation by which cert-manager knows whose CA goes into `caBundle`.
pub(crate) const INJECTED: &str = "cert-manager.io/inject-ca-from";

impl Installed {
    /// Asks who writes the CAs into `caBundle`: the configuration tells of cert-manager, the Deployment of the rest.
    pub(crate) async fn publisher(&self, api: &Api) -> Publisher {
        let annotations = self.configuration.pointer("/metadata/annotations");
        if annotations.is_some_and(|annotations| annotations.get(INJECTED).is_some()) {
            return Publisher::CertManager;
        }
        let path = format!("/apis/apps/v1/namespaces/{}/deployments/{}", self.namespace, self.service);
        // Whatever keeps it from being read: this is for advice alone.
        api.get(&path).await.ok().flatten().map_or(Publisher::Unknown, |deployment| publisher_of(&deployment))
    }

    /// The CAs by which the API server trusts the webhook, as the entry has them; none where there are none.
    pub(crate) fn bundle(&self) -> Option<&str> {
        bundle(&self.entry).filter(|bundle| !bundle.is_empty())
    }

    /// What to look at where the replicas have not published yet.
    pub(crate) fn are_replicas_ready(&self) -> String {
        format!(
            "the replicas publish it: are they ready? kubectl get deployment {} -n {}",
            self.service, self.namespace
        )
    }

    /// What a configuration says of itself where it has the entry, else the configuration.
    pub(crate) fn of(configuration: Value) -> Result<Self, Value> {
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

/// The `caBundle` of an entry.
pub(crate) fn bundle(entry: &Value) -> Option<&str> {
    entry.pointer("/clientConfig/caBundle").and_then(Value::as_str)
}

/// The release of Helm that an object belongs to, and its namespace.
pub(crate) fn release(object: &Value) -> Option<(String, String)> {
    let annotation = |key: &str| {
        let annotations = object.pointer("/metadata/annotations")?;
        annotations.get(key).and_then(Value::as_str).map(str::to_owned)
    };
    annotation("meta.helm.sh/release-name").zip(annotation("meta.helm.sh/release-namespace"))
}

/// Who it is by the arguments of the server.
fn publisher_of(deployment: &Value) -> Publisher {
    let containers = deployment.pointer("/spec/template/spec/containers").and_then(Value::as_array);
    let arguments = containers.into_iter().flatten().filter_map(|container| container.get("args")?.as_array());
    let arguments: Vec<_> = arguments.flatten().filter_map(Value::as_str).collect();
    let has = |option: &str| arguments.iter().any(|argument| argument.split('=').next() == Some(option));
    if has("--service") && (has("--ca-file") || !has("--cert-file")) { Publisher::Replicas } else { Publisher::Person }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Publisher, publisher_of};

    #[test]
    fn the_replicas_publish_what_they_make_and_what_they_are_told_to() {
        for (arguments, replicas) in [
            (json!(["serve", "--service=dynamo-cache", "--secret=ca"]), true),
            (json!(["serve", "--service=s", "--cert-file=c", "--key-file=k", "--ca-file=a"]), true),
            (json!(["serve", "--service", "s", "--cert-file", "c", "--key-file", "k"]), false),
            (json!(["serve", "--cert-file=c", "--key-file=k"]), false),
        ] {
            let deployment = json!({"spec": {"template": {"spec": {"containers": [{"args": arguments}]}}}});
            assert_eq!(matches!(publisher_of(&deployment), Publisher::Replicas), replicas, "{arguments}");
        }
        assert!(matches!(publisher_of(&json!({})), Publisher::Person));
    }
}
