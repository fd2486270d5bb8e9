//! Long lists: the commands read them page by page, and fail if a page does.

use std::fs;

use serde_json::json;

use crate::harness::control_plane::faulty_api_server::{FaultyApiServer, ListFault};
use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::{shared, webhook};
use crate::harness::pods::{example, worker};
use crate::harness::program::{Run, run_in};

/// The commands that list pods.
const COMMANDS: [&[&str]; 6] =
    [&["status"], &["status", "-A"], &["check"], &["preview"], &["preview", "-o", "diff"], &["report"]];

/// A namespace with pods of a Deployment, others without a controller, and others that are no components.
fn with_pods() -> Namespace<'static> {
    let namespace = Namespace::opted_in(shared(), &[]);
    namespace.claims(&["model-cache", "compilation-cache"]);
    namespace.apply(&example("vllm-worker.yaml")).unwrap();
    namespace.kubectl(&["scale", "deployment/vllm-worker", "--replicas=3"]).unwrap();
    let wait = ["wait", "--for=jsonpath={.status.replicas}=3", "deployment/vllm-worker", "--timeout=60s"];
    namespace.kubectl(&wait).unwrap();
    for name in ["a", "b", "z"] {
        namespace.create(&worker(name).to_string()).unwrap();
        let mut other = worker(&format!("{name}-other"));
        other["spec"]["containers"][0]["command"] = json!(["sleep"]);
        namespace.create(&other.to_string()).unwrap();
    }
    namespace
}

/// A way to the API server that fails on demand.
fn faulty() -> FaultyApiServer {
    FaultyApiServer::to(&fs::read_to_string(shared().kubeconfig()).unwrap())
}

fn said(server: &FaultyApiServer, namespace: &Namespace, arguments: &[&str]) -> Run {
    let kubeconfig = shared().file(&server.kubeconfig());
    let namespace = if arguments.contains(&"-A") { vec![] } else { vec!["-n", &namespace.name] };
    run_in(kubeconfig.as_ref(), &[arguments, &namespace].concat(), "")
}

/// The lines of a run about one namespace: those of others change while other tests run.
fn lines(run: &Run, namespace: &Namespace, arguments: &[&str]) -> (Option<i32>, Vec<String>, String) {
    let about = |line: &&str| !arguments.contains(&"-A") || line.contains(&namespace.name);
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    (run.code, run.output.lines().filter(about).map(words).collect(), run.errors.clone())
}

#[test]
fn commands_say_the_same_of_a_list_in_one_page_in_many_and_of_an_expired_one() {
    let _webhook = webhook::running();
    let (server, namespace) = (faulty(), with_pods());
    for arguments in COMMANDS {
        server.set_list_fault(ListFault::Passes);
        let expected = lines(&said(&server, &namespace, arguments), &namespace, arguments);
        assert!(!expected.1.is_empty(), "{arguments:?}: {expected:?}");
        for fault in [ListFault::HasSmallPages, ListFault::Expires] {
            server.set_list_fault(fault);
            let before = server.pages();
            assert_eq!(lines(&said(&server, &namespace, arguments), &namespace, arguments), expected, "{arguments:?}");
            assert!(server.pages() - before >= 5, "{arguments:?}: {} pages", server.pages() - before);
        }
    }
}

#[test]
fn a_command_fails_where_the_api_server_fails_after_a_page() {
    let _webhook = webhook::running();
    let (server, namespace) = (faulty(), with_pods());
    server.set_list_fault(ListFault::FailsAfterOnePage);
    for arguments in COMMANDS {
        let said = said(&server, &namespace, arguments);
        assert_eq!(said.code, Some(1), "{arguments:?}: {}", said.output);
        let why = if arguments[0] == "check" { &said.output } else { &said.errors };
        assert!(why.contains("as the test wants it"), "{arguments:?}: {} {}", said.output, said.errors);
        assert!(arguments[0] == "check" || said.output.is_empty(), "{arguments:?}: {}", said.output);
    }
}

#[test]
fn a_page_that_is_too_large_is_asked_for_again_with_fewer_objects() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[]);
    namespace.claims(&["model-cache", "compilation-cache"]);
    let large = "x".repeat(1 << 20);
    for number in 0..20 {
        let mut pod = worker(&format!("large-{number}"));
        pod["spec"]["containers"][0]["env"] = json!([{"name": "LARGE", "value": large}]);
        namespace.create(&pod.to_string()).unwrap();
    }
    let server = faulty();
    let said = said(&server, &namespace, &["status"]);
    assert_eq!((said.code, said.errors.as_str()), (Some(0), ""));
    assert!(said.output.contains(": 20 components, 20 with every cache in place"), "{}", said.output);
    assert!(server.pages() > 3, "{} pages", server.pages());
}
