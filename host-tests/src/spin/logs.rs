//! What a Machine wrote: kept for tests, and passed on where somebody watches.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

/// Lines written by the guest and the server, in order. Clones share them.
#[derive(Clone, Default)]
pub struct Logs {
    text: Arc<Mutex<String>>,
    /// Printed before each line on stderr as well; nothing is printed where this is `None`.
    echo: Option<Arc<str>>,
}

impl Logs {
    /// Logs that also go to stderr, each line behind `prefix`.
    #[must_use]
    pub fn echoing(prefix: &str) -> Self {
        Self { echo: Some(prefix.into()), ..Self::default() }
    }

    /// All that was written so far.
    #[must_use]
    pub fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds a line.
    pub fn line(&self, line: &str) {
        self.write(format!("{line}\n").as_bytes());
    }

    pub(crate) fn pipe(&self) -> Pipe {
        Pipe(self.clone())
    }

    fn write(&self, bytes: &[u8]) {
        let new = String::from_utf8_lossy(bytes);
        self.text.lock().unwrap_or_else(PoisonError::into_inner).push_str(&new);
        if let Some(prefix) = &self.echo {
            for line in new.lines() {
                eprintln!("{prefix} {line}");
            }
        }
    }
}

/// Standard output and error of an instance.
#[derive(Clone)]
pub(crate) struct Pipe(Logs);

impl IsTerminal for Pipe {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Pipe {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
