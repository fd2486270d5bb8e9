//! The volumes of a pod, those included that we add.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::super::pod::{self, Pod};
use super::super::reason::Reason;
use super::Change;

/// The volumes of a pod.
#[derive(Debug)]
pub(super) struct Volumes<'p> {
    pod: &'p Pod<'p>,
    /// The pod's own, by name: every mount asks, and nothing has bounded their number yet.
    named: BTreeMap<&'p str, &'p pod::Volume<'p>>,
    /// The first of the pod's own that is of a claim, by the claim: every container asks.
    of_claims: BTreeMap<&'p str, &'p pod::Volume<'p>>,
    added: Vec<Added>,
    /// The volumes on the node's disk that are added.
    added_empty_dirs: Vec<&'static str>,
}

/// A volume of ours.
#[derive(Debug)]
struct Added {
    name: &'static str,
    claim: String,
    read_only: bool,
}

/// One volume.
#[derive(Clone, Debug)]
pub(super) struct Volume<'p> {
    /// Its name.
    pub(super) name: Cow<'p, str>,
    /// Whether its source can only be read.
    pub(super) read_only: bool,
}

impl<'p> Volumes<'p> {
    pub(super) fn new(pod: &'p Pod<'p>) -> Self {
        let named: BTreeMap<_, _> = pod.volumes().iter().map(|volume| (&*volume.name, volume)).collect();
        // Of two with one name, as only before the API server has validated the pod, the last is meant by every mount, and
        // so here.
        let mut of_claims = BTreeMap::new();
        for volume in pod.volumes().iter().filter_map(|volume| named.get(&*volume.name).copied()) {
            if let Some(claim) = &volume.claim {
                of_claims.entry(&**claim).or_insert(volume);
            }
        }
        Volumes { pod, named, of_claims, added: Vec::new(), added_empty_dirs: Vec::new() }
    }

    /// The first volume of a claim.
    pub(super) fn of_claim(&self, claim: &str) -> Option<Volume<'p>> {
        let found = self
            .of_claims
            .get(claim)
            .map(|volume| Volume { name: Cow::Borrowed(&*volume.name), read_only: volume.read_only });
        found.or_else(|| {
            let added = self.added.iter().find(|added| added.claim == claim);
            added.map(|added| Volume { name: Cow::Borrowed(added.name), read_only: added.read_only })
        })
    }

    /// Whether a volume is one of the claim.
    pub(super) fn is_of_claim(&self, name: &str, claim: &str) -> bool {
        match self.named.get(name) {
            Some(volume) => volume.claim.as_deref() == Some(claim),
            None => self.added.iter().any(|added| added.name == name && added.claim == claim),
        }
    }

    /// The claim of one of the pod's own volumes.
    pub(super) fn claim_of(&self, name: &str) -> Option<&str> {
        self.named.get(name)?.claim.as_deref()
    }

    /// The ConfigMap of one of the pod's own volumes.
    pub(super) fn config_map_of(&self, name: &str) -> Option<&str> {
        self.named.get(name)?.config_map.as_deref()
    }

    /// Whether a volume is one of any claim.
    pub(super) fn is_of_any_claim(&self, name: &str) -> bool {
        match self.named.get(name) {
            Some(volume) => volume.claim.is_some(),
            None => self.added.iter().any(|added| added.name == name),
        }
    }

    /// Adds a volume on the node's disk, where the pod has none of this name.
    ///
    /// # Errors
    /// `volume-name-taken` where another kind of volume has the name.
    pub(super) fn add_empty_dir(&mut self, name: &'static str) -> Result<(), Reason> {
        let is_there = self.named.get(name).is_some_and(|volume| volume.is_empty_dir);
        if !is_there && !self.added_empty_dirs.contains(&name) {
            self.check_name_free(name)?;
            self.added_empty_dirs.push(name);
        }
        Ok(())
    }

    /// Adds volumes on the node's disk whose names are free.
    pub(super) fn add_new_empty_dirs(&mut self, names: &[&'static str]) {
        self.added_empty_dirs.extend(names);
    }

    /// Whether what is written to a volume is there when the pod is gone.
    pub(super) fn outlives_pod(&self, name: &str) -> bool {
        match self.named.get(name) {
            Some(volume) => !volume.ends_with_pod,
            None => self.added.iter().any(|added| added.name == name),
        }
    }

    /// Whether what a volume holds can only be read, whatever a mount says.
    pub(super) fn is_read_only(&self, name: &str) -> bool {
        match self.named.get(name) {
            Some(volume) => volume.read_only,
            None => self.added.iter().any(|added| added.name == name && added.read_only),
        }
    }

    /// Whether a volume may have this name.
    ///
    /// # Errors
    /// `volume-name-taken` where another volume has it.
    pub(super) fn check_name_free(&self, name: &str) -> Result<(), Reason> {
        let taken = self.named.contains_key(name)
            || self.pod.templates.iter().any(|template| template == name)
            || self.added.iter().any(|added| added.name == name)
            || self.is_meant(name);
        if taken { Err(Reason::VolumeNameTaken) } else { Ok(()) }
    }

    /// Whether a container speaks of a volume of this name, which then is not ours even where the pod lacks it.
    fn is_meant(&self, name: &str) -> bool {
        let mut containers = self.pod.init_containers().iter().chain(self.pod.containers());
        containers.any(|container| {
            let mounts = container.volume_mounts.iter().flatten().map(|mount| mount.name.as_deref());
            let devices = container.volume_devices.iter().flatten().map(|device| device.name.as_deref());
            mounts.chain(devices).any(|of| of == Some(name))
        })
    }

    /// Adds a volume whose name is free.
    pub(super) fn add(&mut self, name: &'static str, claim: &str, read_only: bool) {
        self.added.push(Added { name, claim: claim.to_owned(), read_only });
    }

    pub(super) fn into_changes(self) -> Vec<Change<'p>> {
        let change = |Added { name, claim, read_only }| Change::Volume { name, claim, read_only };
        let empty_dirs = self.added_empty_dirs.into_iter().map(|name| Change::EmptyDir { name });
        self.added.into_iter().map(change).chain(empty_dirs).collect()
    }
}
