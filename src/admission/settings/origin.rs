//! Where the settings of a pod come from, for `explain`; no review asks for it.

use super::super::annotation::PREFIX;
use super::super::pod::Strings;
use super::super::reason::Reason;
use super::{ALL, Setting, Settings};

/// The four levels; the later wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Built in.
    Default,
    /// The settings file.
    File,
    /// An annotation of the namespace.
    Namespace,
    /// An annotation of the pod.
    Pod,
}

/// Which level one setting came from.
#[derive(Debug)]
pub struct Origin {
    /// The setting.
    pub setting: &'static Setting,
    /// The level.
    pub level: Level,
    /// The value as it is written there; empty: none.
    pub value: String,
}

/// Where each setting comes from, in the order of [`ALL`]. `file` has the settings file's keys and their values as text.
pub fn origins(
    file: &[(&str, String)],
    namespace: &[(String, String)],
    pod: Option<&Strings<'_>>,
) -> impl Iterator<Item = Origin> {
    ALL.iter().map(move |setting| {
        let is_own = |name: &str| setting.annotation.is_some_and(|own| name.strip_prefix(PREFIX) == Some(own));
        let of_pod = pod.into_iter().flat_map(|annotations| &annotations.0);
        let of_pod = of_pod.filter(|(name, _)| is_own(name)).map(|(_, value)| (Level::Pod, &**value));
        let of_namespace = namespace.iter().filter(|(name, _)| is_own(name));
        let of_namespace = of_namespace.map(|(_, value)| (Level::Namespace, value.as_str()));
        let of_file = file.iter().filter(|(key, _)| setting.key == Some(key));
        let of_file = of_file.map(|(_, value)| (Level::File, value.as_str()));
        let mut written = of_file.chain(of_namespace).chain(of_pod);
        let (level, value) =
            written.rfind(|(_, value)| applies(setting, value)).unwrap_or((Level::Default, setting.default));
        Origin { setting, level, value: value.trim().to_owned() }
    })
}

/// Whether a value parses; where none does, the next lower level applies.
fn applies(setting: &Setting, value: &str) -> bool {
    let applied = setting.apply(&mut Settings::default(), value.trim());
    matches!(applied, Ok(()) | Err(Reason::LoadFormatRemoved))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::super::annotation::PREFIX;
    use super::super::super::pod::{Entries, Text};
    use super::{Level, origins};

    #[test]
    fn each_setting_comes_from_the_highest_level_that_parses() {
        let annotation = |name: &str, value: &str| (format!("{PREFIX}{name}"), value.to_owned());
        let namespace = [annotation("model-claim", "of-the-namespace"), annotation("model-layout", " hub ")];
        let of_pod = [annotation("model-claim", "of-the-pod"), annotation("model-layout", "flat")];
        let of_pod = of_pod.map(|(name, value)| (Text(Cow::Owned(name)), Text(Cow::Owned(value))));
        let pod = Entries(of_pod.into());
        let file = [("modelCache.claim", "of-the-file".to_owned()), ("modelCache.offline", "true".to_owned())];
        let found: Vec<_> = origins(&file, &namespace, Some(&pod)).collect();
        let of = |annotation: &str| {
            let origin = found.iter().find(|origin| origin.setting.annotation == Some(annotation)).unwrap();
            (origin.level, &*origin.value)
        };
        assert_eq!(of("model-claim"), (Level::Pod, "of-the-pod"));
        assert_eq!(of("model-layout"), (Level::Namespace, "hub"));
        assert_eq!(of("model-offline"), (Level::File, "true"));
        assert_eq!(of("missing-claim"), (Level::Default, "skip"));
    }
}
