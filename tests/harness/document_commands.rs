//! The commands of the documents that `cluster::documents` does not run, and the tests that run them.

/// Commands of the documents, by how they begin.
pub(crate) enum Commands {
    /// All commands of a block with a command that begins with this.
    Block(&'static str),
    /// One command that begins with this.
    Command(&'static str),
}

/// Commands that `cluster::documents` does not run, and why.
pub(crate) struct NotRun {
    pub(crate) what: Commands,
    pub(crate) why: &'static str,
    /// The file and the name of the test that runs it, where there is one.
    pub(crate) test: Option<(&'static str, &'static str)>,
}

/// The test that runs the commands of `docs/kustomize.md`.
const KUSTOMIZE: &str = "the_rendered_manifests_are_a_kustomize_base_that_is_removed_without_a_trace";

/// All commands that `cluster::documents` does not run.
pub(crate) const NOT_RUN: [NotRun; 18] = [
    NotRun { what: Commands::Command("tests/run"), why: "it is what runs the tests", test: None },
    NotRun {
        what: Commands::Command("tests/try"),
        why: "starts a cluster of its own",
        test: Some((
            "tests/cluster/try_script.rs",
            "a_person_gets_a_cluster_to_try_it_on_and_ctrl_c_removes_all_of_it",
        )),
    },
    NotRun {
        what: Commands::Block("kubectl kustomize ."),
        why: "wants the overlay of its page",
        test: Some(("tests/cluster/chart.rs", KUSTOMIZE)),
    },
    NotRun {
        what: Commands::Block("kubectl delete -k ."),
        why: "the same",
        test: Some(("tests/cluster/chart.rs", KUSTOMIZE)),
    },
    NotRun {
        what: Commands::Command("docker build "),
        why: "needs a container engine; tests/node/image builds the same image without one",
        test: Some(("tests/node/suite/install.rs", "the_image_takes_at_most_14_megabytes")),
    },
    NotRun { what: Commands::Command("docker push "), why: "needs a registry", test: None },
    NotRun {
        what: Commands::Block("cosign verify "),
        why: "needs what was published; `.ci/publish --trial` runs it with what it publishes on this machine",
        test: None,
    },
    NotRun { what: Commands::Block("gh attestation verify "), why: "needs GitHub", test: None },
    NotRun {
        what: Commands::Command("helm install dynamo-cache dynamo-cache-"),
        why: "needs the chart that was pulled, which `.ci/publish --trial` pulls",
        test: None,
    },
    NotRun {
        what: Commands::Command("dynamo-cache check -n inference --write-probe"),
        why: "needs a kubelet",
        test: Some(("tests/node/suite/check.rs", "a_healthy_installation_is_all_well_and_its_claims_are_written")),
    },
    NotRun {
        what: Commands::Command(
            "kubectl wait -n inference --for=condition=complete --timeout=1h -f manifests/examples/download-job.yaml",
        ),
        why: "needs a kubelet, on which a test waits for this Job",
        test: Some((
            "tests/node/suite/life.rs",
            "a_worker_finds_its_model_with_the_network_gone_and_without_the_label_it_does_not",
        )),
    },
    NotRun {
        what: Commands::Command(
            "dynamo-cache download Qwen/Qwen3-0.6B --revision c1899de289a04d12100db370d81485cdf75e47ca -n inference --create-claim",
        ),
        why: "needs a kubelet",
        test: Some((
            "tests/node/suite/download.rs",
            "a_download_prepares_its_claims_for_restricted_pods_and_is_not_repeated",
        )),
    },
    NotRun {
        what: Commands::Command("dynamo-cache prune -n inference --model"),
        why: "needs a kubelet, and a model on a claim",
        test: Some((
            "tests/node/suite/usage.rs",
            "usage_shows_what_workers_use_and_prune_removes_what_none_of_them_would_get",
        )),
    },
    NotRun {
        what: Commands::Command("kubectl logs -n inference POD --container dynamo-cache-stage"),
        why: "needs a kubelet that runs a staged pod",
        test: Some((
            "tests/node/suite/staged.rs",
            "workers_of_other_users_start_from_an_archive_on_a_claim_that_is_only_read_too",
        )),
    },
    NotRun {
        what: Commands::Command("kubectl logs --namespace dynamo-cache deployment/dynamo-cache"),
        why: "needs a kubelet, and shows what a container has written, which other tests read from the program",
        test: None,
    },
    NotRun {
        what: Commands::Block("kubectl port-forward "),
        why: "needs a kubelet; the page is asked for at the port itself",
        test: Some(("tests/node/suite/install.rs", "the_service_leads_to_two_ready_replicas_whose_probes_answer")),
    },
    NotRun {
        what: Commands::Block("kubectl scale --namespace dynamo-cache deployment/dynamo-cache --replicas=0"),
        why: "takes the webhook away",
        test: Some((
            "tests/cluster/certificates/recovery.rs",
            "a_ca_that_is_thrown_away_as_the_readme_says_is_trusted_no_more",
        )),
    },
    NotRun {
        what: Commands::Block("certs/dev --out"),
        why: "another mode of certificates",
        test: Some(("tests/cluster/certificates/from_files.rs", "a_certificate_from_files_is_served_and_trusted")),
    },
];

impl Commands {
    pub(crate) fn is(&self, block: &[String], command: &str) -> bool {
        match self {
            Commands::Block(begin) => block.iter().any(|command| command.starts_with(begin)),
            Commands::Command(begin) => command.starts_with(begin),
        }
    }
}

/// Whether `cluster::documents` leaves out a command of a block.
pub(crate) fn is_skipped(block: &[String], command: &str) -> bool {
    NOT_RUN.iter().any(|entry| entry.what.is(block, command))
}
