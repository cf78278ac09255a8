//! Trace contexts as W3C Trace Context writes them (<https://www.w3.org/TR/trace-context/>), so that
//! one trace leads from a webhook through its jobs to the write that they cause.

use std::fmt;
use std::str::FromStr;

use tandem_domain::Entropy;

/// `00-` + 32 + `-` + 16 + `-` + 2 hexadecimal digits.
const VERSION_0_LEN: usize = 55;

/// One step of a trace: which trace, which span, whether it is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The same for all steps of the trace; never zero.
    pub trace_id: u128,
    /// This step; never zero.
    pub span_id: u64,
    /// Whether the trace is recorded.
    pub sampled: bool,
}

/// Why a text is not a `traceparent`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a traceparent: it should look like 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
)]
pub struct TraceParentError;

impl TraceContext {
    /// A new, recorded trace.
    #[must_use]
    pub fn new(entropy: &dyn Entropy) -> Self {
        let high = u128::from(non_zero(entropy));
        Self {
            trace_id: (high << 64) | u128::from(entropy.next_u64()),
            span_id: non_zero(entropy),
            sampled: true,
        }
    }

    /// The id of the trace as people and logs write it: 32 hexadecimal digits.
    #[must_use]
    pub fn trace_hex(&self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

/// All zeros stand for no id.
fn non_zero(entropy: &dyn Entropy) -> u64 {
    entropy.next_u64().max(1)
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.sampled);
        write!(
            f,
            "00-{:032x}-{:016x}-{flags:02x}",
            self.trace_id, self.span_id
        )
    }
}

impl FromStr for TraceContext {
    type Err = TraceParentError;

    /// Reads version 00, and of later versions the part that is like it.
    fn from_str(text: &str) -> Result<Self, TraceParentError> {
        let mut parts = text.splitn(5, '-');
        let mut part = |len| {
            let digits = parts.next().ok_or(TraceParentError)?;
            hex(digits, len).ok_or(TraceParentError)
        };
        let (version, trace_id, span_id, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        let fits = match version {
            0 => text.len() == VERSION_0_LEN,
            0xff => false,
            _ => true,
        };
        if !fits || trace_id == 0 || span_id == 0 {
            return Err(TraceParentError);
        }
        Ok(Self {
            trace_id,
            // Sixteen hexadecimal digits are 64 bits.
            span_id: span_id as u64,
            sampled: flags & 1 == 1,
        })
    }
}

/// Exactly `len` lower-case hexadecimal digits.
fn hex(digits: &str, len: usize) -> Option<u128> {
    let plain = digits
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (plain && digits.len() == len)
        .then(|| u128::from_str_radix(digits, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Zeros;
    impl Entropy for Zeros {
        fn next_u64(&self) -> u64 {
            0
        }
    }

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_survives_reading_and_printing() {
        let context: TraceContext = EXAMPLE.parse().expect("the example of the standard");
        assert_eq!(context.to_string(), EXAMPLE);
        assert!(context.sampled);
        let quiet = EXAMPLE.replace("-01", "-00");
        assert!(!quiet.parse::<TraceContext>().expect("not recorded").sampled);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = EXAMPLE.replacen("00-", "01-", 1) + "-more";
        let context: TraceContext = later.parse().expect("a later version");
        assert_eq!(context.to_string(), EXAMPLE);
    }

    #[test]
    fn what_the_standard_forbids_is_refused() {
        for wrong in [
            "",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e473\u{e9}-00f067aa0ba902b7-01",
        ] {
            assert_eq!(
                wrong.parse::<TraceContext>(),
                Err(TraceParentError),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_new_trace_is_recorded_and_its_ids_are_never_zero() {
        let new = TraceContext::new(&Zeros);
        assert!(new.sampled && new.trace_id != 0 && new.span_id != 0);
        assert_eq!(new.to_string().parse(), Ok(new));
        assert!(new.to_string().contains(&new.trace_hex()));
    }
}
