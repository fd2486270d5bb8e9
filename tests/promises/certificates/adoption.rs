//! The Secret belongs to whoever comes first, and to whoever has seen what is in it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dynamo_cache::cluster::secret::{Seen, Shared};
use dynamo_cache::metrics::Metrics;
use tokio::task::JoinSet;

use crate::control_plane::namespace::Namespace;
use crate::control_plane::replicas::alone;

const DEADLINE: Duration = Duration::from_secs(60);

fn holding(text: &str) -> BTreeMap<String, Vec<u8>> {
    [("ca.crt".to_owned(), text.as_bytes().to_vec())].into()
}

#[test]
fn who_comes_second_or_has_not_seen_the_last_change_writes_nothing() {
    let (plane, _one) = alone();
    let namespace = Namespace::opted_in(plane, &[]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let metrics = Arc::new(Metrics::default());
    let course = async {
        let client = plane.client().await;
        let [first, second] = [(); 2].map(|()| Arc::new(Shared::of(&client, &namespace.name, "ca", &metrics)));
        let follows = Arc::clone(&second);
        let mut watch = JoinSet::new();
        watch.spawn(async move { follows.follow().await });
        assert!(first.store(holding("first"), None).await.unwrap(), "it was not there");
        assert!(!second.store(holding("second"), None).await.unwrap(), "409, and no error");

        let mut seen = second.seen();
        let present = |seen: &Seen| matches!(seen, Seen::Present(_));
        let Seen::Present(adopted) = seen.wait_for(present).await.unwrap().clone() else { unreachable!() };
        assert_eq!(adopted.data(), holding("first"), "the other's is adopted");
        assert!(second.store(holding("renewed"), Some(&adopted)).await.unwrap());
        assert!(!first.store(holding("late"), Some(&adopted)).await.unwrap(), "renewed since");

        let renewed = |seen: &Seen| matches!(seen, Seen::Present(stored) if stored.data() == holding("renewed"));
        let Seen::Present(renewed) = seen.wait_for(renewed).await.unwrap().clone() else { unreachable!() };
        plane.kubectl(&["delete", "secret", "ca", &format!("--namespace={}", namespace.name)]).unwrap();
        assert!(!second.store(holding("gone"), Some(&renewed)).await.unwrap(), "deleted since");
        seen.wait_for(|seen| matches!(seen, Seen::Absent)).await.unwrap();
    };
    runtime.block_on(async { tokio::time::timeout(DEADLINE, course).await }).expect("the watch tells in time");
}
