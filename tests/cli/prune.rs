//! `dynamo-cache prune`, and what the Jobs of it and of `usage` run, without a cluster.

use std::fs;

use crate::harness::program::run;

#[test]
fn a_revision_is_a_commit_of_a_model_or_its_first_digits() {
    let commit = "c1899de289a04d12100db370d81485cdf75e47ca";
    for arguments in [
        &["--model", "a/b", "--revision", "main"][..],
        &["--model", "a/b", "--revision", &commit[..6]],
        &["--model", "a/b/c"],
        &["--model", "../b"],
        &["--revision", commit],
        &["--older-than", "30"],
        &["--older-than", "1d", "--model", "a/b"],
    ] {
        let said = run(&[&["prune"], arguments].concat(), "");
        assert_eq!((said.code, said.output.as_str()), (Some(2), ""), "{arguments:?}: {}", said.errors);
    }
    for revision in [commit, &commit[..12]] {
        let said = run(&["prune", "--kubeconfig", "/nowhere", "--model", "a/b", "--revision", revision, "--yes"], "");
        assert!(said.code == Some(1) && said.errors.contains("/nowhere"), "{}", said.errors);
    }
}

#[test]
fn the_program_measures_a_folder_and_removes_what_is_a_compile_cache() {
    let claim = format!("{}/prune-claim", env!("CARGO_TARGET_TMPDIR"));
    drop(fs::remove_dir_all(&claim));
    let folder = "0123456789ab-any-ba9876543210-u1000";
    fs::create_dir_all(format!("{claim}/{folder}")).unwrap();
    fs::create_dir_all(format!("{claim}/hub/models--a--b")).unwrap();
    fs::write(format!("{claim}/{folder}/kernel"), "12345").unwrap();
    let said = run(&["measure", &claim], "");
    let contents: serde_json::Value = serde_json::from_str(&said.output).unwrap();
    assert_eq!((said.code, &contents["folders"][0]["bytes"]), (Some(0), &5.into()), "{}", said.errors);
    assert_eq!(contents["models"][0]["model"], "a/b");

    let said = run(&["remove", &claim, "--unused-since", "9999999999", "--", folder, "hub", "-none"], "");
    let results: Vec<serde_json::Value> = said.output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let results: Vec<_> = results.iter().map(|line| line["result"].as_str().unwrap()).collect();
    assert_eq!((said.code, results), (Some(0), vec!["removed", "failed", "failed"]), "{}", said.errors);
    let left: Vec<_> = fs::read_dir(&claim).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["hub"]);
    let said = run(&["measure", "/none-such"], "");
    assert!(said.code == Some(1) && said.errors.starts_with("failed to read /none-such: "), "{}", said.errors);
    fs::remove_dir_all(claim).unwrap();
}
