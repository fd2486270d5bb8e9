//! What of a container's command line may change what its engine compiles: its arguments, the variables that they name, and the
//! `ConfigMaps` that they read.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::command_line::{Form, each_script_word, is_flag, is_script, is_script_flag};
use super::super::super::engine::Engine;
use super::super::super::path::{self, Path};
use super::super::super::pod::{Container, Variable};
use super::super::container::ContainerPlan;
use super::super::volumes::Volumes;

/// The flags of vLLM with a value that do not enter what it compiles: its own key does not change with them. Tried with
/// vLLM 0.31 in ai-dynamo 1.6.1.
const WITH_VALUE: [&str; 17] = [
    "api-key",
    "chat-template",
    "dyn-reasoning-parser",
    "dyn-tool-call-parser",
    "endpoint",
    "gpu-memory-utilization",
    "host",
    "kv-events-config",
    "load-format",
    "otlp-traces-endpoint",
    "port",
    "reasoning-parser",
    "scheduling-policy",
    "seed",
    "tokenizer",
    "tool-call-parser",
    "uvicorn-log-level",
];

/// The same with several values.
const WITH_VALUES: &str = "served-model-name";

/// The same with none.
const SWITCHES: [&str; 7] = [
    "async-scheduling",
    "disable-log-requests",
    "disable-log-stats",
    "enable-auto-tool-choice",
    "enable-log-requests",
    "enable-prefix-caching",
    "no-enable-prefix-caching",
];

/// What the names of variables begin with that differ between the pods of one workload.
const OF_EACH_POD: [&str; 4] = ["GROVE_", "JOB_COMPLETION_INDEX", "LWS_", "RBG_"];

/// The longest name of a ConfigMap (a DNS subdomain), and of a variable that is looked for.
const LONGEST_NAME: usize = 253;

/// Each part, in their order, in pieces that are one text.
pub(super) fn each_part(volumes: &Volumes<'_>, planned: &ContainerPlan<'_, '_>, then: &mut impl FnMut(&[&str])) {
    let container = planned.container();
    let is_vllm = planned.selected.command_line.engine == Some((Engine::Vllm, Form::Yes));
    let elements = counted(container, is_vllm);
    let variables = variables(container, &elements);
    for element in &elements {
        then(&[element]);
    }
    for (name, variable) in &variables {
        then(&[name, "=", &content(variable)]);
    }
    let Some(config_maps) = ConfigMaps::new(volumes, planned) else { return };
    let mut count = |word: &str| {
        if let Some(name) = config_maps.named_by(word) {
            then(&["configmap/", name]);
        }
    };
    let mut after_c = false;
    for element in &elements {
        if is_script(element, after_c) {
            each_script_word(element, &mut count);
        } else {
            count(element);
        }
        after_c = is_script_flag(element);
    }
    let literal = variables.iter().filter(|(_, variable)| variable.value_from.is_none());
    literal.filter_map(|(_, variable)| variable.value.as_deref()).for_each(count);
}

/// Command and args, for vLLM without what does not enter what it compiles.
fn counted<'c>(container: &'c Container<'_>, is_vllm: bool) -> Vec<&'c str> {
    let mut elements = container.command_line().peekable();
    let mut counted = Vec::new();
    while let Some(element) = elements.next() {
        let flag = element.strip_prefix("--").filter(|_| is_vllm);
        let (flag, has_value) = match flag.and_then(|flag| flag.split_once('=')) {
            Some((flag, _)) => (Some(flag), true),
            None => (flag, false),
        };
        let is = |name: &str| flag.is_some_and(|flag| is_flag(flag, name));
        if is(WITH_VALUES) {
            while !has_value && elements.next_if(|next| !next.starts_with('-')).is_some() {}
        } else if WITH_VALUE.iter().any(|name| is(name)) {
            // A number below zero begins with one dash.
            if !has_value {
                elements.next_if(|next| !next.starts_with("--"));
            }
        } else if has_value || !SWITCHES.iter().any(|name| is(name)) {
            counted.push(element);
        }
    }
    counted
}

/// The container's variables that the elements name, in order of first appearance, then those that their values name.
fn variables<'c, 'a>(container: &'c Container<'a>, elements: &[&'c str]) -> Vec<(&'c str, &'c Variable<'a>)> {
    if !elements.iter().any(|element| element.contains('$')) {
        return Vec::new();
    }
    let own = container.env.iter().flatten();
    let own: BTreeMap<&str, &Variable<'a>> =
        own.filter_map(|variable| Some((variable.name.as_deref()?, variable))).collect();
    let mut found: Vec<(&str, &Variable<'a>)> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut find = |found: &mut Vec<_>, names: Vec<&'c str>| {
        for name in names {
            let differs = OF_EACH_POD.iter().any(|begin| name.starts_with(begin));
            if let Some(variable) = own.get(name).filter(|_| !differs && seen.insert(name)) {
                found.push((name, *variable));
            }
        }
    };
    for element in elements {
        find(&mut found, names(element, true));
    }
    let mut next = 0;
    while let Some((_, variable)) = found.get(next).copied() {
        if let (None, Some(value)) = (variable.value_from, &variable.value) {
            find(&mut found, names(value, false));
        }
        next += 1;
    }
    found
}

/// The variables that a text names: `$(NAME)`, which Kubernetes expands, and where a shell may, `${NAME}` and `$NAME`.
fn names(text: &str, by_shell: bool) -> Vec<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        rest = &rest[at + 1..];
        if let Some(escaped) = rest.strip_prefix('$') {
            rest = escaped;
        } else if let Some(inner) = rest.strip_prefix('(') {
            let end = inner.bytes().take(LONGEST_NAME + 1).position(|byte| byte == b')');
            names.extend(end.map(|end| &inner[..end]));
        } else if by_shell {
            let name = rest.strip_prefix('{').unwrap_or(rest);
            names.push(&name[..name.find(|c| !is_name(c)).unwrap_or(name.len())]);
        }
    }
    names
}

/// What a variable holds: its value as written, or what it refers to.
fn content(variable: &Variable<'_>) -> String {
    let Some(source) = variable.value_from else {
        return variable.value.as_deref().unwrap_or_default().to_owned();
    };
    let source: serde_json::Value = serde_json::from_str(source.get()).unwrap_or_default();
    let text = |pointer: &str| source.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default();
    if source.get("configMapKeyRef").is_some() {
        format!("configmap/{}/{}", text("/configMapKeyRef/name"), text("/configMapKeyRef/key"))
    } else if source.get("secretKeyRef").is_some() {
        format!("secret/{}/{}", text("/secretKeyRef/name"), text("/secretKeyRef/key"))
    } else if source.get("fieldRef").is_some() {
        format!("field/{}", text("/fieldRef/fieldPath"))
    } else {
        format!("resource/{}", text("/resourceFieldRef/resource"))
    }
}

/// The container's mounts, and which of them are of a ConfigMap.
struct ConfigMaps<'d> {
    /// The name of the ConfigMap, by the path of the mount; none: something else is mounted there.
    mounts: BTreeMap<&'d str, Option<&'d str>>,
}

impl<'d> ConfigMaps<'d> {
    /// `None` if no mount is of a ConfigMap.
    fn new(volumes: &'d Volumes<'_>, planned: &'d ContainerPlan<'_, '_>) -> Option<Self> {
        let name = |volume: &str| volumes.config_map_of(volume).filter(|name| name.len() <= LONGEST_NAME);
        if planned.mounts.iter().all(|mount| name(&mount.volume).is_none()) {
            return None;
        }
        let mounts = planned.mounts.iter().map(|mount| (mount.path.as_str(), name(&mount.volume)));
        Some(ConfigMaps { mounts: mounts.collect() })
    }

    /// The ConfigMap in which a word, or what follows `=` in it, names a file. The deepest mount above the file decides.
    fn named_by(&self, word: &str) -> Option<&'d str> {
        let value = if word.starts_with('/') { word } else { word.split_once('=')?.1 };
        if !path::is_absolute(value) || !path::is_short(value) {
            return None;
        }
        let mut path = Path::new(value).into_owned();
        loop {
            if let Some(mounted) = self.mounts.get(path.as_str()) {
                return *mounted;
            }
            if path.as_str() == "/" {
                return None;
            }
            path = path.parent().into_owned();
        }
    }
}
