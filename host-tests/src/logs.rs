//! What a Machine wrote: kept for tests, and passed on where somebody watches.

use std::sync::{Arc, Mutex, PoisonError};

/// Lines written by the guest and the server, in order. Clones share them.
#[derive(Clone, Default)]
pub struct Logs {
    text: Arc<Mutex<String>>,
    /// Printed before each line on stderr as well; nothing is printed where this is `None`.
    echo: Option<Arc<str>>,
}

/// How much is kept of what is passed on, in bytes.
const KEPT: usize = 1 << 20;

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

    pub(crate) fn write(&self, bytes: &[u8]) {
        let new = String::from_utf8_lossy(bytes);
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        text.push_str(&new);
        if let Some(prefix) = &self.echo {
            // Whoever watches has seen what was before.
            if text.len() > KEPT {
                let end = text.len() - KEPT / 2;
                let line = text[..text.floor_char_boundary(end)].rfind('\n').map_or(0, |at| at + 1);
                text.drain(..line);
            }
            drop(text);
            for line in new.lines() {
                eprintln!("{prefix} {line}");
            }
        }
    }
}
