//! The program as a plugin of kubectl.

use std::os::unix::fs::symlink;

use crate::harness::control_plane::shared;

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
