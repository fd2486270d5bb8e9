//! Decodes the bytes of a file as kubectl does: UTF-8, or UTF-16 that begins with a byte order mark.

use std::borrow::Cow;

use super::{Error, Position};

/// U+FEFF, which some editors put before the text of each file.
const MARK: char = '\u{feff}';

/// The text of a file, without the byte order marks before it and before its documents: files that were joined have several.
///
/// # Errors
/// The position of the first byte that belongs to no character.
pub fn text(bytes: &[u8]) -> Result<Cow<'_, str>, Error> {
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf_16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf_16(rest, u16::from_be_bytes),
        _ => utf_8(bytes),
    }
}

fn utf_8(bytes: &[u8]) -> Result<Cow<'_, str>, Error> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let at = Position::after(&String::from_utf8_lossy(before));
        Error { at, message: "this is not UTF-8 text".to_owned() }
    })?;
    Ok(without_marks(text.strip_prefix(MARK).unwrap_or(text)))
}

fn utf_16<'t>(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Cow<'t, str>, Error> {
    let (pairs, rest) = bytes.as_chunks();
    let text: Result<String, _> = char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).collect();
    match text {
        Ok(text) if rest.is_empty() => Ok(Cow::Owned(without_marks(&text).into_owned())),
        _ => {
            let valid = char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).map_while(Result::ok);
            let at = Position::after(&valid.collect::<String>());
            Err(Error { at, message: "this is not UTF-16 text".to_owned() })
        }
    }
}

/// The text without the marks that begin a document: behind a line of dashes or dots, or before one.
fn without_marks(text: &str) -> Cow<'_, str> {
    if !text.contains(MARK) {
        return Cow::Borrowed(text);
    }
    let is_border = |line: &str| line.starts_with("---") || line.starts_with("...");
    let (mut kept, mut is_behind_border) = (String::with_capacity(text.len()), true);
    for line in text.split_inclusive('\n') {
        let without = line.strip_prefix(MARK).filter(|rest| is_behind_border || is_border(rest)).unwrap_or(line);
        kept.push_str(without);
        is_behind_border = is_border(without);
    }
    Cow::Owned(kept)
}
