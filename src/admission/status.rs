//! The status annotation: what the webhook records on a pod, written and read by one type.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::annotation::STATUS;
use super::cache::{Cache, Skipped};
use super::pod::{Pod, StructAsMap, Text};
use super::reason::Reason;
use super::warning::Warning;

/// Most bytes that the annotations of an object may have, keys and values together: Kubernetes' own
/// `TotalAnnotationSizeLimitB`.
const MOST_ANNOTATION_BYTES: usize = 256 * 1024;

/// What a status may take without our asking how large it is: a pod that has less room is not reported as unreviewed.
const RESERVED_BYTES: usize = 4 * 1024;

/// The word for a compile cache on local disk.
const STAGED: &str = "staged";

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What was decided about a pod, as its annotation has it.
///
/// Caches and reasons are kept as their words, since another version of the webhook may know others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status<'a> {
    /// Where the engine works, unless that is on the claim.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    compile_mode: Option<Text<'a>>,
    /// The caches in place, by container; none where the pod is untouched.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    containers: Option<BTreeMap<Text<'a>, Vec<Text<'a>>>>,
    /// Why the pod is untouched, where it is.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    untouched: Option<Text<'a>>,
    /// The caches that are not in place, and why.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    skipped: Option<Vec<Entry<'a>>>,
    /// Which version of the webhook decided.
    #[serde(borrow, default)]
    version: Text<'a>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    cache: Text<'a>,
    #[serde(borrow)]
    container: Text<'a>,
    #[serde(borrow)]
    reason: Text<'a>,
}

impl<'a> Status<'a> {
    /// The status of a component.
    pub fn of_component(containers: &'a [(&'a str, Vec<Cache>)], skipped: &'a [Skipped<'a>], is_staged: bool) -> Self {
        let words = |caches: &[Cache]| caches.iter().map(|cache| text(cache.word())).collect();
        let entry = |skipped: &Skipped<'a>| Entry {
            cache: text(skipped.cache.word()),
            container: text(skipped.container),
            reason: text(skipped.reason.code()),
        };
        Status {
            compile_mode: is_staged.then(|| text(STAGED)),
            containers: Some(containers.iter().map(|(name, caches)| (text(name), words(caches))).collect()),
            untouched: None,
            skipped: Some(skipped.iter().map(entry).collect()),
            version: text(VERSION),
        }
    }

    /// The status of a component that is untouched.
    pub fn untouched(reason: Reason) -> Self {
        Status { untouched: Some(text(reason.code())), version: text(VERSION), ..Status::default() }
    }

    /// The status that a pod brings along, where the webhook may have written it.
    pub fn of_pod(pod: &'a Pod<'_>) -> Option<Self> {
        pod.annotation(STATUS).and_then(Self::read)
    }

    /// Reads an annotation's value; none where it is no status. A value that no annotation could hold is none: before the API
    /// server has validated a pod nothing bounds it.
    pub fn read(value: &'a str) -> Option<Self> {
        if value.len() > MOST_ANNOTATION_BYTES {
            return None;
        }
        let mut json = serde_json::Deserializer::from_str(value);
        let status = Status::deserialize(StructAsMap(&mut json)).ok()?;
        json.end().ok().map(|()| status)
    }

    /// The annotation's new value; none where the pod's own says the same but for the version.
    ///
    /// # Errors
    /// `status-too-large` where the pod's annotations have no room for it.
    pub fn replaces(&self, pod: &Pod<'_>) -> Result<Option<String>, Warning> {
        let earlier = Status::of_pod(pod);
        if earlier.is_some_and(|earlier| Status { version: self.version.clone(), ..earlier } == *self) {
            return Ok(None);
        }
        let value = serde_json::to_string(self).expect("text, lists and maps of text can be written");
        if bytes_beside_status(pod) + STATUS.len() + value.len() > MOST_ANNOTATION_BYTES {
            return Err(Warning::status_too_large());
        }
        Ok(Some(value))
    }

    /// Which version of the webhook decided; empty where the annotation does not say.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The names of the containers that were selected.
    pub fn containers(&self) -> impl Iterator<Item = &str> {
        self.containers.iter().flatten().map(|(name, _)| &**name)
    }

    /// Whether a cache is in place in a container.
    pub fn has(&self, container: &str, cache: Cache) -> bool {
        let containers = self.containers.as_ref();
        let caches = containers.and_then(|containers| containers.get(container));
        caches.is_some_and(|caches| caches.iter().any(|word| &**word == cache.word()))
    }

    /// Whether the compile cache in place is on local disk.
    pub fn is_staged(&self) -> bool {
        self.compile_mode.as_deref() == Some(STAGED)
    }

    /// Whether any cache is in place anywhere.
    pub fn has_any(&self) -> bool {
        self.containers.iter().flatten().any(|(_, caches)| !caches.is_empty())
    }

    /// Each cache that is not in place: its container, its word, and why; without those whose reason this version does not
    /// know.
    pub fn skipped(&self) -> impl Iterator<Item = (&str, &str, Reason)> {
        let known = |entry: &'_ Entry<'a>| Reason::named(&entry.reason);
        self.skipped.iter().flatten().filter_map(move |entry| Some((&*entry.container, &*entry.cache, known(entry)?)))
    }

    /// Why a cache is not in place in a container.
    pub fn reasons(&self, container: &str, cache: Cache) -> impl Iterator<Item = Reason> {
        let skipped = self.skipped().filter(move |(of, word, _)| *of == container && *word == cache.word());
        skipped.map(|(_, _, reason)| reason)
    }
}

fn text(text: &str) -> Text<'_> {
    Text(Cow::Borrowed(text))
}

/// Whether the annotations have room for any status: the guard leaves it as much.
pub fn has_room(pod: &Pod<'_>) -> bool {
    bytes_beside_status(pod) < MOST_ANNOTATION_BYTES - RESERVED_BYTES
}

/// Bytes of a pod's annotations, but for a status of ours.
fn bytes_beside_status(pod: &Pod<'_>) -> usize {
    let others = pod.annotations().into_iter().flat_map(|annotations| &annotations.0);
    let others = others.filter(|(name, _)| &**name != STATUS);
    others.map(|(name, value)| name.len() + value.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::super::cache::{Cache, Skipped};
    use super::super::pod::Pod;
    use super::super::reason::Reason;
    use super::{MOST_ANNOTATION_BYTES, Status, Warning};

    #[test]
    fn a_status_without_room_becomes_a_warning() {
        let status = Status::untouched(Reason::Snapshot);
        let with = |bytes: usize| {
            let pod = format!(r#"{{"metadata":{{"annotations":{{"a":"{}"}}}}}}"#, "x".repeat(bytes));
            let pod: Pod<'_> = serde_json::from_str(&pod).unwrap();
            status.replaces(&pod)
        };
        let ours = super::STATUS.len() + with(0).unwrap().unwrap().len();
        assert!(with(MOST_ANNOTATION_BYTES - 1 - ours).is_ok());
        assert_eq!(with(MOST_ANNOTATION_BYTES - ours), Err(Warning::status_too_large()));
    }

    #[test]
    fn what_is_written_is_read() {
        let (cache, reason) = (Cache::Compile, Reason::ClaimLost);
        let skipped = Skipped { container: "b", cache, reason, claim: None, own_fix: None };
        let (containers, skipped) = ([("a", vec![Cache::Model]), ("b", Vec::new())], [skipped]);
        let status = Status::of_component(&containers, &skipped, true);
        let value = serde_json::to_string(&status).unwrap();
        let read = Status::read(&value).unwrap();
        assert_eq!(read, status);
        assert!(read.has("a", Cache::Model) && !read.has("a", Cache::Compile) && !read.has("b", Cache::Model));
        assert_eq!(read.reasons("b", Cache::Compile).collect::<Vec<_>>(), [Reason::ClaimLost]);
        assert_eq!(read.containers().collect::<Vec<_>>(), ["a", "b"]);
        assert!(read.is_staged());
    }

    #[test]
    fn a_status_of_another_version_is_read_as_far_as_it_is_known() {
        let value = r#"{"containers":{"a":["model","later"]},"later":1,
            "skipped":[{"cache":"later","container":"a","reason":"later","more":2},
                       {"cache":"compile","container":"a","reason":"claim-lost"}]}"#;
        let status = Status::read(value).unwrap();
        assert!(status.has("a", Cache::Model) && status.has_any());
        assert_eq!(status.skipped().collect::<Vec<_>>(), [("a", "compile", Reason::ClaimLost)]);
        for other in ["", "[]", "7", "no status", r#"{"containers":["a"]}"#] {
            assert_eq!(Status::read(other), None, "{other}");
        }
    }
}
