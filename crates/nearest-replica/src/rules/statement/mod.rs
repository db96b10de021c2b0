//! Where a statement may run, from its text alone: on a streaming replica with the very same result as on the primary,
//! or on the primary only. What is not understood runs on the primary.
//!
//! A statement runs anywhere when it is one `SELECT`, `VALUES`, `TABLE` or `WITH`, writes and locks nothing, and each
//! function, operator and system relation in it is on a list of those of `pg_catalog` that neither change anything nor
//! tell of the server or the session. The lists are the text files beside this one; a test makes them again from a real
//! server's catalogue, and says why what is missing is missing.
//!
//! Nothing is allocated, every byte is looked at a bounded number of times, and nesting is bounded.
//!
//! # What a text cannot tell
//! Each of these can hide a function that is not on the list:
//! - a view, a row-level policy, an operator, a cast or a domain of the database's own, and a foreign table;
//! - a function of the database's own that has the name of one on the list, in a schema that is searched earlier, or with
//!   arguments that fit better;
//! - attribute notation, `t.f` for `f(t)`, with a function of the database's own. Of PostgreSQL's own functions none can
//!   be hidden so, and after an expression, `(t).f`, it always runs on the primary.
//!
//! A sequence that is read like a table is ahead on a standby. It is known by its columns (`last_value`) and by the name
//! that `serial` gives it (`..._seq`); behind another name, `SELECT *` is not seen.
//!
//! The servers are taken to be installed and set up alike: clock, time zones, collations, text search, `postgresql.conf`.

mod before;
mod level;
mod lexer;
mod lists;
mod reader;
#[cfg(test)]
mod tests;
pub(crate) mod transaction;

use std::fmt;

/// Where a statement may run, by its text alone.
///
/// `Anywhere` means: with the same result on a streaming replica as on the primary. A text cannot tell what hides behind a
/// view, a policy, an operator, a cast or a domain, a foreign table, a function of the database's own that is named like
/// one of PostgreSQL's, or one that is written like a column (`t.f` for `f(t)`); nor that a relation is a sequence, where
/// its name does not end in `_seq`. Where such things matter, reads belong on the primary.
///
/// ```
/// use nearest_replica::{Runs, WhyPrimary};
///
/// assert_eq!(Runs::of("SELECT lower(name) FROM people"), Runs::Anywhere);
/// assert_eq!(Runs::of("SELECT nextval('tickets')"), Runs::OnPrimary(WhyPrimary::Function("nextval")));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs<'a> {
    /// On every server of the cluster, with the same result.
    Anywhere,
    /// On the primary only.
    OnPrimary(WhyPrimary<'a>),
}

impl<'a> Runs<'a> {
    /// Decides it for the text of one statement, as it is sent to the server.
    #[must_use]
    pub fn of(statement: &'a str) -> Self {
        match reader::read(statement) {
            Ok(()) => Self::Anywhere,
            Err(why) => Self::OnPrimary(why),
        }
    }
}

/// Why a statement runs on the primary only. Names are as they stand in the statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyPrimary<'a> {
    /// There is nothing but blanks and comments.
    Empty,
    /// It is no `SELECT`, `VALUES`, `TABLE` or `WITH`.
    NoRead,
    /// It has a word that writes: `INSERT`, `UPDATE`, `DELETE`, `MERGE`, `INTO`.
    Write,
    /// It locks rows.
    Lock,
    /// There is something after its semicolon.
    SeveralStatements,
    /// It calls a function that is not on the list.
    Function(&'a str),
    /// It calls a function of another schema than `pg_catalog`.
    OtherSchema(&'a str),
    /// It may call a function as if it were a column.
    Field(&'a str),
    /// It has an operator that is not on the list, or that names its schema.
    Operator(&'a str),
    /// It has a name that stands for what the server or the session does.
    Relation(&'a str),
    /// It has a name that looks like that of a sequence or of its columns.
    Sequence(&'a str),
    /// Its parentheses are nested too deeply.
    TooDeep,
    /// It has a string, quoted name or comment without an end.
    Unterminated,
    /// It has a backslash in a plain string, whose meaning depends on `standard_conforming_strings`.
    Backslash,
    /// It has a string or name with Unicode escapes.
    UnicodeEscape,
    /// It has a name that is longer than PostgreSQL's names are.
    LongName,
    /// It has something else that the rules do not understand.
    NotUnderstood,
}

impl fmt::Display for WhyPrimary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty"),
            Self::NoRead => f.write_str("no read"),
            Self::Write => f.write_str("write"),
            Self::Lock => f.write_str("lock"),
            Self::SeveralStatements => f.write_str("several statements"),
            Self::Function(name) => write!(f, "function {name}"),
            Self::OtherSchema(name) => write!(f, "function {name} of another schema"),
            Self::Field(name) => write!(f, "field or function {name}"),
            Self::Operator(name) => write!(f, "operator {name}"),
            Self::Relation(name) => write!(f, "relation {name}"),
            Self::Sequence(name) => write!(f, "sequence {name}"),
            Self::TooDeep => f.write_str("nested too deeply"),
            Self::Unterminated => f.write_str("unterminated"),
            Self::Backslash => f.write_str("backslash in a string"),
            Self::UnicodeEscape => f.write_str("unicode escapes"),
            Self::LongName => f.write_str("long name"),
            Self::NotUnderstood => f.write_str("not understood"),
        }
    }
}
