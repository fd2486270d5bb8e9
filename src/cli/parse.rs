//! Parsers of option values.

use std::time::Duration;

use crate::admission::annotation::PREFIX;
use crate::admission::claim::Access;
use crate::admission::dns_name;
use crate::admission::settings::MAX_GROUP;
use crate::manifest::models::is_model_name;

/// A claim: `NAME` or `NAME=MODE`.
pub(super) fn claim(text: &str) -> Result<(String, Access), String> {
    let (name, access) = match text.split_once('=') {
        None => (text, Some(Access::default())),
        Some((name, mode)) => (name, Access::named(mode)),
    };
    let access = access.ok_or("the mode is one of ReadWriteMany, ReadOnlyMany, ReadWriteOnce, ReadWriteOncePod")?;
    Ok((object_name(name)?, access))
}

/// The name of a namespace, a Service or a Job: a DNS label of at most 63 characters.
pub(super) fn label(text: &str) -> Result<String, String> {
    if dns_name::is_label(text) {
        return Ok(text.to_owned());
    }
    Err("a name has up to 63 lower-case letters, digits and hyphens, and begins and ends with a letter or digit"
        .to_owned())
}

/// A host name without a trailing dot; its first label may be `*`.
pub(super) fn dns_name(text: &str) -> Result<String, String> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    if dns_name::is_host(name) && !name.ends_with('.') {
        return Ok(text.to_owned());
    }
    Err("a DNS name looks like webhook.example.org or *.example.org".to_owned())
}

/// A size with a unit, as Kubernetes writes it. A number alone would mean bytes, and is refused.
pub(super) fn size(text: &str) -> Result<String, String> {
    let units = ["Ki", "Mi", "Gi", "Ti", "Pi", "k", "M", "G", "T", "P"];
    let number = units.iter().find_map(|unit| text.strip_suffix(unit));
    match number.and_then(|number| number.parse::<u64>().ok()) {
        Some(1..) => Ok(text.to_owned()),
        _ => Err("a size looks like 500Gi".to_owned()),
    }
}

/// The name of a pod, a claim, a Secret or most other objects: a DNS subdomain of at most 253 characters.
pub(super) fn object_name(text: &str) -> Result<String, String> {
    if dns_name::is_subdomain(text) {
        return Ok(text.to_owned());
    }
    Err("a name has up to 253 lower-case letters, digits, hyphens and dots; each part between dots begins and ends with a \
         letter or digit"
        .to_owned())
}

/// The name of a pod, alone or as `kubectl get pods -o name` prints it.
pub(super) fn pod(text: &str) -> Result<String, String> {
    let name = ["pod/", "pods/"].iter().find_map(|kind| text.strip_prefix(kind)).unwrap_or(text);
    if name.contains('/') {
        return Err("only pods can be explained: NAME or pod/NAME; -f explains a workload in a file".to_owned());
    }
    object_name(name)
}

/// A workload, as kubectl names it: `deployment/worker`. The kind is returned in lower case.
pub(super) fn workload(text: &str) -> Result<(String, String), String> {
    let (kind, name) = text.split_once('/').ok_or("a workload is named KIND/NAME, such as deployment/worker")?;
    // kubectl also takes the group, as in deployments.apps/worker.
    let kind = kind.split('.').next().unwrap_or_default().to_ascii_lowercase();
    if kind.is_empty() {
        return Err("a workload is named KIND/NAME, such as deployment/worker".to_owned());
    }
    Ok((kind, object_name(name)?))
}

/// An amount of processors, as Kubernetes writes it.
pub(super) fn processors(text: &str) -> Result<String, String> {
    let (number, unit) = text.strip_suffix('m').map_or((text, ""), |number| (number, "m"));
    match number.parse::<u64>() {
        Ok(1..) => Ok(format!("{number}{unit}")),
        _ => Err("an amount of processors looks like 2 or 500m".to_owned()),
    }
}

/// `KEY=VALUE`, where the key is an annotation of dynamo-cache with its prefix.
pub(super) fn annotation(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    if !key.starts_with(PREFIX) {
        let name = key.rsplit('/').next().unwrap_or_default();
        return Err(format!("only annotations that begin with {PREFIX} have an effect; write {PREFIX}{name}={value}"));
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// A JSON Pointer to a part of a document; the whole document is refused.
pub(super) fn pointer(text: &str) -> Result<String, String> {
    if text.starts_with('/') && !text.ends_with('/') {
        return Ok(text.to_owned());
    }
    Err(format!("a JSON Pointer begins with a slash, and each slash is followed by a key: /{}", text.trim_matches('/')))
}

/// A name that is one folder of a path.
pub(super) fn file_name(text: &str) -> Result<String, String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !text.is_empty() && text.len() <= 255 && !text.starts_with('.') && text.chars().all(is_allowed) {
        return Ok(text.to_owned());
    }
    Err("a name has up to 255 letters, digits, hyphens, underscores and dots, and does not begin with a dot".to_owned())
}

/// The UID of an object: letters, digits and hyphens.
pub(super) fn uid(text: &str) -> Result<String, String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if (1..=64).contains(&text.len()) && text.chars().all(is_allowed) {
        return Ok(text.to_owned());
    }
    Err("a UID has up to 64 letters, digits and hyphens".to_owned())
}

/// A duration such as `15s`, `500ms` or `7d`.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let day: fn(u64) -> Duration = |days| Duration::from_secs(days.saturating_mul(24 * 60 * 60));
    let units = [("ms", Duration::from_millis as fn(u64) -> Duration), ("s", Duration::from_secs), ("d", day)];
    let parse = |(suffix, unit): (&str, fn(u64) -> Duration)| Some(unit(text.strip_suffix(suffix)?.parse().ok()?));
    units.into_iter().find_map(parse).ok_or_else(|| "a time looks like 15s, 500ms or 7d".to_owned())
}

/// A duration that is not zero.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    time(text).and_then(|time| if time.is_zero() { Err("the time must not be zero".to_owned()) } else { Ok(time) })
}

/// A duration such as `30s`, `90m` or `4h`.
pub(super) fn long_time(text: &str) -> Result<Duration, String> {
    let seconds = |unit: char, seconds: u64| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(seconds).map(Duration::from_secs)
    };
    let parsed = seconds('h', 3600).or_else(|| seconds('m', 60)).or_else(|| seconds('s', 1));
    parsed.ok_or_else(|| "a time looks like 30s, 90m or 4h".to_owned())
}

/// An age such as `30d`, `12h` or `90m`.
pub(super) fn age(text: &str) -> Result<Duration, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok()?.checked_mul(24 * 60 * 60));
    let age = days.map_or_else(|| long_time(text), |seconds| Ok(Duration::from_secs(seconds)));
    age.map_err(|_| "an age looks like 30d, 12h or 90m".to_owned())
}

/// A commit, in full: what is removed is not to be guessed.
pub(super) fn commit(text: &str) -> Result<String, String> {
    if (7..=40).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text.to_ascii_lowercase());
    }
    Err("a commit has 40 hexadecimal digits, of which 7 or more say which; dynamo-cache usage lists those that are there".to_owned())
}

/// The ID of a user or group; `None` leaves the choice to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id(pub Option<i64>);

/// A number that Kubernetes accepts as an ID, or `none`.
pub(super) fn id(text: &str) -> Result<Id, String> {
    match text.parse() {
        _ if text == "none" => Ok(Id(None)),
        Ok(id @ 0..=MAX_GROUP) => Ok(Id(Some(id))),
        _ => Err("an ID is a number, or none".to_owned()),
    }
}

/// A model as the hub names it: `owner/name`, or a name alone.
pub(super) fn model(text: &str) -> Result<String, String> {
    if is_model_name(text) {
        return Ok(text.to_owned());
    }
    Err("a model is named as on the hub: owner/name, or the name alone if it has no owner, such as gpt2".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        Id, annotation, claim, dns_name, id, label, long_time, model, object_name, pod, pointer, processors, time,
        workload,
    };
    use crate::admission::claim::Access;
    use crate::cli::Cli;

    #[test]
    fn a_claim_has_a_name_and_perhaps_a_mode() {
        assert_eq!(claim("models"), Ok(("models".to_owned(), Access::ReadWriteMany)));
        assert_eq!(claim("models=ReadWriteOnce"), Ok(("models".to_owned(), Access::ReadWriteOnce)));
        assert!(claim("models=rwx").is_err() && claim("=ReadWriteOnce").is_err() && claim("").is_err());
    }

    #[test]
    fn an_annotation_without_the_prefix_is_refused_with_the_right_spelling() {
        let expected = ("dynamo-cache.io/model-claim".to_owned(), "a=b".to_owned());
        assert_eq!(annotation("dynamo-cache.io/model-claim=a=b"), Ok(expected));
        assert!(annotation("model-claim=a").is_err_and(|error| error.contains("write dynamo-cache.io/model-claim=a")));
        assert!(annotation("dynamo-cache.io/model-claim").is_err());
    }

    #[test]
    fn every_name_that_kubernetes_accepts_is_accepted() {
        let long = "a".repeat(64);
        for name in [&long, &format!("{long}.{long}.b"), &"a".repeat(253)] {
            assert_eq!(pod(name).as_ref(), Ok(name));
            assert_eq!(object_name(name).as_ref(), Ok(name));
            assert!(claim(name).is_ok() && label(name).is_err(), "{name}");
        }
        assert!(object_name(&"a".repeat(254)).is_err() && label(&long[1..]).is_ok());
        for typed in [
            vec!["explain", &long],
            vec!["preview", "-n", &long[1..]],
            vec!["serve", "--service", "s", "--secret", &long, "--webhook-configuration", &long],
            vec!["download", "gpt2", "--token-secret", &long],
        ] {
            let typed: Vec<_> = std::iter::once("dynamo-cache").chain(typed).map(Into::into).collect();
            assert!(Cli::read(&typed).is_ok(), "{typed:?}");
        }
        for typed in [["preview", "-n", &long], ["preview", "-n", "../pods"], ["preview", "-n", "a.b"]] {
            let typed: Vec<_> = std::iter::once("dynamo-cache").chain(typed).map(Into::into).collect();
            assert!(Cli::read(&typed).is_err(), "{typed:?}");
        }
    }

    #[test]
    fn names_of_services_and_of_hosts_are_what_kubernetes_and_certificates_take() {
        assert!(
            label("dynamo-cache").is_ok() && label("Cache").is_err() && label("a.b").is_err() && label("").is_err()
        );
        assert!(dns_name("webhook.Example.org").is_ok() && dns_name("*.example.org").is_ok());
        assert!(
            dns_name("a.").is_err()
                && dns_name("a..b").is_err()
                && dns_name("ü.org").is_err()
                && dns_name("a.*.b").is_err()
        );
    }

    #[test]
    fn a_pod_is_named_as_kubectl_names_it() {
        for text in ["worker-0.a", "pod/worker-0.a", "pods/worker-0.a"] {
            assert_eq!(pod(text), Ok("worker-0.a".to_owned()));
        }
        assert!(pod("deployment/worker").is_err_and(|error| error.contains("only pods")));
        assert!(pod("pod/").is_err() && pod("").is_err() && pod("../nodes").is_err() && pod("a?b").is_err());
    }

    #[test]
    fn a_workload_is_named_as_kubectl_names_it() {
        let worker = |kind: &str| Ok((kind.to_owned(), "worker".to_owned()));
        assert_eq!(workload("deployment/worker"), worker("deployment"));
        assert_eq!(workload("Deployments.apps/worker"), worker("deployments"));
        assert!(workload("worker").is_err() && workload("/worker").is_err() && workload("pod/").is_err());
        assert_eq!((processors("2"), processors("500m")), (Ok("2".to_owned()), Ok("500m".to_owned())));
        assert!(processors("0").is_err() && processors("2k").is_err() && processors("").is_err());
    }

    #[test]
    fn a_time_has_a_unit() {
        let seconds = |seconds| Ok(std::time::Duration::from_secs(seconds));
        assert_eq!((time("15s"), time("7d"), time("2000ms")), (seconds(15), seconds(604_800), seconds(2)));
        assert!(time("15").is_err() && time("s").is_err() && time("1h").is_err());
    }

    #[test]
    fn a_pointer_begins_with_a_slash() {
        assert!(pointer("/spec/template").is_ok() && pointer("/a~1b").is_ok());
        assert!(pointer("spec/template").is_err_and(|error| error.ends_with(" /spec/template")));
        assert!(pointer("").is_err() && pointer("/").is_err());
    }

    #[test]
    fn a_long_time_an_id_and_a_model_are_what_they_look_like() {
        assert_eq!(long_time("90m"), Ok(Duration::from_secs(5400)));
        assert!(long_time("90").is_err() && long_time("-1h").is_err());
        assert_eq!((id("none"), id("0")), (Ok(Id(None)), Ok(Id(Some(0)))));
        assert!(id("root").is_err() && id("-1").is_err());
        assert!(model("Qwen/Qwen3-0.6B").is_ok() && model("gpt2").is_ok());
        assert!(model("a/b/c").is_err_and(|error| error.contains("owner/name, or the name alone")));
        assert!(model("/b").is_err() && model("https://x").is_err() && model("").is_err() && model("a b").is_err());
        assert!(model("../b").is_err() && model("./b").is_err());
    }
}
