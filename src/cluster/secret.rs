//! The one Secret that the replicas share: watched, never mounted, written by whoever comes first.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::authentication::v1::{SelfSubjectReview, UserInfo};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tracing::warn;

use super::watching;
use crate::metrics::{Kind, Metrics};

/// The Secret, and what was last seen of it.
pub struct Shared {
    api: Api<Secret>,
    /// Tells who we are.
    whoami: Api<SelfSubjectReview>,
    name: String,
    seen: watch::Sender<Seen>,
    /// Why nothing new is seen, where the watch fails.
    failing: watch::Sender<Option<String>>,
    metrics: Arc<Metrics>,
}

/// What was last seen of the Secret.
#[derive(Clone, Debug, Default)]
pub enum Seen {
    /// It is not there.
    Absent,
    /// Nothing yet.
    #[default]
    NotYet,
    /// It is there.
    Present(Stored),
}

/// The Secret as it is stored.
#[derive(Clone)]
pub struct Stored(Arc<Secret>);

impl Stored {
    /// What it holds.
    pub fn data(&self) -> BTreeMap<String, Vec<u8>> {
        self.0.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone())).collect()
    }
}

/// A key is never printed.
impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stored").field(&self.0.metadata.resource_version).finish()
    }
}

impl Shared {
    /// The Secret of this name, which becomes known as `follow` is run.
    pub fn of(client: &Client, namespace: &str, name: &str, metrics: &Arc<Metrics>) -> Self {
        Shared {
            api: Api::namespaced(client.clone(), namespace),
            whoami: Api::all(client.clone()),
            name: name.to_owned(),
            seen: watch::Sender::default(),
            failing: watch::Sender::default(),
            metrics: Arc::clone(metrics),
        }
    }

    /// What is seen of it, now and as it changes.
    pub fn seen(&self) -> watch::Receiver<Seen> {
        self.seen.subscribe()
    }

    /// Why nothing new is seen of it, where the watch fails, now and as it changes.
    pub fn failing(&self) -> watch::Receiver<Option<String>> {
        self.failing.subscribe()
    }

    /// Watches, for ever.
    pub async fn follow(&self) {
        let tell = |found: Result<Option<Secret>, String>| match found {
            Ok(found) => {
                self.failing.send_replace(None);
                self.seen.send_replace(found.map_or(Seen::Absent, |secret| Seen::Present(Stored(Arc::new(secret)))));
            }
            Err(why) => _ = self.failing.send_replace(Some(why)),
        };
        watching::follow(&self.api, &self.name, (Kind::Secret, &self.metrics), tell).await;
    }

    /// Makes it hold this instead of what was seen; where nothing was, it is created. False: somebody else was first,
    /// and what they did is seen next.
    ///
    /// # Errors
    /// The API server refused or could not be reached.
    pub async fn store(&self, data: BTreeMap<String, Vec<u8>>, over: Option<&Stored>) -> Result<bool, kube::Error> {
        let mut secret = match over {
            None => self.fresh(self.account().await),
            Some(stored) => (*stored.0).clone(),
        };
        secret.data = Some(data.into_iter().map(|(key, value)| (key, ByteString(value))).collect());
        let written = match over {
            None => self.api.create(&PostParams::default(), &secret).await,
            Some(_) => self.api.replace(&self.name, &PostParams::default(), &secret).await,
        };
        match written {
            Ok(_) => Ok(true),
            // 409 for a Secret that was created or changed by somebody else, 404 for one that was deleted.
            Err(kube::Error::Api(status)) if status.code == 409 || (over.is_some() && status.code == 404) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Without data. It goes with the ServiceAccount whose replicas make it, since nobody else knows of it: the garbage
    /// collector sees to that, <https://kubernetes.io/docs/concepts/architecture/garbage-collection/>.
    fn fresh(&self, owner: Option<OwnerReference>) -> Secret {
        let mut secret = Secret { type_: Some("Opaque".to_owned()), ..Secret::default() };
        secret.metadata.name = Some(self.name.clone());
        let labels = [("app.kubernetes.io/name", "dynamo-cache"), ("app.kubernetes.io/managed-by", "dynamo-cache")];
        secret.metadata.labels = Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        secret.metadata.owner_references = owner.map(|owner| vec![owner]);
        secret
    }

    /// The ServiceAccount that we are, where we are one of the Secret's namespace. Everybody may ask who they are.
    async fn account(&self) -> Option<OwnerReference> {
        let asked = self.whoami.create(&PostParams::default(), &SelfSubjectReview::default()).await;
        let user = match asked {
            Ok(review) => review.status?.user_info?,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                warn!(
                    error,
                    "failed to ask who we are; the Secret of the CA will have no owner, and stay when we are removed"
                );
                return None;
            }
        };
        owner(&user, self.api.namespace().unwrap_or_default())
    }
}

/// A user as an owner of what is in a namespace: a ServiceAccount is one, others are no objects.
fn owner(user: &UserInfo, namespace: &str) -> Option<OwnerReference> {
    let account = user.username.as_deref()?.strip_prefix("system:serviceaccount:")?;
    let name = account.strip_prefix(namespace)?.strip_prefix(':')?;
    let uid = user.uid.as_deref().filter(|uid| !uid.is_empty())?;
    Some(OwnerReference {
        api_version: "v1".to_owned(),
        kind: "ServiceAccount".to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        ..OwnerReference::default()
    })
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::authentication::v1::UserInfo;

    use super::owner;

    fn user(name: &str, uid: Option<&str>) -> UserInfo {
        UserInfo { username: Some(name.to_owned()), uid: uid.map(str::to_owned), ..UserInfo::default() }
    }

    #[test]
    fn a_service_account_of_the_same_namespace_owns_and_nobody_else_does() {
        let account = owner(&user("system:serviceaccount:caches:webhook", Some("7d1c")), "caches").unwrap();
        assert_eq!((&*account.kind, &*account.name, &*account.uid), ("ServiceAccount", "webhook", "7d1c"));
        for (name, uid) in [
            ("system:serviceaccount:caches:webhook", None),
            ("system:serviceaccount:caches:webhook", Some("")),
            ("system:serviceaccount:caches-too:webhook", Some("7d1c")),
            ("system:serviceaccount:other:webhook", Some("7d1c")),
            ("kubernetes-admin", Some("7d1c")),
        ] {
            assert_eq!(owner(&user(name, uid), "caches"), None, "{name} {uid:?}");
        }
    }
}
