//! The Service by which the API server calls the webhook.

/// The Service that a webhook configuration references.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The namespace of the Service.
    pub namespace: String,
    /// The name of the Service.
    pub name: String,
}

impl Service {
    /// The host name that the API server connects to.
    pub fn host(&self) -> String {
        format!("{}.{}.svc", self.name, self.namespace)
    }
}
