//! The variables of a container, as far as their values are known, and texts in which they stand.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The longest value that is expanded, in bytes: variables that name one another grow without end.
const LONGEST: usize = 64 * 1024;

/// How deep defaults of variables are followed: `${A:-${B:-c}}`.
const DEEPEST: usize = 8;

/// The most values of a variable that are kept.
const MOST_ALTERNATIVES: usize = 16;

/// `ConfigMaps` by name, from whose values variables are taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConfigMaps(BTreeMap<String, Value>);

impl ConfigMaps {
    /// The names of the `ConfigMaps` from which the containers of a pod take variables.
    pub(crate) fn referenced_by(pod: &Value) -> BTreeSet<String> {
        let containers = ["/spec/initContainers", "/spec/containers"];
        let containers = containers.iter().filter_map(|list| pod.pointer(list)?.as_array()).flatten();
        let names = containers.flat_map(|container| {
            let list = |key: &str| container.get(key).and_then(Value::as_array).into_iter().flatten();
            let whole = list("envFrom").filter_map(|from| from.pointer("/configMapRef/name"));
            list("env").filter_map(|variable| variable.pointer("/valueFrom/configMapKeyRef/name")).chain(whole)
        });
        names.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Adds a ConfigMap.
    pub(crate) fn insert(&mut self, object: &Value) {
        if let Some(name) = object.pointer("/metadata/name").and_then(Value::as_str) {
            self.0.insert(name.to_owned(), object.get("data").cloned().unwrap_or_default());
        }
    }

    /// Adds one that does not exist, of which no variable comes.
    pub(crate) fn insert_missing(&mut self, name: &str) {
        self.0.insert(name.to_owned(), Value::Null);
    }

    /// Whether a ConfigMap of this name was added.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn data(&self, name: &Value) -> Option<&Value> {
        self.0.get(name.as_str()?)
    }
}

/// The variables of a container.
pub(super) struct Environment {
    /// Their values; none where only the cluster knows it.
    values: BTreeMap<String, Option<String>>,
    /// The `ConfigMaps` and Secrets that are variables as a whole and that are not known.
    pub(super) unknown: Vec<String>,
    /// Values that one of those replaces if it has the same variable.
    pub(super) replaceable: BTreeSet<String>,
    /// The values of variables to which a script assigns several: which counts depends on its branches.
    pub(super) alternatives: BTreeMap<String, BTreeSet<String>>,
}

impl Environment {
    /// Reads the variables of a container, as the kubelet would.
    pub(super) fn new(container: &Value, config_maps: &ConfigMaps) -> Self {
        let list = |key: &str| container.get(key).and_then(Value::as_array).into_iter().flatten();
        let mut all = Environment {
            values: BTreeMap::new(),
            unknown: Vec::new(),
            replaceable: BTreeSet::new(),
            alternatives: BTreeMap::new(),
        };
        for from in list("envFrom") {
            let (secret, name) = (from.pointer("/secretRef/name"), from.pointer("/configMapRef/name"));
            let secret = secret.and_then(Value::as_str).map(|name| format!("Secret {name}"));
            let map = name.and_then(Value::as_str).filter(|name| !config_maps.has(name));
            if let Some(unknown) = secret.or(map.map(|name| format!("ConfigMap {name}"))) {
                all.unknown.push(unknown);
                all.replaceable.extend(all.values.values().flatten().cloned());
            }
            let Some(name) = name else { continue };
            let prefix = from.get("prefix").and_then(Value::as_str).unwrap_or_default();
            for (key, value) in config_maps.data(name).and_then(Value::as_object).into_iter().flatten() {
                all.values.insert(format!("{prefix}{key}"), value.as_str().map(str::to_owned));
            }
        }
        for variable in list("env") {
            let Some(name) = variable.get("name").and_then(Value::as_str) else { continue };
            let value = match (variable.get("value").and_then(Value::as_str), variable.get("valueFrom")) {
                (Some(value), _) => all.expand_references(value),
                (None, Some(from)) => from.get("configMapKeyRef").and_then(|reference| {
                    let data = config_maps.data(reference.get("name")?)?;
                    Some(data.get(reference.get("key")?.as_str()?)?.as_str()?.to_owned())
                }),
                (None, None) => Some(String::new()),
            };
            all.values.insert(name.to_owned(), value);
        }
        all
    }

    /// The value of a variable, if it is known.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.as_deref()
    }

    /// The variables whose values are not known.
    pub(super) fn is_unknown(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(Option::is_none)
    }

    /// Assigns a variable, as a script does.
    pub(super) fn assign(&mut self, name: &str, value: &str, appends: bool) {
        let value = self.expand(value);
        let before = if appends { self.value(name).unwrap_or_default() } else { "" };
        if before.len() + value.len() <= LONGEST {
            let value = format!("{before}{value}");
            let all = self.alternatives.entry(name.to_owned()).or_default();
            if all.len() < MOST_ALTERNATIVES {
                all.extend(self.values.get(name).cloned().flatten());
                all.insert(value.clone());
            }
            self.values.insert(name.to_owned(), Some(value));
        }
    }

    /// Expands `$(NAME)`, as the kubelet does in command lines and values. A variable whose value is not known becomes `${NAME}`;
    /// one that does not exist stays. `None` if the text grows too long.
    pub(super) fn expand_references(&self, text: &str) -> Option<String> {
        let (mut expanded, mut rest) = (String::new(), text);
        while let Some(at) = rest.find('$') {
            expanded.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let name = rest.strip_prefix('(').and_then(|name| Some(&name[..name.find(')')?]));
            if let Some(after) = rest.strip_prefix('$') {
                expanded.push('$');
                rest = after;
            } else if let Some((name, value)) = name.and_then(|name| Some((name, self.values.get(name)?))) {
                match value {
                    Some(value) => expanded.push_str(value),
                    None => expanded.extend(["${", name, "}"]),
                }
                rest = &rest[name.len() + 2..];
            } else {
                expanded.push('$');
            }
            if expanded.len() > LONGEST {
                return None;
            }
        }
        expanded.push_str(rest);
        (expanded.len() <= LONGEST.max(text.len())).then_some(expanded)
    }

    /// Expands `$NAME`, `${NAME}` and `${NAME:-default}`, as a shell does. What is not known stays as it is.
    pub(super) fn expand(&self, word: &str) -> String {
        self.expand_to(word, DEEPEST)
    }

    fn expand_to(&self, word: &str, depth: usize) -> String {
        let (mut expanded, mut rest) = (String::new(), word);
        while let Some(at) = rest.find('$') {
            expanded.push_str(&rest[..at]);
            rest = &rest[at..];
            let parameter = Parameter::read(rest);
            let value = parameter.as_ref().and_then(|parameter| {
                let known = self.value(parameter.name).filter(|known| !known.is_empty() || parameter.default.is_none());
                match (known, parameter.default) {
                    (Some(known), _) => Some(known.to_owned()),
                    (None, Some(default)) if depth > 0 && !self.is_unknown(parameter.name) => {
                        Some(self.expand_to(default, depth - 1))
                    }
                    _ => None,
                }
            });
            let length = parameter.map_or(1, |parameter| parameter.length);
            let value = value.filter(|value| expanded.len() + value.len() <= LONGEST);
            expanded.push_str(value.as_deref().unwrap_or(&rest[..length]));
            rest = &rest[length..];
        }
        expanded.push_str(rest);
        expanded
    }
}

/// Whether a text still has a variable, an argument or a substitution in it.
pub(super) fn is_unclear(text: &str) -> bool {
    text.match_indices('$').any(|(at, _)| {
        let is_argument = |next: char| next.is_ascii_digit() || matches!(next, '(' | '@' | '*');
        text[at + 1..].starts_with(is_argument) || Parameter::read(&text[at..]).is_some()
    })
}

/// A variable in a word of a shell.
struct Parameter<'w> {
    name: &'w str,
    default: Option<&'w str>,
    /// The bytes that it takes.
    length: usize,
}

impl<'w> Parameter<'w> {
    /// Reads the variable with which a text begins.
    fn read(text: &'w str) -> Option<Self> {
        let name_of = |text: &'w str| {
            let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
            Some(&text[..end]).filter(|name| name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'))
        };
        let own = text.strip_prefix('$')?;
        let Some(braced) = own.strip_prefix('{') else {
            let name = name_of(own)?;
            return Some(Parameter { name, default: None, length: 1 + name.len() });
        };
        let name = name_of(braced)?;
        let mut depth = 1_usize;
        let end = braced.char_indices().find_map(|(at, c)| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            (depth == 0).then_some(at)
        })?;
        let operator = &braced[name.len()..end];
        let default = [":-", ":=", "-", "="].iter().find_map(|begin| operator.strip_prefix(begin));
        Some(Parameter { name, default, length: 2 + end + 1 })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{ConfigMaps, Environment, LONGEST, is_unclear};

    #[test]
    fn a_variable_has_the_value_that_the_kubelet_gives_it() {
        let mut maps = ConfigMaps::default();
        maps.insert(&json!({"metadata": {"name": "m"}, "data": {"k": "v", "X": "x"}}));
        let key = |name: &str, key: &str| json!({"configMapKeyRef": {"name": name, "key": key}});
        let container = json!({
            "envFrom": [{"configMapRef": {"name": "m"}, "prefix": "P_"}, {"secretRef": {"name": "s"}}],
            "env": [
                {"name": "A", "value": "a"},
                {"name": "B", "value": "$(A)/$(P_X)/$$(A)/$(LATER)/$"},
                {"name": "C", "valueFrom": key("m", "k")},
                {"name": "D", "valueFrom": key("m", "none")},
                {"name": "E", "value": "$(D)"},
                {"name": "F"},
            ],
        });
        let environment = Environment::new(&container, &maps);
        let value = |name| environment.value(name);
        assert_eq!(value("B"), Some("a/x/$(A)/$(LATER)/$"));
        assert_eq!((value("C"), value("D"), value("E"), value("F")), (Some("v"), None, Some("${D}"), Some("")));
        let pod = json!({"spec": {"containers": [container]}});
        assert_eq!(ConfigMaps::referenced_by(&pod), ["m".to_owned()].into());
    }

    #[test]
    fn a_word_of_a_script_is_expanded_as_far_as_the_values_are_known() {
        let container = json!({"env": [
            {"name": "A", "value": "a"}, {"name": "EMPTY"}, {"name": "SECRET", "valueFrom": {}},
        ]});
        let mut environment = Environment::new(&container, &ConfigMaps::default());
        environment.assign("B", "$A/b", false);
        environment.assign("B", "+", true);
        for (word, expanded) in [
            ("$A", "a"),
            ("${A}x$B", "axa/b+"),
            ("$NONE", "$NONE"),
            ("${NONE:-d}", "d"),
            ("${NONE-${A}}", "a"),
            ("${EMPTY:=d}", "d"),
            ("${SECRET:-d}", "${SECRET:-d}"),
            ("${A:-d}", "a"),
            ("${A", "${A"),
            ("$()", "$()"),
            ("$", "$"),
        ] {
            assert_eq!(environment.expand(word), expanded, "{word}");
        }
        assert!(
            is_unclear("a$()") && is_unclear("${A:-b}") && is_unclear("$A") && !is_unclear("a$") && is_unclear("$1")
        );
    }

    #[test]
    fn variables_that_name_one_another_stay_small() {
        let mut variables = vec![json!({"name": "V0", "value": "x".repeat(1000)})];
        variables.extend((1..40).map(|n| json!({"name": format!("V{n}"), "value": format!("$(V{0})$(V{0})", n - 1)})));
        let mut environment = Environment::new(&json!({"env": variables}), &ConfigMaps::default());
        for _ in 0..40 {
            environment.assign("W", "$W$W$V3", false);
        }
        assert!(environment.values.values().flatten().all(|value| value.len() <= LONGEST));
    }
}
