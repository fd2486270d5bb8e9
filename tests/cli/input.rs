//! What `inject` and `explain` read: files as kubectl takes them, and facts among them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::harness::program::{Run, file, run};

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: NAME\nspec:\n  containers:\n  - name: main\n    \
                   image: vllm-runtime\n    command: [python3, -m, dynamo.vllm]\n";

fn pod(name: &str) -> String {
    POD.replace("NAME", name)
}

/// A new folder with these files.
fn folder(name: &str, files: &[(&str, &str)]) -> String {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder.display().to_string()
}

/// The names of the pods in an output, in order.
fn names(run: &Run) -> Vec<&str> {
    assert_eq!(run.code, Some(0), "{}", run.errors);
    run.output.lines().filter_map(|line| line.strip_prefix("  name: ").or_else(|| line.strip_prefix("Pod/"))).collect()
}

#[test]
fn files_and_folders_are_read_in_the_order_of_kubectl() {
    let json =
        serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "b"}, "spec": {"containers": []}});
    let folder = folder(
        "folder",
        &[
            ("c.yml", pod("c").trim_end()),
            ("a.yaml", &format!("# first\n{}", pod("a"))),
            ("b.json", &json.to_string()),
            ("d.txt", "not: [yaml"),
            ("below/e.yaml", &format!("---\n{}", pod("e"))),
        ],
    );
    let last = file("last.yaml", &pod("last"));
    for (arguments, expected) in [
        (vec!["-f", &folder, "-f", &last], vec!["a", "b", "c", "last"]),
        (vec!["-f", &last, "-R", "-f", &folder], vec!["last", "a", "b", "e", "c"]),
        (vec!["-f", &last, "-f", "-"], vec!["last", "stdin"]),
    ] {
        for command in ["inject", "explain"] {
            let run = run(&[&[command], arguments.as_slice()].concat(), &pod("stdin"));
            assert_eq!(names(&run), expected, "{command} {arguments:?}");
        }
    }
    for (arguments, message) in [
        (vec!["-f", "-", "-f", "-"], "-f - is there twice, and standard input can be read once\n".to_owned()),
        (
            vec!["-f", "nowhere.yaml"],
            "failed to read nowhere.yaml: No such file or directory (os error 2)\n".to_owned(),
        ),
    ] {
        let run = run(&[&["inject"], arguments.as_slice()].concat(), "");
        assert_eq!((run.code, run.errors), (Some(1), message));
    }
    let empty = self::folder("empty", &[("x.txt", ""), ("below/e.yaml", "")]);
    let said = run(&["inject", "-f", &empty], "");
    let message = format!("{empty}: no file ends in .yaml, .yml or .json; -R reads the folders below it\n");
    assert_eq!((said.code, said.errors), (Some(1), message));
}

#[test]
fn links_to_folders_are_not_followed_and_links_to_files_are() {
    let folder = folder("links", &[("a.yaml", &pod("a")), ("below/b.yaml", &pod("b")), ("out.txt", &pod("c"))]);
    for (target, link) in [(".", "loop"), ("..", "below/up.yaml"), ("below", "other.yaml"), ("out.txt", "c.yaml")] {
        symlink(target, Path::new(&folder).join(link)).unwrap();
    }
    for command in ["inject", "explain"] {
        assert_eq!(names(&run(&[command, "-R", "-f", &folder], "")), ["a", "b", "c"]);
        assert_eq!(names(&run(&[command, "-f", &folder], "")), ["a", "c"]);
    }
}

#[test]
fn utf_16_and_byte_order_marks_in_later_documents_are_read() {
    let text = format!("\u{feff}{}---\n{}", pod("a"), pod("b"));
    let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let path = file("utf-16.yaml", "");
    fs::write(&path, bytes).unwrap();
    let joined = file("joined.yaml", &format!("\u{feff}{}---\n\u{feff}{}", pod("a"), pod("b")));
    let plain = file("plain.yaml", &format!("{}---\n{}", pod("a"), pod("b")));
    let expected = run(&["inject", "-f", &plain], "");
    for path in [path, joined] {
        let run = run(&["inject", "-f", &path], "");
        assert_eq!(names(&run), ["a", "b"]);
        assert_eq!(run.output, expected.output, "{path}");
    }
}

#[test]
fn a_helm_template_is_recognised_by_inject_and_explain() {
    for (text, at) in [
        ("{{- if .Values.worker }}\napiVersion: v1\n{{- end }}\n", "1:1"),
        ("apiVersion: v1\nkind: Pod\nmetadata:\n  name: {{ .Release.Name }}\n", "4:9"),
        ("apiVersion: v1\nkind: Pod\nmetadata:\n  labels:\n    {{- include \"x\" . | nindent 4 }}\n", "5:5"),
    ] {
        for command in ["inject", "explain"] {
            let run = run(&[command, "-f", "-"], text);
            let message = "this is a Helm template: render it first (helm template … | dynamo-cache inject -f -)";
            assert_eq!((run.code, run.errors), (Some(1), format!("<stdin>:{at}: {message}\n")));
        }
    }
    // A mistake of another kind is none of Helm's.
    let alert = "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nspec: {a: \"{{ $labels.pod }}\"}\n";
    let twice =
        format!("{alert}---\n# {{{{ .Values }}}}\n{}", pod("a").replace("kind: Pod\n", "kind: Pod\nkind: Pod\n"));
    let said = run(&["inject", "-f", "-"], &twice);
    assert_eq!((said.code, said.errors.as_str()), (Some(1), "<stdin>:8:1: duplicate key \"kind\"\n"));
    // Braces of other templates are text, where they are in quotes.
    let text = pod("a").replace("vllm-runtime", "'{{inputs.parameters.image}}'");
    assert_eq!(names(&run(&["inject", "-f", "-"], &text)), ["a"]);
}

#[test]
fn a_boolean_or_number_where_text_belongs_is_named_with_its_quotes() {
    for (value, place, kind) in [("n", "boolean `false`", "a boolean"), ("0x1F", "integer `31`", "a number")] {
        let text = format!("{}    env:\n    - name: A\n      value: {value}  # off\n", pod("a"));
        for command in ["inject", "explain"] {
            let run = run(&[command, "-f", "-"], &text);
            let message = format!(
                "<stdin>:12:14: Pod/a: spec.containers.0.env.0.value: invalid type: {place}, expected a string; {value} \
                 without quotes is {kind} in YAML: write \"{value}\" if it is text\n"
            );
            assert_eq!((run.code, run.errors), (Some(1), message), "{command}");
        }
    }
    // Quotes do not help where something else than text belongs.
    let said = run(&["inject", "-f", "-"], &pod("a").replace("    command", "    volumeMounts: 5\n    command"));
    assert!(said.code == Some(1) && said.errors.contains("spec.containers.0.volumeMounts"), "{}", said.errors);
    assert!(!said.errors.contains("quotes"), "{}", said.errors);
    let json = r#"{"kind": "Pod", "spec": {"containers": [{"name": "a", "env": [{"name": "A", "value": {}}]}]}}"#;
    let run = run(&["inject", "-f", "-"], json);
    assert!(run.errors.ends_with("invalid type: map, expected a string\n"), "{}", run.errors);
}

#[test]
fn namespaces_and_claims_of_the_input_count_as_facts() {
    let claim = |namespace: &str, name: &str, mode: &str| {
        format!(
            "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: {name}{namespace}}}\nspec: {{accessModes: [{mode}]}}\n"
        )
    };
    let here = ", namespace: here";
    let in_here = pod("a").replace("name: a\n", "name: a\n  namespace: here\n");
    let once = claim(here, "model-cache", "ReadWriteOnce");
    let said = |input: &str, arguments: &[&str]| run(&[&["inject", "-f", "-"], arguments].concat(), input);
    let run = said(&format!("{in_here}{once}"), &[]);
    assert!(
        run.errors.contains("container main without model: ") && run.errors.contains("[claim-single-node]"),
        "{}",
        run.errors
    );
    let note = "facts from the input itself: PersistentVolumeClaim/model-cache; ";
    assert_eq!(run.errors.matches(note).count(), 1, "{}", run.errors);
    assert_eq!(run.errors.lines().count(), 2, "other claims exist: {}", run.errors);
    // Another namespace, and what flags say.
    let elsewhere = said(&format!("{in_here}{}", claim("", "model-cache", "ReadWriteOnce")), &[]);
    assert!(elsewhere.output.contains("claimName: model-cache"), "{}", elsewhere.errors);
    assert_eq!(elsewhere.errors, "", "what counts for no pod is not named");
    let two = format!(
        "{in_here}{}{once}{}",
        claim("", "other", "ReadWriteOnce"),
        claim(", namespace: there", "third", "ReadWriteMany")
    );
    let said_of_two = said(&two, &[]);
    assert_eq!(said_of_two.errors.matches(note).count(), 1, "{}", said_of_two.errors);
    let flags = said(&format!("{in_here}{once}"), &["--claim", "model-cache", "--claim", "compilation-cache"]);
    assert!(flags.output.contains("claimName: model-cache"), "{}", flags.errors);
    assert_eq!(flags.errors, "");
    // A Namespace, for its own pods and for those without one if it is the only one.
    let namespace = |name: &str| {
        format!(
            "---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, annotations: {{dynamo-cache.io/model-claim: of-{name}}}}}\n"
        )
    };
    for (input, expected) in [
        (format!("{in_here}{}{}", namespace("there"), namespace("here")), "of-here"),
        (format!("{}{}", pod("a"), namespace("here")), "of-here"),
        (format!("{}{}{}", pod("a"), namespace("here"), namespace("there")), "model-cache"),
    ] {
        let run = said(&input, &[]);
        assert!(run.output.contains(&format!("claimName: {expected}\n")), "{expected}: {}", run.output);
        let note = "facts from the input itself: Namespace/here; ";
        assert_eq!(run.errors.contains(note), expected == "of-here", "{}", run.errors);
        assert!(!run.errors.contains("Namespace/there"), "{}", run.errors);
    }
    let option = said(
        &format!("{}{}", pod("a"), namespace("here")),
        &["--namespace-annotation", "dynamo-cache.io/model-claim=mine"],
    );
    assert!(option.output.contains("claimName: mine"), "{}", option.output);
}

#[test]
fn a_pod_template_is_named_by_a_pointer_with_a_star_or_to_a_bare_spec() {
    let containers = "{containers: [{name: main, image: vllm-runtime, command: [python3, -m, dynamo.vllm]}]}";
    let thing = format!(
        "apiVersion: example.com/v1\nkind: Thing\nmetadata: {{name: x}}\nspec: {{groups: {{a: {{template: {{spec: {containers}}}}}, b: {{template: {{spec: {containers}}}}}}}, bare: {containers}, other: {{x: 1}}}}\n"
    );
    let pointers = ["--pod-template", "/spec/groups/*/template", "--pod-template", "/spec/bare"];
    let said = |command: &str, pointers: &[&str]| run(&[&[command, "-f", "-"], pointers].concat(), &thing);
    let run = said("inject", &pointers);
    assert_eq!((run.code, run.errors.as_str()), (Some(0), ""));
    assert_eq!(run.output.matches("\"dynamo-cache-model\", \"persistentVolumeClaim\"").count(), 3, "{}", run.output);
    assert_eq!(run.output.matches("dynamo-cache.io/status").count(), 2, "a bare spec has no annotations");
    let explained = said("explain", &pointers);
    for name in ["/spec/groups/a/template", "/spec/groups/b/template", "/spec/bare"] {
        assert!(explained.output.contains(&format!("Thing/x {name}\n")), "{}", explained.output);
    }
    for command in ["inject", "explain"] {
        let nothing = said(
            command,
            &[
                "--pod-template",
                "/spec/*/nowhere",
                "--pod-template",
                "/spec/other",
                "--pod-template",
                "/nowhere/spec/other",
            ],
        );
        let lines = [
            "--pod-template /nowhere/spec/other: no document has a pod template there",
            "--pod-template /spec/*/nowhere: no document has a pod template there",
            "--pod-template /spec/other: Thing/x has no pod template at /spec/other: it has neither a spec nor containers there",
        ];
        assert_eq!((nothing.code, nothing.output.as_str()), (Some(1), ""));
        assert_eq!(nothing.errors.trim_end().lines().collect::<Vec<_>>(), lines);
    }
}

#[test]
fn a_pod_template_that_is_known_is_not_injected_twice_where_its_spec_is_named() {
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  template:\n    spec:\n      containers:\n      \
                - {name: main, image: x, command: [python3, -m, dynamo.vllm], env: [{name: A, value: x}]}\n";
    let said = |pointer: &[&str]| run(&[&["inject", "-f", "-"], pointer].concat(), text);
    let usual = said(&[]);
    for pointer in ["/spec/template", "/spec/template/spec", "/spec/*/spec"] {
        let named = said(&["--pod-template", pointer]);
        assert_eq!((named.code, named.errors.as_str(), named.output.as_str()), (Some(0), "", usual.output.as_str()));
    }
}

#[test]
fn explain_reports_annotations_on_a_controller_with_where_they_belong() {
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d, annotations: {dynamo-cache.io/engine: vllm, other: x}}\n\
                spec: {template: {spec: {containers: [{name: main, image: x, command: [python3, -m, dynamo.vllm]}]}}}\n";
    let said = run(&["explain", "-f", "-"], text);
    let line = "<stdin>:1:1: Deployment/d: dynamo-cache.io/engine has no effect here, only on a pod [annotation-ignored]. Put it \
                on the pod (for a controller: on its pod template). It belongs into /spec/template/metadata/annotations.\n";
    assert_eq!((said.code, said.errors.as_str()), (Some(0), line));
    assert!(said.output.starts_with("Deployment/d\n"), "{}", said.output);
    let set = "apiVersion: leaderworkerset.x-k8s.io/v1\nkind: LeaderWorkerSet\nmetadata: {name: s, annotations: {dynamo-cache.io/engine: \
               vllm}}\nspec: {leaderWorkerTemplate: {leaderTemplate: {spec: {containers: []}}, workerTemplate: {spec: {containers: []}}}}\n";
    let said = run(&["explain", "-f", "-"], set);
    let places = " It belongs into /spec/leaderWorkerTemplate/leaderTemplate/metadata/annotations, \
                  /spec/leaderWorkerTemplate/workerTemplate/metadata/annotations.\n";
    assert!(said.errors.ends_with(places), "{}", said.errors);

    // A part of the object that has pods, and is none itself.
    let line = |object: &str, place: &str| {
        format!(
            "{object}: dynamo-cache.io/skip has no effect here, only on a pod [annotation-ignored]. Put it on the pod (for a \
             controller: on its pod template). It belongs into {place}/metadata/annotations.\n"
        )
    };
    let template = "template: {metadata: {annotations: {dynamo-cache.io/engine: vllm}}, spec: {containers: []}}";
    let part = format!("metadata: {{annotations: {{dynamo-cache.io/skip: all}}}}, spec: {{{template}}}");
    let job =
        format!("{{apiVersion: batch/v1, kind: CronJob, metadata: {{name: c}}, spec: {{jobTemplate: {{{part}}}}}}}");
    let list = format!("{{apiVersion: v1, kind: List, items: [{job}]}}");
    let sets = format!(
        "apiVersion: jobset.x-k8s.io/v1alpha2\nkind: JobSet\nmetadata: {{name: j}}\nspec: {{replicatedJobs: [{{template: \
         {{spec: {{{template}}}}}}}, {{template: {{{part}}}}}]}}\n"
    );
    let of_set = "/spec/replicatedJobs/1/template";
    for (text, lines) in [
        (job.as_str(), line("CronJob/c /spec/jobTemplate", "/spec/jobTemplate/spec/template")),
        (&list, line("CronJob/c /spec/jobTemplate", "/items/0/spec/jobTemplate/spec/template")),
        (&sets, line(&format!("JobSet/j {of_set}"), &format!("{of_set}/spec/template"))),
    ] {
        let said = run(&["explain", "-f", "-"], text);
        assert!(said.errors.ends_with(&lines) && said.errors.matches("has no effect").count() == 1, "{}", said.errors);
    }
}

#[test]
fn comments_order_and_style_of_what_is_not_changed_stay() {
    let text = "\
# Two workers, and their Service.
apiVersion: apps/v1
kind: Deployment
metadata: { name: one }   # the first
spec:
    template:
        spec:
            # GPU nodes only
            nodeSelector: &gpu
                gpu: 'yes'

            containers:
                -   name: main
                    image: \"vllm-runtime\"
                    command: [ python3, -m, dynamo.vllm ] # no shell
                    args:
                        - >-
                          --model
                          a/b
                    env: []
---
# Nothing of it changes.
apiVersion: v1
kind: Service
metadata: {name: one}
spec: {ports: [{port: 0x1F90}]}
...
# the end
";
    let said = run(&["inject", "-f", "-"], text);
    assert_eq!((said.code, said.errors.as_str()), (Some(0), ""));
    let mut kept = said.output.lines();
    for line in text.lines().map(|line| line.strip_suffix(" []").unwrap_or(line)) {
        assert!(kept.any(|kept| kept == line), "no {line:?}, in its order, in:\n{}", said.output);
    }
    assert!(
        said.output.contains("\n                    env:\n                    - name: HF_HOME\n"),
        "{}",
        said.output
    );
}

#[test]
fn what_a_namespace_or_claim_says_in_another_type_is_refused_with_its_place() {
    let pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: x, command: [python3, -m, dynamo.vllm]}]}\n";
    for (object, message) in [
        (
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n  annotations:\n    dynamo-cache.io/model-offline: true\n",
            "<stdin>:6:36: Namespace/a: metadata.annotations.dynamo-cache.io/model-offline: invalid type: a boolean, expected a string; true without quotes is a boolean in YAML: write \"true\" if it is text",
        ),
        (
            "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: model-cache}\nspec:\n  accessModes: ReadWriteMany\n",
            "<stdin>:5:16: PersistentVolumeClaim/model-cache: spec.accessModes: invalid type: text, expected a list",
        ),
    ] {
        for command in ["inject", "explain"] {
            let said = run(&[command, "-f", "-"], &format!("{object}{pod}"));
            assert_eq!((said.code, said.output.as_str()), (Some(1), ""), "{}", said.errors);
            assert!(said.errors.contains(message), "{}", said.errors);
        }
    }
}

#[test]
fn a_document_without_a_kind_is_left_as_it_is_and_named() {
    let values = "replicas: 2\nimage: x\n";
    let said = run(&["inject", "-f", "-"], values);
    assert_eq!((said.code, said.output.as_str()), (Some(0), values));
    assert_eq!(said.errors, "no object of Kubernetes, since it has no kind, and left as it is: <stdin>:1:1\n");
}

#[test]
fn an_object_without_a_namespace_is_explained_in_the_one_that_is_named() {
    let namespaces = ["here", "there"].map(|name| {
        format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, annotations: {{dynamo-cache.io/model-claim: of-{name}}}}}\n---\n"
        )
    });
    let mut text = namespaces.concat();
    text += "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: x, command: [python3, -m, dynamo.vllm]}]}\n";
    let said = run(&["explain", "-f", "-", "-n", "there"], &text);
    assert!(
        said.output.contains("of-there") && said.errors.contains("Namespace/there;"),
        "{}{}",
        said.output,
        said.errors
    );
}
