//! Resolves plain scalars by the rules of the YAML 1.1 reader that Kubernetes uses (`go.yaml.in/yaml/v2`).

use serde_json::{Number, Value};

/// Resolves plain text to a boolean, a number, null or text. Infinity and NaN are `None`: JSON cannot represent them.
pub(crate) fn plain(text: &str) -> Option<Value> {
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Value::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf"
        | "-.INF" => return None,
        _ => number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    })
}

fn number(text: &str) -> Option<Number> {
    match text.bytes().next()? {
        b'.' if is_float(text) => float(text),
        b'+' | b'-' | b'0'..=b'9' if !is_timestamp(text) => {
            let digits = text.replace('_', "");
            integer(&digits).or_else(|| if is_float(&digits) { float(&digits) } else { None })
        }
        _ => None,
    }
}

/// Whether text is a date, which stays text. No number has a dash inside, except in an exponent.
fn is_timestamp(text: &str) -> bool {
    text.len() > 4 && text.as_bytes().get(4) == Some(&b'-') && text.bytes().take(4).all(|byte| byte.is_ascii_digit())
}

fn integer(text: &str) -> Option<Number> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, radix) = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', ..] => (unsigned.get(2..)?, 16),
        [b'0', b'o' | b'O', ..] => (unsigned.get(2..)?, 8),
        [b'0', b'b' | b'B', ..] => (unsigned.get(2..)?, 2),
        [b'0', _, ..] => (unsigned.get(1..)?, 8),
        _ => (unsigned, 10),
    };
    if !digits.bytes().next()?.is_ascii_alphanumeric() {
        // The parser below would accept a second sign.
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    let value = if negative { -value } else { value };
    let signed = i64::try_from(value).map(Number::from);
    // To Go, a large integer with a plus sign is a float.
    signed.ok().or_else(|| if text.starts_with('+') { None } else { u64::try_from(value).ok().map(Number::from) })
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa_is_valid = match mantissa.split_once('.') {
        Some(("", fraction)) => digits(fraction),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
        None => digits(mantissa),
    };
    mantissa_is_valid && exponent.is_none_or(digits)
}

fn float(text: &str) -> Option<Number> {
    // As in Go, a number that is too large stays text.
    let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite())?;
    // Go writes whole floats without a decimal point, and Kubernetes reads those as integers: 1e3 is 1000.
    #[expect(clippy::cast_possible_truncation, reason = "the value is whole and in the range where a float is exact")]
    let whole = (value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0).then_some(value as i64);
    whole.map_or_else(|| Number::from_f64(value), |whole| Some(Number::from(whole)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::plain;

    #[test]
    fn plain_text_is_resolved_as_kubectl_does() {
        for (text, value) in [
            ("yes", json!(true)),
            ("y", json!(true)),
            ("Off", json!(false)),
            ("~", Value::Null),
            ("nUll", json!("nUll")),
            ("0644", json!(420)),
            ("0o17", json!(15)),
            ("08", json!(8)),
            ("0x1F", json!(31)),
            ("-0b11", json!(-3)),
            ("1_000", json!(1000)),
            ("1e3", json!(1000)),
            ("5.0", json!(5)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("+5", json!(5)),
            ("9223372036854775807", json!(i64::MAX)),
            ("18446744073709551615", json!(u64::MAX)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("1e999", json!("1e999")),
            ("2024-01-02", json!("2024-01-02")),
            ("12:30", json!("12:30")),
            ("+-5", json!("+-5")),
            ("--5", json!("--5")),
            ("0x", json!("0x")),
            ("1.2.3", json!("1.2.3")),
            ("500m", json!("500m")),
            ("-", json!("-")),
            (".", json!(".")),
        ] {
            assert_eq!(plain(text), Some(value), "{text:?}");
        }
        assert_eq!(plain(".inf"), None);
    }
}
