//! Values of options, from as typed to as meant.

use std::time::Duration;

use crate::admission::claim::Access;
use crate::admission::settings::PREFIX;

/// `NAME` or `NAME=MODE`.
pub(super) fn claim(text: &str) -> Result<(String, Access), String> {
    let (name, access) = match text.split_once('=') {
        None => (text, Some(Access::default())),
        Some((name, mode)) => (name, Access::named(mode)),
    };
    if name.is_empty() {
        return Err("the claim's name is missing".to_owned());
    }
    let access = access.ok_or("the mode is one of ReadWriteMany, ReadOnlyMany, ReadWriteOnce, ReadWriteOncePod")?;
    Ok((name.to_owned(), access))
}

/// `KEY=VALUE`, the key being an annotation of ours with its prefix.
pub(super) fn annotation(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    if !key.starts_with(PREFIX) {
        let name = key.rsplit('/').next().unwrap_or_default();
        return Err(format!("only annotations that begin with {PREFIX} have an effect; write {PREFIX}{name}={value}"));
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// A JSON Pointer to a part of a document.
pub(super) fn pointer(text: &str) -> Result<String, String> {
    if text.starts_with('/') && !text.ends_with('/') {
        return Ok(text.to_owned());
    }
    Err(format!("a JSON Pointer begins with a slash, and a key follows each: /{}", text.trim_matches('/')))
}

/// A time as `15s` or `500ms`.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let parse = |digits: &str, unit: fn(u64) -> Duration| digits.parse().ok().map(unit);
    let (milliseconds, seconds) = (text.strip_suffix("ms"), text.strip_suffix('s'));
    let parsed = match (milliseconds, seconds) {
        (Some(digits), _) => parse(digits, Duration::from_millis),
        (None, Some(digits)) => parse(digits, Duration::from_secs),
        (None, None) => None,
    };
    parsed.ok_or_else(|| "a time is written like 15s or 500ms".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{annotation, claim, pointer};
    use crate::admission::claim::Access;

    #[test]
    fn a_claim_has_a_name_and_perhaps_a_mode() {
        assert_eq!(claim("models"), Ok(("models".to_owned(), Access::ReadWriteMany)));
        assert_eq!(claim("models=ReadWriteOnce"), Ok(("models".to_owned(), Access::ReadWriteOnce)));
        assert!(claim("models=rwx").is_err() && claim("=ReadWriteOnce").is_err() && claim("").is_err());
    }

    #[test]
    fn an_annotation_without_the_prefix_is_told_how_to_be_written() {
        let expected = ("dynamo-cache.io/model-claim".to_owned(), "a=b".to_owned());
        assert_eq!(annotation("dynamo-cache.io/model-claim=a=b"), Ok(expected));
        assert!(annotation("model-claim=a").is_err_and(|error| error.contains("write dynamo-cache.io/model-claim=a")));
        assert!(annotation("dynamo-cache.io/model-claim").is_err());
    }

    #[test]
    fn a_pointer_begins_with_a_slash() {
        assert!(pointer("/spec/template").is_ok() && pointer("/a~1b").is_ok());
        assert!(pointer("spec/template").is_err_and(|error| error.ends_with(" /spec/template")));
        assert!(pointer("").is_err() && pointer("/").is_err());
    }
}
