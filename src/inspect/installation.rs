//! The installed webhook: its MutatingWebhookConfiguration, its Service, and the guard's objects.

use serde_json::Value;

use crate::inspect::api::{Api, Error};
use crate::service::Service;

/// The name of the entry that the API server calls for pods; it never changes.
pub(crate) const ENTRY: &str = "pods.dynamo-cache.io";

/// The API path of the kind MutatingWebhookConfiguration.
pub(crate) const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

/// The API path of admission policies and their bindings.
pub(crate) const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1";

/// The suffix of the guard's objects, after the name that the chart gives to everything.
pub(crate) const GUARD: &str = "-guard";

/// The kind of the guard's binding, and its plural in a path.
pub(crate) const BINDING: (&str, &str) = ("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings");

/// The kind of the guard's policy, and its plural in a path.
pub(crate) const POLICY: (&str, &str) = ("ValidatingAdmissionPolicy", "validatingadmissionpolicies");

/// The kinds and paths of the guard's binding and policy; `name` is the name that the chart gives to everything.
pub(crate) fn guard_objects(name: &str) -> [(&'static str, String); 2] {
    [BINDING, POLICY].map(|(kind, plural)| (kind, format!("{POLICIES}/{plural}/{name}{GUARD}")))
}

/// Whether the webhook is installed.
pub(crate) enum Webhook {
    /// No configuration has the entry.
    Absent,
    /// The user may not list configurations; the API server's message.
    Hidden(String),
    /// A configuration has the entry.
    Installed(Installed),
}

/// An installed webhook.
pub(crate) struct Installed {
    /// The name of its configuration.
    pub(crate) name: String,
    /// The MutatingWebhookConfiguration.
    pub(crate) configuration: Value,
    /// Its entry for pods.
    pub(crate) entry: Value,
    /// The Service that the entry names, whose name the chart gives to everything; `None` if the entry has a URL instead.
    pub(crate) service: Option<Service>,
}

/// Finds the webhook.
///
/// # Errors
/// The API server was not reached.
pub(crate) async fn find(api: &Api) -> Result<Webhook, Error> {
    find_with_others(api).await.map(|(webhook, _)| webhook)
}

/// Finds the webhook, and returns every other MutatingWebhookConfiguration too, including that of a second dynamo-cache.
///
/// # Errors
/// The API server was not reached.
pub(crate) async fn find_with_others(api: &Api) -> Result<(Webhook, Vec<Value>), Error> {
    let configurations = match api.list(CONFIGURATIONS).await {
        Err(error) if error.is_forbidden() => return Ok((Webhook::Hidden(error.to_string()), Vec::new())),
        answer => answer?,
    };
    let mut others = Vec::new();
    let mut webhook = Webhook::Absent;
    for configuration in configurations {
        match (&webhook, Installed::from_configuration(configuration)) {
            (Webhook::Absent, Ok(installed)) => webhook = Webhook::Installed(installed),
            (_, Ok(installed)) => others.push(installed.configuration),
            (_, Err(other)) => others.push(other),
        }
    }
    Ok((webhook, others))
}

/// The writer of `caBundle`.
pub(crate) enum Publisher {
    /// cert-manager.
    CertManager,
    /// The person who provided the certificate.
    Person,
    /// The replicas of the webhook.
    Replicas,
    /// The Deployment would say so, but it cannot be read.
    Unknown,
}

/// The annotation that makes cert-manager write a CA into `caBundle`.
pub(crate) const INJECTED: &str = "cert-manager.io/inject-ca-from";

impl Installed {
    /// Finds out who writes `caBundle`, from the configuration's annotations and the arguments in the Deployment.
    pub(crate) async fn publisher(&self, api: &Api) -> Publisher {
        let annotations = self.configuration.pointer("/metadata/annotations");
        if annotations.is_some_and(|annotations| annotations.get(INJECTED).is_some()) {
            return Publisher::CertManager;
        }
        let Some(Service { namespace, name }) = &self.service else { return Publisher::Unknown };
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
        // Errors are ignored: the answer only refines a hint.
        api.get(&path).await.ok().flatten().map_or(Publisher::Unknown, |deployment| publisher_of(&deployment))
    }

    /// The `caBundle` of the entry for pods, in Base64; `None` if it is missing or empty.
    pub(crate) fn bundle(&self) -> Option<&str> {
        bundle(&self.entry).filter(|bundle| !bundle.is_empty())
    }

    /// What to look at if the replicas have not published a `caBundle` yet.
    pub(crate) fn readiness_hint(&self) -> String {
        let deployment = match &self.service {
            Some(Service { namespace, name }) => format!("kubectl get deployment {name} -n {namespace}"),
            None => "kubectl get deployments --all-namespaces".to_owned(),
        };
        format!("the replicas publish it; check that they are ready: {deployment}")
    }

    /// Reads a configuration.
    ///
    /// # Errors
    /// The configuration has no entry for pods; it is returned.
    pub(crate) fn from_configuration(configuration: Value) -> Result<Self, Value> {
        let entries = configuration.get("webhooks").and_then(Value::as_array);
        let mut entries = entries.into_iter().flatten();
        let Some(entry) = entries.find(|entry| entry.get("name").is_some_and(|name| name == ENTRY)).cloned() else {
            return Err(configuration);
        };
        let text = |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let service = text(&entry, "/clientConfig/service/namespace").zip(text(&entry, "/clientConfig/service/name"));
        Ok(Installed {
            name: text(&configuration, "/metadata/name").unwrap_or_default(),
            service: service.map(|(namespace, name)| Service { namespace, name }),
            configuration,
            entry,
        })
    }
}

/// The `caBundle` of an entry, in Base64.
pub(crate) fn bundle(entry: &Value) -> Option<&str> {
    entry.pointer("/clientConfig/caBundle").and_then(Value::as_str)
}

/// A Helm release.
pub(crate) struct Release {
    /// Its name.
    pub(crate) name: String,
    /// Its namespace.
    pub(crate) namespace: String,
}

impl Release {
    /// The command that uninstalls the release.
    pub(crate) fn uninstall_command(&self) -> String {
        format!("helm uninstall {} --namespace {}", self.name, self.namespace)
    }
}

/// The Helm release that an object belongs to.
pub(crate) fn release(object: &Value) -> Option<Release> {
    let annotation = |key: &str| {
        let annotations = object.pointer("/metadata/annotations")?;
        annotations.get(key).and_then(Value::as_str).map(str::to_owned)
    };
    Some(Release {
        name: annotation("meta.helm.sh/release-name")?,
        namespace: annotation("meta.helm.sh/release-namespace")?,
    })
}

/// Reads from the server's arguments who publishes the CAs.
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
    fn the_replicas_publish_their_own_ca_and_the_one_given_by_ca_file() {
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
