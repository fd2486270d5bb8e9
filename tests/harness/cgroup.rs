//! A cgroup with a memory limit, where the machine lets us make one: a program that exceeds it is killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Becomes a member of the group and then the program.
const ENTER: &str = r#"echo 0 > "$0/cgroup.procs" && exec "$@""#;

/// A cgroup of version 1 or 2 that ends with this, for one program.
pub(crate) struct Group {
    folder: PathBuf,
    version: u8,
}

impl Group {
    /// A new group with this limit in bytes; none without root, or without cgroups that can be written to.
    pub(crate) fn with_limit(limit: u64) -> Option<Self> {
        static GROUPS: AtomicUsize = AtomicUsize::new(0);
        let number = GROUPS.fetch_add(1, Ordering::Relaxed);
        let (root, version) = hierarchy()?;
        let folder = root.join(format!("dynamo-cache-test-{}-{number}", std::process::id()));
        fs::create_dir(&folder).ok()?;
        let group = Group { folder, version };
        let set = |file: &str| fs::write(group.folder.join(file), limit.to_string());
        if version == 2 {
            set("memory.max").ok()?;
            // Where there is no swap, there is no such file.
            let _ = fs::write(group.folder.join("memory.swap.max"), "0");
        } else {
            set("memory.limit_in_bytes").ok()?;
            // The memory of sockets is counted apart, and only where it has a limit.
            set("memory.kmem.tcp.limit_in_bytes").ok()?;
        }
        Some(group)
    }

    /// A program that will be in the group.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", ENTER]).arg(&self.folder).arg(program);
        command
    }

    /// How many programs were killed for their memory.
    pub(crate) fn oom_kills(&self) -> u64 {
        let file = if self.version == 2 { "memory.events" } else { "memory.oom_control" };
        let text = fs::read_to_string(self.folder.join(file)).unwrap();
        let kills = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.map_or(0, |kills| kills.parse().unwrap())
    }

    /// The most memory that sockets ever had, in bytes, where that is counted apart from the memory of programs.
    pub(crate) fn peak_socket_memory(&self) -> u64 {
        let most = fs::read_to_string(self.folder.join("memory.kmem.tcp.max_usage_in_bytes"));
        most.map_or(0, |most| most.trim().parse().unwrap())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A program that was just killed leaves a moment later; what is left after that holds nothing.
        let begun = Instant::now();
        while fs::remove_dir(&self.folder).is_err() && begun.elapsed() < Duration::from_secs(5) {
            std::thread::yield_now();
        }
    }
}

/// Where groups with a limit of memory can be made, and their version.
fn hierarchy() -> Option<(PathBuf, u8)> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (folder, kind, options) = (Path::new(fields.next()?), fields.next()?, fields.next()?);
        let handed_on = || {
            let controllers = fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
            controllers.split_whitespace().any(|controller| controller == "memory")
        };
        match kind {
            "cgroup" if options.split(',').any(|option| option == "memory") => Some((folder.to_owned(), 1)),
            "cgroup2" if handed_on() => Some((folder.to_owned(), 2)),
            _ => None,
        }
    })
}
