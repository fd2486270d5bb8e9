//! Whether a claim's volume can be mounted at a path of a container, and mounting it there.

use std::borrow::Cow;

use super::super::claim::{Access, Binding, Claim, Writable};
use super::super::path::{self, Path};
use super::super::reason::Reason;
use super::super::settings::Policy;
use super::container::{ContainerPlan, Mounted, is_expanded};
use super::refusal::Refusal;
use super::volumes::{Volume, Volumes};
use super::{Cache, PlanContext};

/// A mount of a claim's volume, before it is known to be possible.
pub(super) struct MountRequest<'w> {
    pub cache: Cache,
    /// The name that the volume gets where the pod has none of the claim.
    pub volume: &'static str,
    pub claim: &'w str,
    pub path: Path<'static>,
    pub read_only: bool,
    /// Why the cache must not be at this path, if so.
    pub objection: Option<Reason>,
    /// Who chose the path: an annotation, or a variable of the container.
    pub origin: &'static str,
}

impl PlanContext<'_> {
    /// What is known of a claim.
    fn claim(&self, name: &str) -> Option<&Claim> {
        self.claims.get(name)
    }

    /// Whether a claim can only be read, whatever a mount says.
    pub(super) fn only_reads(&self, name: &str) -> bool {
        self.claim(name).is_some_and(|claim| claim.access == Access::ReadOnlyMany)
    }

    /// Refuses any claim for a pod with a user namespace of its own: the kubelet cannot make idmapped mounts of NFS and most
    /// other network file systems, and the container would never be created.
    pub(super) fn check_user_namespace(&self) -> Result<(), Reason> {
        let has_own = self.pod.spec.as_ref().is_some_and(|spec| spec.host_users == Some(false));
        if has_own && self.settings.user_namespace == Policy::Skip { Err(Reason::UserNamespace) } else { Ok(()) }
    }

    /// Refuses a claim whose volume would keep the pod from starting.
    fn refuses(&self, name: &str) -> Result<(), Reason> {
        let Some(claim) = self.claim(name) else {
            return match self.settings.missing_claim {
                Policy::Inject => Ok(()),
                Policy::Skip => Err(Reason::ClaimNotFound),
            };
        };
        if claim.terminating {
            return Err(Reason::ClaimTerminating);
        }
        if claim.binding == Binding::Lost {
            return Err(Reason::ClaimLost);
        }
        if claim.block {
            return Err(Reason::ClaimBlock);
        }
        match (claim.access, self.settings.single_node_claim) {
            (Access::ReadWriteOncePod, _) => Err(Reason::ClaimSinglePod),
            (Access::ReadWriteOnce, Policy::Skip) => Err(Reason::ClaimSingleNode),
            _ => Ok(()),
        }
    }

    /// Refuses a claim that gets no volume, as far as it shows.
    pub(super) fn check_binding(&self, name: &str) -> Result<(), Reason> {
        let is_pending = self.claim(name).is_some_and(|claim| claim.binding == Binding::Unbindable);
        if is_pending && self.settings.missing_claim == Policy::Skip { Err(Reason::ClaimPending) } else { Ok(()) }
    }

    /// Refuses a claim that the container's user may not be able to write to: an engine dies of a compile cache that it cannot
    /// write to, though it would start without one. A model cache is there to be read, so only what is known counts.
    pub(super) fn check_proof(&self, planned: &ContainerPlan<'_, '_>, cache: Cache, claim: &str) -> Result<(), Reason> {
        let Some(claim) = self.claim(claim).filter(|_| self.settings.unproven_claim == Policy::Skip) else {
            return Ok(());
        };
        let is_proven = match cache {
            Cache::Compile => {
                claim.writable.is_proven_for(self.user(planned).unwrap_or_else(|| planned.user_of_image()))
            }
            _ => claim.writable != Writable::No,
        };
        if is_proven { Ok(()) } else { Err(Reason::ClaimUnproven) }
    }

    /// The user id of the container's processes, where the pod says so.
    pub(super) fn user(&self, planned: &ContainerPlan<'_, '_>) -> Option<i64> {
        let pod = self.pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
        let container = planned.container().security_context.as_ref();
        container.and_then(|context| context.run_as_user).or_else(|| pod.and_then(|context| context.run_as_user))
    }

    /// Whether the cache's user can use a mount of the container's own.
    ///
    /// # Errors
    /// `path-unsafe` below `/root` for a user who cannot enter it, and where the path cannot stand in a variable or is too
    /// long.
    pub(super) fn check_enterable(&self, planned: &ContainerPlan<'_, '_>, path: &Path<'_>) -> Result<(), Reason> {
        let user = self.user(planned).unwrap_or_else(|| planned.user_of_image());
        let below_root = Path::new("/root").covers(path) && user != 0;
        let text = path.as_str();
        if below_root || is_expanded(text) || !path::is_short(text) { Err(Reason::PathUnsafe) } else { Ok(()) }
    }

    /// Whether a mount of ours would hide what the container needs.
    pub(super) fn check_safe(&self, planned: &ContainerPlan<'_, '_>, path: &Path<'_>) -> Result<(), Reason> {
        self.check_enterable(planned, path)?;
        let working_dir = planned.container().working_dir.as_deref().filter(|dir| !dir.is_empty());
        let hides_working_dir = working_dir.is_some_and(|dir| path.covers(&Path::new(dir)));
        // The API server takes no colon in the path of a mount, and no runtime a NUL.
        let is_mountable = !path.as_str().contains(|c: char| c == ':' || c.is_control());
        if path.hides_system_files() || !is_mountable || hides_working_dir {
            return Err(Reason::PathUnsafe);
        }
        Ok(())
    }
}

/// The volume of a claim, the pod's or one that may be added.
pub(super) struct ClaimVolume<'p> {
    /// The pod's.
    pub existing: Option<Volume<'p>>,
    /// Whether the claim can only be read.
    pub only_reads: bool,
}

impl<'p> ClaimVolume<'p> {
    /// Whether what it holds can only be read, whatever a mount says.
    pub(super) fn is_read_only(&self) -> bool {
        self.only_reads || self.existing.as_ref().is_some_and(|volume| volume.read_only)
    }

    /// Its name; where the pod has none, it is added.
    pub(super) fn add(self, volumes: &mut Volumes<'p>, name: &'static str, claim: &str) -> Cow<'p, str> {
        if let Some(volume) = self.existing {
            return volume.name;
        }
        volumes.add(name, claim, self.only_reads);
        Cow::Borrowed(name)
    }
}

/// The volume of a claim that can be mounted as a folder.
///
/// # Errors
/// The user namespace of the pod, or the facts of the claim, but for its binding.
pub(super) fn find_volume<'p>(
    context: &PlanContext<'_>,
    volumes: &Volumes<'p>,
    planned: &ContainerPlan<'_, '_>,
    claim: &str,
) -> Result<ClaimVolume<'p>, Reason> {
    context.check_user_namespace()?;
    let existing = volumes.of_claim(claim);
    if existing.is_none() {
        context.refuses(claim)?;
    }
    let devices = planned.container().volume_devices.iter().flatten();
    let mut devices = devices.map(|device| device.name.as_deref().unwrap_or_default());
    if devices.any(|device| volumes.is_of_claim(device, claim)) {
        return Err(Reason::ClaimBlock);
    }
    Ok(ClaimVolume { existing, only_reads: context.only_reads(claim) })
}

/// What else is in the way of a mount: at the path, above it and read-only, or below it, where the runtime would have to make
/// its mount point inside the claim, which a root-squashed export refuses.
pub(super) fn taken_by<'c>(planned: &'c ContainerPlan<'_, '_>, path: &Path<'_>) -> Option<Cow<'c, str>> {
    let devices = planned.container().volume_devices.iter().flatten();
    let mut devices = devices.map(|device| Path::new(device.device_path.as_deref().unwrap_or_default()));
    let device = devices.find(|device| device == path).map(|device| Cow::Owned(device.as_str().to_owned()));
    let mut mounts = planned.mounts.iter();
    let is_in_the_way = |mount: &&Mounted<'_>| {
        mount.path == *path || (mount.path.is_above(path) && mount.read_only) || path.is_above(&mount.path)
    };
    device.or_else(|| mounts.find(is_in_the_way).map(|mount| Cow::Borrowed(mount.path.as_str())))
}

/// Mounts the whole of a claim's volume, and adds the volume where the pod has none.
///
/// # Errors
/// The first check that refuses: claim facts, volume name, path unsafe, path taken. Nothing was added then.
pub(super) fn add<'p>(
    context: &PlanContext<'_>,
    volumes: &mut Volumes<'p>,
    planned: &mut ContainerPlan<'p, '_>,
    request: MountRequest<'_>,
) -> Result<(), Refusal> {
    let volume = find_volume(context, volumes, planned, request.claim)?;
    if request.cache == Cache::Compile && volume.is_read_only() {
        return Err(Reason::ClaimReadOnly.into());
    }
    if volume.existing.is_none() {
        context.check_binding(request.claim)?;
    }
    let read_only = request.read_only || volume.is_read_only();
    if !read_only {
        context.check_proof(planned, request.cache, request.claim)?;
    }
    if volume.existing.is_none() {
        volumes.check_name_free(request.volume)?;
    }
    let MountRequest { path, origin, .. } = &request;
    context.check_safe(planned, path).map_err(|reason| refused_path(reason, path, origin))?;
    if let Some(reason) = request.objection {
        return Err(refused_path(reason, path, origin));
    }
    check_not_taken(planned, path, origin)?;
    let volume = volume.add(volumes, request.volume, request.claim);
    planned.mount(request.cache, Mounted { volume, path: request.path, sub_path: None, read_only, is_added: true });
    Ok(())
}

/// Refuses a path where something else is in the way.
pub(super) fn check_not_taken(planned: &ContainerPlan<'_, '_>, path: &Path<'_>, origin: &str) -> Result<(), Refusal> {
    match taken_by(planned, path) {
        Some(taken_by) => {
            let fix = format!("Unmount {taken_by}, or choose another {origin}.");
            Err(Refusal::with_fix(Reason::PathTaken, fix))
        }
        None => Ok(()),
    }
}

/// A path that a cache cannot have, whatever is mounted there.
pub(super) fn refused_path(reason: Reason, path: &Path<'_>, origin: &str) -> Refusal {
    Refusal::with_fix(reason, format!("Choose another {origin} than {path}, for example below /home/dynamo/.cache."))
}
