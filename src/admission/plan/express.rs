//! The address of Model Express, and the folder it streams to: the contract's section 6.

use std::borrow::Cow;

use super::super::classification::ContainerRole;
use super::super::path::Path;
use super::super::reason::Reason;
use super::container::{ContainerPlan, Mounted, Value};
use super::volumes::Volumes;
use super::{Cache, PlanContext};

const URL: &str = "MODEL_EXPRESS_URL";
const ADDRESS: &str = "MX_SERVER_ADDRESS";
const NO_SHARED_STORAGE: &str = "MODEL_EXPRESS_NO_SHARED_STORAGE";

/// Plans the address, in both of its variables.
///
/// # Errors
/// Why it is not.
pub(super) fn plan(context: &PlanContext<'_>, planned: &mut ContainerPlan<'_, '_>, url: &str) -> Result<(), Reason> {
    if context.settings.skip.express {
        return Err(Reason::SkippedByUser);
    }
    if planned.assigns(URL) || planned.assigns(ADDRESS) {
        return Err(Reason::EnvSetByUser);
    }
    let address = match [planned.variable(URL), planned.variable(ADDRESS)] {
        [None, None] => url.to_owned(),
        [Some(Value::Literal(address)), None | Some(Value::Literal(_))] | [None, Some(Value::Literal(address))] => {
            address.to_owned()
        }
        _ => return Err(Reason::EnvSetByUser),
    };
    let empty = |name| planned.variable(name) == Some(Value::Literal(""));
    if empty(URL) || empty(ADDRESS) {
        return Err(Reason::EnvSetByUser);
    }
    planned.set(Cache::ModelExpress, URL, address.clone());
    planned.set(Cache::ModelExpress, ADDRESS, address);
    Ok(())
}

/// Whether both variables have an address.
pub(super) fn is_in_place(planned: &ContainerPlan<'_, '_>) -> bool {
    [URL, ADDRESS].iter().all(|name| matches!(planned.variable(name), Some(Value::Literal(text)) if !text.is_empty()))
}

/// Where the server's disk is not shared, mounts the hub where the client streams to, and sets the client's variable.
///
/// # Errors
/// Why not; then neither the mount nor the variable was added, for one without the other is worse than none.
pub(super) fn plan_stream<'p>(
    context: &PlanContext<'_>,
    volumes: &Volumes<'p>,
    planned: &mut ContainerPlan<'p, '_>,
    model: Result<(), Reason>,
) -> Result<(), Reason> {
    if context.settings.express.shared_storage || planned.selected.role == ContainerRole::Planner {
        return Ok(());
    }
    // The word: the command-line tool exits on `1`.
    match planned.variable(NO_SHARED_STORAGE) {
        None | Some(Value::Literal("true")) => {}
        Some(_) => return Err(Reason::EnvSetByUser),
    }
    let claim = &context.settings.model.claim;
    let hub = planned.literal_directory("HF_HUB_CACHE").filter(|_| model.is_ok());
    let mount = planned.whole_mount(volumes, claim).filter(|mount| !mount.read_only && !context.only_reads(claim));
    let (Some(hub), Some(mount)) = (hub, mount) else { return Err(Reason::StreamNeedsModelCache) };
    let sub_path = if hub == mount.path {
        None
    } else if hub == mount.path.join("hub") {
        Some("hub")
    } else {
        return Err(Reason::StreamNeedsModelCache);
    };
    let volume = mount.volume.clone();
    let home = planned.literal_directory("HOME").unwrap_or_else(|| context.settings.express.home.clone());
    let path = home.join(".model-express/cache");
    let there = planned.mounts.iter().any(|mount| {
        mount.path == path && mount.volume == volume && mount.sub_path.as_deref() == sub_path && !mount.read_only
    });
    if !there {
        check_streams_to(context, volumes, planned, &path)?;
        let sub = sub_path.map(Cow::Borrowed);
        let mounted = Mounted { volume, path, sub_path: sub, read_only: false, is_added: true };
        planned.mount(Cache::ModelExpress, mounted);
    }
    planned.set(Cache::ModelExpress, NO_SHARED_STORAGE, "true");
    Ok(())
}

fn check_streams_to(
    context: &PlanContext<'_>,
    volumes: &Volumes<'_>,
    planned: &ContainerPlan<'_, '_>,
    path: &Path<'_>,
) -> Result<(), Reason> {
    context.check_user_namespace()?;
    context.check_safe(planned, path)?;
    let on_a_claim = planned.cover(path).is_some_and(|mount| volumes.is_of_any_claim(&mount.volume));
    if on_a_claim || super::mount::taken_by(planned, path).is_some() { Err(Reason::StreamPathTaken) } else { Ok(()) }
}
