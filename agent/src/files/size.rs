//! Sizes as they are typed: `4096`, `10M`, `1.5GiB`.

/// Prefixes of 1024, as du(1), find(1) and ls(1) have them.
const PREFIXES: &[u8] = b"KMGTPE";

/// Reads a size in bytes: a number, whole or with decimals, with a prefix (of 1024, in either case) or without; `B` and `iB`
/// may follow.
///
/// # Errors
/// What is right, for text that is no size.
pub fn parse_size(text: &str) -> Result<u64, String> {
    size(text).ok_or_else(|| "use a number of bytes, or such as 10K, 1.5M, 2G or 1T".to_owned())
}

fn size(text: &str) -> Option<u64> {
    let digits = text.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.to_ascii_uppercase();
    let unit = unit.strip_suffix('B').unwrap_or(&unit);
    let power = match unit.as_bytes() {
        [] => 0,
        [prefix] | [prefix, b'I'] => {
            u32::try_from(PREFIXES.iter().position(|known| known == prefix)?).ok()? + 1
        }
        _ => return None,
    };
    let scale = 1_u64.checked_shl(10 * power)?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || (part.is_empty() && number.contains('.')) || part.contains('.') || part.len() > 9 {
        return None;
    }
    let bytes = whole.parse::<u64>().ok()?.checked_mul(scale)?;
    let part = match part {
        "" => 0,
        digits => {
            let all = 10_u128.pow(u32::try_from(digits.len()).ok()?);
            u64::try_from(digits.parse::<u128>().ok()? * u128::from(scale) / all).ok()?
        }
    };
    bytes.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::parse_size;

    #[test]
    fn sizes_have_prefixes_of_1024() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("10K", 10 << 10),
            ("10k", 10 << 10),
            ("10KB", 10 << 10),
            ("10KiB", 10 << 10),
            ("1.5M", 3 << 19),
            ("0.5g", 1 << 29),
            ("15E", 15 << 60),
            ("7B", 7),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in
            ["", "M", "-1", "1 M", "1MM", "1iB", "1.", ".5", "1.2.3", "16E", "99999999999999999999", "1x"]
        {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
