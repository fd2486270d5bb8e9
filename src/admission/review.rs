//! AdmissionReview on the wire: borrow it in, write it out.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memchr_iter;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::pod::{MOST_CONTAINERS, Pod, StructAsMap, Text};
use super::{Outcome, warning};

mod managed_fields;

use managed_fields::without_entries;

/// Most commas in a pod, which bound the elements of all its lists together, and not what is within a text: there a comma
/// may be written as an escape. A part of three bytes may take hundreds of memory, and this is asked before the API server
/// has validated anything; a pod with ten containers of a hundred variables each has about 5,000.
const MOST_COMMAS: usize = 100_000;

/// Bytes of memory that a part may take: a mount takes 104, and a list that grows holds up to three times its elements.
const PART: usize = 320;

/// Bytes that a container may take beyond that. Containers are bounded in number.
const CONTAINER: usize = 640;

/// Bytes of memory that the parts of any pod may take.
pub const MOST_MEMORY: usize = memory_of(MOST_COMMAS);

/// Bytes that an operation of a patch takes, as a rule.
const OPERATION: usize = 256;

/// Bytes that an answer takes besides its patch, as a rule.
const ANSWER: usize = 512;

/// Why a body cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The body is not JSON, or a part that we read has another shape.
    #[error("the body is no AdmissionReview: {0}")]
    Json(#[from] serde_json::Error),
    /// The body is no text, and so no JSON.
    #[error("the body is no AdmissionReview: {0}")]
    Utf8(#[from] std::str::Utf8Error),
    /// The body is JSON of another kind.
    #[error("the body is {0}, not an AdmissionReview of admission.k8s.io/v1")]
    OtherKind(String),
    /// There is nothing to answer to.
    #[error("the AdmissionReview has no request with a uid")]
    NoRequest,
    /// The pod is larger than any that could run.
    #[error("the pod has more than {MOST_CONTAINERS} containers or {MOST_COMMAS} parts, and is left as it is")]
    TooManyParts,
    /// The object is not a pod as the API server would send it.
    #[error("the object of the review cannot be read as a Pod: {0}")]
    Pod(#[source] serde_json::Error),
}

/// The question of an API server.
#[derive(Debug)]
pub struct Request<'a> {
    /// Goes back with the answer.
    pub uid: Cow<'a, str>,
    /// Where the object will live; empty for objects without a namespace.
    pub namespace: Cow<'a, str>,
    /// Whether nothing will be stored.
    pub dry_run: bool,
    /// The pod that is to be created; none where the question is about something else.
    object: Option<Object<'a>>,
}

/// The object of a review. It is read together with the rest wherever that goes well; where it does not, the rest is read
/// alone, so that what is wrong with a pod is known from what is wrong with a review, and what is no pod does no harm.
#[derive(Debug)]
enum Object<'a> {
    Pod(Box<Pod<'a>>),
    Raw(&'a RawValue),
}

/// Bytes of memory that the parts of a body may take once it is read, besides the body itself.
pub fn memory(body: &[u8]) -> usize {
    memory_of(memchr_iter(b',', body).count())
}

const fn memory_of(parts: usize) -> usize {
    let parts = if parts < MOST_COMMAS { parts } else { MOST_COMMAS };
    let containers = if parts < 2 * MOST_CONTAINERS { parts } else { 2 * MOST_CONTAINERS };
    parts * PART + containers * CONTAINER
}

impl<'a> Request<'a> {
    /// Reads the body of a review, without its `managedFields`, which are cut out of it: the body is of no use afterwards, and
    /// places in the text of an error are those in the rest.
    ///
    /// # Errors
    /// The body is not JSON or no `AdmissionReview` v1 with a request.
    pub fn read(body: &'a mut [u8]) -> Result<Self, Error> {
        // That it is text is checked at once for all of it: that is faster than for each text in it.
        let body = without_entries(body)?;
        if !has_too_many_commas(body)
            && let Ok(review) = parse::<Review<'a, Pod<'a>>>(body)
        {
            return Self::new(review, |pod| Object::Pod(Box::new(pod)));
        }
        Self::new(parse::<Review<'a, &'a RawValue>>(body)?, Object::Raw)
    }

    fn new<O>(review: Review<'a, O>, object: impl FnOnce(O) -> Object<'a>) -> Result<Self, Error> {
        let (version, kind) = (review.api_version.as_deref(), review.kind.as_deref());
        if (version, kind) != (Some("admission.k8s.io/v1"), Some("AdmissionReview")) {
            let words = format!("kind {:?} of apiVersion {:?}", kind.unwrap_or_default(), version.unwrap_or_default());
            return Err(Error::OtherKind(words.chars().take(200).collect()));
        }
        let wire = review.request.ok_or(Error::NoRequest)?;
        let creates_a_pod = wire.creates_a_pod();
        let uid = wire.uid.filter(|uid| !uid.is_empty()).ok_or(Error::NoRequest)?.0;
        Ok(Request {
            uid,
            dry_run: wire.dry_run.unwrap_or(false),
            object: wire.object.filter(|_| creates_a_pod).map(object),
            namespace: wire.namespace.map(|text| text.0).unwrap_or_default(),
        })
    }

    /// The pod that is to be created, once; none where the question is about something else.
    ///
    /// # Errors
    /// The object has not the shape of a pod, or has more parts than are looked at.
    pub fn pod(&mut self) -> Result<Option<Pod<'a>>, Error> {
        let pod = match self.object.take() {
            None => return Ok(None),
            Some(Object::Pod(pod)) => *pod,
            Some(Object::Raw(object)) if has_too_many_commas(object.get()) => {
                return Err(Error::TooManyParts);
            }
            Some(Object::Raw(object)) => serde_json::from_str(object.get()).map_err(Error::Pod)?,
        };
        if pod.containers().len() + pod.init_containers().len() > MOST_CONTAINERS {
            return Err(Error::TooManyParts);
        }
        Ok(Some(pod))
    }

    /// The answer, which always allows.
    pub fn answer(&self, outcome: Option<&Outcome<'_>>) -> Vec<u8> {
        let operations = outcome.map(Outcome::operations).unwrap_or_default();
        let patch = (!operations.is_empty()).then(|| to_json(&operations, operations.len() * OPERATION));
        let answer = Answer {
            api_version: "admission.k8s.io/v1",
            kind: "AdmissionReview",
            response: Response {
                uid: &self.uid,
                allowed: true,
                patch_type: patch.as_ref().map(|_| "JSONPatch"),
                warnings: outcome.map(|outcome| warning::to_response_lines(&outcome.warnings)).unwrap_or_default(),
                audit_annotations: outcome.map(AuditAnnotations::new),
                patch: patch.as_ref().map(|_| ""),
            },
        };
        let room = patch.as_ref().map_or(0, |patch| encoded_len(patch)) + ANSWER;
        let mut json = to_json(&answer, room);
        if let Some(patch) = patch {
            insert_patch(&mut json, &patch);
        }
        json
    }
}

/// Reads all of a body, objects by the names of their fields alone.
fn parse<'a, R: Deserialize<'a>>(body: &'a str) -> Result<R, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(body);
    let read = R::deserialize(StructAsMap(&mut reader))?;
    reader.end()?;
    Ok(read)
}

/// The bytes of a patch in base64.
fn encoded_len(patch: &[u8]) -> usize {
    patch.len().div_ceil(3) * 4
}

/// Writes a patch into an answer whose patch is empty, in base64, which needs no escapes. It is the last field.
fn insert_patch(answer: &mut Vec<u8>, patch: &[u8]) {
    const END: &[u8] = br#""}}"#;
    debug_assert!(answer.ends_with(br#""patch":""}}"#));
    let begin = answer.len() - END.len();
    answer.resize(begin + encoded_len(patch), 0);
    let written = STANDARD.encode_slice(patch, &mut answer[begin..]).expect("there is room for all of it");
    answer.truncate(begin + written);
    answer.extend_from_slice(END);
}

/// A value in JSON. Where the room suffices, writing it takes one allocation.
fn to_json(value: &impl Serialize, room: usize) -> Vec<u8> {
    let mut json = Vec::with_capacity(room);
    serde_json::to_writer(&mut json, value).expect("text, numbers, lists and maps of text can be written");
    json
}

fn has_too_many_commas(json: &str) -> bool {
    // The usual review is too short for that.
    json.len() > MOST_COMMAS && memchr_iter(b',', json.as_bytes()).count() > MOST_COMMAS
}

/// A review, as far as we read it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a, O> {
    #[serde(borrow)]
    api_version: Option<Text<'a>>,
    #[serde(borrow)]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    request: Option<RawRequest<'a, O>>,
}

/// Its `request`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawRequest<'a, O> {
    #[serde(borrow)]
    uid: Option<Text<'a>>,
    #[serde(borrow)]
    kind: Option<GroupVersionKind<'a>>,
    #[serde(borrow)]
    sub_resource: Option<Text<'a>>,
    #[serde(borrow)]
    namespace: Option<Text<'a>>,
    #[serde(borrow)]
    operation: Option<Text<'a>>,
    dry_run: Option<bool>,
    object: Option<O>,
}

#[derive(Deserialize)]
struct GroupVersionKind<'a> {
    #[serde(borrow)]
    group: Option<Text<'a>>,
    #[serde(borrow)]
    version: Option<Text<'a>>,
    #[serde(borrow)]
    kind: Option<Text<'a>>,
}

impl<O> RawRequest<'_, O> {
    fn creates_a_pod(&self) -> bool {
        let is = |text: &Option<Text<'_>>, wanted: &str| text.as_deref().unwrap_or_default() == wanted;
        let kind = self.kind.as_ref();
        is(&self.operation, "CREATE")
            && is(&self.sub_resource, "")
            && kind.is_some_and(|kind| is(&kind.group, "") && is(&kind.version, "v1") && is(&kind.kind, "Pod"))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_annotations: Option<AuditAnnotations>,
    /// The last field, since its text is written behind all others.
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<&'static str>,
}

/// What goes into the audit log, as `pods.dynamo-cache.io/<key>`.
#[derive(Serialize)]
struct AuditAnnotations {
    decision: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    reasons: String,
}

impl AuditAnnotations {
    fn new(outcome: &Outcome<'_>) -> Self {
        let codes: Vec<_> = outcome.reasons().into_iter().map(super::reason::Reason::code).collect();
        AuditAnnotations { decision: outcome.decision(), reasons: codes.join(",") }
    }
}
