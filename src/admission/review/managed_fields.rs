//! The `managedFields` of a pod: a third and more of its review, and nothing that we look at. Their entries are cut out, 64 bytes
//! at a time, before the rest is parsed.
//!
//! Why not serde's `IgnoredAny`, which skips them too: it takes ten times as long, a nanosecond for each byte.

use std::ops::Range;
use std::str::Utf8Error;

use memchr::memmem;
use wide::u8x64;

/// How the API server begins them, behind the other metadata.
const KEY: &[u8] = br#","managedFields":["#;

/// Bytes that are looked at together: one bit of a mask for each.
const BLOCK: usize = 64;

/// The even bits of a mask.
const EVEN: u64 = 0x5555_5555_5555_5555;

/// The body without the entries of its first list of that name, wherever it is. What is before them moves up to what is behind, so
/// the start of the buffer is of no use afterwards.
///
/// If the body is JSON, so is the rest, and all else in it has the value that it had: in JSON, a quotation mark behind a comma opens
/// a string, since a letter follows it; and a string before a colon is a key. Of a body that is no JSON because of its entries, the
/// rest may be JSON: they are checked to be text and no more.
///
/// # Errors
/// The body is no text.
pub(super) fn without_entries(body: &mut [u8]) -> Result<&str, Utf8Error> {
    let Some(Range { start, end }) = entries(body) else { return str::from_utf8(body) };
    str::from_utf8(&body[start..end])?;
    body.copy_within(..start, end - start);
    str::from_utf8(&body[end - start..])
}

/// Where the entries are, without the brackets around them.
fn entries(body: &[u8]) -> Option<Range<usize>> {
    let start = memmem::find(body, KEY)? + KEY.len();
    Some(start..start + end_of_list(&body[start..])?)
}

/// Where the bracket is that closes the list whose elements these bytes begin with.
fn end_of_list(bytes: &[u8]) -> Option<usize> {
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    let mut last = [0; BLOCK];
    last[..rest.len()].copy_from_slice(rest);
    let mut strings = Strings::default();
    let mut depth = 1_usize;
    for (index, block) in blocks.iter().chain([&last]).enumerate() {
        let outside = !strings.next_inside(block);
        let opening = positions(block, b'[') & outside;
        let mut brackets = opening | (positions(block, b']') & outside);
        while brackets != 0 {
            let bracket = brackets & brackets.wrapping_neg();
            depth = if opening & bracket == 0 { depth - 1 } else { depth + 1 };
            if depth == 0 {
                return Some(index * BLOCK + bracket.trailing_zeros() as usize);
            }
            brackets ^= bracket;
        }
    }
    None
}

/// Which bytes of a block are this one.
fn positions(block: &[u8; BLOCK], byte: u8) -> u64 {
    u8x64::new(*block).simd_eq(u8x64::splat(byte)).to_bitmask()
}

/// What the end of one block means for the next. The masks are those of simdjson: Langdale and Lemire, Parsing Gigabytes of JSON
/// per Second, section 3.1.
#[derive(Default)]
struct Strings {
    /// All bits if the block ended within a string.
    open: u64,
    /// The first bit if it ended with a backslash that escapes what follows.
    escape: u64,
}

impl Strings {
    /// Which bytes of the next block are within a string; its first quotation mark counts as that, its last does not.
    fn next_inside(&mut self, block: &[u8; BLOCK]) -> u64 {
        let quotes = positions(block, b'"') & !self.next_escaped(positions(block, b'\\'));
        // Each bit becomes the parity of the bits up to it.
        let parity = [1, 2, 4, 8, 16, 32].iter().fold(quotes, |mask, shift| mask ^ (mask << shift));
        let inside = parity ^ self.open;
        self.open = if inside >> (BLOCK - 1) == 1 { u64::MAX } else { 0 };
        inside
    }

    /// Which bytes of the next block a backslash escapes: those behind a run of backslashes with an odd length.
    fn next_escaped(&mut self, backslashes: u64) -> u64 {
        if backslashes == 0 {
            return std::mem::take(&mut self.escape);
        }
        let backslashes = backslashes & !self.escape;
        let behind = (backslashes << 1) | self.escape;
        // Adding carries each run that begins at an odd bit to the bit behind its end.
        let odd_starts = backslashes & !EVEN & !behind;
        let (carried, overflows) = odd_starts.overflowing_add(backslashes);
        self.escape = u64::from(overflows);
        (EVEN ^ (carried << 1)) & behind
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, end_of_list, without_entries};

    /// The same, byte by byte.
    fn end_by_bytes(bytes: &[u8]) -> Option<usize> {
        let (mut in_string, mut is_escaped, mut depth) = (false, false, 1);
        for (at, byte) in bytes.iter().enumerate() {
            let escapes = *byte == b'\\' && !is_escaped;
            in_string ^= *byte == b'"' && !is_escaped;
            is_escaped = escapes;
            depth += match byte {
                b'[' if !in_string => 1,
                b']' if !in_string => -1,
                _ => 0,
            };
            if depth == 0 {
                return Some(at);
            }
        }
        None
    }

    /// Every text of so many characters out of these.
    fn texts(characters: &[u8], length: u32) -> impl Iterator<Item = Vec<u8>> {
        let text = move |number: usize| {
            (0..length).scan(number, |rest, _| {
                let character = characters[*rest % characters.len()];
                *rest /= characters.len();
                Some(character)
            })
        };
        (0..characters.len().pow(length)).map(move |number| text(number).collect())
    }

    #[test]
    fn masks_find_the_end_that_a_look_at_each_byte_finds() {
        for text in texts(br#""\[]x"#, 6) {
            for (before, after) in [(0, 0), (BLOCK - 3, 2), (BLOCK - 6, BLOCK), (2 * BLOCK - 1, 3 * BLOCK)] {
                for (filling, closed) in [(b'x', "]]"), (b'\\', "\"]]"), (b'[', "\\\"]"), (b'"', "]\"]")] {
                    let bytes = [&vec![filling; before], &*text, &vec![filling; after], closed.as_bytes()].concat();
                    let text = String::from_utf8_lossy(&bytes);
                    assert_eq!(end_of_list(&bytes), end_by_bytes(&bytes), "{text}");
                }
            }
        }
    }

    #[test]
    fn what_does_not_begin_or_end_as_the_entries_do_stays() {
        for body in [
            r#"{"a":"x,\"managedFields\":[1]"}"#,
            r#"{"a":1, "managedFields":[1]}"#,
            r#"{"a":1,"managedFields":null}"#,
            r#"{"a":1,"managedFields":[1"#,
            r#"{"a":1,"managedFields":["]"#,
            "",
        ] {
            assert_eq!(without_entries(&mut body.as_bytes().to_vec()), Ok(body));
        }
    }

    #[test]
    fn entries_that_are_no_text_are_refused() {
        let body = b"{\"a\":1,\"managedFields\":[\"HERE\"],\"b\":1}";
        for bytes in [&b"\xff"[..], b"\xe2\x82", b"\xed\xa0\x80"] {
            let at = body.windows(4).position(|window| window == b"HERE").unwrap();
            assert!(without_entries(&mut [&body[..at], bytes, &body[at + 4..]].concat()).is_err());
        }
        assert_eq!(without_entries(&mut body.to_vec()), Ok(r#"{"a":1,"managedFields":[],"b":1}"#));
    }
}
