//! Copy this program into a folder that other containers of the pod mount.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::Context as _;

use crate::cli::CopyProgram;

/// Linux's link to the running program, also where the file has no path that can be opened.
const PROGRAM: &str = "/proc/self/exe";

/// Runs `copy-program`.
///
/// # Errors
/// The program cannot be read, or the folder not be written.
pub(super) fn run(options: &CopyProgram) -> anyhow::Result<()> {
    let (path, temporary) = (options.folder.join("dynamo-cache"), options.folder.join(".dynamo-cache.new"));
    let copy = || {
        let mut copy = File::create(&temporary)?;
        io::copy(&mut File::open(PROGRAM)?, &mut copy)?;
        copy.set_permissions(Permissions::from_mode(0o755))?;
        // A program that is open for writing cannot be started.
        drop(copy);
        fs::rename(&temporary, &path)
    };
    copy().with_context(|| format!("failed to write {}", path.display()))
}
