//! A pod with a staged cache: its local folder, its stage and its gate, as processes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use dynamo_cache::stage::record::{Event, Record};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::program::program;
use crate::harness::wait_for;

use super::claim::{Claim, KEY};

/// Delays that let a test end soon. The looks are far enough apart to see what one of them does.
const TIMING: [&str; 9] = [
    "--poll-interval=20ms",
    "--ready-for=40ms",
    "--quiet-for=200ms",
    "--count-interval=50ms",
    "--jitter=0s",
    "--second-look=5s",
    "--third-look=600s",
    "--first-retry=300ms",
    "--leftover-age=1s",
];

/// A pod, whose local cache is empty at first.
pub(crate) struct Pod {
    pub(crate) uid: String,
    pub(crate) local: PathBuf,
    claim: PathBuf,
    log: PathBuf,
}

impl Pod {
    pub(crate) fn new(claim: &Claim, uid: &str) -> Self {
        let local = claim.folder.join(uid);
        fs::create_dir(&local).unwrap();
        Pod::in_folder(claim, uid, local)
    }

    /// A pod whose local cache is in a folder that exists.
    pub(crate) fn in_folder(claim: &Claim, uid: &str, local: PathBuf) -> Self {
        let log = claim.folder.join(format!("{uid}.log"));
        Pod { uid: uid.to_owned(), local, claim: claim.path.clone(), log }
    }

    /// The command of the stage's container.
    pub(crate) fn command(&self, program: &[&str], options: &[&str]) -> Command {
        let own = self::program();
        let words: Vec<_> = program.iter().copied().chain([own.as_str(), "stage"]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(format!("--local={}", self.local.display()));
        command.arg(format!("--claim={}", self.claim.display())).arg(format!("--key={KEY}"));
        let name = |option: &str| option.split('=').next().unwrap_or_default().to_owned();
        let usual = TIMING.iter().filter(|usual| !options.iter().any(|option| name(option) == name(usual)));
        command.args(["--engine=vllm", "--image=image"]).args(usual).args(options);
        command.env("POD_UID", &self.uid).env("POD_NAME", "b").env("POD_NAMESPACE", "a");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&self.log).unwrap());
        command
    }

    /// Starts the stage.
    pub(crate) fn stage(&self, options: &[&str]) -> Stage {
        Stage { child: self.command(&[], options).spawn().unwrap(), log: self.log.clone() }
    }

    /// Runs the gate, which always ends well, and returns its record.
    #[track_caller]
    pub(crate) fn gate(&self, options: &[&str]) -> Record {
        Pod::end_of_gate(self.start_gate(options))
    }

    /// Starts the gate.
    pub(crate) fn start_gate(&self, options: &[&str]) -> Child {
        let mut command = Command::new(program());
        command.arg("gate").arg(format!("--local={}", self.local.display())).args(options);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Waits for the gate, and returns its record.
    #[track_caller]
    pub(crate) fn end_of_gate(gate: Child) -> Record {
        let said = gate.wait_with_output().unwrap();
        let errors = String::from_utf8(said.stderr).unwrap();
        assert!(said.status.success(), "{errors}");
        errors.lines().find_map(Record::parse).unwrap_or_else(|| panic!("no record in {errors}"))
    }

    /// What the engine finds: each path with its content, and its time in nanoseconds; folders have no content.
    pub(crate) fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        collect(&self.local, Path::new(""), &mut tree);
        tree.retain(|path, _| !path.to_string_lossy().starts_with(".dynamo-cache"));
        tree
    }

    /// Writes files as an engine does.
    pub(crate) fn write(&self, files: &[(&str, &str)]) {
        for (path, content) in files {
            let path = self.local.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }
}

/// Paths with content and time.
pub(crate) type Tree = BTreeMap<OsString, (Option<Vec<u8>>, i64, i64)>;

fn collect(root: &Path, below: &Path, tree: &mut Tree) {
    for entry in fs::read_dir(root.join(below)).unwrap() {
        let path = below.join(entry.unwrap().file_name());
        let found = fs::symlink_metadata(root.join(&path)).unwrap();
        let content = found.is_file().then(|| fs::read(root.join(&path)).unwrap());
        tree.insert(path.clone().into(), (content, found.mtime(), found.mtime_nsec()));
        if found.is_dir() {
            collect(root, &path, tree);
        }
    }
}

/// A running stage, killed with its test.
pub(crate) struct Stage {
    pub(crate) child: Child,
    log: PathBuf,
}

impl Stage {
    /// The records so far.
    pub(crate) fn records(&self) -> Vec<Record> {
        fs::read_to_string(&self.log).unwrap().lines().filter_map(Record::parse).collect()
    }

    /// Waits for the first record of an event.
    #[track_caller]
    pub(crate) fn wait_for(&self, event: Event) -> Record {
        self.wait_for_nth(event, 0)
    }

    /// Waits for one of several records of an event.
    #[track_caller]
    pub(crate) fn wait_for_nth(&self, event: Event, nth: usize) -> Record {
        wait_for(&format!("{event:?}"), || {
            let records = self.records();
            let found = records.iter().filter(|record| record.event == event).nth(nth).cloned();
            found.ok_or_else(|| format!("{records:#?}"))
        })
    }

    /// Ends the stage as a kubelet does, and returns its records. It has a second, and ends well.
    #[track_caller]
    pub(crate) fn stop(mut self) -> Vec<Record> {
        let begin = Instant::now();
        self.signal(Signal::TERM);
        self.end();
        // Not a promise about a busy machine: the kubelet's 30 s are what must not pass.
        assert!(begin.elapsed().as_secs() < 10, "{:?}", begin.elapsed());
        self.records()
    }

    /// Waits for the end, after a signal.
    #[track_caller]
    pub(crate) fn end(&mut self) {
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
