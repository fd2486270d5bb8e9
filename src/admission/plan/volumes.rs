//! The volumes of a pod, those included that we add.

use std::borrow::Cow;

use super::super::pod::Pod;
use super::super::reason::Reason;
use super::Change;

/// The volumes of a pod.
#[derive(Debug)]
pub(super) struct Volumes<'p> {
    pod: &'p Pod<'p>,
    added: Vec<(&'static str, String, bool)>,
}

/// One volume.
#[derive(Clone, Debug)]
pub(super) struct Volume<'p> {
    /// Its name.
    pub name: Cow<'p, str>,
    /// Whether its source can only be read.
    pub read_only: bool,
}

impl<'p> Volumes<'p> {
    pub(super) fn of(pod: &'p Pod<'p>) -> Self {
        Volumes { pod, added: Vec::new() }
    }

    /// The first volume of a claim.
    pub(super) fn of_claim(&self, claim: &str) -> Option<Volume<'p>> {
        let found = self.pod.volumes().iter().find(|volume| volume.claim.as_deref() == Some(claim));
        let found = found.map(|volume| Volume { name: Cow::Borrowed(&*volume.name), read_only: volume.read_only });
        found.or_else(|| {
            let added = self.added.iter().find(|(_, of, _)| of == claim);
            added.map(|(name, _, read_only)| Volume { name: Cow::Borrowed(*name), read_only: *read_only })
        })
    }

    /// Whether a volume is one of the claim.
    pub(super) fn is_of_claim(&self, name: &str, claim: &str) -> bool {
        let volume = self.pod.volumes().iter().find(|volume| &*volume.name == name);
        match volume {
            Some(volume) => volume.claim.as_deref() == Some(claim),
            None => self.added.iter().any(|(added, of, _)| *added == name && of == claim),
        }
    }

    /// Whether what a volume holds can only be read, whatever a mount says.
    pub(super) fn is_read_only(&self, name: &str) -> bool {
        let volume = self.pod.volumes().iter().find(|volume| &*volume.name == name);
        match volume {
            Some(volume) => volume.read_only,
            None => self.added.iter().any(|(added, _, read_only)| *added == name && *read_only),
        }
    }

    /// Whether a volume may have this name.
    ///
    /// # Errors
    /// `volume-name-taken` where another volume has it.
    pub(super) fn is_free(&self, name: &str) -> Result<(), Reason> {
        let taken = self.pod.volumes().iter().any(|volume| &*volume.name == name)
            || self.pod.templates.iter().any(|template| template == name)
            || self.added.iter().any(|(added, _, _)| *added == name)
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
        self.added.push((name, claim.to_owned(), read_only));
    }

    pub(super) fn into_changes(self) -> Vec<Change<'p>> {
        let change = |(name, claim, read_only)| Change::Volume { name, claim, read_only };
        self.added.into_iter().map(change).collect()
    }
}
