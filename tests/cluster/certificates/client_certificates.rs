//! Client certificates: only a caller that has one gets an answer.

use std::fs;

use crate::harness::certificates::client_certificate;
use crate::harness::control_plane::ControlPlane;
use crate::harness::control_plane::balancer::Balancer;
use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::replicas::{ADDRESS, Installation};
use crate::harness::pods::worker;
use crate::harness::program::file;
use crate::harness::{ROOT, wait_for};

#[test]
fn the_api_server_with_a_client_certificate_is_answered_and_one_without_is_not() {
    let [ca, certificate, key] = client_certificate();
    let (certificate, key) = (file("client.crt", &certificate), file("client.key", &key));
    let readme = fs::read_to_string(format!("{ROOT}/certs/client-certificates.md")).unwrap();
    let blocks: Vec<_> = readme.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let [configuration, kubeconfig] = blocks[..] else { panic!("two files are documented: {blocks:?}") };
    let kubeconfig = kubeconfig
        .replace("/etc/kubernetes/admission/tls.crt", &certificate)
        .replace("/etc/kubernetes/admission/tls.key", &key);
    let balancer = Balancer::start(ADDRESS);
    // The port of the Service is not 443 here.
    let name = "dynamo-cache.dynamo-cache.svc";
    let kubeconfig = kubeconfig.replace(name, &format!("{name}:{}", balancer.address.port()));
    let kubeconfig = file("client-kubeconfig.yaml", &kubeconfig);
    let configuration = configuration.replace("/etc/kubernetes/admission/kubeconfig.yaml", &kubeconfig);
    let configuration = file("admission.yaml", &configuration);
    let ca = format!("--client-ca-file={}", file("client-ca.crt", &ca));

    let with = format!("--admission-control-config-file={configuration}");
    for (flags, balancer) in [(vec![with], balancer), (Vec::new(), Balancer::start(ADDRESS))] {
        let plane = ControlPlane::start_with(&flags).unwrap();
        let installation = Installation::behind(balancer, &plane, "", &["--shutdown-delay=0s", &ca]);
        let namespace = Namespace::opted_in(&plane, &[]);
        let replica = installation.ready("one");
        if flags.is_empty() {
            wait_for("the API server to be refused", || match namespace.create(&worker("refused").to_string()) {
                Err(said) if said.contains("certificate required") => Ok(()),
                other => Err(format!("{:?}", other.err())),
            });
        } else {
            wait_for("a pod to be created", || namespace.create(&worker("answered").to_string()).map(drop));
            replica.wait_for("/metrics", "dynamo_cache_reviews_total{decision=\"patched\",dry_run=\"false\"} 1\n");
        }
    }
}
