//! Byte ranges (RFC 9110 section 14).

use std::ops::Range;

use gateway_spec::digits;

/// How many parts are sent at most. Who asks for more gets the whole.
const MAX_PARTS: usize = 16;

/// What a `Range` comes to for content of a certain length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ranges {
    /// The field does not count: it is not valid, not of bytes, or would cost more than the whole.
    Whole,
    /// 416: no part of it exists.
    Unsatisfiable,
    /// These parts, in the order asked for, none empty, none overlapping.
    Parts(Vec<Range<u64>>),
}

/// Reads the value of `Range` for content of `length` bytes.
///
/// Overlapping parts, more than 16 of them asked for, or in sum as much as the whole are [`Ranges::Whole`]: nobody needs
/// them, and sending each would multiply the work of a small request (H1-RNG-04, F04).
pub(crate) fn parse(field: &str, length: u64) -> Ranges {
    let Some((unit, set)) = field.split_once('=') else { return Ranges::Whole };
    if !unit.eq_ignore_ascii_case("bytes") {
        return Ranges::Whole;
    }
    let mut parts: Vec<Range<u64>> = Vec::new();
    let (mut asked, mut suffix_of_nothing) = (0, false);
    for spec in set.split(',').map(|spec| spec.trim_matches([' ', '\t'])).filter(|spec| !spec.is_empty()) {
        let Some(range) = parse_one(spec, length) else { return Ranges::Whole };
        asked += 1;
        if asked > MAX_PARTS {
            return Ranges::Whole;
        }
        suffix_of_nothing |= length == 0 && spec.starts_with('-') && range.end > 0;
        if range.start < length && range.start < range.end {
            parts.push(range.start..range.end.min(length));
        }
    }
    // H1-RNG-05: the last bytes of nothing are nothing, which a 206 cannot say.
    if asked == 0 || suffix_of_nothing {
        return Ranges::Whole;
    }
    let overlap = |(index, part): (usize, &Range<u64>)| {
        parts[..index].iter().any(|earlier| part.start < earlier.end && earlier.start < part.end)
    };
    let sum: u64 = parts.iter().map(|part| part.end - part.start).fold(0, u64::saturating_add);
    if parts.len() > 1 && (sum >= length || parts.iter().enumerate().any(overlap)) {
        return Ranges::Whole;
    }
    if parts.is_empty() { Ranges::Unsatisfiable } else { Ranges::Parts(parts) }
}

/// One range, not yet cut at the end of the content; `None` if it is not valid.
fn parse_one(spec: &str, length: u64) -> Option<Range<u64>> {
    let (first, last) = spec.split_once('-')?;
    // A number that does not fit is valid, and larger than any content (H1-RNG-10).
    let number = |text: &str| {
        let valid = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        valid.then(|| digits(text.as_bytes()).unwrap_or(u64::MAX))
    };
    match (first, last) {
        ("", suffix) => {
            let suffix = number(suffix)?;
            // For content of no bytes the end tells that something was asked for.
            let end = if length == 0 { suffix } else { length };
            Some(if suffix == 0 { length..length } else { length.saturating_sub(suffix)..end })
        }
        (first, "") => Some(number(first)?..u64::MAX),
        (first, last) => {
            let (start, end) = (number(first)?, number(last)?);
            (start <= end).then(|| start..end.saturating_add(1))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Ranges::{Unsatisfiable, Whole};
    use super::*;

    #[test]
    fn table() {
        #[allow(clippy::single_range_in_vec_init, reason = "one range is what is meant")]
        for (field, length, expected) in [
            ("bytes=0-4", 10, Ranges::Parts(vec![0..5])),
            ("bytes=5-", 10, Ranges::Parts(vec![5..10])),
            ("bytes=-3", 10, Ranges::Parts(vec![7..10])),
            ("bytes=-30", 10, Ranges::Parts(vec![0..10])),
            ("bytes=0-999", 10, Ranges::Parts(vec![0..10])),
            ("bytes=9-9", 10, Ranges::Parts(vec![9..10])),
            ("bytes=0-0,-1", 10, Ranges::Parts(vec![0..1, 9..10])),
            ("bytes=5-6,0-1", 10, Ranges::Parts(vec![5..7, 0..2])),
            ("Bytes= 0-1 , ,3-4", 10, Ranges::Parts(vec![0..2, 3..5])),
            ("bytes=0-1,100-", 10, Ranges::Parts(vec![0..2])),
            ("bytes=0-99999999999999999999", 10, Ranges::Parts(vec![0..10])),
            ("bytes=0-18446744073709551615", 10, Ranges::Parts(vec![0..10])),
            ("bytes=18446744073709551616-", 10, Unsatisfiable),
            ("bytes=10-", 10, Unsatisfiable),
            ("bytes=-0", 10, Unsatisfiable),
            ("bytes=0-", 0, Unsatisfiable),
            ("bytes=-0", 0, Unsatisfiable),
            ("bytes=-5", 0, Whole),
            ("bytes=5-2", 10, Whole),
            ("bytes=a-b", 10, Whole),
            ("bytes=+1-2", 10, Whole),
            ("bytes=", 10, Whole),
            ("bytes=,", 10, Whole),
            ("bytes=-", 10, Whole),
            ("bytes", 10, Whole),
            ("bytes=0-1,x", 10, Whole),
            ("lines=1-2", 10, Whole),
            ("bytes=0-2,2-4", 10, Whole),
            ("bytes=0-,-10", 10, Whole),
            ("bytes=0-4,5-9", 10, Whole),
        ] {
            assert_eq!(parse(field, length), expected, "{field} of {length}");
        }
        assert_eq!(parse(&format!("bytes={}", "0-0,".repeat(1000)), 10_000), Whole);
        let many: String = (0..17).map(|i| format!("{}-{},", i * 10, i * 10)).collect();
        assert_eq!(parse(&format!("bytes={many}"), 10_000), Whole);
        // Also if most of them are not there.
        assert_eq!(parse(&format!("bytes={many}"), 25), Whole);
    }

    proptest! {
        /// Whatever is asked: parts are inside, not empty, apart from each other, and less than the whole.
        #[test]
        fn parts_are_sane(field in "bytes=[0-9, -]{0,40}", length in 0u64..200) {
            if let Ranges::Parts(parts) = parse(&field, length) {
                prop_assert!(!parts.is_empty() && parts.len() <= MAX_PARTS);
                let mut seen = vec![false; usize::try_from(length).unwrap()];
                for part in &parts {
                    prop_assert!(part.start < part.end && part.end <= length);
                    for index in part.clone() {
                        prop_assert!(!std::mem::replace(&mut seen[usize::try_from(index).unwrap()], true));
                    }
                }
            }
        }
    }
}
