//! The names that Kubernetes takes: parts of a host's name, and names of objects.

/// The longest name of an object, in bytes.
const LONGEST_SUBDOMAIN: usize = 253;

/// The longest part of a host's name, in bytes.
const LONGEST_LABEL: usize = 63;

/// Whether a text is a DNS label (RFC 1123): a container's name, or one part of a host's.
pub fn is_label(text: &str) -> bool {
    text.len() <= LONGEST_LABEL && is_part(text)
}

/// Whether a text is a DNS subdomain as Kubernetes takes it for most objects: parts between dots, of which only the whole is
/// bounded, so that a part may be longer than a DNS label.
pub fn is_subdomain(text: &str) -> bool {
    text.len() <= LONGEST_SUBDOMAIN && text.split('.').all(is_part)
}

/// Whether a text is a host's name: labels between dots, in upper or lower case, perhaps with a dot at its end.
pub fn is_host(text: &str) -> bool {
    text.len() <= LONGEST_SUBDOMAIN && text.to_ascii_lowercase().trim_end_matches('.').split('.').all(is_label)
}

fn is_part(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.bytes().next().is_some_and(alphanumeric)
        && text.bytes().last().is_some_and(alphanumeric)
        && text.bytes().all(|byte| alphanumeric(byte) || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::{is_host, is_label, is_subdomain};

    #[test]
    fn only_the_whole_name_of_an_object_is_bounded() {
        let long = "a".repeat(64);
        for name in ["a", "a-1", "0", &long, &format!("{long}.{long}.{long}")] {
            assert!(is_subdomain(name), "{name}");
        }
        for name in ["", "A", "-a", "a-", "a..b", "a_b", "ä", &"a".repeat(254)] {
            assert!(!is_subdomain(name), "{name}");
        }
        assert!(is_label(&long[1..]) && !is_label(&long) && !is_label("a.b"));
        assert!(is_host("Mx.models.svc.") && !is_host(&long) && !is_host("a b"));
    }
}
