//! An object of which only some fields are parsed, whatever the rest contains.
//!
//! Why not the types of `k8s-openapi`: they parse everything, and one irrelevant field fails the whole object, such as
//! a time in `managedFields` that the calendar does not have, or a field set nested deeper than `serde_json` allows.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use kube::Resource;
use kube::core::ObjectMeta;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use serde_json::value::RawValue;

/// An object of kind `K`, parsed as `T`.
pub(super) struct Object<K, T> {
    /// The name and the resource version, nothing else.
    metadata: ObjectMeta,
    /// The parsed fields, or the error.
    content: Result<Arc<T>, String>,
    kind: PhantomData<fn() -> K>,
}

/// The parsed fields of an object, and its version.
#[derive(Debug)]
pub(super) struct Found<T> {
    /// The version that a write has to name to change exactly this one.
    pub(super) resource_version: Option<String>,
    /// The parsed fields.
    pub(super) content: Arc<T>,
}

impl<K, T> Object<K, T> {
    /// The parsed fields.
    ///
    /// # Errors
    /// The object does not match `T`.
    pub(super) fn into_found(self) -> Result<Found<T>, String> {
        Ok(Found { resource_version: self.metadata.resource_version, content: self.content? })
    }
}

/// The metadata that a watch needs.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    metadata: Identity,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Identity {
    name: Option<String>,
    resource_version: Option<String>,
}

impl<'de, K, T: DeserializeOwned> Deserialize<'de> for Object<K, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A `RawValue` is not parsed recursively, so no nesting is too deep.
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let Head { metadata: Identity { name, resource_version } } =
            serde_json::from_str(text.get()).map_err(serde::de::Error::custom)?;
        let content = serde_json::from_str(text.get()).map(Arc::new).map_err(|error| error.to_string());
        let metadata = ObjectMeta { name, resource_version, ..ObjectMeta::default() };
        Ok(Object { metadata, content, kind: PhantomData })
    }
}

impl<K: Resource, T> Resource for Object<K, T> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dynamic)
    }

    fn group(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dynamic)
    }

    fn version(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dynamic)
    }

    fn plural(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dynamic)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl<K, T> Clone for Object<K, T> {
    fn clone(&self) -> Self {
        Object { metadata: self.metadata.clone(), content: self.content.clone(), kind: PhantomData }
    }
}

/// Prints no fields, because they may include a key.
impl<K, T> fmt::Debug for Object<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Object").field(&self.metadata.name).field(&self.metadata.resource_version).finish()
    }
}
