//! What a database is in its cluster.

use std::fmt;

/// What a database is in its cluster, as `pg_is_in_recovery()` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It takes writes.
    Primary,
    /// It is in recovery: a streaming replica.
    Replica,
}

impl Role {
    /// The statement that tells the role by the number of its rows, the cheapest thing to take out of Spin. It also
    /// proves that the database answers.
    pub const STATEMENT: &str = "SELECT 1 WHERE pg_is_in_recovery()";

    /// What the number of rows of [`Role::STATEMENT`] means; nothing for more than one.
    #[must_use]
    pub fn from_rows(rows: u64) -> Option<Self> {
        match rows {
            0 => Some(Self::Primary),
            1 => Some(Self::Replica),
            _ => None,
        }
    }

    /// As it stands in headers and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_is_the_number_of_rows() {
        assert_eq!(Role::from_rows(0), Some(Role::Primary));
        assert_eq!(Role::from_rows(1), Some(Role::Replica));
        assert_eq!(Role::from_rows(2), None);
    }
}
