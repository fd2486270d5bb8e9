//! Reads the volumes of bound claims, and what is needed to understand them, as far as the user may.

use serde_json::Value;
use tokio::sync::OnceCell;

use crate::inspect::api::{Api, Error};
use crate::inspect::node_selector::Node;
use crate::inspect::volume;
use crate::inspect::volume::Volume;

/// Reads volumes. The nodes are read at most once.
pub(crate) struct VolumeReader<'a> {
    api: &'a Api,
    nodes: OnceCell<Result<Vec<Node>, String>>,
}

/// The answer about the volume of a claim.
pub(crate) enum ClaimVolume {
    /// It was read.
    Known(Volume),
    /// The claim has none yet.
    NotBound,
    /// Why it could not be read.
    Hidden(String),
}

impl<'a> VolumeReader<'a> {
    /// A reader that has read nothing yet.
    pub(crate) fn new(api: &'a Api) -> Self {
        VolumeReader { api, nodes: OnceCell::new() }
    }

    /// Reads the volume of a claim, the `CSIDriver` of its driver, and the nodes if the volume has a node affinity.
    ///
    /// # Errors
    /// The API server was not reached.
    pub(crate) async fn read(&self, claim: &Value) -> Result<ClaimVolume, Error> {
        let text = |pointer: &str| claim.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let name = text("/spec/volumeName");
        if text("/status/phase") != "Bound" || name.is_empty() {
            return Ok(ClaimVolume::NotBound);
        }
        let object = match self.get(&format!("/api/v1/persistentvolumes/{name}")).await? {
            Ok(Some(object)) => object,
            Ok(None) => return Ok(ClaimVolume::Hidden(format!("there is no PersistentVolume {name}"))),
            Err(why) => return Ok(ClaimVolume::Hidden(why)),
        };
        let driver = match volume::driver_name(&object) {
            Some(driver) => self.get(&format!("/apis/storage.k8s.io/v1/csidrivers/{driver}")).await?,
            None => Ok(None),
        };
        let nodes = match volume::node_affinity(&object) {
            Some(_) => self.nodes.get_or_try_init(async || self.list_nodes().await).await?.clone(),
            None => Ok(Vec::new()),
        };
        Ok(ClaimVolume::Known(Volume { claim: text("/metadata/name").to_owned(), object, driver, nodes }))
    }

    async fn get(&self, path: &str) -> Result<Result<Option<Value>, String>, Error> {
        readable(self.api.get(path).await)
    }

    async fn list_nodes(&self) -> Result<Result<Vec<Node>, String>, Error> {
        let (mut nodes, mut pages) = (Vec::new(), self.api.pages("/api/v1/nodes"));
        loop {
            match readable(pages.next().await)? {
                Ok(Some(page)) => nodes.extend(page.objects().filter_map(|object| Node::from_object(&object))),
                Ok(None) => return Ok(Ok(nodes)),
                Err(why) => return Ok(Err(why)),
            }
        }
    }
}

/// Separates what the user may not read from an API server that was not reached.
fn readable<T>(answer: Result<T, Error>) -> Result<Result<T, String>, Error> {
    match answer {
        Err(error @ Error::Unreachable { .. }) => Err(error),
        answer => Ok(answer.map_err(|error| error.to_string())),
    }
}
