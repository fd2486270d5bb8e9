//! Whether a claim's volume can be mounted at a path of a container, and mounting it there.

use std::borrow::Cow;

use super::super::claim::{Access, Binding, Claim};
use super::super::path::{self, Path};
use super::super::reason::Reason;
use super::super::settings::Policy;
use super::container::{ContainerPlan, Mounted};
use super::volumes::Volumes;
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
}

impl PlanContext<'_> {
    /// What is known of a claim.
    fn claim(&self, name: &str) -> Option<Claim> {
        self.claims.get(name).copied()
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
        match (claim.access, self.settings.single_node_claim, self.settings.missing_claim) {
            (Access::ReadWriteOncePod, ..) => Err(Reason::ClaimSinglePod),
            (Access::ReadWriteOnce, Policy::Skip, _) => Err(Reason::ClaimSingleNode),
            (_, _, Policy::Skip) if claim.binding == Binding::Unbindable => Err(Reason::ClaimPending),
            _ => Ok(()),
        }
    }

    /// Whether processes of the container can enter `/root`.
    fn runs_as_root(&self, planned: &ContainerPlan<'_, '_>) -> bool {
        let container = planned.container();
        let pod = self.pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
        let user_of_pod = pod.and_then(|context| context.run_as_user);
        let user = container.security_context.as_ref().and_then(|context| context.run_as_user).or(user_of_pod);
        match user {
            Some(user) => user == 0,
            None => !container.image_name().contains("-runtime"),
        }
    }

    /// Whether the cache's user can use a mount of the container's own.
    ///
    /// # Errors
    /// `path-unsafe` below `/root` for a user who cannot enter it, and where the path cannot stand in a variable or is too
    /// long.
    pub(super) fn check_enterable(&self, planned: &ContainerPlan<'_, '_>, path: &Path<'_>) -> Result<(), Reason> {
        let below_root = Path::new("/root").covers(path) && !self.runs_as_root(planned);
        let text = path.as_str();
        let plain = !text.contains("$(") && !text.contains("$$");
        if below_root || !plain || !path::is_short(text) { Err(Reason::PathUnsafe) } else { Ok(()) }
    }

    /// Whether a mount of ours would hide what the container needs.
    pub(super) fn check_safe(&self, planned: &ContainerPlan<'_, '_>, path: &Path<'_>) -> Result<(), Reason> {
        self.check_enterable(planned, path)?;
        let working_dir = planned.container().working_dir.as_deref().filter(|dir| !dir.is_empty());
        let hides_working_dir = working_dir.is_some_and(|dir| path.covers(&Path::new(dir)));
        if path.hides_system_files() || path.as_str().contains(':') || hides_working_dir {
            return Err(Reason::PathUnsafe);
        }
        Ok(())
    }
}

/// Whether something else is in the way of a mount: at the path, above it and read-only, or below it, where the runtime would
/// have to make its mount point inside the claim, which a root-squashed export refuses.
pub(super) fn is_taken(planned: &ContainerPlan<'_, '_>, path: &Path<'_>) -> bool {
    let devices = planned.container().volume_devices.iter().flatten();
    let mut devices = devices.map(|device| Path::new(device.device_path.as_deref().unwrap_or_default()));
    devices.any(|device| device == *path)
        || planned.mounts.iter().any(|mount| {
            mount.path == *path || (mount.path.is_above(path) && mount.read_only) || path.is_above(&mount.path)
        })
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
) -> Result<(), Reason> {
    context.check_user_namespace()?;
    let existing = volumes.of_claim(request.claim);
    let only_reads = context.only_reads(request.claim);
    if existing.is_none() {
        context.refuses(request.claim)?;
    }
    let devices = planned.container().volume_devices.iter().flatten();
    let mut devices = devices.map(|device| device.name.as_deref().unwrap_or_default());
    if devices.any(|device| volumes.is_of_claim(device, request.claim)) {
        return Err(Reason::ClaimBlock);
    }
    let source_reads = existing.as_ref().is_some_and(|volume| volume.read_only);
    if request.cache == Cache::Compile && (only_reads || source_reads) {
        return Err(Reason::ClaimReadOnly);
    }
    if existing.is_none() {
        volumes.check_name_free(request.volume)?;
    }
    let read_only = request.read_only || only_reads || source_reads;
    context.check_safe(planned, &request.path)?;
    if let Some(reason) = request.objection {
        return Err(reason);
    }
    if is_taken(planned, &request.path) {
        return Err(Reason::PathTaken);
    }
    let volume = existing.map_or_else(
        || {
            volumes.add(request.volume, request.claim, only_reads);
            Cow::Borrowed(request.volume)
        },
        |volume| volume.name,
    );
    planned.mount(request.cache, Mounted { volume, path: request.path, sub_path: None, read_only });
    Ok(())
}
