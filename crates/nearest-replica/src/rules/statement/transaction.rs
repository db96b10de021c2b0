//! What a statement does to the transaction that its connection is in, by its first words. Where these are not understood,
//! the worst is assumed.

use super::lexer::{Bracket, Lexer, Token};

/// What a statement does to the transaction of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transaction {
    /// Nothing.
    Stays,
    /// It begins one, or may.
    Begins,
    /// It ends it, and begins no other.
    Ends,
}

impl Transaction {
    /// Decides it for the text of one statement.
    #[must_use]
    pub fn of(statement: &str) -> Self {
        let first = first_word(statement);
        if first.is_empty() || is_one_of(first, &["begin", "start"]) {
            Self::Begins
        } else if is_one_of(first, &["abort", "commit", "end", "rollback"]) && is_plain_end(statement) {
            Self::Ends
        } else {
            Self::Stays
        }
    }
}

/// The word that a statement begins with, behind comments and brackets; empty where there is something else.
#[must_use]
pub fn first_word(statement: &str) -> &str {
    let mut tokens = Lexer::new(statement);
    loop {
        match tokens.next() {
            Ok(Some(Token::Word(name))) => return name.written,
            Ok(Some(Token::Open(Bracket::Round) | Token::Semicolon)) => {}
            Ok(_) | Err(_) => return "",
        }
    }
}

/// Tells whether a statement that fails may have committed a part of its work, as what `CALL` and `DO` run may.
#[must_use]
pub fn may_commit_in_parts(statement: &str) -> bool {
    let first = first_word(statement);
    first.is_empty() || is_one_of(first, &["call", "do"])
}

/// Whether a statement that ends a transaction leaves none open: it is neither `ROLLBACK TO` a savepoint nor `AND CHAIN`.
fn is_plain_end(statement: &str) -> bool {
    let mut tokens = Lexer::new(statement);
    // The first one is known.
    let mut next = tokens.next();
    loop {
        next = match next {
            Ok(None) => return true,
            Ok(Some(Token::Semicolon)) => tokens.next(),
            Ok(Some(Token::Word(name))) if is_one_of(name.written, &ENDS) => tokens.next(),
            Ok(Some(_)) | Err(_) => return false,
        }
    }
}

const ENDS: [&str; 6] = ["abort", "commit", "end", "rollback", "transaction", "work"];

fn is_one_of(word: &str, words: &[&str]) -> bool {
    words.iter().any(|known| word.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_begins_and_ends_by_its_own_words() {
        for statement in
            ["BEGIN", " begin;", "START TRANSACTION READ ONLY", "/* a /* b */ */ BEGIN", "-- x\nbegin", ";BEGIN"]
        {
            assert_eq!(Transaction::of(statement), Transaction::Begins, "{statement}");
        }
        for statement in ["COMMIT", "end;", "ROLLBACK WORK", "abort transaction", "COMMIT /* done */;"] {
            assert_eq!(Transaction::of(statement), Transaction::Ends, "{statement}");
        }
        for statement in [
            "ROLLBACK TO a",
            "ROLLBACK TO SAVEPOINT work",
            "COMMIT AND CHAIN",
            "ROLLBACK PREPARED 'a'",
            "INSERT INTO commit VALUES (1)",
            "(SELECT nextval('s'))",
        ] {
            assert_eq!(Transaction::of(statement), Transaction::Stays, "{statement}");
        }
    }

    #[test]
    fn what_is_not_understood_may_do_anything() {
        for statement in ["", "/* open", "\u{a0}BEGIN", "$1"] {
            assert_eq!(Transaction::of(statement), Transaction::Begins, "{statement:?}");
            assert!(may_commit_in_parts(statement), "{statement:?}");
        }
    }

    #[test]
    fn only_call_and_do_may_commit_before_they_fail() {
        for statement in ["CALL p()", "do $$ BEGIN COMMIT; END $$", "/* a */ Call p()"] {
            assert!(may_commit_in_parts(statement), "{statement}");
        }
        for statement in ["INSERT INTO a VALUES (1)", "SELECT f()", "COMMIT", "(SELECT 1)"] {
            assert!(!may_commit_in_parts(statement), "{statement}");
        }
    }
}
