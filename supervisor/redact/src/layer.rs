//! The redactor between `tracing_subscriber::fmt` and where its lines go.

use std::fmt;
use std::io::{self, Write};

use tracing_subscriber::fmt::MakeWriter;

use crate::matcher::Matcher;
use crate::stream::Redactor;

/// Gives writers that redact each event before `inner` sees it.
///
/// ```
/// # use keyblind_redact::{Matcher, RedactingWriter};
/// let matcher = Matcher::builder().needle("DB_PASSWORD", b"corr3ct-horse").build();
/// let writer = RedactingWriter::new(matcher, std::io::stderr);
/// let subscriber = tracing_subscriber::fmt().with_writer(writer).finish();
/// # drop(subscriber);
/// ```
#[derive(Debug)]
pub struct RedactingWriter<M> {
    matcher: Matcher,
    inner: M,
}

impl<M> RedactingWriter<M> {
    /// Redacts by `matcher` what goes to the writers of `inner`.
    pub fn new(matcher: Matcher, inner: M) -> RedactingWriter<M> {
        RedactingWriter { matcher, inner }
    }
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for RedactingWriter<M> {
    type Writer = RedactedEvent<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        RedactedEvent { redactor: self.matcher.redactor(), out: Vec::new(), inner: self.inner.make_writer() }
    }
}

/// The writer for one event: a stream by itself, which ends when the writer is dropped.
pub struct RedactedEvent<W: Write> {
    redactor: Redactor,
    out: Vec<u8>,
    inner: W,
}

impl<W: Write> fmt::Debug for RedactedEvent<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedactedEvent").field("redactor", &self.redactor).finish_non_exhaustive()
    }
}

impl<W: Write> Write for RedactedEvent<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.redactor.push(bytes, &mut self.out);
        let written = self.inner.write_all(&self.out);
        self.out.clear();
        written.map(|()| bytes.len())
    }

    /// What may still become a secret stays until the event ends.
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<W: Write> Drop for RedactedEvent<W> {
    fn drop(&mut self) {
        self.redactor.finish(&mut self.out);
        // A log that cannot be written has nobody to tell.
        drop(self.inner.write_all(&self.out).and_then(|()| self.inner.flush()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_reaches_the_sink_redacted() {
        let matcher = Matcher::builder().needle("PW", b"zx81-c64-amiga-500").build();
        let sink = Sink::default();
        let make = {
            let sink = sink.clone();
            move || sink.clone()
        };
        let subscriber = tracing_subscriber::fmt()
            .with_writer(RedactingWriter::new(matcher, make))
            .without_time()
            .with_ansi(false)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(url = "postgres://app:s3cret@db", "connecting with {}", "zx81-c64-amiga-500");
            tracing::info!("zx81-c64-ami");
        });
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert!(
            text.contains("connecting with [REDACTED:PW] url=\"postgres://app:[REDACTED:url-password]@db\""),
            "{text}"
        );
        assert!(text.ends_with("zx81-c64-ami\n"), "{text}");
    }
}
