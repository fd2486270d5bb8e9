//! The pax records of an entry: the path where the header has no room for it, and the time in nanoseconds.

use crate::stage::folder::Modified;

/// What the records of an entry say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) modified: Option<Modified>,
}

/// Parses the records before an entry. Those of other writers are ignored.
///
/// # Errors
/// What is wrong with them, as words.
pub(super) fn parse(mut bytes: &[u8]) -> Result<Records, &'static str> {
    let mut records = Records::default();
    while !bytes.is_empty() {
        let Record { key, value, rest } = split_record(bytes).ok_or("malformed pax records")?;
        bytes = rest;
        match key {
            b"path" => records.path = Some(value.to_vec()),
            b"mtime" => {
                let time = str::from_utf8(value).ok().and_then(parse_time).ok_or("a malformed time")?;
                records.modified = Some(time);
            }
            b"size" | b"linkpath" => return Err("a pax size or link"),
            _ => {}
        }
    }
    Ok(records)
}

/// One record, and the bytes behind it.
struct Record<'a> {
    key: &'a [u8],
    value: &'a [u8],
    rest: &'a [u8],
}

/// Splits off the first record: `LENGTH KEY=VALUE` and a line break, where the length counts all of it. The crate `tar` looks
/// for the line break instead, which a path may have.
fn split_record(bytes: &[u8]) -> Option<Record<'_>> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let length: usize = str::from_utf8(bytes.get(..space)?).ok()?.parse().ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some(Record { key: record.get(..equals)?, value: record.get(equals + 1..)?, rest })
}

/// The value of `mtime`: seconds with nine decimals.
pub(super) fn format_time(time: Modified) -> String {
    let nanoseconds = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds);
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let nanoseconds = nanoseconds.unsigned_abs();
    format!("{sign}{}.{:09}", nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000)
}

fn parse_time(text: &str) -> Option<Modified> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let fraction: i128 = format!("{:0<9}", fraction.get(..fraction.len().min(9))?).parse().ok()?;
    let nanoseconds = sign * (i128::from(whole) * 1_000_000_000 + fraction);
    Some(Modified {
        seconds: nanoseconds.div_euclid(1_000_000_000).try_into().ok()?,
        nanoseconds: nanoseconds.rem_euclid(1_000_000_000).try_into().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::{Modified, format_time, parse, parse_time};

    #[test]
    fn times_before_and_after_1970_keep_their_nanoseconds() {
        for (seconds, nanoseconds, text) in [
            (1_700_000_000, 123_456_789, "1700000000.123456789"),
            (0, 0, "0.000000000"),
            (-2, 500_000_000, "-1.500000000"),
            (-1, 999_999_999, "-0.000000001"),
        ] {
            let time = Modified { seconds, nanoseconds };
            assert_eq!(format_time(time), text);
            assert_eq!(parse_time(text), Some(time));
        }
        assert_eq!(parse_time("7"), Some(Modified { seconds: 7, nanoseconds: 0 }));
        assert_eq!(parse_time("7.5"), Some(Modified { seconds: 7, nanoseconds: 500_000_000 }));
        for broken in ["", ".", "x", "1.x", "+1", "99999999999999999999", "1e3"] {
            assert_eq!(parse_time(broken), None, "{broken}");
        }
    }

    #[test]
    fn records_give_path_and_time_and_a_broken_one_is_an_error() {
        let records = parse(b"12 path=a/b\n12 mtime=12\n").unwrap();
        assert_eq!(records.path.as_deref(), Some(b"a/b".as_slice()));
        assert_eq!(records.modified, Some(Modified { seconds: 12, nanoseconds: 0 }));
        assert!(parse(b"12 mtime=xx\n").is_err());
        assert!(parse(b"10 size=9\n").is_err());
        let lines = parse(b"14 path=a\n9 b\n").unwrap();
        assert_eq!(lines.path.as_deref(), Some(b"a\n9 b".as_slice()), "a path may have line breaks");
        for broken in [&b"garbage"[..], b"3 \n", b"99 a=b\n", b"0 a=b\n", b"5 a=b\n", b"18446744073709551616 a=b\n"] {
            assert!(parse(broken).is_err(), "{broken:?}");
        }
    }
}
