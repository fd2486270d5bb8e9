//! Lists, watches and reads of one kind of object. Only the fields that we use are held in memory.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Collected, Limited};
use hyper::header::{ACCEPT_ENCODING, DATE, HeaderValue};
use k8s_openapi::jiff::fmt::rfc2822;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::api::{GetParams, ListParams, WatchParams};
use kube::client::Body;
use kube::core::{Request, Status};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout};

use super::projection::{Fields, Part, Projected, Projection};

mod error;

pub(super) use error::Error;
use error::is_end;

/// The API server has to send the next byte of a response within this time, its own limit for a whole request
/// (`--request-timeout`).
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the API server keeps a watch open, in seconds: the least that client-go and kube ask for.
const WATCH_SECONDS: u32 = 290;

/// A watch that is silent for longer is dead: its end was lost.
const WATCH_TIMEOUT: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 5);

/// The most bytes that are read of an error response.
const MAX_ERROR_BODY: usize = 64 * 1024;

/// The most bytes of a version, a token or a message. Those of the API server are less than half as long.
const MAX_VALUE: usize = 4096;

/// The most bytes of a name of an object or a namespace. Their characters need no escapes.
const MAX_NAME: usize = 253;

/// A collection of objects of one kind, and the fields to extract.
pub(super) struct Collection {
    client: Client,
    path: String,
    /// Whether requests ask for metadata only.
    metadata_only: bool,
    labels: Option<String>,
    fields: Option<String>,
    item: Fields,
    list: Fields,
    event: Fields,
    /// Seconds by which the API server's clock is ahead of ours, by its last response.
    clock_ahead: AtomicI64,
}

/// The metadata of a page of a list.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Page {
    /// The version from which a watch continues.
    #[serde(rename = "resourceVersion")]
    pub(super) version: Option<String>,
    /// The token of the next page.
    #[serde(rename = "continue")]
    pub(super) next: Option<String>,
}

/// The kind of a watch event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventKind {
    /// The object was added or changed.
    Applied,
    /// The object was deleted.
    Deleted,
}

/// The name, namespace and version of an object.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Identity<'a> {
    #[serde(borrow)]
    pub(super) name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) namespace: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) resource_version: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Identified<'a> {
    #[serde(borrow)]
    metadata: Option<Identity<'a>>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    r#type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
}

/// The identifying fields of an object, with further fields of its metadata and of the rest.
pub(super) fn object_fields(metadata: Vec<(&'static str, Fields)>, rest: Vec<(&'static str, Fields)>) -> Fields {
    let mut all = vec![
        ("name", Fields::Text(MAX_NAME)),
        ("namespace", Fields::Text(MAX_NAME)),
        ("resourceVersion", Fields::Text(MAX_VALUE)),
    ];
    all.extend(metadata);
    let mut object = vec![("metadata", Fields::Object(all))];
    object.extend(rest);
    Fields::Object(object)
}

/// The identity in the extracted fields of an object.
pub(super) fn parse_identity(text: &[u8]) -> Identity<'_> {
    // Anything else is treated as an object without a name.
    serde_json::from_slice::<Identified<'_>>(text).ok().and_then(|object| object.metadata).unwrap_or_default()
}

impl Collection {
    /// A collection at an API path, with the fields to extract of each item.
    pub(super) fn new(client: &Client, path: String, metadata_only: bool, item: Fields) -> Self {
        let metadata = [("resourceVersion", Fields::Text(MAX_VALUE)), ("continue", Fields::Text(MAX_VALUE))];
        let list = vec![("metadata", Fields::Object(metadata.into())), ("items", Fields::Each(Box::new(item.clone())))];
        let mut object = item.clone();
        if let Fields::Object(members) = &mut object {
            // In an error event, the object is a Status.
            members.extend([
                ("code", Fields::Any(MAX_VALUE)),
                ("message", Fields::Text(MAX_VALUE)),
                ("reason", Fields::Text(MAX_VALUE)),
            ]);
        }
        let event = vec![("type", Fields::Text(MAX_VALUE)), ("object", object)];
        let client = client.clone();
        let (list, event) = (Fields::Object(list), Fields::Object(event));
        Collection {
            client,
            path,
            metadata_only,
            labels: None,
            fields: None,
            item,
            list,
            event,
            clock_ahead: AtomicI64::new(0),
        }
    }

    /// Restricts the collection to a label selector.
    pub(super) fn with_labels(mut self, selector: &str) -> Self {
        self.labels = Some(selector.to_owned());
        self
    }

    /// Restricts the collection to the object of this name.
    pub(super) fn with_name(mut self, name: &str) -> Self {
        self.fields = Some(format!("metadata.name={name}"));
        self
    }

    /// The list parameters for the whole collection.
    pub(super) fn parameters(&self) -> ListParams {
        let parameters = ListParams::default();
        ListParams { label_selector: self.labels.clone(), field_selector: self.fields.clone(), ..parameters }
    }

    /// The time by the API server's clock, which sets the times in objects. Our clock may differ by any amount.
    pub(super) fn now(&self) -> Timestamp {
        let ahead = SignedDuration::from_secs(self.clock_ahead.load(Ordering::Relaxed));
        Timestamp::now().saturating_add(ahead).unwrap_or_else(|_| Timestamp::now())
    }

    /// Reads one object at a path. Returns `None` if it does not exist.
    ///
    /// # Errors
    /// The API server rejected the request, could not be reached, or sent invalid JSON.
    pub(super) async fn get(&self, path: &str, name: &str) -> Result<Option<Projected>, Error> {
        let (request, parameters) = (Request::new(path), GetParams::default());
        let request =
            if self.metadata_only { request.get_metadata(name, &parameters) } else { request.get(name, &parameters) };
        let mut response = match self.send(request?, READ_TIMEOUT).await {
            Err(Error::Kube(kube::Error::Api(status))) if status.code == 404 => return Ok(None),
            response => response?,
        };
        let mut projection = Projection::new(&self.item);
        while let Some(bytes) = response.next().await? {
            if let Some(Part::Document(kept) | Part::Element(kept)) = projection.advance(&mut &*bytes)? {
                return Ok(Some(kept));
            }
        }
        Err(Error::Truncated)
    }

    /// Reads a page of the list, and calls `item` for each item.
    ///
    /// # Errors
    /// The API server rejected the request, could not be reached, or sent invalid JSON. No single item fails the list.
    pub(super) async fn page(&self, parameters: &ListParams, mut item: impl FnMut(&Projected)) -> Result<Page, Error> {
        #[derive(Deserialize)]
        struct List {
            metadata: Option<Page>,
        }
        let request = Request::new(&*self.path);
        let request = if self.metadata_only { request.list_metadata(parameters) } else { request.list(parameters) };
        let mut response = self.send(request?, READ_TIMEOUT).await?;
        let mut projection = Projection::new(&self.list);
        while let Some(bytes) = response.next().await? {
            let mut bytes = &*bytes;
            while let Some(part) = projection.advance(&mut bytes)? {
                match part {
                    Part::Element(kept) => item(&kept),
                    Part::Document(kept) => {
                        let list: List = serde_json::from_slice(&kept.text)?;
                        return Ok(list.metadata.unwrap_or_default());
                    }
                }
            }
        }
        Err(Error::Truncated)
    }

    /// Watches from a version until the watch ends, and advances the version. `on_event` gets the kind of an event, the
    /// object, and whether a field was truncated. Returns how long the watch lasted, which is zero if it never started.
    pub(super) async fn watch(
        &self,
        version: &mut String,
        mut on_event: impl FnMut(EventKind, &[u8], bool),
    ) -> (Duration, Result<(), Error>) {
        let parameters = WatchParams {
            label_selector: self.labels.clone(),
            field_selector: self.fields.clone(),
            timeout: Some(WATCH_SECONDS),
            bookmarks: true,
            send_initial_events: false,
        };
        let request = Request::new(&*self.path);
        let request = if self.metadata_only {
            request.watch_metadata(&parameters, version)
        } else {
            request.watch(&parameters, version)
        };
        let mut response = match request.map_err(Error::from) {
            Ok(request) => match self.send(request, WATCH_TIMEOUT).await {
                Ok(response) => response,
                Err(error) => return (Duration::ZERO, Err(error)),
            },
            Err(error) => return (Duration::ZERO, Err(error)),
        };
        let started = Instant::now();
        let ended = self.read_events(&mut response, version, &mut on_event).await;
        (started.elapsed(), ended)
    }

    async fn read_events(
        &self,
        response: &mut Response,
        version: &mut String,
        on_event: &mut impl FnMut(EventKind, &[u8], bool),
    ) -> Result<(), Error> {
        let mut projection = Projection::new(&self.event);
        loop {
            let bytes = match response.next().await {
                Ok(Some(bytes)) => bytes,
                // An incomplete event is sent again, because the version was not advanced.
                Ok(None) | Err(Error::Timeout(_)) => return Ok(()),
                Err(Error::Kube(error)) if is_end(&error) => return Ok(()),
                Err(error) => return Err(error),
            };
            let mut bytes = &*bytes;
            while let Some(part) = projection.advance(&mut bytes)? {
                let (Part::Document(Projected { text, truncated }) | Part::Element(Projected { text, truncated })) =
                    part;
                let event: Event<'_> = serde_json::from_slice(&text)?;
                let object = event.object.map_or(&b"{}"[..], |object| object.get().as_bytes());
                let kind = match event.r#type.as_deref() {
                    Some("ADDED" | "MODIFIED") => Some(EventKind::Applied),
                    Some("DELETED") => Some(EventKind::Deleted),
                    Some("ERROR") => {
                        return Err(kube::Error::Api(Box::new(serde_json::from_slice::<Status>(object)?)).into());
                    }
                    // A bookmark, or a type of a future release.
                    _ => None,
                };
                if let Some(newer) = parse_identity(object).resource_version.filter(|version| !version.is_empty()) {
                    newer.as_ref().clone_into(version);
                }
                if let Some(kind) = kind {
                    on_event(kind, object, truncated);
                }
            }
        }
    }

    async fn send(&self, request: hyper::Request<Vec<u8>>, read_timeout: Duration) -> Result<Response, Error> {
        let mut request = request.map(Body::from);
        // A compressed body could expand without bound.
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let (head, body) = timeout(READ_TIMEOUT, self.client.send(request)).await??.into_parts();
        if let Some(date) = head.headers.get(DATE).and_then(|date| rfc2822::parse(date.to_str().ok()?).ok()) {
            let ahead = date.timestamp().duration_since(Timestamp::now()).as_secs();
            self.clock_ahead.store(ahead, Ordering::Relaxed);
        }
        if head.status.is_success() {
            return Ok(Response { body, read_timeout });
        }
        let code = head.status.as_u16();
        let body = timeout(READ_TIMEOUT, Limited::new(body, MAX_ERROR_BODY).collect()).await?;
        let text = body.map(Collected::to_bytes).unwrap_or_default();
        let status = serde_json::from_slice::<Status>(&text).unwrap_or_else(|_| {
            let text = String::from_utf8_lossy(&text);
            Status::failure(text.trim(), "the API server rejected the request").with_code(code)
        });
        Err(kube::Error::Api(Box::new(status)).into())
    }
}

impl fmt::Debug for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collection").field("path", &self.path).field("item", &self.item).finish_non_exhaustive()
    }
}

/// The body of a response.
struct Response {
    body: Body,
    read_timeout: Duration,
}

impl Response {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            match timeout(self.read_timeout, self.body.frame()).await? {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}
