//! Each event is one line of the log, whatever is in it: a value from outside that holds an end of line would forge
//! the line of another event. The layer above hands over one event at a time, with one end of line at its end.

use std::io::{self, Write};

use tandem_domain::line::{is_unsafe, json, line};
use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

use super::LogFormat;

/// What begins a colour, which the layer writes and takes out of values.
const ESCAPE: char = '\u{1b}';

/// Makes writers of events that are one line each.
pub(super) struct OneLine<W> {
    inner: W,
    format: LogFormat,
    in_colour: bool,
}

impl<W> OneLine<W> {
    pub(super) const fn new(inner: W, format: LogFormat, in_colour: bool) -> Self {
        Self {
            inner,
            format,
            in_colour,
        }
    }
}

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for OneLine<W> {
    type Writer = LineWriter<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        self.over(self.inner.make_writer())
    }

    fn make_writer_for(&'a self, of: &Metadata<'_>) -> Self::Writer {
        self.over(self.inner.make_writer_for(of))
    }
}

impl<W> OneLine<W> {
    const fn over<T>(&self, inner: T) -> LineWriter<T> {
        LineWriter {
            inner,
            format: self.format,
            in_colour: self.in_colour,
        }
    }
}

/// Writes events that are one line each.
pub(super) struct LineWriter<W> {
    inner: W,
    format: LogFormat,
    in_colour: bool,
}

impl<W: Write> Write for LineWriter<W> {
    /// Takes a whole event at once.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let (text, end) = match text.strip_suffix('\n') {
            Some(text) => (text, "\n"),
            None => (&*text, ""),
        };
        self.inner.write_all(self.safe(text).as_bytes())?;
        self.inner.write_all(end.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<W> LineWriter<W> {
    fn safe(&self, text: &str) -> String {
        if !text.contains(is_unsafe) {
            return text.to_owned();
        }
        match self.format {
            LogFormat::Json => json(text).into_owned(),
            LogFormat::Human if self.in_colour => {
                let parts: Vec<_> = text.split(ESCAPE).map(line).collect();
                parts.join("\u{1b}")
            }
            LogFormat::Human => line(text).into_owned(),
        }
    }
}
