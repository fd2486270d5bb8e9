//! A reflector against an API server whose lists and watches each test defines.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use futures::{StreamExt as _, stream};
use kube::Client;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Change, run};
use crate::cluster::collection::{Collection, object_fields};
use crate::cluster::projection::Fields;

/// The responses, and the requests that arrived.
#[derive(Clone, Default)]
struct Server {
    lists: Arc<Mutex<VecDeque<Value>>>,
    /// The lines of each watch. A watch beyond these stays open, unless `always` is set.
    watches: Arc<Mutex<VecDeque<Vec<Value>>>>,
    /// The text of every watch, which then ends at once.
    always: Option<String>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn listing(lists: impl IntoIterator<Item = Value>) -> Self {
        Server { lists: Arc::new(Mutex::new(lists.into_iter().collect())), ..Server::default() }
    }

    fn watched(self, watches: impl IntoIterator<Item = Vec<Value>>) -> Self {
        Server { watches: Arc::new(Mutex::new(watches.into_iter().collect())), ..self }
    }

    fn collection(&self) -> Collection {
        let server = self.clone();
        let answer =
            move |request: Request| std::future::ready(server.answer(request.uri().query().unwrap_or_default()));
        let client = Client::new(Router::new().fallback(answer), "default");
        let fields = object_fields(Vec::new(), vec![("value", Fields::Any(20))]);
        Collection::new(&client, "/api/v1/things".to_owned(), false, fields)
    }

    fn answer(&self, query: &str) -> Body {
        self.asked.lock().unwrap().push(query.to_owned());
        if !query.contains("watch=") {
            // The last list answers all further requests.
            let mut lists = self.lists.lock().unwrap();
            let list = if lists.len() > 1 { lists.pop_front() } else { lists.front().cloned() };
            return Body::from(list.unwrap().to_string());
        }
        if let Some(line) = &self.always {
            return Body::from(line.clone());
        }
        let lines = self.watches.lock().unwrap().pop_front();
        let ends = lines.is_some();
        let lines = lines.into_iter().flatten().map(|line| Ok::<_, std::io::Error>(format!("{line}\n")));
        let lines = stream::iter(lines.collect::<Vec<_>>());
        if ends { Body::from_stream(lines) } else { Body::from_stream(lines.chain(stream::pending())) }
    }

    fn asked(&self, words: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|query| query.contains(words)).count()
    }

    /// The changes that are reported within an hour.
    async fn changes(&self) -> Vec<String> {
        let mut changes = Vec::new();
        let collection = self.collection();
        let read = |text: &[u8]| serde_json::from_slice::<Value>(text).map(|object| object["value"].clone());
        let change = |change: Change<Value>| {
            changes.push(match change {
                Change::ListStarted => "begun".to_owned(),
                Change::ListComplete => "complete".to_owned(),
                Change::Failed(why) => format!("failed: {why}"),
                Change::Deleted(object) => format!("{} is gone", object.name),
                Change::Applied(object) => match object.value {
                    Ok(value) => format!("{} is {value}", object.name),
                    Err(why) => format!("{}: {why}", object.name),
                },
            });
        };
        assert!(timeout(Duration::from_secs(3600), run(&collection, read, change)).await.is_err(), "it goes on");
        changes
    }
}

fn thing(name: &str, version: u32, value: impl Into<Value>) -> Value {
    json!({"metadata": {"name": name, "resourceVersion": version.to_string(), "managedFields": 7}, "value": value.into()})
}

fn list(version: u32, items: &[Value]) -> Value {
    json!({"kind": "List", "items": items, "metadata": {"resourceVersion": version.to_string()}})
}

fn event(kind: &str, object: &Value) -> Value {
    json!({"type": kind, "object": object})
}

#[tokio::test(start_paused = true)]
async fn pages_are_listed_and_watched_from_their_version() {
    let mut first = list(1, &[thing("a", 1, 1)]);
    first["metadata"]["continue"] = json!("more");
    let events = vec![
        event("ADDED", &thing("c", 6, 1)),
        event("DELETED", &thing("a", 7, 1)),
        event("FROM_THE_FUTURE", &json!({})),
        event("BOOKMARK", &json!({"metadata": {"resourceVersion": "9"}})),
    ];
    let server = Server::listing([first, list(5, &[thing("b", 2, 2)])]).watched([events]);
    let changes = server.changes().await;
    assert_eq!(changes, ["begun", "a is 1", "b is 2", "complete", "c is 1", "a is gone"]);
    assert_eq!((server.asked("limit=100"), server.asked("continue=more")), (2, 1));
    assert_eq!(server.asked("resourceVersion=5"), 1, "{:?}", server.asked);
    assert!(server.asked("resourceVersion=9") >= 1, "what ends goes on from the last bookmark: {:?}", server.asked);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_fails_neither_list_nor_watch() {
    let large = json!("x".repeat(1 << 20));
    let deep = (0..150).fold(json!(1), |inner, _| json!([inner]));
    let items = [thing("a", 1, large.clone()), thing("b", 1, "b"), json!(null), json!({})];
    let events = vec![event("MODIFIED", &thing("b", 6, large)), event("DELETED", &thing("a", 7, deep))];
    let server = Server::listing([list(5, &items)]).watched([events]);
    let changes = server.changes().await;
    let larger = "a field that is used exceeds its size limit";
    let [a, b] = ["a", "b"].map(|name| format!("{name}: {larger}"));
    assert_eq!(changes, ["begun", &a, "b is \"b\"", " is null", "complete", &b, "a is gone"]);
}

#[tokio::test(start_paused = true)]
async fn after_an_error_there_is_a_new_list() {
    let gone = event("ERROR", &json!({"kind": "Status", "code": 410, "message": "too old", "reason": "Expired"}));
    let lists = [list(5, &[thing("a", 1, 1)]), json!({"items": []}), list(9, &[])];
    let server = Server::listing(lists).watched([vec![gone]]);
    let no_version = "failed: the list has no resourceVersion";
    let changes = server.changes().await;
    assert_eq!(changes, ["begun", "a is 1", "complete", "failed: too old", "begun", no_version, "begun", "complete"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_at_once_is_opened_ever_less_often() {
    let server = Server { always: Some(String::new()), ..Server::listing([list(5, &[])]) };
    assert_eq!(server.changes().await, ["begun", "complete"]);
    // In an hour of pauses from 15 to 30 s.
    let opened = server.asked("watch=");
    assert!((120..=250).contains(&opened), "{opened}");
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_always_gone_is_listed_ever_less_often() {
    let gone = event("ERROR", &json!({"kind": "Status", "code": 410, "message": "too old", "reason": "Expired"}));
    let server = Server { always: Some(gone.to_string()), ..Server::listing([list(5, &[])]) };
    server.changes().await;
    let listed = server.asked("limit=");
    assert!((120..=250).contains(&listed), "{listed}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_within_an_event_loses_nothing() {
    let whole = event("ADDED", &thing("a", 6, 1)).to_string();
    let broken = event("ADDED", &thing("b", 7, 2)).to_string();
    let always = format!("{whole}\n{}", &broken[..broken.len() / 2]);
    let server = Server { always: Some(always), ..Server::listing([list(5, &[])]) };
    let changes = server.changes().await;
    assert_eq!(changes[..3], ["begun", "complete", "a is 1"]);
    assert!(changes[3..].iter().all(|change| change == "a is 1"), "{changes:?}");
    assert!(server.asked("resourceVersion=6") > 1);
}
