//! `tests/run`: a filter that matches no test is a failure, and missing programs are installed or built.

use std::env::split_paths;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::harness::ROOT;

/// Says what cargo says where one test has `a_promise` in its name, and fails where one is to fail.
const CARGO: &str = "#!/bin/sh
case \"$*\" in
*a_promise*--skip*) printf '\\nrunning 1 test\\ntest a_promise ... ok\\n' ;;
*broken*) printf '\\nrunning 1 test\\ntest broken ... FAILED\\n' && exit 101 ;;
*) printf '\\nrunning 0 tests\\n' ;;
esac
";

/// Installs promtool beside itself.
const APT_GET: &str = "#!/bin/sh
[ \"$1\" = install ] || exit 0
printf '#!/bin/sh\\n' >\"${0%/*}/promtool\" && chmod +x \"${0%/*}/promtool\"
";

/// Fails as where no mirror can be reached.
const APT_GET_OFFLINE: &str = "#!/bin/sh
echo 'Temporary failure resolving the mirror' >&2
exit 100
";

/// Puts programs into the folder that it is to build into.
const GO: &str = "#!/bin/sh
for argument; do
	case $argument in
	/*/)
		for name in promtool prometheus; do
			printf '#!/bin/sh\\n' >\"$argument$name\" && chmod +x \"$argument$name\"
		done
		;;
	esac
done
";

/// The first line where it runs tests.
const NOT_RUN: &str = "tests/run: without a control plane and Helm; not run: chart:: cluster::\n";

/// A machine that has all that this one has, but for what the tests put in its place, or leave out.
struct Machine {
    folder: PathBuf,
}

impl Machine {
    fn new(name: &str, programs: &[(&str, &str)]) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&folder);
        let path = folder.join("path");
        fs::create_dir_all(&path).unwrap();
        for (program, text) in programs {
            let place = path.join(program);
            fs::write(&place, text).unwrap();
            fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let ours = ["cargo", "go", "apt-get", "promtool", "prometheus"];
        #[expect(clippy::disallowed_methods, reason = "the programs of this machine")]
        let folders = std::env::var_os("PATH").unwrap();
        for program in split_paths(&folders).filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten() {
            let name = program.file_name();
            // The first of a name counts.
            if !ours.iter().any(|own| name == *own) {
                let _ = symlink(program.path(), path.join(name));
            }
        }
        Machine { folder }
    }

    fn run(&self, filters: &[&str]) -> Output {
        let mut command = Command::new(format!("{ROOT}/tests/run"));
        command.arg("--no-control-plane").args(filters).env("PATH", self.folder.join("path"));
        command.env("DYNAMO_CACHE_TEST_CACHE", self.folder.join("cache")).output().unwrap()
    }
}

#[test]
fn a_filter_that_no_test_has_in_its_name_is_a_failure() {
    let machine = Machine::new("run", &[("cargo", CARGO), ("promtool", "")]);
    for (filters, code, words) in [
        (["a_promise"].as_slice(), 0, ""),
        (&["nobodys", "a_promise"], 0, ""),
        (&["broken"], 101, ""),
        (&["nobodys"], 1, "tests/run: no test has this in its name: nobodys\n"),
        (&[], 0, ""),
    ] {
        let said = machine.run(filters);
        let errors = String::from_utf8_lossy(&said.stderr);
        assert_eq!(
            (said.status.code(), &*errors),
            (Some(code), &*format!("{NOT_RUN}{words}")),
            "{filters:?}: {said:?}"
        );
    }
}

#[test]
fn what_is_missing_is_installed_by_apt_get_as_root_or_else_built_once_with_go() {
    let (cargo, go) = (("cargo", CARGO), ("go", GO));
    let installs = "tests/run: installing what is missing by apt-get: prometheus\n";
    let builds = "building promtool and prometheus";
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    for (name, programs, lines) in [
        ("run-apt-get", [cargo, go, ("apt-get", APT_GET)].as_slice(), if root { vec![installs] } else { vec![builds] }),
        (
            "run-offline",
            &[cargo, go, ("apt-get", APT_GET_OFFLINE)],
            if root { vec![installs, "Temporary failure", builds] } else { vec![builds] },
        ),
        ("run-go", &[cargo, go], vec![builds]),
    ] {
        let machine = Machine::new(name, programs);
        let said = machine.run(&["a_promise"]);
        let errors = String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success() && errors.ends_with(NOT_RUN), "{name}: {said:?}");
        assert!(lines.iter().all(|words| errors.contains(words)), "{name}: {errors}");
        assert_eq!(errors.contains(builds), lines.contains(&builds), "{name}: {errors}");
        // Once.
        let again = machine.run(&["a_promise"]);
        assert_eq!(String::from_utf8_lossy(&again.stderr), NOT_RUN, "{name}");
    }
}

#[test]
fn without_rust_or_go_tests_run_says_how_to_get_them_and_installs_nothing() {
    for (name, programs, lacks) in [
        ("run-no-rust", [("go", GO), ("apt-get", APT_GET)].as_slice(), "  cargo: install Rust, https://rustup.rs\n"),
        (
            "run-no-go",
            &[("cargo", CARGO)],
            "  go: install Go, https://go.dev/doc/install, with which promtool is built; \
             or promtool: apt-get install prometheus\n",
        ),
    ] {
        let said = Machine::new(name, programs).run(&[]);
        let errors = String::from_utf8_lossy(&said.stderr);
        let expected = format!("tests/run: these programs are missing:\n{lacks}");
        assert_eq!((said.status.code(), &*errors), (Some(1), &*expected));
    }
}
