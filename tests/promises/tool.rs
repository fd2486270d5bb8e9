//! The tool around the webhook: completion, a plugin of kubectl, help with examples, and the way out.

use std::os::unix::fs::symlink;

use super::control_plane::{ControlPlane, shared};
use super::program::{file, run};
use super::stored::worker;

/// Every command that a person types, but for those that say more by themselves.
const COMMANDS: [&str; 11] = [
    "serve",
    "inject",
    "try",
    "check",
    "explain",
    "preview",
    "status",
    "download",
    "config",
    "completion",
    "uninstall",
];

#[test]
fn every_command_has_a_help_with_examples() {
    let help = run(&["--help"], "").output;
    for command in COMMANDS {
        assert!(
            help.lines().any(|line| line.trim_start().starts_with(&format!("{command} "))),
            "no {command} in {help}"
        );
        let said = run(&[command, "--help"], "");
        assert_eq!(said.code, Some(0));
        let examples = said.output.split_once("Examples:\n").unwrap_or_else(|| panic!("{command} has no examples")).1;
        assert!(examples.contains(&format!("dynamo-cache {command}")), "{examples}");
    }
}

#[test]
fn bash_completes_commands_and_every_shell_gets_a_script() {
    let script = run(&["completion", "bash"], "").output;
    let script = file("completion.bash", &script);
    let complete = format!(
        "source {script}; COMP_WORDS=(dynamo-cache prev); COMP_CWORD=1; function=$(complete -p dynamo-cache); \
         function=${{function#*-F }}; ${{function%% *}} dynamo-cache prev dynamo-cache; echo \"${{COMPREPLY[@]}}\""
    );
    let said = std::process::Command::new("bash").args(["-c", &complete]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), "preview", "{}", String::from_utf8_lossy(&said.stderr));
    for (shell, begin) in [("zsh", "#compdef dynamo-cache"), ("fish", "# ")] {
        let said = run(&["completion", shell], "");
        assert!(said.output.starts_with(begin) && said.output.contains("preview"), "{}", said.output);
    }
    assert_eq!(run(&["completion", "tcsh"], "").code, Some(2));
}

#[test]
fn kubectl_finds_the_program_as_its_plugin() {
    let folder = shared().folder("plugin");
    std::fs::create_dir(&folder).unwrap();
    symlink(env!("CARGO_BIN_EXE_dynamo-cache"), folder.join("kubectl-dynamo_cache")).unwrap();
    let path = format!("PATH={}:$PATH", folder.display());
    let said = shared().bash(&format!("{path} kubectl dynamo-cache explain --help")).unwrap();
    assert!(said.out.contains("Usage: kubectl dynamo-cache explain"), "{}", said.out);
    let said = shared().bash(&format!("{path} kubectl dynamo-cache status -n kube-public")).unwrap();
    assert_eq!(said.out, "There are no Dynamo components.\n");
}

#[test]
fn uninstalling_takes_the_webhook_configuration_away_and_tells_the_rest() {
    let plane = ControlPlane::start().unwrap();
    plane.bash("kubectl apply -f manifests/install.yaml").unwrap();
    let configuration = ["mutatingwebhookconfiguration", "dynamo-cache", "--ignore-not-found", "--output=name"];
    let is_there = || !plane.kubectl(&[&["get"], configuration.as_slice()].concat()).unwrap().out.is_empty();
    let said = plane.dynamo_cache(&["uninstall"]);
    let all = "would delete ValidatingAdmissionPolicyBinding/dynamo-cache-guard\nwould delete \
               MutatingWebhookConfiguration/dynamo-cache\nwould delete ValidatingAdmissionPolicy/dynamo-cache-guard\n";
    assert!(said.output.starts_with(all), "{}", said.output);
    assert!(is_there(), "nothing is deleted without --yes");

    let said = plane.dynamo_cache(&["uninstall", "--yes"]);
    assert_eq!((said.code, said.errors.as_str()), (Some(0), ""), "{}", said.output);
    assert!(said.output.contains("deleted MutatingWebhookConfiguration/dynamo-cache\n"), "{}", said.output);
    assert!(!is_there());
    let rest = "kubectl delete -f manifests/install.yaml --ignore-not-found";
    assert!(said.output.contains(rest), "{}", said.output);
    plane.bash(rest).unwrap();
    let said = plane.dynamo_cache(&["uninstall", "--yes"]);
    assert!(said.code == Some(0) && said.output.starts_with("Nothing to do: "), "{}", said.output);

    // And a pod that was created since is told so.
    let wait = ["wait", "--for=create", "serviceaccount/default", "--timeout=60s"];
    plane.kubectl(&wait).unwrap();
    plane.kubectl(&["create", "-f", &plane.file(&worker("alone").to_string())]).unwrap();
    let said = plane.dynamo_cache(&["explain", "alone", "-n", "default"]);
    assert_eq!(said.code, Some(0), "{}", said.errors);
    assert!(said.output.contains("the webhook is not installed"), "{}", said.output);
    assert!(said.errors.contains("the built-in settings are taken"), "{}", said.errors);
}
