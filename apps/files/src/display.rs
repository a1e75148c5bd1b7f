//! Names, sizes and times as a person reads them.

use std::cmp::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A name as text on one line. What is no text, or would act rather than show, is U+FFFD.
pub(crate) fn name(octets: &[u8]) -> String {
    let acts = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    String::from_utf8_lossy(octets).chars().map(|c| if acts(c) { '\u{fffd}' } else { c }).collect()
}

/// A number of bytes with three digits or four: `0 B`, `999 B`, `1.5 KiB`, `12 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut unit = 0;
    let mut tenths = u128::from(bytes) * 10 / 1024;
    while tenths >= 10_240 {
        tenths /= 1024;
        unit += 1;
    }
    let unit = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"][unit];
    if tenths < 100 { format!("{}.{} {unit}", tenths / 10, tenths % 10) } else { format!("{} {unit}", tenths / 10) }
}

/// A time as `2026-11-25 21:30:07` in UTC; `None` where HTTP has no date either.
pub(crate) fn time(time: SystemTime) -> Option<String> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    const YEAR_10_000: Duration = Duration::from_secs(253_402_300_800);
    time.duration_since(UNIX_EPOCH).ok().filter(|since| *since < YEAR_10_000)?;
    // Sun, 06 Nov 1994 08:49:37 GMT
    let date = httpdate::fmt_http_date(time);
    let month = MONTHS.iter().position(|month| *month == &date[8..11])? + 1;
    Some(format!("{}-{month:02}-{} {}", &date[12..16], &date[5..7], &date[17..25]))
}

/// The order in which people look for names: letter case does not count, and `a2` comes before `a10`.
pub(crate) fn natural_order(one: &[u8], two: &[u8]) -> Ordering {
    let (mut left, mut right) = (one, two);
    loop {
        let order = match (left.first(), right.first()) {
            (None, None) => return one.cmp(two), // `A` and `a`, `01` and `1`
            (Some(l), Some(r)) if l.is_ascii_digit() && r.is_ascii_digit() => {
                let (l, r) = (number(&mut left), number(&mut right));
                l.len().cmp(&r.len()).then_with(|| l.cmp(r))
            }
            (Some(l), Some(r)) => {
                (left, right) = (&left[1..], &right[1..]);
                l.to_ascii_lowercase().cmp(&r.to_ascii_lowercase())
            }
            (l, r) => l.cmp(&r),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Takes the digits at the beginning; without their leading zeros, so that more digits are more.
fn number<'n>(text: &mut &'n [u8]) -> &'n [u8] {
    let end = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    &digits[digits.iter().take_while(|&&b| b == b'0').count()..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (10_239, "9.9 KiB"),
            (10_240, "10 KiB"),
            (1_048_575, "1023 KiB"),
            (1_048_576, "1.0 MiB"),
            (5_000_000_000, "4.6 GiB"),
            (u64::MAX, "15 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn times_are_of_utc() {
        let at = |seconds| time(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(784_111_777).as_deref(), Some("1994-11-06 08:49:37"));
        assert_eq!(at(0).as_deref(), Some("1970-01-01 00:00:00"));
        assert_eq!(at(253_402_300_799).as_deref(), Some("9999-12-31 23:59:59"));
        assert_eq!(at(253_402_300_800), None);
        assert_eq!(time(UNIX_EPOCH - Duration::from_secs(1)), None);
    }

    #[test]
    fn names_only_show() {
        assert_eq!(name("Käse 菜.txt".as_bytes()), "Käse 菜.txt");
        assert_eq!(name(b"a\xff\nb\x1b[31m"), "a\u{fffd}\u{fffd}b\u{fffd}[31m");
        assert_eq!(name("txt.\u{202e}gpj".as_bytes()), "txt.\u{fffd}gpj");
    }

    #[test]
    fn numbers_count_as_numbers() {
        let mut names = ["b", "a10", "A2", "a2", "a02", "a", "a2b", "10", "9", "", "a99999999999999999999999"];
        names.sort_by(|one, two| natural_order(one.as_bytes(), two.as_bytes()));
        assert_eq!(names, ["", "9", "10", "a", "A2", "a02", "a2", "a2b", "a10", "a99999999999999999999999", "b"]);
    }

    proptest! {
        /// It is an order, or sorting might panic.
        #[test]
        fn the_order_is_one(names in proptest::collection::vec("[aB0129]{0,4}", 3)) {
            let (a, b, c) = (names[0].as_bytes(), names[1].as_bytes(), names[2].as_bytes());
            prop_assert_eq!(natural_order(a, b), natural_order(b, a).reverse());
            prop_assert_eq!(natural_order(a, b) == Ordering::Equal, a == b);
            if natural_order(a, b).is_le() && natural_order(b, c).is_le() {
                prop_assert!(natural_order(a, c).is_le());
            }
        }
    }
}
