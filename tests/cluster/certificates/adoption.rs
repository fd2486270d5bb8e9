//! The first replica fills the Secret; a replica may change it only if it has seen the last change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dynamo_cache::cluster::ca_secret::{CaSecret, ObservedSecret, StoredSecret};
use dynamo_cache::metrics::Metrics;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::replicas::alone;

const DEADLINE: Duration = Duration::from_secs(60);

fn holding(text: &str) -> BTreeMap<String, Vec<u8>> {
    [("ca.crt".to_owned(), text.as_bytes().to_vec())].into()
}

/// Waits until the Secret is there and `wanted`.
async fn present(seen: &mut watch::Receiver<ObservedSecret>, wanted: impl Fn(&StoredSecret) -> bool) -> StoredSecret {
    let is_wanted = |seen: &ObservedSecret| matches!(seen, ObservedSecret::Present(stored) if wanted(stored));
    let ObservedSecret::Present(stored) = seen.wait_for(is_wanted).await.unwrap().clone() else { unreachable!() };
    stored
}

#[test]
fn a_replica_that_has_not_seen_the_last_change_of_the_secret_writes_nothing() {
    let (plane, _one) = alone();
    let namespace = Namespace::opted_in(plane, &[]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let metrics = Arc::new(Metrics::default());
    let course = async {
        let client = plane.client().await;
        let [first, second] = [(); 2].map(|()| Arc::new(CaSecret::new(&client, &namespace.name, "ca", &metrics)));
        let mut watches = JoinSet::new();
        for follows in [Arc::clone(&first), Arc::clone(&second)] {
            watches.spawn(async move { follows.follow().await });
        }
        let mut seen = second.observed();
        seen.wait_for(|seen| matches!(seen, ObservedSecret::Absent)).await.unwrap();
        namespace.kubectl(&["create", "secret", "generic", "ca", "--from-literal=kept=as it is"]).unwrap();
        let empty = present(&mut first.observed(), |_| true).await;
        let same = present(&mut seen, |_| true).await;
        assert!(first.store(holding("first"), &empty).await.unwrap());
        assert!(!second.store(holding("second"), &same).await.unwrap(), "409, and no error");

        let adopted = present(&mut seen, |stored| stored.data().contains_key("ca.crt")).await;
        assert_eq!(adopted.data()["ca.crt"], b"first", "the other's is adopted");
        assert_eq!(adopted.data()["kept"], b"as it is", "nothing else is changed");
        assert!(second.store(holding("renewed"), &adopted).await.unwrap());
        assert!(!first.store(holding("late"), &adopted).await.unwrap(), "renewed since");

        let renewed = present(&mut seen, |stored| stored.data()["ca.crt"] == b"renewed").await;
        plane.kubectl(&["delete", "secret", "ca", &format!("--namespace={}", namespace.name)]).unwrap();
        assert!(!second.store(holding("gone"), &renewed).await.unwrap(), "deleted since");
        seen.wait_for(|seen| matches!(seen, ObservedSecret::Absent)).await.unwrap();
    };
    runtime.block_on(async { tokio::time::timeout(DEADLINE, course).await }).expect("the watch reports in time");
}
