//! Eviction under real connections, and what counts as one client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Connections, Phase, Slot, client_network, most_open};
use crate::metrics::{Listener, Metrics};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The only connection of a listener.
pub(in crate::server) async fn single() -> Slot {
    Connections::new(1, Listener::Webhook, None).admit(HERE, &CancellationToken::new()).await
}

#[tokio::test]
async fn a_new_connection_evicts_another_and_is_counted() {
    let (abort, metrics) = (CancellationToken::new(), Arc::new(Metrics::default()));
    let connections = Connections::new(2, Listener::Admin, Some(Arc::clone(&metrics)));
    let idle = connections.admit(HERE, &abort).await;
    idle.handle.enter(Phase::Idle);
    let busy = connections.admit(HERE, &abort).await;
    busy.handle.enter(Phase::Review);
    let new = connections.admit(HERE, &abort).await;
    assert_eq!((idle.handle.phase(), busy.handle.phase()), (None, Some(Phase::Review)));
    // Its task ends, and a request that arrives at that moment changes nothing.
    idle.handle.until_evicted(std::future::pending()).await;
    idle.handle.enter(Phase::Body);
    assert_eq!(idle.handle.phase(), None);
    assert!(!idle.handle.resets_on_close(), "an idle client sees an orderly close");
    let line = "dynamo_cache_connections_evicted_total{listener=\"admin\",phase=\"idle\"} 1\n";
    assert!(metrics.page().contains(line), "{}", metrics.page());
    drop((new, busy, idle));
    assert!(connections.lock().clients.is_empty() && connections.lock().connections.is_empty());
    assert_eq!(connections.slots.available_permits(), most_open(2));
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_waits_while_every_request_is_being_reviewed() {
    let (abort, connections) = (CancellationToken::new(), Connections::new(1, Listener::Webhook, None));
    let busy = connections.admit(HERE, &abort).await;
    busy.handle.enter(Phase::Review);
    let mut waiting = Box::pin(connections.admit(HERE, &abort));
    assert!(futures::poll!(&mut waiting).is_pending());
    busy.handle.enter(Phase::Idle);
    waiting.await;
    assert_eq!(busy.handle.phase(), None);
}

#[tokio::test]
async fn the_oldest_unread_responses_beyond_the_limit_are_given_up() {
    let (abort, connections) = (CancellationToken::new(), Connections::new(16, Listener::Webhook, None));
    let mut slots = Vec::new();
    for _ in 0..5 {
        let slot = connections.admit(HERE, &abort).await;
        slot.handle.enter(Phase::Response);
        slot.handle.mark_unread();
        slots.push(slot);
    }
    let left: Vec<_> = slots.iter().map(|slot| slot.handle.phase().is_some()).collect();
    assert_eq!(left, [false, false, false, true, true]);
    assert!(slots[0].handle.resets_on_close());
}

#[test]
fn a_host_with_a_network_of_addresses_is_one_client() {
    let v6 = |text: &str| IpAddr::V6(text.parse::<Ipv6Addr>().unwrap());
    assert_eq!(client_network(v6("2001:db8::1")), client_network(v6("2001:db8::ffff:1")));
    assert_ne!(client_network(v6("2001:db8::1")), client_network(v6("2001:db8:0:1::1")));
    assert_eq!(client_network(v6("::ffff:127.0.0.1")), HERE);
}
