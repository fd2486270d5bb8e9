//! `tests/run`: a filter that matches no test is a failure.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::harness::ROOT;

/// Says what cargo says where one test has `a_promise` in its name, and fails where one is to fail.
const CARGO: &str = "#!/bin/sh
case \"$*\" in
*a_promise*--skip*) printf '\\nrunning 1 test\\ntest a_promise ... ok\\n' ;;
*broken*) printf '\\nrunning 1 test\\ntest broken ... FAILED\\n' && exit 101 ;;
*) printf '\\nrunning 0 tests\\n' ;;
esac
";

#[test]
fn a_filter_that_no_test_has_in_its_name_is_a_failure() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("run");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("cargo"), CARGO).unwrap();
    fs::set_permissions(folder.join("cargo"), fs::Permissions::from_mode(0o755)).unwrap();
    let script = r#"PATH=$1:$PATH exec "$0" --no-control-plane "${@:2}""#;
    for (filters, code, words) in [
        (["a_promise"].as_slice(), 0, ""),
        (&["nobodys", "a_promise"], 0, ""),
        (&["broken"], 101, ""),
        (&["nobodys"], 1, "tests/run: no test has this in its name: nobodys"),
        (&[], 0, ""),
    ] {
        let mut command = Command::new("bash");
        command.args(["-c", script, &format!("{ROOT}/tests/run")]).arg(&folder).args(filters);
        let said = command.output().unwrap();
        let errors = String::from_utf8_lossy(&said.stderr);
        assert_eq!((said.status.code(), errors.trim()), (Some(code), words), "{filters:?}: {said:?}");
    }
}
