//! The one Secret that the replicas share: watched, never mounted, written by whoever comes first.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::authentication::v1::{SelfSubjectReview, UserInfo};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::info;

use super::{in_words, watching};
use crate::metrics::{Kind, Metrics};

/// Within which the API server has to say who we are: a part of the time that a write may take.
const ANSWER: Duration = Duration::from_secs(2);

/// The Secret, and what was last seen of it.
pub struct Shared {
    api: Api<Secret>,
    /// Where the API server tells who asks.
    reviews: Api<SelfSubjectReview>,
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
            reviews: Api::all(client.clone()),
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
            None => self.fresh(self.ask_for_owner().await),
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
    /// collector sees to that, <https://kubernetes.io/docs/concepts/architecture/garbage-collection/>. Only whoever creates it
    /// names an owner: to add one later takes, in some clusters, the right to delete Secrets (admission plugin
    /// `OwnerReferencesPermissionEnforcement`).
    fn fresh(&self, owner: Option<OwnerReference>) -> Secret {
        let mut secret = Secret { type_: Some("Opaque".to_owned()), ..Secret::default() };
        secret.metadata.name = Some(self.name.clone());
        let labels = [("app.kubernetes.io/name", "dynamo-cache"), ("app.kubernetes.io/managed-by", "dynamo-cache")];
        secret.metadata.labels = Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        secret.metadata.owner_references = owner.map(|owner| vec![owner]);
        secret
    }

    /// The ServiceAccount that we are. Everybody may ask who they are; a CA does not wait for an API server that does not say.
    async fn ask_for_owner(&self) -> Option<OwnerReference> {
        let review = SelfSubjectReview::default();
        let why = match timeout(ANSWER, self.reviews.create(&PostParams::default(), &review)).await {
            Ok(Ok(review)) => {
                let user = review.status.and_then(|status| status.user_info).unwrap_or_default();
                let owner = owner(&user, self.api.namespace().unwrap_or_default());
                if owner.is_some() {
                    return owner;
                }
                format!("{:?} is no ServiceAccount of this namespace", user.username.unwrap_or_default())
            }
            Ok(Err(error)) => in_words(&error),
            Err(_) => format!("no answer within {ANSWER:?}"),
        };
        info!(
            secret = self.name,
            why, "the Secret of the CA gets no owner: delete it by hand when you uninstall the webhook"
        );
        None
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
    use std::collections::BTreeMap;
    use std::future::{pending, ready};
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::post;
    use k8s_openapi::api::authentication::v1::UserInfo;
    use serde_json::{Value, json};

    use super::{Shared, owner};
    use crate::metrics::Metrics;

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

    /// The Secret that is created where the API server answers so when asked who asks.
    async fn created<F>(who: impl Fn() -> F + Clone + Send + Sync + 'static) -> Value
    where
        F: Future<Output = (StatusCode, String)> + Send,
    {
        let stored = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&stored);
        let keep = async move |secret: String| {
            kept.lock().unwrap().clone_from(&secret);
            secret
        };
        let api_server = Router::new()
            .route("/apis/authentication.k8s.io/v1/selfsubjectreviews", post(who))
            .route("/api/v1/namespaces/caches/secrets", post(keep));
        let client = kube::Client::new(api_server, "default");
        let shared = Shared::of(&client, "caches", "ca", &Arc::new(Metrics::default()));
        assert!(shared.store(BTreeMap::new(), None).await.unwrap());
        serde_json::from_str(&stored.lock().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn the_secret_goes_with_who_makes_it() {
        let who = json!({"status": {"userInfo": {"username": "system:serviceaccount:caches:webhook", "uid": "7d1c"}}});
        let secret = created(move || ready((StatusCode::CREATED, who.to_string()))).await;
        let owner = json!([{"apiVersion": "v1", "kind": "ServiceAccount", "name": "webhook", "uid": "7d1c"}]);
        assert_eq!(secret["metadata"]["ownerReferences"], owner);
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_does_not_say_who_we_are_keeps_no_ca_from_being_made() {
        let forbidden = json!({"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403});
        let refuses = move || ready((StatusCode::FORBIDDEN, forbidden.to_string()));
        for secret in [created(refuses).await, created(pending).await] {
            let metadata = &secret["metadata"];
            assert_eq!((&metadata["name"], metadata.get("ownerReferences")), (&json!("ca"), None));
        }
    }
}
