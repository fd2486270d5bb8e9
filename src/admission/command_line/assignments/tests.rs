//! What counts as an assignment, and what does not.

use super::super::super::engine::Engine;
use super::{NAMES, assigned};

fn names(elements: &[&str]) -> Vec<&'static str> {
    let assigned = assigned(elements.iter().copied());
    NAMES.into_iter().filter(|name| assigned.has(name)).collect()
}

#[test]
fn an_assignment_counts_in_each_form_that_a_shell_knows() {
    for script in [
        "HF_HOME=/x python3 -m dynamo.vllm",
        "A=1 HF_HOME=/x\npython3 -m dynamo.vllm",
        "export A=1 HF_HOME=\"$B/x\"",
        "set -e; declare -x HF_HOME=/x",
        "if true; then HF_HOME=/x; fi",
        "for i in 1; do export HF_HOME=/x; done",
        "f() { HF_HOME=/x; }; f",
        "env -i -u HF_TOKEN HF_HOME=/x vllm serve",
        "exec env A=1 HF_HOME=/x vllm serve",
        ": \"${HF_HOME:=/x}\"",
        ": ${HF_HOME=/x}",
        "ls > out 2>&1; export 'HF_HOME=/x'",
        "ls &> out && HF_HOME+=/x ls",
        "srun bash -c 'export HF_HOME=/x; vllm serve'",
        "mpirun -n 2 bash -lc 'HF_HOME=/x trtllm-serve'",
        "eval \"export HF_HOME=/x\"",
        "bash <<< 'HF_HOME=/x ls'",
        "cat > run.sh <<'END'\nls\n\tEND \nexport HF_HOME=/x\nEND\nbash run.sh",
        "bash <<-E\n\tHF_HOME=/x ls\n\tE\nls",
        "ls \\\n  && HF_HOME=/x \\\n  ls",
        "echo \"$(HF_HOME=/x hf download a)\"",
        "(cd /x && export HF_HOME=/x)",
        "case a in b) HF_HOME=/x;; esac",
        "echo $((1 << 2))\nHF_HOME=/x ls",
        "bash -ce 'HF_HOME=/x ls'",
        "sh -c -- 'HF_HOME=/x ls'",
        "function f { export HF_HOME=/x; }",
        "su dynamo -c 'export HF_HOME=/x'",
        "2>/dev/null HF_HOME=/x ls",
        "builtin export HF_HOME=/x",
        "timeout 9 env HF_HOME=/x ls",
        "cat < <(HF_HOME=/x ls)",
    ] {
        assert_eq!(names(&["sh", "-c", script]), ["HF_HOME"], "{script}");
    }
    assert_eq!(names(&["/usr/bin/env", "-i", "HF_HOME=/x", "python3"]), ["HF_HOME"]);
    assert_eq!(names(&["bash", "-c", "MX_SERVER_ADDRESS=a:1 XDG_CACHE_HOME=/y ls"]).len(), 2);
}

#[test]
fn what_a_shell_would_not_assign_does_not_count() {
    for script in [
        "echo HF_HOME=/x",
        "echo 'a; HF_HOME=/x'",
        "echo \"a\nHF_HOME=/x\"",
        "# export HF_HOME=/x\nls # HF_HOME=/y",
        "ls a#b; echo ${HF_HOME:-/x} ${HF_HOME}",
        "export HF_HOMES=/x MY_HF_HOME=/x HF_HOME",
        "python3 -c 'HF_HOME=1' a",
        "python3 - <<E\nHF_HOME='/x'\nE",
        "diff <(a) HF_HOME=/x",
        "echo env HF_HOME=/x",
        "ls > HF_HOME=/x",
        "test \"$HF_HOME\" = /x",
        "ls '${HF_HOME:=/x}' \\${HF_HOMES:=/x}",
        "vllm serve --env HF_HOME=/x",
    ] {
        assert_eq!(names(&["sh", "-c", script]), [""; 0], "{script}");
    }
    assert_eq!(names(&["python3", "-c", "HF_HOME='/x'; print(1)"]), [""; 0]);
    assert_eq!(names(&["python3", "HF_HOME=/x", "--config", "{\"a\": \"HF_HOME=/x\"}"]), [""; 0]);
}

#[test]
fn a_script_that_is_broken_or_endless_ends() {
    let deep =
        ["(", "$(", "\"$(", "`\"$(", "{", "bash -c '"].map(|begin| format!("{} HF_HOME=/x", begin.repeat(10_000)));
    let endless = ["<<E\n", "<<a ", "a <<E\nE\n"].map(|line| format!("HF_HOME {}", line.repeat(200_000)));
    for script in endless.iter().chain(&deep).map(String::as_str).chain([
        "HF_HOME=",
        "<<",
        "<<E",
        "a <<E\nHF_HOME=/x",
        "$'\\",
        "${",
        "HF_HOME=é'",
        ")`)",
    ]) {
        let _ = names(&["sh", "-c", script]);
    }
}

#[test]
fn a_script_may_assign_each_variable_of_mode_staged() {
    for variable in Engine::ALL.into_iter().flat_map(Engine::staged_variables) {
        let script = format!("export {}=/x; vllm serve", variable.name);
        assert_eq!(names(&["sh", "-c", &script]), [variable.name]);
    }
    assert_eq!(names(&["sh", "-c", "MX_ARTIFACT_DIR=/x vllm serve"]), ["MX_ARTIFACT_"]);
    assert!(names(&["sh", "-c", "MX_ARTIFACT=/x vllm serve"]).is_empty());
}
