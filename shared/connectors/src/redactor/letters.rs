//! One letter of a text, however it is escaped: in a URL, in HTML, in JSON or a script.

/// How many bytes at the start of a text are this letter: large or small, as it is or escaped.
pub(super) fn one_letter(wanted: char, text: &str) -> Option<usize> {
    let first = text.chars().next()?;
    if first.eq_ignore_ascii_case(&wanted) {
        return Some(first.len_utf8());
    }
    match first {
        '%' => in_percent(wanted, text),
        '&' => in_entity(text)
            .filter(|(found, _)| found.eq_ignore_ascii_case(&wanted))
            .map(|(_, bytes)| bytes),
        '\\' => in_units(wanted, text),
        _ => None,
    }
}

/// The letter at the start of a text, small, and how many bytes of it that is. An escape that stands for no single
/// ASCII letter is taken for its first sign.
pub(super) fn letter(text: &str) -> Option<(char, usize)> {
    let first = text.chars().next()?;
    let escaped = match first {
        '%' => percent_byte(text).map(|(byte, bytes)| (char::from(byte), bytes)),
        '&' => in_entity(text),
        '\\' => unit(text).and_then(|(unit, bytes)| {
            let letter = char::from_u32(unit.into())?;
            Some((letter, bytes))
        }),
        _ => None,
    };
    let (letter, bytes) = escaped.unwrap_or((first, first.len_utf8()));
    Some((letter.to_ascii_lowercase(), bytes))
}

/// Percent-encoded, once or twice.
fn in_percent(wanted: char, text: &str) -> Option<usize> {
    let mut bytes = 0;
    for byte in wanted.encode_utf8(&mut [0; 4]).bytes() {
        let (found, taken) = percent_byte(&text[bytes..])?;
        if !found.eq_ignore_ascii_case(&byte) {
            return None;
        }
        bytes += taken;
    }
    Some(bytes)
}

fn percent_byte(text: &str) -> Option<(u8, usize)> {
    let rest = text.strip_prefix('%')?;
    let twice = rest.strip_prefix("25").and_then(hex_byte);
    match twice {
        Some(byte) => Some((byte, 5)),
        None => hex_byte(rest).map(|byte| (byte, 3)),
    }
}

fn hex_byte(text: &str) -> Option<u8> {
    let digits = text.get(..2)?;
    let are_digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    are_digits.then(|| u8::from_str_radix(digits, 16).ok())?
}

/// Digits of an HTML entity, with leading zeros.
const ENTITY_DIGITS_MAX: usize = 10;

/// As HTML writes it by its number: `&#47;` or `&#x2F;`.
fn in_entity(text: &str) -> Option<(char, usize)> {
    let rest = text.strip_prefix("&#")?;
    let hex = rest.strip_prefix(['x', 'X']);
    let (digits, radix) = hex.map_or((rest, 10), |digits| (digits, 16));
    let end = digits
        .bytes()
        .take(ENTITY_DIGITS_MAX)
        .position(|byte| byte == b';')?;
    let found = char::from_u32(u32::from_str_radix(&digits[..end], radix).ok()?)?;
    let bytes = text.len() - digits.len() + end + 1;
    Some((found, bytes))
}

/// As JSON and scripts write it: `\u002F`, in two units if need be, or `\x2f`.
fn in_units(wanted: char, text: &str) -> Option<usize> {
    let mut bytes = 0;
    for part in wanted.encode_utf16(&mut [0; 2]) {
        let (found, taken) = unit(&text[bytes..])?;
        let is_same = |found: u16| {
            let (found, part) = (u8::try_from(found), u8::try_from(*part));
            matches!((found, part), (Ok(found), Ok(part)) if found.eq_ignore_ascii_case(&part))
        };
        if found != *part && !is_same(found) {
            return None;
        }
        bytes += taken;
    }
    Some(bytes)
}

fn unit(text: &str) -> Option<(u16, usize)> {
    let rest = text.strip_prefix('\\')?;
    let length = match rest.chars().next()? {
        'u' | 'U' => 4,
        'x' | 'X' => 2,
        _ => return None,
    };
    let digits = rest.get(1..=length)?;
    let are_digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let found = are_digits.then(|| u16::from_str_radix(digits, 16).ok())??;
    Some((found, 2 + length))
}
