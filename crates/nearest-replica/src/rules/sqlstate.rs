//! SQLSTATE: the five characters by which a server says what went wrong (PostgreSQL's manual, appendix A).

use std::fmt;

/// One SQLSTATE. States are told apart by these characters, never by the server's words, which follow its language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SqlState([u8; 5]);

impl SqlState {
    /// A row with this key is there already.
    pub const UNIQUE_VIOLATION: Self = Self(*b"23505");
    /// The row that this one refers to is not there, or is still referred to.
    pub const FOREIGN_KEY_VIOLATION: Self = Self(*b"23503");
    /// A column that must have a value has none.
    pub const NOT_NULL_VIOLATION: Self = Self(*b"23502");
    /// A check constraint does not hold.
    pub const CHECK_VIOLATION: Self = Self(*b"23514");
    /// The server takes no writes: it is a replica, or has been told not to.
    pub const READ_ONLY_SQL_TRANSACTION: Self = Self(*b"25006");
    /// Concurrent transactions cannot be put in an order; on a replica also: replay needed rows that this one reads.
    pub const SERIALIZATION_FAILURE: Self = Self(*b"40001");
    /// The server does not know whether the statement was completed.
    pub const STATEMENT_COMPLETION_UNKNOWN: Self = Self(*b"40003");
    /// Two transactions waited for each other.
    pub const DEADLOCK_DETECTED: Self = Self(*b"40P01");
    /// The server's `statement_timeout` is over, or somebody has cancelled the statement.
    pub const QUERY_CANCELED: Self = Self(*b"57014");

    /// From its five characters; what is not five digits and capitals becomes `XX000`, internal error.
    #[must_use]
    pub fn new(code: &str) -> Self {
        match <[u8; 5]>::try_from(code.as_bytes()) {
            Ok(code) if code.iter().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase()) => Self(code),
            Ok(_) | Err(_) => Self(*b"XX000"),
        }
    }

    /// Its five characters.
    #[must_use]
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).expect("digits and capitals")
    }

    /// Its class: the first two characters, such as `23` for a constraint.
    #[must_use]
    pub fn class(&self) -> &str {
        &self.code()[..2]
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_its_five_characters() {
        assert_eq!(SqlState::new("23505"), SqlState::UNIQUE_VIOLATION);
        assert_eq!((SqlState::new("40P01").code(), SqlState::new("40P01").class()), ("40P01", "40"));
        for nonsense in ["", "2350", "235055", "2350x", "ÄÄÄ", "2350\n"] {
            assert_eq!(SqlState::new(nonsense).code(), "XX000", "{nonsense:?}");
        }
    }
}
