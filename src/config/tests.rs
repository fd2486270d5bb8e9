//! Valid settings files, and the messages about invalid ones.

use serde_json::Value;

use super::{Config, default_file, schema};
use crate::admission::settings::{ALL, LoadFormat};

const HEAD: &str = "apiVersion: dynamo-cache.io/v1alpha1\nkind: CacheConfig\n";

fn mistakes(text: &str) -> Vec<String> {
    let error = Config::read(text).expect_err(text);
    let lines: Vec<_> = error.to_string().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), error.mistakes.len());
    lines
}

#[test]
fn the_default_file_has_the_defaults() {
    let file = default_file();
    assert_eq!(Config::read(&file), Ok(Config::default()), "{file}");
    assert!(file.contains(" Takes true or false."), "{file}");
    assert!(file.lines().all(|line| line.chars().count() <= 100 && line.trim_end() == line), "{file}");
    for key in ALL.iter().filter_map(|setting| setting.key) {
        assert!(file.contains(&format!("{}: ", key.rsplit('.').next().unwrap())), "{key}\n{file}");
    }
}

#[test]
fn the_default_file_is_valid_with_its_examples_too() {
    let file = default_file();
    let uncommented = file.lines().map(|line| {
        let (indent, rest) = line.split_at(line.len() - line.trim_start().len());
        let example = rest.strip_prefix("# ").filter(|rest| rest.split(' ').next().unwrap().ends_with(':'));
        example.filter(|rest| rest.split(' ').count() == 2).map_or(line.to_owned(), |rest| format!("{indent}{rest}"))
    });
    let file = uncommented.collect::<Vec<_>>().join("\n");
    let config = Config::read(&file).unwrap_or_else(|error| panic!("{error}\n{file}"));
    assert_eq!(config.settings.fs_group, Some(1000));
    assert_eq!(config.settings.express.url.as_deref(), Some("http://model-express-server:8001"));
    assert_eq!(config.settings.model.endpoint.as_deref(), Some("https://huggingface.example.com"));
}

#[test]
fn a_file_sets_what_it_names() {
    let text = format!(
        "{HEAD}modelCache:\n  claim: models\n  readOnly: true\ncompileCache: {{key: ' none ', mountPath: /cache}}\nmodelExpress:\n\
         missingClaim: inject\nfsGroup: 0\nevents: true\n"
    );
    let config = Config::read(&text).unwrap();
    assert_eq!((config.settings.model.claim.as_str(), config.settings.model.read_only), ("models", true));
    assert_eq!(config.settings.compile.mount_path.as_str(), "/cache");
    assert!(!config.settings.compile.key.image && config.events);
    assert_eq!(config.settings.fs_group, Some(0));
    assert_eq!(config.warnings, []);
}

#[test]
fn every_mistake_is_reported_at_once_with_its_position() {
    let text = "kind: CacheSettings\nmodelCache:\n  clam: x\n  claim: Models\n  layout: 1\n  offline: 'true'\nmodelCache: {}\n\
                compileCache:\n  key: [image, gpu]\n  multiNode:\nmountPath: /x\nfsGroup: -1\nevents: 1\nmissingClaims: skip\n\
                modelExpress: no-map\nspec: {}\n";
    assert_eq!(
        mistakes(text),
        [
            "1:1: apiVersion is missing; write apiVersion: dynamo-cache.io/v1alpha1",
            "1:7: kind is CacheConfig, not CacheSettings",
            "3:3: modelCache.clam is unknown; did you mean claim?",
            "4:10: modelCache.claim: \"Models\" is not the name of a claim",
            "5:11: modelCache.layout takes one of home, hub, not a number; did you mean \"1\", in quotes?",
            "6:12: modelCache.offline takes true or false, not text (true)",
            "7:1: modelCache is set twice",
            "9:8: compileCache.key takes a list of image, gpu, args, none in one text, separated by commas, not a list",
            "10:12: compileCache.multiNode has no value; it takes true or false",
            "11:1: mountPath is unknown; did you mean modelCache.mountPath?",
            "12:10: fsGroup: \"-1\" is not a group id",
            "13:9: events is true or false, not a number",
            "14:1: missingClaims is unknown; did you mean missingClaim?",
            "15:15: modelExpress is a mapping, not text",
            "16:1: spec is unknown; valid keys here: apiVersion, kind, events, modelCache, compileCache, staging, \
             modelExpress, loadFormat, missingClaim, singleNodeClaim, unprovenClaim, userNamespace, fsGroup",
        ]
    );
}

#[test]
fn other_files_are_refused() {
    assert_eq!(mistakes("").len(), 2);
    assert_eq!(mistakes("- a\n"), ["1:1: expected a mapping, not a list"]);
    assert_eq!(mistakes(&format!("{HEAD}---\na: 1\n")), ["4:1: a second document; only one is allowed"]);
    assert_eq!(mistakes(&format!("{HEAD}a: [\n")).len(), 1);
    assert_eq!(
        mistakes("apiVersion: v1\nkind: CacheConfig\n"),
        ["1:13: apiVersion is dynamo-cache.io/v1alpha1, not v1"]
    );
}

#[test]
fn the_mount_paths_must_not_overlap() {
    for (text, position) in [
        ("modelCache: {mountPath: /a}\ncompileCache: {mountPath: /a/b}\n", "4:27: "),
        ("modelCache: {mountPath: /a//b/}\ncompileCache: {mountPath: /a/b}\n", "4:27: "),
        ("compileCache: {mountPath: /home/dynamo/.cache/huggingface/x}\n", "3:27: "),
        ("modelCache: {mountPath: /home/dynamo/.cache}\n", "3:25: "),
        ("modelCache: {mountPath: /home/dynamo/.cache/dynamo-cache/models}\n", "3:25: "),
    ] {
        let mistakes = mistakes(&format!("{HEAD}{text}"));
        assert!(mistakes.len() == 1 && mistakes[0].starts_with(position), "{text}: {mistakes:?}");
    }
    for text in [
        "modelCache: {mountPath: /a}\ncompileCache: {mountPath: /ab}\n",
        "modelCache: {mountPath: /home/dynamo/.cache/vllm}\n",
        "modelCache: {mountPath: /home/dynamo/.cache, claim: one}\ncompileCache: {claim: one}\n",
    ] {
        assert!(Config::read(&format!("{HEAD}{text}")).is_ok(), "{text}");
    }
}

#[test]
fn the_compile_cache_is_not_mounted_where_an_engine_looks_by_itself() {
    for path in ["/x/.cache", "/x/.cache/vllm", "/x/.cache/flashinfer/", "/root2/.triton", "/.cache/tensorrt_llm"] {
        let mistakes = mistakes(&format!("{HEAD}compileCache: {{mountPath: {path}}}\n"));
        assert!(mistakes.len() == 1 && mistakes[0].starts_with("3:27: compileCache.mountPath"), "{path}: {mistakes:?}");
    }
    for path in ["/x/.cache/vllm/own", "/x/.cache/dynamo", "/x/cache/vllm"] {
        assert!(Config::read(&format!("{HEAD}compileCache: {{mountPath: {path}}}\n")).is_ok(), "{path}");
    }
}

#[test]
fn the_load_format_is_no_setting_of_model_express_any_more() {
    let mistakes = mistakes(&format!("{HEAD}modelExpress:\n  loadFormat: mx\n"));
    assert_eq!(mistakes, ["4:3: modelExpress.loadFormat is unknown; did you mean loadFormat?"]);
}

#[test]
fn amounts_are_text_or_numbers_and_requests_are_no_larger_than_limits() {
    let staging = |resources: &str| format!("{HEAD}staging: {{resources: {{{resources}}}}}\n");
    let config = Config::read(&staging("requests: {cpu: 0.25, memory: 128Mi}, limits: {cpu: 2}")).unwrap();
    let resources = config.settings.staging.resources;
    let amounts = [resources.requests.cpu, resources.requests.memory, resources.limits.cpu, resources.limits.memory];
    assert_eq!(amounts.map(|amount| amount.to_string()), ["250m", "128Mi", "2", "256Mi"]);
    for (resources, mistake) in [
        ("limits: {cpu: 50m}", "3:37: staging.resources requests more cpu than its limit; change one of them"),
        ("requests: {memory: 1Gi}", "3:42: staging.resources requests more memory than its limit; change one of them"),
        ("limit: {cpu: 1}", "3:23: staging.resources.limit is unknown; did you mean limits?"),
        ("requests: {gpu: 1}", "3:34: staging.resources.requests.gpu is unknown; did you mean cpu?"),
        ("requests: 1", "3:33: staging.resources.requests is a mapping, not a number"),
    ] {
        assert_eq!(mistakes(&staging(resources)), [mistake]);
    }
}

#[test]
fn the_image_of_mode_staged_is_that_of_this_release_unless_the_file_names_another() {
    let image = |text: &str| Config::read(&format!("{HEAD}{text}")).unwrap().settings.staging.image().to_owned();
    assert_eq!(image(""), concat!("ghcr.io/dynamo-cache/dynamo-cache:", env!("CARGO_PKG_VERSION")));
    assert_eq!(image("staging: {image: 'registry:5000/mine:1'}"), "registry:5000/mine:1");
    let wrong = mistakes(&format!("{HEAD}staging: {{image: 'A b'}}\n"));
    assert_eq!(wrong, ["3:18: staging.image: \"A b\" is not the reference of an image"]);
}

#[test]
fn a_removed_load_format_is_taken_as_modelexpress_with_a_warning() {
    let config = Config::read(&format!("{HEAD}loadFormat: mx-source\n")).unwrap();
    assert_eq!(config.settings.load_format, Some(LoadFormat::Modelexpress));
    let warnings: Vec<_> = config.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("3:13: loadFormat: "), "{warnings:?}");
}

/// How many values a schema describes, those of sections included.
fn leaves(schema: &Value) -> usize {
    schema["properties"].as_object().map_or(1, |properties| properties.values().map(leaves).sum())
}

#[test]
fn the_schema_knows_every_key_and_only_those() {
    let schema = schema();
    for key in ALL.iter().filter_map(|setting| setting.key).chain(["apiVersion", "kind", "events"]) {
        let pointer = format!("/properties/{}", key.replace('.', "/properties/"));
        let property = schema.pointer(&pointer).unwrap_or_else(|| panic!("{key}"));
        assert!(property["description"].is_string(), "{key}");
    }
    assert_eq!(leaves(&schema), ALL.iter().filter(|setting| setting.key.is_some()).count() + 3);
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["modelCache"]["additionalProperties"], false);
    assert_eq!(schema["properties"]["fsGroup"]["maximum"], 2_147_483_647);
}
