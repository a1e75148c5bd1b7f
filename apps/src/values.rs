//! How words on a command line become values.

use std::time::Duration;

/// The longest time that can be set: what is longer was not meant.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// A whole number.
///
/// # Errors
/// If it is none, or does not fit.
pub fn count<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let number = gateway_spec::digits(text.as_bytes()).and_then(|number| number.try_into().ok());
    number.ok_or_else(|| format!("{text:?} is not a number"))
}

/// A number of bytes: `1000`, `64KiB`, `16M`, `2GB`. Without a `B`, or with `iB`, the units are powers of 1,024.
///
/// # Errors
/// If it is none, or does not fit.
pub fn size<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let (number, unit) = split(text);
    let factor: Option<u64> = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "k" | "kib" => Some(1 << 10),
        "m" | "mib" => Some(1 << 20),
        "g" | "gib" => Some(1 << 30),
        "t" | "tib" => Some(1 << 40),
        "kb" => Some(1000),
        "mb" => Some(1_000_000),
        "gb" => Some(1_000_000_000),
        "tb" => Some(1_000_000_000_000),
        _ => None,
    };
    let bytes = gateway_spec::digits(number.as_bytes()).zip(factor).and_then(|(n, factor)| n.checked_mul(factor));
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| format!("{text:?} is not a size; write 1000, 64KiB or 16M"))
}

/// A time: `30s`, `1.5s`, `500ms`, `2m`, `1h`; a number alone is in seconds.
///
/// # Errors
/// If it is none, is nothing, or longer than a year.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => f64::NAN,
    };
    // The number is of digits and points only, so this is never `inf` or `1e99`.
    let seconds = number.parse::<f64>().unwrap_or(f64::NAN) * seconds;
    match Duration::try_from_secs_f64(seconds) {
        Ok(Duration::ZERO) => Err(format!("{text:?} leaves no time at all")),
        Ok(duration) if duration <= LONGEST => Ok(duration),
        Ok(_) => Err(format!("{text:?} is longer than a year")),
        Err(_) => Err(format!("{text:?} is not a time; write 30s, 500ms, 2m or 1h")),
    }
}

/// Whether a switch is on: `true`, `yes`, `on` or `1`, as a switch without a value is; `false`, `no`, `off`, `0` or nothing.
///
/// # Errors
/// If it is something else.
pub fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" | "" => Ok(false),
        _ => Err(format!("{text:?} is neither yes nor no")),
    }
}

/// The digits and points at the beginning, and the rest.
fn split(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_what_people_write() {
        for (text, bytes) in [
            ("0", 0),
            ("1000", 1000),
            ("1000B", 1000),
            ("64k", 65536),
            ("64KiB", 65536),
            ("64KB", 64000),
            ("16M", 16 << 20),
            ("2GB", 2_000_000_000),
            ("1tib", 1 << 40),
        ] {
            assert_eq!(size::<u64>(text), Ok(bytes), "{text}");
        }
        for bad in ["", "k", "-1", "+1", "1.5M", "1 k", "1kk", "18446744073709551616", "16777216T", "1e3"] {
            assert!(size::<u64>(bad).is_err_and(|error| error.contains("not a size")), "{bad}");
        }
        assert!(size::<u8>("256").is_err());
    }

    #[test]
    fn times_are_what_people_write() {
        for (text, milliseconds) in [
            ("30", 30_000),
            ("30s", 30_000),
            ("1.5s", 1500),
            ("500ms", 500),
            ("2m", 120_000),
            ("2min", 120_000),
            ("1h", 3_600_000),
            (".5", 500),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for bad in ["", "s", "-1s", "1..5s", "1,5s", "1 s", "1d", "inf", "NaN", "1e3", "."] {
            assert!(duration(bad).is_err_and(|error| error.contains("not a time")), "{bad}");
        }
        assert!(duration("0s").is_err_and(|error| error.contains("no time")));
        assert!(duration("99999h").is_err_and(|error| error.contains("year")));
    }

    #[test]
    fn switches_are_what_people_write() {
        assert!(["true", "Yes", "ON", "1"].iter().all(|text| switch(text) == Ok(true)));
        assert!(["false", "No", "off", "0", ""].iter().all(|text| switch(text) == Ok(false)));
        assert!(switch("maybe").is_err_and(|error| error.contains("neither")));
    }
}
