//! A writable place for files that belong to one container, where its root file system can only be read.

use std::borrow::Cow;

use super::super::path::Path;
use super::container::{ContainerPlan, Mounted};
use super::mount;
use super::volumes::Volumes;
use super::{Cache, PlanContext, SCRATCH_PATH, SCRATCH_VOLUME};

/// Whether variables of the model cache may point into the directory. Where the root file system can only be read and no mount
/// covers the directory, a volume on the node's disk is mounted there: by the container's name as `subPath`, so that containers of
/// different users do not meet.
pub(super) fn plan<'p>(
    context: &PlanContext<'_>,
    volumes: &mut Volumes<'p>,
    planned: &mut ContainerPlan<'p, '_>,
) -> bool {
    let directory = Path::new(SCRATCH_PATH);
    if let Some(mount) = planned.cover(&directory) {
        let claims = [&context.settings.model.claim, &context.settings.compile.claim];
        return !mount.read_only && !claims.iter().any(|claim| volumes.is_of_claim(&mount.volume, claim));
    }
    let security = planned.container().security_context.as_ref();
    let has_read_only_root = security.and_then(|security| security.read_only_root_filesystem) == Some(true);
    if !has_read_only_root {
        return true;
    }
    let is_possible = context.check_safe(planned, &directory).is_ok() && mount::taken_by(planned, &directory).is_none();
    if !is_possible || volumes.add_empty_dir(SCRATCH_VOLUME).is_err() {
        return false;
    }
    let sub_path = Some(planned.container().name()).filter(|name| !name.is_empty()).map(Cow::Borrowed);
    let volume = Cow::Borrowed(SCRATCH_VOLUME);
    planned.mount(Cache::Model, Mounted { volume, path: directory, sub_path, read_only: false, is_added: true });
    true
}
