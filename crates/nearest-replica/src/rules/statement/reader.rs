//! Reads a statement token by token, and ends at the first thing that has to run on the primary.
//!
//! PostgreSQL's grammar (`gram.y`) has few places where a name before a parenthesis is no call: behind `AS` and `::`, the
//! names of a `WITH`, and keywords. A word that may be either is taken for a call, unless what stands before it leaves no
//! room for one. What PostgreSQL refuses as bad syntax may be taken for anything: it is refused on every server.

use super::WhyPrimary;
use super::before::{Before, LEADING};
use super::level::{Clause, Levels, Purpose, With};
use super::lexer::{Bracket, Lexer, Name, Token};
use super::lists::{
    Class, is_harmful_field, is_harmless_function, is_harmless_operator, is_harmless_relation, keyword,
};

pub(super) fn read(statement: &str) -> Result<(), WhyPrimary<'_>> {
    // Where it is sent, it would end here.
    if statement.contains('\0') {
        return Err(WhyPrimary::NotUnderstood);
    }
    let mut lexer = Lexer::new(statement);
    let mut reader = Reader {
        levels: Levels::new(),
        before: Before::Start,
        before_name: Before::Start,
        schema: Schema::Unsaid,
        purpose: Purpose::Other,
        has_age_field: None,
        calls_in_from: false,
    };
    let mut next = lexer.next()?;
    while let Some(token) = next {
        next = lexer.next()?;
        reader.take(token, next)?;
    }
    reader.end()
}

/// The schema of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Schema {
    Unsaid,
    PgCatalog,
    Other,
}

struct Reader<'a> {
    levels: Levels,
    before: Before,
    /// What stands before a name with all its dots.
    before_name: Before,
    schema: Schema,
    /// What the bracket that follows is for.
    purpose: Purpose,
    /// `age` is a harmful function and a frequent column: it is the column unless a function stands in `FROM`.
    has_age_field: Option<&'a str>,
    calls_in_from: bool,
}

impl<'a> Reader<'a> {
    fn take(&mut self, token: Token<'a>, next: Option<Token<'a>>) -> Result<(), WhyPrimary<'a>> {
        if self.before == Before::Semicolon {
            return Err(WhyPrimary::SeveralStatements);
        }
        if self.before == Before::Start {
            start(token)?;
        }
        if self.before == Before::Dot && !matches!(token, Token::Word(_) | Token::Quoted(_) | Token::Operator("*")) {
            return Err(WhyPrimary::NotUnderstood);
        }
        if self.levels.top().with != With::No && self.with(token)? {
            return Ok(());
        }
        self.before = match token {
            Token::Word(name) => self.word(name, next)?,
            Token::Quoted(name) => self.name(name, None, next)?,
            Token::Literal => Before::Literal,
            Token::Parameter => Before::Expression,
            Token::Operator(operator) if is_harmless_operator(operator) || matches!(operator, "!=" | "=>") => {
                Before::Operator
            }
            Token::Operator(operator) => return Err(WhyPrimary::Operator(operator)),
            Token::Open(bracket) => {
                let purpose = std::mem::replace(&mut self.purpose, Purpose::Other);
                self.levels.open(bracket, purpose)?;
                // `((` and `(SELECT` begin a statement too.
                if self.before == Before::Start { Before::Start } else { Before::Open }
            }
            Token::Close(bracket) => match self.levels.close(bracket)? {
                Purpose::Call => Before::Call,
                Purpose::DistinctOn => Before::DistinctOn,
                Purpose::Other => Before::Expression,
            },
            Token::Comma => Before::Comma,
            Token::Dot => self.dot(next)?,
            Token::Cast => Before::Cast,
            // Between the bounds of a slice.
            Token::Colon if self.levels.is_in(Bracket::Square) => Before::Operator,
            Token::Colon => return Err(WhyPrimary::NotUnderstood),
            Token::Semicolon if self.levels.are_closed() => Before::Semicolon,
            Token::Semicolon => return Err(WhyPrimary::NotUnderstood),
        };
        Ok(())
    }

    fn end(&self) -> Result<(), WhyPrimary<'a>> {
        match self.has_age_field {
            _ if self.before == Before::Start => Err(WhyPrimary::Empty),
            _ if !self.levels.are_closed() => Err(WhyPrimary::NotUnderstood),
            Some(age) if self.calls_in_from => Err(WhyPrimary::Field(age)),
            Some(_) | None => Ok(()),
        }
    }

    /// Reads what is between `WITH` and its last query; says whether the token is done with.
    fn with(&mut self, token: Token<'a>) -> Result<bool, WhyPrimary<'a>> {
        let (with, before) = match (self.levels.top().with, token) {
            (With::BeforeName, Token::Word(name)) => match keyword(name.bytes()) {
                Some(("recursive", _)) if self.before == Before::Keyword("with") => {
                    (With::BeforeName, Before::Keyword("recursive"))
                }
                Some((_, Class::Reserved)) => return Err(WhyPrimary::NotUnderstood),
                Some(_) | None => {
                    is_write(name)?;
                    plain(name)?;
                    (With::AfterName, Before::Name)
                }
            },
            (With::BeforeName, Token::Quoted(name)) => {
                plain(name)?;
                (With::AfterName, Before::Name)
            }
            (With::AfterName, Token::Word(name)) if name.is("as") => (With::AfterAs, Before::Keyword("as")),
            (With::AfterAs, Token::Word(name)) if name.is("not") || name.is("materialized") => {
                (With::AfterAs, Before::Keyword("as"))
            }
            (With::AfterQuery, Token::Comma) => (With::BeforeName, Before::Comma),
            (With::AfterName, Token::Open(Bracket::Round)) => return Ok(false),
            (With::AfterAs, Token::Open(Bracket::Round)) => {
                self.levels.top().with = With::AfterQuery;
                return Ok(false);
            }
            (With::AfterQuery, _) => {
                self.levels.top().with = With::No;
                return Ok(false);
            }
            (With::No | With::BeforeName | With::AfterName | With::AfterAs, _) => {
                return Err(WhyPrimary::NotUnderstood);
            }
        };
        self.levels.top().with = with;
        self.before = before;
        Ok(true)
    }

    /// A word without quotes.
    fn word(&mut self, name: Name<'a>, next: Option<Token<'a>>) -> Result<Before, WhyPrimary<'a>> {
        is_write(name)?;
        let keyword = if self.before == Before::Dot { None } else { keyword(name.bytes()) };
        match keyword {
            Some((word, Class::Reserved)) => self.reserved(word, next),
            Some((word, Class::ColumnName)) if !matches!(next, Some(Token::Dot)) => self.column_name(word, name, next),
            word => self.name(name, word, next),
        }
    }

    fn reserved(&mut self, word: &'static str, next: Option<Token<'a>>) -> Result<Before, WhyPrimary<'a>> {
        match word {
            "with" if matches!(self.before, Before::Start | Before::Open) => {
                self.levels.top().with = With::BeforeName;
            }
            "for" => {
                if let Some(Token::Word(next)) = next
                    && ["update", "no", "share", "key"].iter().any(|word| next.is(word))
                {
                    return Err(WhyPrimary::Lock);
                }
                self.levels.top().clause = Clause::Other;
            }
            "from" => self.levels.top().clause = Clause::From,
            "select" | "where" | "group" | "having" | "window" | "union" | "intersect" | "except" | "order"
            | "limit" | "offset" | "fetch" => self.levels.top().clause = Clause::Other,
            _ => {}
        }
        if is_open(next) {
            self.purpose = match word {
                "on" if self.before == Before::Keyword("distinct") => Purpose::DistinctOn,
                // `WITHIN GROUP (...)`
                "group" => Purpose::Call,
                _ => Purpose::Other,
            };
            self.calls_in_from |= word == "cast" && self.levels.top().clause == Clause::From;
        }
        Ok(Before::Keyword(word))
    }

    /// A keyword that cannot be a function's name: what is before a parenthesis here is of the grammar's own.
    fn column_name(
        &mut self,
        word: &'static str,
        name: Name<'a>,
        next: Option<Token<'a>>,
    ) -> Result<Before, WhyPrimary<'a>> {
        if word == "values" {
            self.levels.top().clause = Clause::Other;
        }
        if is_open(next) {
            // `TREAT(x AS f)` calls `f`; what XML can do there is more than is read here.
            if word == "treat" || word.starts_with("xml") {
                return Err(WhyPrimary::Function(name.written));
            }
            self.calls_in_from |= self.levels.top().clause == Clause::From;
        }
        Ok(Before::Keyword(word))
    }

    /// A name, or a keyword that may be one.
    fn name(
        &mut self,
        name: Name<'a>,
        keyword: Option<(&'static str, Class)>,
        next: Option<Token<'a>>,
    ) -> Result<Before, WhyPrimary<'a>> {
        let is_field = self.before == Before::Dot;
        if !is_field {
            self.before_name = self.before;
            self.schema = Schema::Unsaid;
        }
        if is_open(next) {
            self.call(name, keyword.map(|(word, _)| word))?;
        } else if matches!(next, Some(Token::Dot)) {
            let is_pg_catalog = name.is("pg_catalog") && !is_field;
            self.schema = if is_pg_catalog { Schema::PgCatalog } else { Schema::Other };
            if is_pg_catalog {
                return Ok(Before::Name);
            }
            plain(name)?;
        } else {
            plain(name)?;
        }
        if is_field && !is_open(next) && is_harmful_field(name.bytes()) {
            if !name.is("age") {
                return Err(WhyPrimary::Field(name.written));
            }
            self.has_age_field = Some(name.written);
        }
        Ok(match keyword {
            Some(("by", _)) if self.before == Before::Keyword("group") => Before::GroupBy,
            // A qualifier is a name even where it is a keyword.
            Some((word, class))
                if !matches!(next, Some(Token::Dot)) && (class != Class::Unreserved || LEADING.contains(&word)) =>
            {
                Before::Keyword(word)
            }
            Some(_) | None => Before::Name,
        })
    }

    /// A name before a parenthesis.
    fn call(&mut self, name: Name<'a>, word: Option<&'static str>) -> Result<(), WhyPrimary<'a>> {
        // `AS t(a, b)`, `AS numeric(10, 2)`, `::vector(3)`
        if matches!(self.before_name, Before::Cast | Before::Keyword("as")) {
            return Ok(());
        }
        if self.before != Before::Dot {
            if word.is_some_and(|word| self.is_of_grammar(word)) {
                return Ok(());
            }
            if word == Some("operator") {
                return Err(WhyPrimary::Operator(name.written));
            }
        }
        if self.schema == Schema::Other {
            return Err(WhyPrimary::OtherSchema(name.written));
        }
        if !is_harmless_function(name.bytes()) {
            return Err(WhyPrimary::Function(name.written));
        }
        self.purpose = Purpose::Call;
        self.calls_in_from |= self.levels.top().clause == Clause::From;
        Ok(())
    }

    /// Whether a keyword before a parenthesis is what it says, where a function's name cannot stand.
    fn is_of_grammar(&mut self, word: &str) -> bool {
        let before = self.before;
        match word {
            "over" | "filter" if before == Before::Call => {
                self.purpose = Purpose::Call;
                true
            }
            "by" => before.is_keyword(&["group", "order", "partition"]),
            "rollup" | "cube" => before == Before::GroupBy,
            "sets" => before == Before::Keyword("grouping"),
            "zone" => before == Before::Keyword("time"),
            "varying" => before.is_keyword(&["bit", "char", "character", "nchar"]),
            "join" => {
                before.ends_something()
                    || before.is_keyword(&["inner", "left", "right", "full", "outer", "cross", "natural"])
            }
            "like" | "ilike" => before.ends_something(),
            _ => false,
        }
    }

    fn dot(&self, next: Option<Token<'a>>) -> Result<Before, WhyPrimary<'a>> {
        match (self.before, next) {
            (Before::Name, _) => Ok(Before::Dot),
            // All fields of an expression.
            (Before::Call | Before::Expression, Some(Token::Operator("*"))) => Ok(Before::Dot),
            (Before::Call | Before::Expression, Some(Token::Word(name) | Token::Quoted(name))) => {
                Err(WhyPrimary::Field(name.written))
            }
            _ => Err(WhyPrimary::NotUnderstood),
        }
    }
}

/// The first token that is no parenthesis says what the statement is.
fn start(token: Token<'_>) -> Result<(), WhyPrimary<'_>> {
    if let Token::Word(name) = token
        && ["select", "values", "table", "with"].iter().any(|word| name.is(word))
    {
        return Ok(());
    }
    if matches!(token, Token::Open(Bracket::Round)) {
        return Ok(());
    }
    Err(if matches!(token, Token::Semicolon) { WhyPrimary::Empty } else { WhyPrimary::NoRead })
}

fn is_open(next: Option<Token<'_>>) -> bool {
    matches!(next, Some(Token::Open(Bracket::Round)))
}

/// Some of these may be names as well: that is not found out.
fn is_write(name: Name<'_>) -> Result<(), WhyPrimary<'_>> {
    if ["insert", "update", "delete", "merge", "into"].iter().any(|word| name.is(word)) {
        return Err(WhyPrimary::Write);
    }
    Ok(())
}

/// A name that calls nothing: of a relation, column, type, or anything else.
fn plain(name: Name<'_>) -> Result<(), WhyPrimary<'_>> {
    let bytes = name.bytes();
    if (bytes.starts_with(b"pg_") && !is_harmless_relation(bytes)) || bytes == b"system_user" {
        return Err(WhyPrimary::Relation(name.written));
    }
    // `serial` numbers its sequences where a name is taken.
    let stem = bytes.iter().rposition(|byte| !byte.is_ascii_digit()).map_or(bytes, |last| &bytes[..=last]);
    if stem.ends_with(b"_seq") || [&b"last_value"[..], b"log_cnt", b"is_called"].contains(&bytes) {
        return Err(WhyPrimary::Sequence(name.written));
    }
    Ok(())
}
