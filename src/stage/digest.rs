//! The SHA-256 of an archive, in hexadecimal digits: the name of its generation.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

/// A digest. What is read is checked, since it becomes a part of file names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// The digest of these bytes.
    pub fn new(bytes: &[u8; 32]) -> Self {
        Digest(hexadecimal(bytes))
    }
}

impl TryFrom<String> for Digest {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 64 && text.bytes().all(is_digit) { Ok(Digest(text)) } else { Err("it is no SHA-256") }
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Bytes as hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::Digest;

    #[test]
    fn only_64_hexadecimal_digits_are_a_digest() {
        for text in ["", "../../etc/passwd", &"A".repeat(64), &"g".repeat(64), &"a".repeat(63)] {
            assert!(Digest::try_from(text.to_owned()).is_err(), "{text}");
        }
        let digest = Digest::new(&[0xa7; 32]);
        assert_eq!(Digest::try_from(digest.to_string()), Ok(digest));
    }
}
