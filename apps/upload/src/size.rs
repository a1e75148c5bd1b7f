//! Sizes for people.

/// A number of bytes: `512 B`, `1.5 MiB`, `20 GiB`.
pub(crate) fn text(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // The unit with which the number is below 1,000, as far as there is one; `shift` is that of the unit below.
    let (mut unit, mut shift) = (0, 0);
    while bytes >> shift >= 1000 << 10 && unit + 1 < UNITS.len() {
        (unit, shift) = (unit + 1, shift + 10);
    }
    let tenths = ((bytes >> shift) * 10 + 512) / 1024;
    match (tenths / 10, tenths % 10) {
        (whole, 0) => format!("{whole} {}", UNITS[unit]),
        (whole, _) if whole >= 100 => format!("{} {}", (tenths + 5) / 10, UNITS[unit]),
        (whole, tenth) => format!("{whole}.{tenth} {}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (1024 * 1000 - 1, "1000 KiB"),
            (1024 * 1000, "1 MiB"),
            (150 << 20, "150 MiB"),
            ((150 << 20) + (1 << 19), "151 MiB"),
            (10 << 30, "10 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(text(bytes), shown, "{bytes}");
        }
    }
}
