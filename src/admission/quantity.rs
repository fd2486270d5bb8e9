//! Amounts of processors and memory, as Kubernetes writes them: `100m`, `1.5`, `64Mi`, `1e9`.

use std::fmt;
use std::iter::Sum;

/// An amount in thousandths, rounded up to the next one, as Kubernetes rounds what is finer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity(u128);

/// Most digits of an amount that is read; the largest that Kubernetes takes, `8Ei` in bytes, has 19.
const MOST_DIGITS: usize = 21;

impl Quantity {
    /// Nothing.
    pub const ZERO: Quantity = Quantity(0);

    /// Reads an amount; none for text that is none, and for amounts below zero or beyond all that Kubernetes takes.
    pub fn read(text: &str) -> Option<Quantity> {
        let text = text.strip_prefix('+').unwrap_or(text);
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = [whole, fraction].concat();
        if digits.len() > MOST_DIGITS {
            return None;
        }
        // A second dot is no digit.
        let digits: u128 = digits.parse().ok()?;
        let (twos, tens) = scale(suffix)?;
        let tens = tens + 3 - i32::try_from(fraction.len()).ok()?;
        let power = 10_u128.checked_pow(tens.unsigned_abs())?;
        let amount = digits.checked_mul(1 << twos)?;
        let thousandths = if tens < 0 { amount.div_ceil(power) } else { amount.checked_mul(power)? };
        Some(Quantity(thousandths))
    }

    /// So many thousandths.
    pub const fn millis(thousandths: u32) -> Quantity {
        Quantity(thousandths as u128)
    }

    /// The amount, or a thousandth less where it is a whole number.
    #[must_use]
    pub fn fractional(self) -> Quantity {
        if self.0.is_multiple_of(1000) { Quantity(self.0.saturating_sub(1)) } else { self }
    }

    /// So many mebibytes.
    pub const fn mebibytes(count: u32) -> Quantity {
        Quantity(((count as u128) << 20) * 1000)
    }
}

impl Sum for Quantity {
    fn sum<I: Iterator<Item = Quantity>>(amounts: I) -> Quantity {
        Quantity(amounts.fold(0, |sum, amount| sum.saturating_add(amount.0)))
    }
}

/// The powers of two and of ten for which a suffix stands.
fn scale(suffix: &str) -> Option<(u32, i32)> {
    let of_two = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].iter().position(|known| *known == suffix);
    if let Some(step) = of_two {
        return Some((10 * (u32::try_from(step).ok()? + 1), 0));
    }
    let tens = match suffix {
        "n" => -9,
        "u" => -6,
        "m" => -3,
        "" => 0,
        "k" => 3,
        "M" => 6,
        "G" => 9,
        "T" => 12,
        "P" => 15,
        "E" => 18,
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            Some(exponent).filter(|exponent| (-18..=18).contains(exponent))?
        }
    };
    Some((0, tens))
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 1000, self.0 % 1000);
        if rest > 0 {
            return write!(f, "{}m", self.0);
        }
        let units = [("Gi", 30), ("Mi", 20), ("Ki", 10)];
        match units.iter().find(|(_, twos)| whole > 0 && whole % (1 << twos) == 0) {
            Some((unit, twos)) => write!(f, "{}{unit}", whole >> twos),
            None => write!(f, "{whole}"),
        }
    }
}

impl serde::Serialize for Quantity {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::Quantity;

    fn written(text: &str) -> Option<String> {
        Quantity::read(text).map(|quantity| quantity.to_string())
    }

    #[test]
    fn an_amount_is_read_and_written_as_kubernetes_does() {
        for (text, canonical) in [
            ("100m", "100m"),
            ("0.1", "100m"),
            (".5", "500m"),
            ("5.", "5"),
            ("+1", "1"),
            ("1", "1"),
            ("1000m", "1"),
            ("64Mi", "64Mi"),
            ("67108864", "64Mi"),
            ("1.5Gi", "1536Mi"),
            ("1e3", "1000"),
            ("1E3", "1000"),
            ("2E", "1953125000000000Ki"),
            ("8Ei", "8589934592Gi"),
            ("1k", "1000"),
            ("1n", "1m"),
            ("0", "0"),
            ("128974848000m", "123Mi"),
        ] {
            assert_eq!(written(text).as_deref(), Some(canonical), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_not_read() {
        for text in ["", ".", "m", "1.2.3", "-1", "1 Mi", "1mi", "1K", "0x1", "1e", "1e99", "1Zi", "1e400", "٣"] {
            assert_eq!(written(text), None, "{text}");
        }
        assert_eq!(written(&"9".repeat(22)), None);
    }

    #[test]
    fn amounts_compare_by_what_they_mean() {
        let read = |text| Quantity::read(text).unwrap();
        assert!(read("1Gi") > read("1G") && read("1") == read("1000m") && read("0") == Quantity::ZERO);
        assert_eq!([read("250m"), read("0.75")].into_iter().sum::<Quantity>(), read("1"));
    }
}
