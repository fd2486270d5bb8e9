//! Reads the values of settings, from the trimmed text of an annotation or of a file.

use super::super::dns_name;
use super::super::path::{self, Path};
use super::super::reason::Reason;
use super::{Key, Policy, Skip};

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
    let (host, port) = rest.rsplit_once(':').ok_or(Reason::AnnotationInvalid)?;
    let port_is_valid =
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    let address_in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_is_valid = match address_in_brackets {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => dns_name::is_host(host),
    };
    if port_is_valid && host_is_valid { Ok(format!("http://{host}:{port}")) } else { Err(Reason::AnnotationInvalid) }
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
}
