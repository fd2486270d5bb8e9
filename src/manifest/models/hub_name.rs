//! What is the name of a model, and what is a path.

/// A model by a value that may be its name: the name, and the revision if the value has it too.
pub(super) struct HubName {
    pub(super) name: String,
    pub(super) revision: Option<String>,
}

/// Reads a value: a name on the hub, `hf://owner/name[@revision]`, or the path of a snapshot in the hub's layout. `None` for any other
/// path or address, and for what no model is called.
pub(super) fn read(value: &str) -> Option<HubName> {
    let value = value.trim();
    if let Some(own) = value.strip_prefix("hf://") {
        let (name, revision) = own.split_once('@').map_or((own, None), |(name, revision)| (name, Some(revision)));
        let name = name.trim_end_matches('/');
        return is_model_name(name).then(|| HubName { name: name.to_owned(), revision: revision.map(str::to_owned) });
    }
    snapshot(value).or_else(|| is_model_name(value).then(|| HubName { name: value.to_owned(), revision: None }))
}

/// The model of a path into a snapshot.
fn snapshot(path: &str) -> Option<HubName> {
    let mut folders = path.split('/').filter(|folder| !folder.is_empty());
    let name = folders.find_map(|folder| folder.strip_prefix("models--"))?.replace("--", "/");
    let revision = folders.next().filter(|folder| *folder == "snapshots").and_then(|_| folders.next())?;
    is_model_name(&name).then(|| HubName { name, revision: Some(revision.to_owned()) })
}

/// Whether the hub could have a model of this name: `owner/name`, or the name alone.
pub(crate) fn is_model_name(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part.len() <= 96
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            && part.bytes().any(|byte| byte.is_ascii_alphanumeric())
            // The hub accepts neither, and a relative path may begin so.
            && !part.starts_with(['-', '.'])
    };
    text.matches('/').count() <= 1 && text.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::read;

    fn known(value: &str) -> Option<(String, Option<String>)> {
        read(value).map(|model| (model.name, model.revision))
    }

    #[test]
    fn a_name_is_that_of_a_model_and_a_path_is_not() {
        for name in ["Qwen/Qwen3-0.6B", "gpt2", "01-ai/Yi-1.5_9B"] {
            assert_eq!(known(name), Some((name.to_owned(), None)));
        }
        for none in [
            "",
            "/models/a",
            "./a",
            "../a/b",
            "a/b/c",
            "s3://a/b",
            "~/a",
            "a b",
            "[ngram]",
            "a/",
            "{}",
            "https://a",
            ".",
        ] {
            assert_eq!(known(none), None, "{none}");
        }
    }

    #[test]
    fn a_path_to_a_snapshot_names_model_and_commit() {
        let commit = "c1899de289a04d12100db370d81485cdf75e47ca";
        let expected = Some(("Qwen/Qwen3-0.6B".to_owned(), Some(commit.to_owned())));
        assert_eq!(known(&format!("/c/hub/models--Qwen--Qwen3-0.6B/snapshots/{commit}")), expected);
        assert_eq!(known(&format!("/models--Qwen--Qwen3-0.6B/snapshots/{commit}/")), expected);
        assert_eq!(known("/c/models--Qwen--Qwen3-0.6B"), None);
        assert_eq!(known("/c/models--Qwen--Qwen3-0.6B/blobs/x"), None);
        assert_eq!(known("hf://a/b@v1"), Some(("a/b".to_owned(), Some("v1".to_owned()))));
        assert_eq!(known("hf://a/b"), Some(("a/b".to_owned(), None)));
    }
}
