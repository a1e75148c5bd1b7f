//! The parts of a response, in the forms that a sender should use.

/// `field-name ":" SP field-value`, the form a sender should use (H1-SYN-04).
pub(super) fn field(line: &[u8]) -> Result<(String, Vec<u8>), String> {
    let wrong = |why: &str| format!("\"{}\": {why}", line.escape_ascii());
    let colon = line.iter().position(|&b| b == b':').ok_or_else(|| wrong("no colon"))?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || !name.iter().all(|&b| is_tchar(b)) {
        return Err(wrong("the name is not a token"));
    }
    let value = match value {
        [] => value,
        [b' ', rest @ ..] => rest,
        _ => return Err(wrong("one space belongs after the colon")),
    };
    if value.trim_ascii() != value {
        return Err(wrong("blanks around the value"));
    }
    if !value.iter().all(|&b| is_text(b)) {
        return Err(wrong("the value has a control character"));
    }
    Ok((String::from_utf8_lossy(name).into_owned(), value.to_vec()))
}

/// What a server sends: hexadecimal digits without leading zeros or extensions.
pub(super) fn chunk_size(line: &[u8]) -> Option<u64> {
    let plain = !line.is_empty() && line.len() <= 15 && line.iter().all(u8::is_ascii_hexdigit);
    if !plain || (line.len() > 1 && line[0] == b'0') {
        return None;
    }
    u64::from_str_radix(str::from_utf8(line).ok()?, 16).ok()
}

pub(super) fn number(value: &[u8]) -> Option<u64> {
    let plain = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    if plain { str::from_utf8(value).ok()?.parse().ok() } else { None }
}

fn is_tchar(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// HTAB, SP, VCHAR, obs-text.
pub(super) fn is_text(b: u8) -> bool {
    b == b'\t' || (b >= b' ' && b != 0x7f)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`: names, digits and separators in their places (H1-SYN-13, H1-SYN-14).
pub(super) fn is_imf_fixdate(value: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(value) else { return false };
    let digits = |range: std::ops::Range<usize>| text.get(range).is_some_and(|t| t.bytes().all(|b| b.is_ascii_digit()));
    text.len() == 29
        && text.get(..5).is_some_and(|t| ["Mon, ", "Tue, ", "Wed, ", "Thu, ", "Fri, ", "Sat, ", "Sun, "].contains(&t))
        && digits(5..7)
        && text.get(7..12).is_some_and(|t| {
            let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
            t.starts_with(' ') && t.ends_with(' ') && months.contains(&t.trim())
        })
        && digits(12..16)
        && text.get(16..17) == Some(" ")
        && digits(17..19)
        && text.get(19..20) == Some(":")
        && digits(20..22)
        && text.get(22..23) == Some(":")
        && digits(23..25)
        && text.get(25..) == Some(" GMT")
}

/// The seconds since 1970 of a date in the preferred form.
#[must_use]
pub fn seconds_of(date: &[u8]) -> Option<u64> {
    if !is_imf_fixdate(date) {
        return None;
    }
    let text = str::from_utf8(date).ok()?;
    let number = |range: std::ops::Range<usize>| text[range].parse::<u64>().ok();
    let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = months.find(&text[8..11])? as u64 / 3;
    let (day, year) = (number(5..7)?, number(12..16)?);
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let years: u64 = (1970..year).map(|year| 365 + u64::from(leap(year))).sum();
    let days = years + lengths.iter().take(usize::try_from(month).ok()?).sum::<u64>() + day.checked_sub(1)?;
    Some(days * 86400 + number(17..19)? * 3600 + number(20..22)? * 60 + number(23..25)?)
}
