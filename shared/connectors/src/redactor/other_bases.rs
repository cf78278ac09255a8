//! Bytes as base32 and base85 write them: whole, and as a part of something longer, such as `user:secret`. Of a part only the
//! groups of letters count that stand for nothing else.

/// RFC 4648, the plain alphabet and the one that sorts.
const BASE32: [&[u8; 32]; 2] = [
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
    b"0123456789ABCDEFGHIJKLMNOPQRSTUV",
];
/// RFC 1924 and ZeroMQ's Z85; that of Adobe is 85 letters in a row, from `!` on.
const BASE85: [&[u8; 85]; 2] = [
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~",
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#",
];
const ADOBE_FIRST: u8 = b'!';

/// So many bytes are a group of letters in base32.
const BASE32_BYTES: usize = 5;
/// And in base85, where a letter says something of all of them.
const BASE85_BYTES: usize = 4;
const BASE85_LETTERS: usize = 5;

/// Every form of the bytes in these.
pub(super) fn forms(bytes: &[u8]) -> Vec<String> {
    let mut forms = Vec::new();
    for before in 0..BASE32_BYTES {
        let longer = [&vec![0; before], bytes].concat();
        // A letter that shares its bits with what is before or behind may be any.
        let from = (before * 8).div_ceil(5);
        let whole = if before == 0 {
            usize::MAX
        } else {
            (longer.len() * 8 / 5).saturating_sub(from)
        };
        for alphabet in BASE32 {
            let letters = base32(&longer, alphabet).into_iter();
            forms.push(letters.skip(from).take(whole).collect());
        }
    }
    for from in 0..BASE85_BYTES {
        let rest = bytes.get(from..).unwrap_or_default();
        // A group that is not whole says what it stands for only at the end of a text.
        let whole = if from == 0 {
            rest
        } else {
            &rest[..rest.len() - rest.len() % BASE85_BYTES]
        };
        let digits = base85(whole);
        for alphabet in BASE85 {
            let letter = |digit: &u8| alphabet[usize::from(*digit)] as char;
            forms.push(digits.iter().map(letter).collect());
        }
        forms.push(
            digits
                .iter()
                .map(|digit| (ADOBE_FIRST + digit) as char)
                .collect(),
        );
    }
    forms
}

/// Without padding.
fn base32(bytes: &[u8], alphabet: &[u8; 32]) -> Vec<char> {
    let bits = bytes.len() * 8;
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
    let letter = |from: usize| {
        let digit = (from..from + 5).fold(0, |digit, at| digit << 1 | bit(at));
        alphabet[usize::from(digit)] as char
    };
    (0..bits).step_by(5).map(letter).collect()
}

/// The digits, of which the last group has one more than it has bytes.
fn base85(bytes: &[u8]) -> Vec<u8> {
    let mut digits = Vec::with_capacity(bytes.len().div_ceil(BASE85_BYTES) * BASE85_LETTERS);
    for group in bytes.chunks(BASE85_BYTES) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or_default());
        let mut number = (0..BASE85_BYTES).fold(0, |number, at| number << 8 | byte(at));
        let mut letters = [0; BASE85_LETTERS];
        for letter in letters.iter_mut().rev() {
            // A remainder of 85 is a byte.
            *letter = u8::try_from(number % 85).unwrap_or_default();
            number /= 85;
        }
        digits.extend_from_slice(&letters[..=group.len()]);
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::super::Redactor;
    use super::*;

    #[test]
    fn a_secret_is_written_as_others_write_it() {
        let all = forms(b"tok_1234567890");
        for form in [
            "ORXWWXZRGIZTINJWG44DSMA",
            "EHNMMNPH68PJ8D9M6SS3IC0",
            "bZ={4F)}kWH8wXmIWP",
            "FDkr%0etOA2)[BQ3A:",
        ] {
            assert!(all.iter().any(|known| known == form), "{form}: {all:?}");
        }
    }

    #[test]
    fn a_secret_is_taken_out_in_base32_and_base85_whole_and_as_a_part_of_more() {
        let mut redactor = Redactor::default();
        redactor.add("tok_1234567890");
        for said in [
            "ORXWWXZRGIZTINJWG44DSMA=",
            "orxwwxzrgiztinjwg44dsma",
            "bZ={4F)}kWH8wXmIWP",
            "FDkr%0etOA2)[BQ3A:",
            // Of `u:`, `use:` and `user1:` with the secret behind.
            "OU5HI33LL4YTEMZUGU3DOOBZGA======",
            "OVZWKOTUN5VV6MJSGM2DKNRXHA4TA===",
            "OVZWK4RRHJ2G6227GEZDGNBVGY3TQOJQ",
            "b#rApbZ={4F)}kWH8wXmIWP",
            "bvkr!YhN)kGc+|eH#j*k",
        ] {
            let cleaned = redactor.clean(&format!("got {said}"));
            let left = cleaned.replace("***", "");
            assert!(cleaned.contains("***"), "{said}: {cleaned}");
            // What stands for the user, and for less than a group of the secret in base85.
            let left = left.trim_end_matches('=');
            assert!(left.len() <= "got ".len() + 13, "{said}: {cleaned}");
        }
    }
}
