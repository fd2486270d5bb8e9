//! Checks that pods can use the volumes of the claims that workers mount.

use serde_json::Value;

use crate::admission::cache::Cache;
use crate::command::check::catalog::CheckId;
use crate::command::check::report::Report;
use crate::inspect::volume::Mounts;
use crate::inspect::volume_reader::{ClaimVolume, VolumeReader};

/// A claim that a worker mounts.
pub(super) struct MountedClaim<'c> {
    /// The cache on it.
    pub(super) cache: Cache,
    /// Its object.
    pub(super) object: &'c Value,
    /// Whether a worker writes to it.
    pub(super) is_written: bool,
}

/// Checks the volume of each claim. `mounts` are those of the pods in the namespace, as far as they are known.
///
/// # Errors
/// The API server was not reached.
pub(super) async fn check(
    reader: &VolumeReader<'_>,
    namespace: &str,
    claims: &[MountedClaim<'_>],
    mounts: &Mounts,
    report: &mut Report,
) -> anyhow::Result<()> {
    for MountedClaim { cache, object, is_written } in claims {
        let check = if *cache == Cache::Model { CheckId::ModelVolume } else { CheckId::CompileVolume };
        let volume = match reader.read(object).await? {
            ClaimVolume::Known(volume) => volume,
            ClaimVolume::NotBound => continue,
            ClaimVolume::Hidden(why) => {
                report.not_checked(check, why);
                continue;
            }
        };
        let claim = format!("{cache} cache, claim {}:", volume.claim);
        let findings = volume.for_namespace(namespace, mounts, *is_written);
        if findings.found.is_empty() && findings.unknown.is_empty() {
            report.ok(check, format!("{claim} {} needs nothing else of pods", volume.description()));
        }
        for finding in findings.found {
            report.warning(check, format!("{claim} {}", finding.text), finding.fix);
        }
        for why in findings.unknown {
            report.not_checked(check, why);
        }
    }
    Ok(())
}
