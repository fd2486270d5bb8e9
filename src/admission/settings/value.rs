//! Reads the values of settings, from the trimmed text of an annotation or of a file.

use super::super::dns_name;
use super::super::path::{self, Path};
use super::super::quantity::Quantity;
use super::super::reason::Reason;
use super::{Key, Policy, Resource, Skip};

pub(super) fn boolean(text: &str) -> Result<bool, Reason> {
    text.parse().map_err(|_| Reason::AnnotationInvalid)
}

pub(super) fn policy(text: &str) -> Result<Policy, Reason> {
    match text {
        "inject" => Ok(Policy::Inject),
        "skip" => Ok(Policy::Skip),
        _ => Err(Reason::AnnotationInvalid),
    }
}

/// A DNS subdomain, as Kubernetes wants the names of claims.
pub(super) fn claim(text: &str) -> Result<String, Reason> {
    if dns_name::is_subdomain(text) { Ok(text.to_owned()) } else { Err(Reason::AnnotationInvalid) }
}

/// `NAME:TAG@DIGEST`, of which tag or digest may lack: with what is none, no pod would start.
pub(super) fn image(text: &str) -> Result<String, Reason> {
    let is_usual = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let (tagged, digest) = text.split_once('@').map_or((text, None), |(tagged, digest)| (tagged, Some(digest)));
    let (name, tag) = match tagged.rsplit_once(':') {
        // Otherwise it is the port of a registry.
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (tagged, None),
    };
    let ends = [name.bytes().next(), name.bytes().next_back()];
    let is_name = ends.into_iter().all(|byte| byte.is_some_and(is_usual))
        && name.bytes().all(|byte| is_usual(byte) || b"._:/-".contains(&byte));
    let is_tag = tag.is_none_or(|tag| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        (1..=128).contains(&tag.len()) && !tag.starts_with(['.', '-']) && tag.bytes().all(is_plain)
    });
    let is_digest = digest.is_none_or(|digest| {
        let hex = |hex: &str| (32..=128).contains(&hex.len()) && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        digest.split_once(':').is_some_and(|(way, digits)| !way.is_empty() && way.bytes().all(is_usual) && hex(digits))
    });
    let valid = text.len() <= LONGEST_IMAGE && is_name && is_tag && is_digest;
    if valid { Ok(text.to_owned()) } else { Err(Reason::AnnotationInvalid) }
}

/// The longest reference that is taken: a name of 255 bytes, a tag of 128, and a digest.
const LONGEST_IMAGE: usize = 512;

pub(super) fn amount(resource: Resource, text: &str) -> Result<Quantity, Reason> {
    Quantity::read(text).filter(|amount| *amount >= resource.least()).ok_or(Reason::AnnotationInvalid)
}

pub(super) fn absolute(text: &str) -> Result<Path<'static>, Reason> {
    let plain = !text.contains([':', '$']) && !text.contains(char::is_control);
    let valid = path::is_absolute(text) && path::is_short(text) && plain;
    if valid { Ok(Path::new(text).into_owned()) } else { Err(Reason::AnnotationInvalid) }
}

pub(super) fn mount_path(text: &str) -> Result<Path<'static>, Reason> {
    absolute(text).and_then(|path| if path.hides_system_files() { Err(Reason::AnnotationInvalid) } else { Ok(path) })
}

pub(super) fn key(text: &str) -> Result<Key, Reason> {
    let mut key = Key { image: false, gpu: false, args: false };
    if text != "none" {
        for part in text.split(',') {
            match part.trim() {
                "image" => key.image = true,
                "gpu" => key.gpu = true,
                "args" => key.args = true,
                _ => return Err(Reason::AnnotationInvalid),
            }
        }
    }
    Ok(key)
}

pub(super) fn skip(text: &str) -> Result<Skip, Reason> {
    let mut skip = Skip::default();
    if !text.is_empty() {
        for part in text.split(',') {
            match part.trim() {
                "model" => skip.model = true,
                "compile" => skip.compile = true,
                "model-express" => skip.express = true,
                _ => return Err(Reason::AnnotationInvalid),
            }
        }
    }
    Ok(skip)
}

/// `host:port` or `http://host:port` as `http://host:port`, the one form that every client of Model Express reads alike.
pub(super) fn address(text: &str) -> Result<String, Reason> {
    let rest = text.strip_prefix("http://").unwrap_or(text);
    let is_valid = rest.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && is_port(port));
    if is_valid { Ok(format!("http://{rest}")) } else { Err(Reason::AnnotationInvalid) }
}

/// `http://host` or `https://host`, with a port and a path or without. Clients append paths that begin with a slash.
pub(super) fn endpoint(text: &str) -> Result<String, Reason> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_valid = rest.is_some_and(|rest| {
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let with_port = authority.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && is_port(port));
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%+@:,=&!*".contains(&byte);
        (with_port || is_host(authority)) && path::is_short(text) && path.bytes().all(is_plain) && !path.ends_with('/')
    });
    if is_valid { Ok(text.to_owned()) } else { Err(Reason::AnnotationInvalid) }
}

/// The name of a host, or its address; one of IPv6 stands in brackets.
fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => dns_name::is_host(host),
    }
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::super::{ALL, Settings};

    fn applied(annotation: &str, text: &str) -> Result<Settings, &'static str> {
        let mut settings = Settings::default();
        let setting = ALL.iter().find(|setting| setting.annotation == Some(annotation)).ok_or("no such setting")?;
        setting.apply(&mut settings, text).map(|()| settings).map_err(super::Reason::code)
    }

    #[test]
    fn each_default_as_written_is_the_built_in_one() {
        for setting in ALL.iter().filter(|setting| !setting.default.is_empty()) {
            let mut settings = Settings::default();
            assert_eq!(setting.apply(&mut settings, setting.default), Ok(()), "{setting:?}");
            assert_eq!(settings, Settings::default(), "{setting:?}");
        }
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for (text, address) in [
            ("mx:8001", Ok("http://mx:8001")),
            ("http://mx.models.svc:8001", Ok("http://mx.models.svc:8001")),
            ("10.0.0.1:8001", Ok("http://10.0.0.1:8001")),
            ("[fd00::1]:8001", Ok("http://[fd00::1]:8001")),
            ("https://mx:8001", Err("annotation-invalid")),
            ("http://mx:8001/", Err("annotation-invalid")),
            ("http://mx", Err("annotation-invalid")),
            ("mx:0", Err("annotation-invalid")),
            ("mx:+1", Err("annotation-invalid")),
            ("user@mx:1", Err("annotation-invalid")),
            ("$(HOST):1", Err("annotation-invalid")),
            ("", Err("annotation-invalid")),
        ] {
            let url = applied("model-express-url", text).map(|settings| settings.express.url.unwrap_or_default());
            assert_eq!(url.as_deref().map_err(|code| *code), address, "{text:?}");
        }
    }

    #[test]
    fn an_endpoint_has_a_scheme_and_no_slash_at_its_end() {
        for text in [
            "http://hub",
            "https://hub.models.svc:8443",
            "http://10.0.0.1:80/api/hf",
            "https://[fd00::1]",
            "https://mirror.example.com/hf",
        ] {
            let endpoint = applied("model-endpoint", text).map(|settings| settings.model.endpoint);
            assert_eq!(endpoint, Ok(Some(text.to_owned())), "{text}");
        }
        assert_eq!(applied("model-endpoint", "none").map(|settings| settings.model.endpoint), Ok(None));
        for text in [
            "hub:80",
            "ftp://hub",
            "http://",
            "http://hub/",
            "http://hub/a/",
            "http://user@hub",
            "http://hub?a=b",
            "http://hub/a?b",
            "http://hub/a#b",
            "http://hub:0",
            "http://$(HOST)",
            "http://hub/$(A)",
            "http://hub/a b",
            "HTTP://hub",
            "",
        ] {
            assert_eq!(applied("model-endpoint", text), Err("annotation-invalid"), "{text:?}");
        }
    }

    #[test]
    fn values_that_do_not_parse_change_nothing() {
        for (annotation, text) in [
            ("model-claim", "Model_Cache"),
            ("model-claim", ""),
            ("model-mount-path", "relative"),
            ("model-mount-path", "/a/../b"),
            ("model-mount-path", "/etc/x"),
            ("model-mount-path", "/lib64"),
            ("model-mount-path", "/a:b"),
            ("model-mount-path", "/a$b"),
            ("model-mount-path", &format!("/{}", "a".repeat(256))),
            ("model-express-home", &"/a".repeat(513)),
            ("model-layout", "Home"),
            ("model-read-only", "True"),
            ("compile-key", "image,,gpu"),
            ("compile-key", "none,gpu"),
            ("compile-key", ""),
            ("missing-claim", "fail"),
            ("skip", "models"),
        ] {
            assert_eq!(applied(annotation, text), Err("annotation-invalid"), "{annotation}: {text:?}");
        }
        assert_eq!(applied("load-format", "auto"), Err("load-format-invalid"));
        assert!(applied("skip", "").is_ok());
    }

    fn file_value(key: &str, text: &str) -> bool {
        let setting = ALL.iter().find(|setting| setting.key == Some(key)).unwrap();
        setting.apply(&mut Settings::default(), text).is_ok()
    }

    #[test]
    fn an_image_is_a_name_with_a_tag_or_a_digest() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for text in [
            "dynamo-cache",
            "ghcr.io/dynamo-cache/dynamo-cache:0.1.0",
            "registry:5000/a/b",
            "registry:5000/a/b:V1_x",
            &format!("a/b@{digest}"),
            &format!("a/b:1@{digest}"),
        ] {
            assert!(file_value("staging.image", text), "{text}");
        }
        for text in
            ["", "A/b", "a b", "a/b:", "a/b@", "a/b@sha256:0", "/a", "a/", "a:-x", "$(id)", "a\n", &"a".repeat(513)]
        {
            assert!(!file_value("staging.image", text), "{text:?}");
        }
    }

    #[test]
    fn an_amount_is_one_with_which_the_sidecar_works() {
        let memory = "staging.resources.requests.memory";
        for (key, text) in [("staging.resources.limits.cpu", "2"), (memory, "32Mi"), (memory, "0.5Gi")] {
            assert!(file_value(key, text), "{text}");
        }
        for (key, text) in [("staging.resources.limits.cpu", "1m"), (memory, "64m"), (memory, "64"), (memory, "-1Gi")] {
            assert!(!file_value(key, text), "{text}");
        }
    }
}
