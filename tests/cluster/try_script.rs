//! `tests/try`: a person's own cluster with the webhook in it, and an end that leaves nothing.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use crate::harness::control_plane::webhook::ask;
use crate::harness::pods::worker;
use crate::harness::program::file;
use crate::harness::{DEADLINE, ROOT, wait_for};

const PROGRAM: &str = env!("CARGO_BIN_EXE_dynamo-cache");

/// The command at work. What it makes is below a folder of the test, and all that it starts has a mark.
struct Try {
    folder: PathBuf,
    mark: String,
    child: Child,
    lines: Receiver<String>,
    said: String,
}

impl Try {
    /// Starts it with a program in the place of dynamo-cache.
    fn start(name: &str, program: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("try-{name}"));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        let mark = format!("try-{name}-{}", std::process::id());
        // A shell ignores Ctrl-C for tests in the background, and a script cannot undo that.
        let mut command = Command::new("env");
        command
            .args(["--default-signal=INT", &format!("{ROOT}/tests/try"), "--binary", program])
            .env("TMPDIR", &folder)
            .env("DYNAMO_CACHE_TRACE", &mark);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (errors, (sender, lines)) = (child.stderr.take().unwrap(), mpsc::channel());
        #[expect(clippy::disallowed_methods, reason = "it ends with the program, whose output it reads")]
        thread::spawn(move || {
            BufReader::new(errors).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Try { folder, mark, child, lines, said: String::new() }
    }

    /// Waits until it says something on standard error.
    fn says(&mut self, words: &str) {
        while !self.said.contains(words) {
            let line = self.lines.recv_timeout(DEADLINE);
            let line = line.unwrap_or_else(|why| panic!("waited in vain for '{words}' ({why}):\n{}", self.said));
            self.said += &line;
            self.said.push('\n');
        }
    }

    /// Sends a signal to the process that was started, and to no other.
    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end, and holds that nothing of it is left.
    fn ends_and_leaves_nothing(mut self) -> ExitStatus {
        self.says("Nothing of it is left.");
        let status = self.child.wait().unwrap();
        wait_until_all_have_ended(&self.mark);
        let files: Vec<_> = fs::read_dir(&self.folder).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(files.is_empty(), "{files:?}");
        status
    }
}

/// Waits until no process that was started with this mark is left: a process that is killed ends a moment later.
fn wait_until_all_have_ended(mark: &str) {
    wait_for("its processes to end", || {
        let processes = marked(mark);
        if processes.is_empty() { Ok(()) } else { Err(format!("{processes:?}")) }
    });
}

/// The processes that were started with this mark.
fn marked(mark: &str) -> Vec<String> {
    let variable = format!("DYNAMO_CACHE_TRACE={mark}");
    let processes = fs::read_dir("/proc").unwrap().map(|process| process.unwrap().path());
    let has = |process: &PathBuf| {
        let environment = fs::read(process.join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
    };
    processes.filter(has).map(|process| fs::read_to_string(process.join("cmdline")).unwrap_or_default()).collect()
}

#[test]
fn a_person_gets_a_cluster_to_try_it_on_and_ctrl_c_removes_all_of_it() {
    let mut tried = Try::start("whole", PROGRAM);
    tried.says(&format!("Ctrl-C here, or kill {}, removes it all.", tried.child.id()));
    for words in [
        "--- asked for\n+++ stored\n",
        "\n+    dynamo-cache.io/status: '{\"containers\":{\"worker\":[\"model\",\"compile\"]},\"skipped\":[]",
        "\n+    - name: HF_HOME\n+      value: /home/dynamo/.cache/huggingface\n",
        "\n+      claimName: model-cache\n",
        "\n+      claimName: compilation-cache\n",
    ] {
        assert!(tried.said.contains(words), "no '{words}' in:\n{}", tried.said);
    }
    let removed: Vec<_> = tried.said.lines().filter(|line| line.starts_with('-') && *line != "--- asked for").collect();
    assert!(removed.is_empty(), "the webhook only adds: {removed:?}");

    // What it prints is for a shell, and what it says to try works there.
    let mut out = BufReader::new(tried.child.stdout.take().unwrap());
    let mut exports = String::new();
    for _ in 0..3 {
        out.read_line(&mut exports).unwrap();
    }
    let next: Vec<_> = tried.said.lines().filter_map(|line| line.strip_prefix("  ")).map(str::to_owned).collect();
    let next: Vec<_> = next.iter().filter(|line| line.contains("kubectl ") || line.contains("dynamo-cache ")).collect();
    assert_eq!(next.len(), 4, "{}", tried.said);
    for (line, expected) in
        next.iter().zip(["vllm-worker-", "1 component, 1 with every cache in place", "✓", "in place"])
    {
        let said = shell(&exports, line).unwrap_or_else(|why| panic!("{why}"));
        assert!(said.contains(expected), "{line}:\n{said}");
    }
    output_of_the_webhook_is_where_the_script_says(&tried.said);
    settings_that_are_changed_reach_the_webhook(&exports);
    assert!(!marked(&tried.mark).is_empty(), "the mark finds what it started");

    tried.signal("INT");
    assert_eq!(tried.ends_and_leaves_nothing().code(), Some(0));
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "standard output is for a shell");
}

/// What a command writes in a shell that got the lines.
fn shell(exports: &str, command: &str) -> Result<String, String> {
    let ran = Command::new("bash").args(["-c", &format!("set -eu\n{exports}{command}")]).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    if ran.status.success() { Ok(said) } else { Err(format!("{command}:\n{ran:?}")) }
}

fn output_of_the_webhook_is_where_the_script_says(said: &str) {
    let after = |words: &'static str| said.lines().filter_map(move |line| line.strip_prefix(words));
    let log = after("  tail -f ").next().unwrap_or_else(|| panic!("no log in:\n{said}"));
    assert!(fs::read_to_string(log).unwrap().contains(" INFO "), "{log}");
    let pages: Vec<_> = after("  curl ").map(|page| page.trim_matches('\'').trim_start_matches("http://")).collect();
    for (page, expected) in pages.iter().zip(["\ndynamo_cache_ready 1\n", "[+]self-call: ok"]) {
        let (address, path) = page.split_once('/').unwrap();
        let answer = ask(address.parse().unwrap(), &format!("/{path}")).unwrap();
        assert!(answer.contains(expected), "{page}:\n{answer}");
    }
    assert_eq!(pages.len(), 2, "{said}");
}

/// As on a cluster with nodes.
fn settings_that_are_changed_reach_the_webhook(exports: &str) {
    let values = "--reset-then-reuse-values --set config.modelCache.claim=other,config.missingClaim=inject";
    let upgrade = format!("helm upgrade dynamo-cache '{ROOT}/manifests/chart' --namespace dynamo-cache {values}");
    shell(exports, &upgrade).unwrap();
    let pod = file("try-worker.json", &worker("later").to_string());
    let create = format!("kubectl create --dry-run=server --namespace inference --filename '{pod}' --output yaml");
    wait_for("a pod that gets what was set", || {
        let said = shell(exports, &create)?;
        if said.contains("claimName: other") { Ok(()) } else { Err(said) }
    });
}

#[test]
fn a_cluster_to_try_it_on_that_is_stopped_while_it_starts_leaves_nothing() {
    let mut tried = Try::start("stopped", PROGRAM);
    tried.says("Starting a control plane");
    tried.signal("TERM");
    assert_eq!(tried.ends_and_leaves_nothing().code(), Some(143));
}

#[test]
fn nothing_of_a_cluster_to_try_it_on_runs_on_where_it_is_killed() {
    let mut tried = Try::start("killed", PROGRAM);
    tried.says("All of it works");
    tried.signal("KILL");
    tried.child.wait().unwrap();
    wait_until_all_have_ended(&tried.mark);
    fs::remove_dir_all(&tried.folder).unwrap();
}

#[test]
fn a_cluster_to_try_it_on_whose_webhook_fails_says_so_and_leaves_nothing() {
    let program = file("try-fails.sh", "#!/bin/sh\nexit 1\n");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut tried = Try::start("fails", &program);
    tried.says("tests/try: the webhook ended:");
    assert_eq!(tried.ends_and_leaves_nothing().code(), Some(1));
}

#[test]
fn what_a_cluster_to_try_it_on_lacks_is_named_with_the_fix() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("try-lacks");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    let dirname = ["/usr/bin/dirname", "/bin/dirname"].into_iter().find(|path| Path::new(path).exists()).unwrap();
    symlink(dirname, folder.join("dirname")).unwrap();
    let script = r#"PATH=$1 exec "$BASH" "$0""#;
    let mut command = Command::new("bash");
    let said = command.args(["-c", script, &format!("{ROOT}/tests/try")]).arg(&folder).output().unwrap();
    let errors = String::from_utf8_lossy(&said.stderr).into_owned();
    assert_eq!(said.status.code(), Some(1), "{errors}");
    for words in [
        "cargo: install Rust",
        "cc: install a C compiler",
        "go: install Go",
        "setsid: for example",
        "setpriv: for example",
    ] {
        assert!(errors.contains(words), "{errors}");
    }
}
