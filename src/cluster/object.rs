//! One object that is read field by field: whatever else stands in it, and however odd it is, is not looked at.
//!
//! The typed objects of `k8s-openapi` read everything, and fail as a whole for one field that nobody needs: a time of
//! `managedFields` that its calendar does not know, or a field set that is nested deeper than `serde_json` follows.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use kube::Resource;
use kube::core::ObjectMeta;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use serde_json::value::RawValue;

/// An object of kind `K`, of which `T` is read.
pub(super) struct Object<K, T> {
    /// The name and the resource version, nothing else.
    metadata: ObjectMeta,
    /// What was read, or why it could not be.
    content: Result<Arc<T>, String>,
    kind: PhantomData<fn() -> K>,
}

/// What was read of an object.
#[derive(Debug)]
pub(super) struct Found<T> {
    /// What a write has to name so that it changes this version alone.
    pub(super) resource_version: Option<String>,
    /// The part that is read.
    pub(super) content: Arc<T>,
}

impl<K, T> Object<K, T> {
    /// What was read of it.
    ///
    /// # Errors
    /// It holds something else where `T` should be.
    pub(super) fn into_found(self) -> Result<Found<T>, String> {
        Ok(Found { resource_version: self.metadata.resource_version, content: self.content? })
    }
}

/// The part of an object without which a watch cannot go on.
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
        // What is skipped here is not followed into its depth, so no nesting is too deep.
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

/// What an object holds is never printed: it may be a key.
impl<K, T> fmt::Debug for Object<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Object").field(&self.metadata.name).field(&self.metadata.resource_version).finish()
    }
}
