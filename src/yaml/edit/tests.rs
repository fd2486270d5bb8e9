//! Additions to texts of many styles.

use serde_json::{Value, json};

use crate::yaml::sources;

fn add(text: &str, additions: &[(&str, Value)]) -> Option<String> {
    let source = sources(text).next().unwrap().unwrap();
    let mut after = source.value.clone();
    let operations: Vec<_> =
        additions.iter().map(|(path, value)| json!({"op": "add", "path": path, "value": value})).collect();
    let patch: json_patch::Patch = serde_json::from_value(json!(operations)).unwrap();
    json_patch::patch(&mut after, &patch).unwrap();
    let edited = source.edit(text, &operations, &after)?;
    Some(edited.text + &text[source.text.unwrap().end..])
}

/// The difference that additions make, without the lines before it.
fn difference(text: &str, additions: &[(&str, Value)]) -> String {
    let edited = add(text, additions).unwrap_or_else(|| panic!("cannot add to:\n{text}"));
    let patch = diffy::DiffOptions::new().set_context_len(99).create_patch(text, &edited).to_string();
    let lines: Vec<_> = patch.lines().skip_while(|line| !line.starts_with('@')).skip(1).collect();
    lines.join("\n") + "\n"
}

#[test]
fn additions_stand_below_what_they_belong_to() {
    let text = "\
# the worker
kind: Pod # of mine
spec:
    containers:
    # main comes first
    - name: main   # m
      args: |
        set -e

        exec x
      # about nothing

    -   name: other
        env: []      # none yet
    volumes:
      - {name: a, emptyDir: {}}

# the end
";
    let additions = [
        ("/metadata", json!({})),
        ("/metadata/annotations", json!({"a": "{\"b\":1}"})),
        ("/spec/containers/0/env", json!([{"name": "A", "value": "1"}])),
        ("/spec/containers/0/env/-", json!({"name": "B", "value": "yes"})),
        ("/spec/containers/1/env/-", json!({"name": "A", "value": "1"})),
        ("/spec/volumes/-", json!({"name": "b", "emptyDir": {}})),
        ("/spec/volumes/0/x", json!("y")),
    ];
    let expected = "\x20# the worker
 kind: Pod # of mine
 spec:
     containers:
     # main comes first
     - name: main   # m
       args: |
         set -e

         exec x
       # about nothing
+      env:
+      - name: A
+        value: '1'
+      - name: B
+        value: 'yes'

     -   name: other
-        env: []      # none yet
+        env:       # none yet
+        - name: A
+          value: '1'
     volumes:
-      - {name: a, emptyDir: {}}
+      - {name: a, emptyDir: {}, \"x\": \"y\"}
+      - name: b
+        emptyDir: {}
+metadata:
+  annotations:
+    a: '{\"b\":1}'

 # the end
";
    assert_eq!(difference(text, &additions).replace('"', "'"), expected.replace('"', "'"));
}

#[test]
fn comments_at_the_end_of_a_list_stay_with_it() {
    let text = "\
kind: Pod
spec:
  containers:
  - name: main
    env:
    - name: A
      value: a
      # about the value

    # about the list

    # about the command
    command: [x]
    ports:
    - name: b
      # about b
    # about the ports
  # about the containers
# about nothing
---
kind: Other
";
    let additions = [
        ("/spec/containers/0/env/-", json!({"name": "B"})),
        ("/spec/containers/0/ports/-", json!({"name": "c"})),
        ("/spec/containers/0/tty", json!(true)),
        ("/spec/volumes", json!([])),
    ];
    let expected = "\x20kind: Pod
 spec:
   containers:
   - name: main
     env:
     - name: A
       value: a
       # about the value
+    - name: B

     # about the list

     # about the command
     command: [x]
     ports:
     - name: b
       # about b
+    - name: c
     # about the ports
+    tty: true
   # about the containers
+  volumes: []
 # about nothing
 ---
 kind: Other
";
    assert_eq!(difference(text, &additions), expected);
}

#[test]
fn an_alias_is_replaced_where_it_or_its_anchor_gets_additions() {
    let text = "a: &x\n  k: 1 # one\nb: *x # two\nc: [*x]\nd: &y\n- *x\n";
    let expected = "\
a: &x
  k: 1 # one
  z: 2
b:  # two
  k: 1
c: [{\"k\": 1}]
d: &y
- k: 1
";
    assert_eq!(add(text, &[("/a/z", json!(2))]).unwrap(), expected);
    let through = add("a: &x {k: 1}\nb: *x\n", &[("/b/z", json!(2))]).unwrap();
    assert_eq!(through, "a: &x {k: 1}\nb:\n  k: 1\n  z: 2\n");
    // The anchor of a mapping that `<<` merges must not get additions: they would be merged too.
    let merged = "a: &x\n  k: 1\nb:\n  <<: *x\n";
    assert_eq!(add(merged, &[("/a/z", json!(2))]), None);
    assert_eq!(add(merged, &[("/b/z", json!(2))]).unwrap(), format!("{merged}  z: 2\n"));
    assert_eq!(add("b:\n  k: []\n  <<: {k: [1]}\n", &[("/b/k/-", json!(2))]), None);
}

#[test]
fn the_end_of_a_line_and_of_a_file_stay_what_they_are() {
    for (text, expected) in [
        ("a:\n  b: 1", "a:\n  b: 1\n  z: x"),
        ("a:\r\n  b: 1\r\nc: 2\r\n", "a:\r\n  b: 1\r\n  z: x\r\nc: 2\r\n"),
        ("a:\n  b: |+\n    x\n\nc: 2\n", "a:\n  b: |+\n    x\n\n  z: x\nc: 2\n"),
        ("a:\n  b: |\n    x\n\n\nc: 2\n", "a:\n  b: |\n    x\n  z: x\n\n\nc: 2\n"),
        ("a:\n  ? b\n  : 1\nc: 2\n", "a:\n  ? b\n  : 1\n  z: x\nc: 2\n"),
        ("a: {b: 1,\n  # why\n}\n", "a: {b: 1, \"z\": \"x\",\n  # why\n}\n"),
        ("a: {b: }\n", "a: {b:, \"z\": \"x\" }\n"),
        ("a: {}\n", "a:\n  z: x\n"),
        ("# c\n--- # d\na:\n  b: 1\n...\n# e\n", "# c\n--- # d\na:\n  b: 1\n  z: x\n...\n# e\n"),
    ] {
        assert_eq!(add(text, &[("/a/z", json!("x"))]).as_deref(), Some(expected), "{text:?}");
    }
    for (text, expected) in [
        ("a:\nb: 1\n", "a:\n  z: x\nb: 1\n"),
        ("a: ~ # none\nb: 1\n", "a:  # none\n  z: x\nb: 1\n"),
        ("a: !!str y\n", "a:\n  z: x\n"),
    ] {
        assert_eq!(add(text, &[("/a", json!({"z": "x"}))]).as_deref(), Some(expected), "{text:?}");
    }
}

#[test]
fn the_last_line_of_a_block_that_is_only_spaces_stays_in_it() {
    for (text, expected) in [
        ("a:\n  b: |\n    x\n      \nc: 2\n", "a:\n  b: |\n    x\n      \n  z: x\nc: 2\n"),
        ("a:\n  b: >\n    x\n      \n\nc: 2\n", "a:\n  b: >\n    x\n      \n  z: x\n\nc: 2\n"),
        ("a:\n  b: |+\n    x\n      \n\nc: 2\n", "a:\n  b: |+\n    x\n      \n\n  z: x\nc: 2\n"),
        ("a:\n  b: |\n    x\n    \t\nc: 2\n", "a:\n  b: |\n    x\n    \t\n  z: x\nc: 2\n"),
        ("a:\n  b: |\n    x\n    \n  \nc: 2\n", "a:\n  b: |\n    x\n  z: x\n    \n  \nc: 2\n"),
        ("a:\n  b: |1\n     x\n     \nc: 2\n", "a:\n  b: |1\n     x\n     \n  z: x\nc: 2\n"),
        ("a:\n  b: |\n\n\nc: 2\n", "a:\n  b: |\n\n\n  z: x\nc: 2\n"),
        ("a:\n  b: |\n    x\n      ", "a:\n  b: |\n    x\n      \n  z: x"),
    ] {
        for (text, expected) in
            [(text.to_owned(), expected.to_owned()), (text.replace('\n', "\r\n"), expected.replace('\n', "\r\n"))]
        {
            assert_eq!(add(&text, &[("/a/z", json!("x"))]).as_deref(), Some(expected.as_str()), "{text:?}");
        }
    }
}

#[test]
fn items_stand_in_the_column_of_the_dashes_whatever_the_first_item_is() {
    for begin in ["|-", "|", ">-", "|+", "# why", "&x", "!!str # why", ""] {
        for column in ["", "  ", "    "] {
            let text = format!("a:\n{column}- {begin}\n{column}    --x\nb: 1\n");
            let expected = format!("a:\n{column}- {begin}\n{column}    --x\n{column}- --y\nb: 1\n");
            let edited = add(&text, &[("/a/-", json!("--y"))]).map(|edited| edited.replace(['\'', '"'], ""));
            assert_eq!(edited.as_deref(), Some(expected.as_str()), "{text}");
            let expected = format!("a:\n{column}- --y\n{column}- {begin}\n{column}    --x\nb: 1\n");
            let edited = add(&text, &[("/a/0", json!("--y"))]).map(|edited| edited.replace(['\'', '"'], ""));
            assert_eq!(edited.as_deref(), Some(expected.as_str()), "{text}");
        }
    }
}

#[test]
fn an_item_before_the_first_stands_above_the_line_with_its_dash() {
    for (text, expected) in [
        ("a:\n  -\n    b: 1\n", "a:\n  - z\n  -\n    b: 1\n"),
        ("a:\n  - # why\n    b: 1\n", "a:\n  - z\n  - # why\n    b: 1\n"),
        ("a:\n-\n\n  # why\n  b: 1\n", "a:\n- z\n-\n\n  # why\n  b: 1\n"),
        ("a:\n- &x\n  b: 1\n", "a:\n- z\n- &x\n  b: 1\n"),
        ("a:\n- - b\n  - c\n", "a:\n- z\n- - b\n  - c\n"),
        ("a:\n-\n  - b\n", "a:\n- z\n-\n  - b\n"),
    ] {
        assert_eq!(add(text, &[("/a/0", json!("z"))]).as_deref(), Some(expected), "{text:?}");
    }
    assert_eq!(
        add("a: [b, {c: 1}]\n", &[("/a/1", json!("z")), ("/a/0", json!(1))]).unwrap(),
        "a: [1, b, \"z\", {c: 1}]\n"
    );
    assert_eq!(add("a: [&x b, *x]\n", &[("/a/0", json!("z"))]), None, "a value of its anchor would be read");
    assert_eq!(add("- - b\n", &[("/0/0", json!("z"))]), None, "the dash is not the first in its line");
    assert_eq!(add("- - b\n", &[("/0/-", json!("z"))]).as_deref(), Some("- - b\n  - z\n"));
}

#[test]
fn lines_stand_below_a_last_key_without_a_value() {
    for last in ["b:", "b:   # why", "b:\n    # c: 1\n    # d: 2", "b :", "\"b\":", "? b\n  :", "b: ~", "b: &x"] {
        let text = format!("a:\n  x: 1\n  {last}\nc: 2\n");
        let edited = add(&text, &[("/a/z", json!("x"))]).unwrap_or_else(|| panic!("cannot add to:\n{text}"));
        let lines: Vec<_> = edited.lines().filter(|line| *line != "  z: x").collect();
        assert_eq!(lines.join("\n") + "\n", text);
    }
    assert_eq!(add("a:\n- x\n-\nb: 1\n", &[("/a/-", json!("z"))]).unwrap(), "a:\n- x\n-\n- z\nb: 1\n");
    assert_eq!(add("a:\n- x\n- # c\nb: 1\n", &[("/a/-", json!("z"))]).unwrap(), "a:\n- x\n- # c\n- z\nb: 1\n");
    assert_eq!(add("a:\n  b:\n    c:\nd:\n", &[("/a/b/z", json!("x"))]).unwrap(), "a:\n  b:\n    c:\n    z: x\nd:\n");
    assert_eq!(add("a: {b: }\n", &[("/a/z", json!("x"))]).unwrap(), "a: {b:, \"z\": \"x\" }\n");
}
