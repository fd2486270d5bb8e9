//! Kubeconfigs that lead to no cluster.

use crate::harness::control_plane::shared;
use crate::harness::program::{file, run};

#[test]
fn a_connection_error_of_a_command_shows_no_content_of_the_kubeconfig() {
    let broken = file("broken-kubeconfig.yaml", "users:\n- token: a-secret\n - wrong: [\n");
    let said = run(&["status", "--kubeconfig", &broken], "");
    assert_eq!((said.code, said.errors.lines().count()), (Some(1), 1), "{}", said.errors);
    assert!(said.errors.contains(&format!("failed to read the kubeconfig {broken}: ")), "{}", said.errors);
    assert!(!said.errors.contains("a-secret"), "{}", said.errors);
    let said = shared().dynamo_cache(&["status", "--context", "nowhere"]);
    assert!(said.code == Some(1) && said.errors.ends_with(": it has no context nowhere\n"), "{}", said.errors);
    let cluster = "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {}}]\ncurrent-context: c\n";
    let unreachable = file("unreachable-kubeconfig.yaml", cluster);
    let said = run(&["check", "--kubeconfig", &unreachable], "");
    assert_eq!(said.code, Some(1));
    assert!(said.errors.starts_with("failed to reach the API server at http://127.0.0.1:1/: "), "{}", said.errors);
}
