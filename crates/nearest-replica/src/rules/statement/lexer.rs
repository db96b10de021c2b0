//! The tokens of a statement, as PostgreSQL's own lexer finds them (its manual, section 4.1). What older and newer
//! servers, or servers with other settings, would read in different ways is refused.

use super::WhyPrimary;

/// PostgreSQL cuts longer names off.
const LONGEST_NAME: usize = 63;

/// Round or square.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bracket {
    Round,
    Square,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Token<'a> {
    /// A keyword or a name without quotes.
    Word(Name<'a>),
    /// A name in double quotes.
    Quoted(Name<'a>),
    /// A number or a string.
    Literal,
    /// Such as `$1`.
    Parameter,
    Operator(&'a str),
    Open(Bracket),
    Close(Bracket),
    Comma,
    Dot,
    Semicolon,
    Colon,
    /// `::`
    Cast,
}

/// A name as it is written, without quotes, and as it counts: in small letters where it has no quotes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'a> {
    pub(super) written: &'a str,
    folded: [u8; LONGEST_NAME],
}

impl<'a> Name<'a> {
    fn quoted(written: &'a str) -> Result<Self, WhyPrimary<'a>> {
        let mut folded = [0; LONGEST_NAME];
        folded.get_mut(..written.len()).ok_or(WhyPrimary::LongName)?.copy_from_slice(written.as_bytes());
        Ok(Self { written, folded })
    }

    fn unquoted(written: &'a str) -> Result<Self, WhyPrimary<'a>> {
        let mut name = Self::quoted(written)?;
        name.folded.make_ascii_lowercase();
        Ok(name)
    }

    /// As it counts. Doubled quotes in a quoted name stay doubled: no name in a list has any.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.folded[..self.written.len()]
    }

    pub(super) fn is(&self, name: &str) -> bool {
        self.bytes() == name.as_bytes()
    }
}

pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next token; nothing at the end.
    pub(super) fn next(&mut self) -> Result<Option<Token<'a>>, WhyPrimary<'a>> {
        self.skip_blanks_and_comments()?;
        let Some(first) = self.peek(0) else { return Ok(None) };
        let token = match first {
            b'(' => self.single(Token::Open(Bracket::Round)),
            b')' => self.single(Token::Close(Bracket::Round)),
            b'[' => self.single(Token::Open(Bracket::Square)),
            b']' => self.single(Token::Close(Bracket::Square)),
            b',' => self.single(Token::Comma),
            b';' => self.single(Token::Semicolon),
            b':' if self.peek(1) == Some(b':') => {
                self.at += 2;
                Token::Cast
            }
            b':' => self.single(Token::Colon),
            b'.' if !self.peek(1).is_some_and(|byte| byte.is_ascii_digit()) => self.single(Token::Dot),
            b'.' | b'0'..=b'9' => self.number()?,
            b'\'' => self.plain_string()?,
            b'"' => self.quoted_name()?,
            b'$' => self.dollar()?,
            first if is_word_start(first) => self.word()?,
            first if is_operator(first) => self.operator()?,
            _ => return Err(WhyPrimary::NotUnderstood),
        };
        Ok(Some(token))
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn single(&mut self, token: Token<'a>) -> Token<'a> {
        self.at += 1;
        token
    }

    /// Moves behind the bytes that are `accepted`, and returns them. These are ASCII, so that they can be cut out.
    fn take_while(&mut self, accepted: impl Fn(u8) -> bool) -> &'a str {
        let rest = &self.text[self.at..];
        let length = rest.bytes().position(|byte| !accepted(byte)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn skip_blanks_and_comments(&mut self) -> Result<(), WhyPrimary<'a>> {
        loop {
            self.take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c));
            match (self.peek(0), self.peek(1)) {
                (Some(b'-'), Some(b'-')) => {
                    let rest = &self.text[self.at..];
                    self.at += rest.bytes().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len());
                }
                (Some(b'/'), Some(b'*')) => self.skip_comment()?,
                _ => return Ok(()),
            }
        }
    }

    /// Comments of this kind are nested.
    fn skip_comment(&mut self) -> Result<(), WhyPrimary<'a>> {
        let mut depth = 0_usize;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(b'/'), Some(b'*')) => {
                    depth += 1;
                    self.at += 2;
                }
                (Some(b'*'), Some(b'/')) => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                (Some(_), _) => self.at += 1,
                (None, _) => return Err(WhyPrimary::Unterminated),
            }
        }
    }

    /// A word, or a string with a letter before it.
    fn word(&mut self) -> Result<Token<'a>, WhyPrimary<'a>> {
        let word = self.take_while(|byte| is_word_start(byte) || byte.is_ascii_digit() || byte == b'$');
        // PostgreSQL takes all of it for letters, blanks too.
        if self.peek(0).is_some_and(|byte| !byte.is_ascii()) {
            return Err(WhyPrimary::NotUnderstood);
        }
        match (word, self.peek(0), self.peek(1)) {
            ("e" | "E", Some(b'\''), _) => self.escape_string(),
            ("n" | "N", Some(b'\''), _) => self.plain_string(),
            ("b" | "B" | "x" | "X", Some(b'\''), _) => self.bit_string(),
            ("u" | "U", Some(b'&'), Some(b'\'' | b'"')) => Err(WhyPrimary::UnicodeEscape),
            _ => Name::unquoted(word).map(Token::Word),
        }
    }

    fn quoted_name(&mut self) -> Result<Token<'a>, WhyPrimary<'a>> {
        let start = self.at + 1;
        self.skip_quoted(b'"', None)?;
        Name::quoted(&self.text[start..self.at - 1]).map(Token::Quoted)
    }

    /// A continuation of an `E` string on another line is one of these here. It ends where PostgreSQL sees its end, for
    /// there is no backslash in it.
    fn plain_string(&mut self) -> Result<Token<'a>, WhyPrimary<'a>> {
        let start = self.at;
        self.skip_quoted(b'\'', None)?;
        if self.text.as_bytes()[start..self.at].contains(&b'\\') {
            return Err(WhyPrimary::Backslash);
        }
        Ok(Token::Literal)
    }

    fn escape_string(&mut self) -> Result<Token<'a>, WhyPrimary<'a>> {
        self.skip_quoted(b'\'', Some(b'\\'))?;
        Ok(Token::Literal)
    }

    fn bit_string(&mut self) -> Result<Token<'a>, WhyPrimary<'a>> {
        self.at += 1;
        self.take_while(|byte| byte.is_ascii_hexdigit());
        match (self.peek(0), self.peek(1)) {
            (None, _) => Err(WhyPrimary::Unterminated),
            (Some(b'\''), Some(b'\'')) => Err(WhyPrimary::NotUnderstood),
            (Some(b'\''), _) => Ok(self.single(Token::Literal)),
            (Some(_), _) => Err(WhyPrimary::NotUnderstood),
        }
    }

    /// From an opening quote to behind the closing one; a doubled one is inside, and so is one after `escape`.
    fn skip_quoted(&mut self, quote: u8, escape: Option<u8>) -> Result<(), WhyPrimary<'a>> {
        self.at += 1;
        loop {
            match self.peek(0) {
                None => return Err(WhyPrimary::Unterminated),
                byte if byte == escape => self.at += 2,
                Some(byte) if byte != quote => self.at += 1,
                Some(_) if self.peek(1) == Some(quote) => self.at += 2,
                Some(_) => {
                    self.at += 1;
                    return Ok(());
                }
            }
        }
    }

    /// A parameter, or a string in dollar quotes.
    fn dollar(&mut self) -> Result<Token<'a>, WhyPrimary<'a>> {
        let start = self.at;
        self.at += 1;
        if self.peek(0).is_some_and(|byte| byte.is_ascii_digit()) {
            self.take_while(|byte| byte.is_ascii_digit());
            self.not_before_a_word()?;
            return Ok(Token::Parameter);
        }
        if self.take_while(is_word_start).is_empty() && self.peek(0) != Some(b'$') {
            return Err(WhyPrimary::NotUnderstood);
        }
        self.take_while(|byte| is_word_start(byte) || byte.is_ascii_digit());
        if self.peek(0) != Some(b'$') {
            return Err(WhyPrimary::NotUnderstood);
        }
        self.at += 1;
        let quote = &self.text[start..self.at];
        let length = self.text[self.at..].find(quote).ok_or(WhyPrimary::Unterminated)?;
        self.at += length + quote.len();
        Ok(Token::Literal)
    }

    fn number(&mut self) -> Result<Token<'a>, WhyPrimary<'a>> {
        if self.peek(0) == Some(b'0') && self.peek(1).is_some_and(|byte| b"xXoObB".contains(&byte)) {
            self.at += 2;
            self.take_while(|byte| byte.is_ascii_hexdigit() || byte == b'_');
            self.not_before_a_word()?;
            return Ok(Token::Literal);
        }
        let digits = |byte: u8| byte.is_ascii_digit() || byte == b'_';
        self.take_while(digits);
        if self.peek(0) == Some(b'.') {
            self.at += 1;
            self.take_while(digits);
        }
        if matches!(self.peek(0), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(0), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.take_while(digits).is_empty() {
                return Err(WhyPrimary::NotUnderstood);
            }
        }
        if self.peek(0) == Some(b'.') {
            return Err(WhyPrimary::NotUnderstood);
        }
        self.not_before_a_word()?;
        Ok(Token::Literal)
    }

    /// Servers before 15 take a word right behind a number for a token of its own.
    fn not_before_a_word(&self) -> Result<(), WhyPrimary<'a>> {
        match self.peek(0) {
            Some(byte) if is_word_start(byte) || byte.is_ascii_digit() || byte == b'$' || !byte.is_ascii() => {
                Err(WhyPrimary::NotUnderstood)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// As long as it can be, but a comment begins where one can, and `+` and `-` end an operator only where it has a
    /// character that no operator of standard SQL has.
    fn operator(&mut self) -> Result<Token<'a>, WhyPrimary<'a>> {
        // No further: a long run would be looked at again for each of its operators.
        let rest = self.text.as_bytes()[self.at..].iter().take(LONGEST_NAME + 1);
        let length = rest.take_while(|byte| is_operator(**byte)).count();
        if length > LONGEST_NAME {
            return Err(WhyPrimary::NotUnderstood);
        }
        let run = &self.text[self.at..self.at + length];
        let comment = [run.find("--"), run.find("/*")].into_iter().flatten().min();
        let run = &run[..comment.unwrap_or(length)];
        let run = if run.contains(['~', '!', '@', '#', '%', '^', '&', '|', '`', '?']) {
            run
        } else {
            let trimmed = run.trim_end_matches(['+', '-']);
            if trimmed.is_empty() { &run[..1] } else { trimmed }
        };
        self.at += run.len();
        Ok(Token::Operator(run))
    }
}

fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn is_operator(byte: u8) -> bool {
    b"~!@#^&|`?+-*/%<>=".contains(&byte)
}
