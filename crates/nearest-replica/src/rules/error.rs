//! A variable that cannot be used.

use std::fmt;

/// A variable that cannot be used. Its `Display` form is for logs: one line that names the variable and says what to
/// write instead, without any part of a password. [`ConfigError::public`] is what strangers may see.
#[derive(Debug)]
pub struct ConfigError {
    variable: &'static str,
    problem: anyhow::Error,
    /// More for the log, such as a host name.
    private: Option<String>,
}

impl ConfigError {
    /// For a variable and what is wrong with it: `is empty: write ...`.
    #[must_use]
    pub fn new(variable: &'static str, problem: anyhow::Error) -> Self {
        Self { variable, problem, private: None }
    }

    /// The same with an explanation that only the log has.
    pub(crate) fn with_private(mut self, explanation: String) -> Self {
        self.private = Some(explanation);
        self
    }

    /// The component's name for the variable.
    #[must_use]
    pub fn variable(&self) -> &'static str {
        self.variable
    }

    /// The message without what only the log may have.
    #[must_use]
    pub fn public(&self) -> String {
        format!("`{}` {}", self.variable, self.problem)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.public())?;
        self.private.as_ref().map_or(Ok(()), |explanation| write!(f, "; {explanation}"))
    }
}

impl std::error::Error for ConfigError {}
