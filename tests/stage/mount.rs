//! File systems of a test's own, unmounted with it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted file system.
pub(crate) struct Mount(PathBuf);

impl Mount {
    /// Mounts a tmpfs with these options on a folder, which is made.
    pub(crate) fn tmpfs(path: &Path, options: &str) -> Self {
        std::fs::create_dir_all(path).unwrap();
        let said = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(path).output().unwrap();
        assert!(said.status.success(), "a tmpfs cannot be mounted; run this test as root: {said:?}");
        Mount(path.to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily, since a process that is being killed may still have it open.
        drop(Command::new("umount").arg("--lazy").arg(&self.0).output());
    }
}
