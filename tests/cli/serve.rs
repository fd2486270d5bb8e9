//! `dynamo-cache serve`: what keeps it from starting.

use crate::harness::program::{file, kubeconfig, run};

#[test]
fn without_a_cluster_serve_says_how_to_go_on() {
    let alone = run(&["serve"], "");
    assert_eq!(alone.code, Some(1));
    assert!(alone.errors.contains("no cluster"), "{}", alone.errors);
    for way in ["--standalone", "--kubeconfig", "dynamo-cache try"] {
        assert!(alone.errors.contains(way), "{}", alone.errors);
    }
}

#[test]
fn every_mistake_is_reported_before_a_socket_is_bound() {
    let kubeconfig = kubeconfig("mistakes");
    let settings = file("mistakes.yaml", "apiVersion: dynamo-cache.io/v1alpha1\nkind: CacheConfig\nmodelCash: {}\n");
    let refused = run(&["serve", "--kubeconfig", &kubeconfig, "--config", &settings], "");
    assert_eq!(refused.code, Some(1));
    for words in [&*format!("{settings}:3:1"), "modelCash", "certs/dev", "--cert-file", "--key-file"] {
        assert!(refused.errors.contains(words), "{words} is not in {}", refused.errors);
    }
    assert!(!refused.errors.contains("listening"));
}
