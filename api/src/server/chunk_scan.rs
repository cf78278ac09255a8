//! Watches the lines between the pieces of a chunked body. The HTTP library takes any number of leading zeros
//! for a size, so that a sender can keep it reading without ever sending anything.
//!
//! What else is wrong with such a body is left to the library, which refuses it.

/// As many hex digits as the largest size has.
const SIZE_DIGITS_MAX: usize = 16;

/// A size has more digits than any size needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndlessSize;

/// Where in a chunked body the scan is.
#[derive(Debug, Default)]
pub struct ChunkScan {
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// In a size of so many digits and this value so far.
    Size { digits: usize, value: u64 },
    /// Behind a size, before the end of its line.
    Extension { value: u64 },
    /// In a piece, of which so many bytes are still to come.
    Piece { left: u64 },
    /// Behind a piece, before the end of the line that ends it.
    PieceEnd,
    /// The last piece was seen, or something that the library refuses.
    Over,
}

impl Default for State {
    fn default() -> Self {
        Self::Size {
            digits: 0,
            value: 0,
        }
    }
}

impl ChunkScan {
    /// Takes in what came next.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), EndlessSize> {
        while let Some((first, rest)) = bytes.split_first() {
            if let State::Piece { left } = self.state {
                let skipped =
                    usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                bytes = &bytes[skipped..];
                self.state = match left - skipped as u64 {
                    0 => State::PieceEnd,
                    left => State::Piece { left },
                };
                continue;
            }
            self.state = self.state.after(*first)?;
            if matches!(self.state, State::Over) {
                return Ok(());
            }
            bytes = rest;
        }
        Ok(())
    }
}

impl State {
    fn after(self, byte: u8) -> Result<Self, EndlessSize> {
        Ok(match self {
            Self::Size { digits, value } => match (char::from(byte).to_digit(16), byte) {
                (Some(_), _) if digits == SIZE_DIGITS_MAX => return Err(EndlessSize),
                (Some(digit), _) => Self::Size {
                    digits: digits + 1,
                    value: (value << 4) | u64::from(digit),
                },
                (None, b'\n') => Self::begin_piece(value),
                (None, _) => Self::Extension { value },
            },
            Self::Extension { value } if byte == b'\n' => Self::begin_piece(value),
            Self::PieceEnd if byte == b'\n' => Self::default(),
            // `feed` steps over pieces.
            other @ (Self::Extension { .. } | Self::PieceEnd | Self::Piece { .. } | Self::Over) => {
                other
            }
        })
    }

    fn begin_piece(size: u64) -> Self {
        match size {
            0 => Self::Over,
            left => Self::Piece { left },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(pieces: &[&[u8]]) -> Result<(), EndlessSize> {
        let mut scan = ChunkScan::default();
        pieces.iter().try_for_each(|piece| scan.feed(piece))
    }

    #[test]
    fn a_size_has_as_many_digits_as_it_needs() {
        assert_eq!(scan(&[b"5\r\nhello\r\n0\r\n\r\n"]), Ok(()));
        assert_eq!(scan(&[b"0000000000000005\r\nhello\r\n0\r\n\r\n"]), Ok(()));
        let zeros = [b"0".repeat(10_000), b"5\r\nhello\r\n0\r\n\r\n".to_vec()].concat();
        assert_eq!(scan(&[&zeros]), Err(EndlessSize));
    }

    #[test]
    fn a_later_size_and_one_that_comes_byte_by_byte_are_seen_alike() {
        let zeros = [&b"5;a=b\r\nhello\r\n"[..], &b"0".repeat(17)].concat();
        assert_eq!(scan(&[&zeros]), Err(EndlessSize));
        let bytes: Vec<&[u8]> = zeros.chunks(1).collect();
        assert_eq!(scan(&bytes), Err(EndlessSize));
    }

    #[test]
    fn digits_in_a_piece_are_no_matter() {
        let piece = [&b"14\r\n"[..], &b"0".repeat(20), b"\r\n0\r\n\r\n"].concat();
        assert_eq!(scan(&[&piece]), Ok(()));
        let bytes: Vec<&[u8]> = piece.chunks(3).collect();
        assert_eq!(scan(&bytes), Ok(()));
    }
}
