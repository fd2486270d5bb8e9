//! The lists, watches and reads of one kind of object, of which nothing is held but the fields that we use.

use std::borrow::Cow;
use std::fmt;
use std::io::ErrorKind;
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
use kube::core::{Request, Status, request};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout};

use super::projection::{Fields, Kept, Malformed, Part, Projection};
use crate::failure::root_cause;

/// Within which the API server sends the next byte of an answer: its own deadline for the whole (`--request-timeout`).
const SILENCE: Duration = Duration::from_secs(60);

/// How long the API server keeps a watch open, in seconds: what client-go and kube ask for at least.
const WATCH: u32 = 290;

/// A watch that is silent for longer is dead: its end did not reach us.
const WATCH_SILENCE: Duration = Duration::from_secs(WATCH as u64 + 5);

/// Bytes that are read of an answer that refuses.
const REFUSAL: usize = 64 * 1024;

/// Bytes of a version, a token or a name: none of the API server's has half of it.
const SHORT: usize = 4096;

/// Bytes of a name of an object or a namespace. Their characters need no escape.
const NAME: usize = 253;

/// One kind of object, and what is used of it.
pub(super) struct Collection {
    client: Client,
    path: String,
    /// The API server is asked for metadata alone.
    metadata_only: bool,
    labels: Option<String>,
    fields: Option<String>,
    item: Fields,
    list: Fields,
    event: Fields,
    /// Seconds that the API server's clock is ahead of ours, by its last answer.
    clock_ahead: AtomicI64,
}

/// Why there is no answer, or no more of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Asked(#[from] kube::Error),
    #[error("the answer ends early")]
    Early,
    #[error("the API server was silent for too long")]
    Late(#[from] tokio::time::error::Elapsed),
    #[error("the answer cannot be read: {0}")]
    Malformed(#[from] Malformed),
    #[error("the answer cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    #[error("failed to write the request: {0}")]
    Request(#[from] request::Error),
    #[error("there is no resourceVersion in the list")]
    Unversioned,
}

/// What a page of a list says besides its items.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Page {
    /// From where a watch goes on.
    #[serde(rename = "resourceVersion")]
    pub(super) version: Option<String>,
    /// The token of the next page.
    #[serde(rename = "continue")]
    pub(super) next: Option<String>,
}

/// What a watch says of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    /// It is there as it is now.
    Applied,
    /// It is gone.
    Deleted,
}

/// What tells an object from others.
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

/// The fields of an object that tell it from others, and more of its metadata and of the rest.
pub(super) fn object(metadata: Vec<(&'static str, Fields)>, rest: Vec<(&'static str, Fields)>) -> Fields {
    let mut all =
        vec![("name", Fields::Text(NAME)), ("namespace", Fields::Text(NAME)), ("resourceVersion", Fields::Text(SHORT))];
    all.extend(metadata);
    let mut object = vec![("metadata", Fields::Object(all))];
    object.extend(rest);
    Fields::Object(object)
}

/// What tells an object from others, of what was kept of it.
pub(super) fn identity(text: &[u8]) -> Identity<'_> {
    // Where it is not even that, it is an object without a name.
    serde_json::from_slice::<Identified<'_>>(text).ok().and_then(|object| object.metadata).unwrap_or_default()
}

impl Collection {
    /// The objects at a path, of which these fields are used.
    pub(super) fn new(client: &Client, path: String, metadata_only: bool, item: Fields) -> Self {
        let metadata = [("resourceVersion", Fields::Text(SHORT)), ("continue", Fields::Text(SHORT))];
        let list = vec![("metadata", Fields::Object(metadata.into())), ("items", Fields::Each(Box::new(item.clone())))];
        let mut object = item.clone();
        if let Fields::Object(members) = &mut object {
            // Of an error, the object is a Status.
            members.extend([
                ("code", Fields::Any(SHORT)),
                ("message", Fields::Text(SHORT)),
                ("reason", Fields::Text(SHORT)),
            ]);
        }
        let event = vec![("type", Fields::Text(SHORT)), ("object", object)];
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

    /// Those alone that a label selector selects.
    pub(super) fn labelled(mut self, selector: &str) -> Self {
        self.labels = Some(selector.to_owned());
        self
    }

    /// The one of this name alone.
    pub(super) fn named(mut self, name: &str) -> Self {
        self.fields = Some(format!("metadata.name={name}"));
        self
    }

    /// The request for all of them.
    pub(super) fn parameters(&self) -> ListParams {
        let parameters = ListParams::default();
        ListParams { label_selector: self.labels.clone(), field_selector: self.fields.clone(), ..parameters }
    }

    /// The time by the clock of the API server, whose times the objects have. Ours may differ by any amount.
    pub(super) fn now(&self) -> Timestamp {
        let ahead = SignedDuration::from_secs(self.clock_ahead.load(Ordering::Relaxed));
        Timestamp::now().saturating_add(ahead).unwrap_or_else(|_| Timestamp::now())
    }

    /// One object at a path as it is now; none where it is not there.
    ///
    /// # Errors
    /// The API server refused, could not be reached, or sent what is no JSON.
    pub(super) async fn get(&self, path: &str, name: &str) -> Result<Option<Kept>, Error> {
        let (request, parameters) = (Request::new(path), GetParams::default());
        let request =
            if self.metadata_only { request.get_metadata(name, &parameters) } else { request.get(name, &parameters) };
        let mut answer = match self.open(request?, SILENCE).await {
            Err(Error::Asked(kube::Error::Api(status))) if status.code == 404 => return Ok(None),
            answer => answer?,
        };
        let mut projection = Projection::new(&self.item);
        while let Some(bytes) = answer.next().await? {
            if let Some(Part::Document(kept) | Part::Element(kept)) = projection.advance(&mut &*bytes)? {
                return Ok(Some(kept));
            }
        }
        Err(Error::Early)
    }

    /// A page of the list, item by item.
    ///
    /// # Errors
    /// The API server refused, could not be reached, or sent what is no JSON. No item fails it.
    pub(super) async fn page(&self, parameters: &ListParams, mut item: impl FnMut(&Kept)) -> Result<Page, Error> {
        #[derive(Deserialize)]
        struct List {
            metadata: Option<Page>,
        }
        let request = Request::new(&*self.path);
        let request = if self.metadata_only { request.list_metadata(parameters) } else { request.list(parameters) };
        let mut answer = self.open(request?, SILENCE).await?;
        let mut projection = Projection::new(&self.list);
        while let Some(bytes) = answer.next().await? {
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
        Err(Error::Early)
    }

    /// What happens after a version, until the watch ends: to which object, and whether something of it is cut. The version
    /// moves on with it. How long the watch lasted is zero where it never began.
    pub(super) async fn watch(
        &self,
        version: &mut String,
        mut happened: impl FnMut(Happened, &[u8], bool),
    ) -> (Duration, Result<(), Error>) {
        let parameters = WatchParams {
            label_selector: self.labels.clone(),
            field_selector: self.fields.clone(),
            timeout: Some(WATCH),
            bookmarks: true,
            send_initial_events: false,
        };
        let request = Request::new(&*self.path);
        let request = if self.metadata_only {
            request.watch_metadata(&parameters, version)
        } else {
            request.watch(&parameters, version)
        };
        let mut answer = match request.map_err(Error::from) {
            Ok(request) => match self.open(request, WATCH_SILENCE).await {
                Ok(answer) => answer,
                Err(error) => return (Duration::ZERO, Err(error)),
            },
            Err(error) => return (Duration::ZERO, Err(error)),
        };
        let begun = Instant::now();
        let ended = self.read_events(&mut answer, version, &mut happened).await;
        (begun.elapsed(), ended)
    }

    async fn read_events(
        &self,
        answer: &mut Answer,
        version: &mut String,
        happened: &mut impl FnMut(Happened, &[u8], bool),
    ) -> Result<(), Error> {
        let mut projection = Projection::new(&self.event);
        loop {
            let bytes = match answer.next().await {
                Ok(Some(bytes)) => bytes,
                // What is not whole comes again: the version stands before it.
                Ok(None) | Err(Error::Late(_)) => return Ok(()),
                Err(Error::Asked(error)) if is_end(&error) => return Ok(()),
                Err(error) => return Err(error),
            };
            let mut bytes = &*bytes;
            while let Some(part) = projection.advance(&mut bytes)? {
                let (Part::Document(Kept { text, cut }) | Part::Element(Kept { text, cut })) = part;
                let event: Event<'_> = serde_json::from_slice(&text)?;
                let object = event.object.map_or(&b"{}"[..], |object| object.get().as_bytes());
                let what = match event.r#type.as_deref() {
                    Some("ADDED" | "MODIFIED") => Some(Happened::Applied),
                    Some("DELETED") => Some(Happened::Deleted),
                    Some("ERROR") => {
                        return Err(kube::Error::Api(Box::new(serde_json::from_slice::<Status>(object)?)).into());
                    }
                    // A bookmark, or what is not known yet.
                    _ => None,
                };
                if let Some(newer) = identity(object).resource_version.filter(|version| !version.is_empty()) {
                    newer.as_ref().clone_into(version);
                }
                if let Some(what) = what {
                    happened(what, object, cut);
                }
            }
        }
    }

    async fn open(&self, request: hyper::Request<Vec<u8>>, silence: Duration) -> Result<Answer, Error> {
        let mut request = request.map(Body::from);
        // Compressed, a few bytes would become any number of them.
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let (head, body) = timeout(SILENCE, self.client.send(request)).await??.into_parts();
        if let Some(date) = head.headers.get(DATE).and_then(|date| rfc2822::parse(date.to_str().ok()?).ok()) {
            let ahead = date.timestamp().duration_since(Timestamp::now()).as_secs();
            self.clock_ahead.store(ahead, Ordering::Relaxed);
        }
        if head.status.is_success() {
            return Ok(Answer { body, silence });
        }
        let code = head.status.as_u16();
        let body = timeout(SILENCE, Limited::new(body, REFUSAL).collect()).await?;
        let text = body.map(Collected::to_bytes).unwrap_or_default();
        let status = serde_json::from_slice::<Status>(&text).unwrap_or_else(|_| {
            let text = String::from_utf8_lossy(&text);
            Status::failure(text.trim(), "the API server refuses").with_code(code)
        });
        Err(kube::Error::Api(Box::new(status)).into())
    }
}

impl fmt::Debug for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collection").field("path", &self.path).field("item", &self.item).finish_non_exhaustive()
    }
}

/// The body of an answer.
struct Answer {
    body: Body,
    silence: Duration,
}

impl Answer {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            match timeout(self.silence, self.body.frame()).await? {
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

impl Error {
    /// Why, in the API server's words where it answered.
    pub(super) fn root_cause(&self) -> String {
        match self {
            Error::Asked(error) => root_cause(error),
            error => error.to_string(),
        }
    }

    /// What was asked for goes on from something that is gone: 410.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Error::Asked(kube::Error::Api(status)) if status.code == 410)
    }
}

/// For whom a `kube::Error` is one.
impl From<Error> for kube::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Asked(error) => error,
            error => kube::Error::Service(Box::new(error)),
        }
    }
}

/// Whether a connection ended in the middle of an answer, as those of watches do with the API server or with what is
/// between: nothing is lost, so it is no error.
fn is_end(error: &kube::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        let is_eof = |error: &std::io::Error| error.kind() == ErrorKind::UnexpectedEof;
        let is_incomplete = |error: &hyper::Error| error.is_incomplete_message();
        if error.downcast_ref().is_some_and(is_eof) || error.downcast_ref().is_some_and(is_incomplete) {
            return true;
        }
        if error.source().is_none() && error.to_string().contains("unexpected EOF during chunk") {
            return true;
        }
        cause = error.source();
    }
    false
}
