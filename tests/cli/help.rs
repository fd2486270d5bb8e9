//! Help with examples, and completion.

use std::process::Command;

use clap::CommandFactory as _;
use dynamo_cache::cli::Cli;

use crate::harness::program::{file, run};

/// Every command that a person types, but for those that say more by themselves.
const COMMANDS: [&str; 14] = [
    "serve",
    "inject",
    "try",
    "check",
    "explain",
    "preview",
    "status",
    "report",
    "download",
    "usage",
    "prune",
    "config",
    "completion",
    "uninstall",
];

/// Those that only containers of a pod run.
const OF_CONTAINERS: [&str; 5] = ["copy-program", "stage", "gate", "measure", "remove"];

#[test]
fn every_command_has_a_help_with_examples() {
    let help = run(&["--help"], "").output;
    for command in COMMANDS.into_iter().chain(OF_CONTAINERS) {
        let is_listed = help.lines().any(|line| line.trim_start().starts_with(&format!("{command} ")));
        assert_eq!(is_listed, COMMANDS.contains(&command), "{command} in {help}");
        let said = run(&[command, "--help"], "");
        assert_eq!(said.code, Some(0));
        let examples = said.output.split_once("Examples:\n").unwrap_or_else(|| panic!("{command} has no examples")).1;
        assert!(examples.contains(&format!("dynamo-cache {command}")), "{examples}");
    }
}

#[test]
fn the_text_below_each_help_fits_a_terminal_and_only_paragraphs_are_wrapped() {
    let (mut commands, mut examples) = (vec![Cli::command()], 0);
    while let Some(command) = commands.pop() {
        let name = command.get_name().to_owned();
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let mut before = "";
        for line in help.lines() {
            if line.starts_with("  ") {
                examples += 1;
                assert!(line.chars().count() < 78, "{name}: too wide for 80 columns: {line}");
                assert_eq!(line.starts_with("    "), before.ends_with('\\'), "{name}: {before}\n{line}");
            } else {
                assert!(!before.ends_with('\\'), "{name}: nothing continues {before}");
                let whole = line.is_empty() || line.ends_with(['.', ':']);
                assert!(whole, "{name}: a paragraph is one line: {line}");
            }
            before = line;
        }
        commands.extend(command.get_subcommands().cloned());
    }
    assert!(examples > 20, "{examples}");
    // And so it is printed.
    let said = run(&["download", "--help"], "").output;
    assert!(said.contains("--apply --wait \\\n    --revision "), "{said}");
}

#[test]
fn an_error_without_a_cluster_names_the_places_that_were_searched() {
    let said = |kubeconfig: Option<&str>, arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dynamo-cache"));
        command.args(arguments).env_remove("KUBERNETES_SERVICE_HOST").env_remove("KUBECONFIG").env("HOME", "/nowhere");
        let said = command.envs(kubeconfig.map(|path| ("KUBECONFIG", path))).output().unwrap();
        assert_eq!(said.status.code(), Some(1), "{arguments:?}");
        String::from_utf8(said.stderr).unwrap()
    };
    for (kubeconfig, context, expected) in [
        (
            None,
            None,
            "no cluster: KUBECONFIG is not set, and /nowhere/.kube/config does not exist; pass one with --kubeconfig",
        ),
        (
            Some(""),
            None,
            "no cluster: KUBECONFIG is not set, and /nowhere/.kube/config does not exist; pass one with --kubeconfig",
        ),
        (
            Some("/nowhere/it"),
            None,
            "no cluster: KUBECONFIG names /nowhere/it, which does not exist; pass another with --kubeconfig",
        ),
        (
            Some("/dev/null"),
            None,
            "no cluster: /dev/null: failed to determine current context; pass another with --kubeconfig",
        ),
        (
            None,
            Some("mine"),
            "failed to read the kubeconfig /nowhere/.kube/config: No such file or directory (os error 2)",
        ),
        (Some("/dev/null"), Some("mine"), "failed to read the kubeconfig /dev/null: it has no context mine"),
    ] {
        let context = context.map(|context| ["--context", context]);
        let arguments: Vec<_> = std::iter::once("status").chain(context.into_iter().flatten()).collect();
        assert_eq!(said(kubeconfig, &arguments), format!("{expected}\n"));
    }
}

#[test]
fn bash_completes_commands_options_and_values_and_every_shell_gets_a_script() {
    let script = run(&["completion", "bash"], "").output;
    let script = file("completion.bash", &script);
    let complete = |words: &str| {
        let count = words.split(' ').count() - 1;
        let last = words.rsplit(' ').next().unwrap();
        let commands = format!(
            "source {script}; COMP_WORDS=({words}); COMP_CWORD={count}; function=$(complete -p dynamo-cache); \
             function=${{function#*-F }}; ${{function%% *}} dynamo-cache '{last}' dynamo-cache; echo \"${{COMPREPLY[@]}}\""
        );
        let said = Command::new("bash").args(["-c", &commands]).output().unwrap();
        String::from_utf8_lossy(&said.stdout).trim().to_owned()
    };
    for (words, completed) in [
        ("dynamo-cache prev", "preview"),
        ("dynamo-cache check --write", "--write-probe"),
        ("dynamo-cache completion z", "zsh"),
        ("dynamo-cache config sch", "schema"),
    ] {
        assert_eq!(complete(words), completed, "{words}");
    }
    for (shell, begin) in [("zsh", "#compdef dynamo-cache"), ("fish", "# ")] {
        let said = run(&["completion", shell], "");
        assert!(said.output.starts_with(begin) && said.output.contains("preview"), "{}", said.output);
    }
    assert_eq!(run(&["completion", "tcsh"], "").code, Some(2));
}
