//! What stands before a token, as far as it says whether an expression can begin there.

/// Keywords that may be names, but behind which an expression can begin as well.
pub(super) const LEADING: [&str; 17] = [
    "by",
    "content",
    "document",
    "escape",
    "first",
    "groups",
    "key",
    "next",
    "partition",
    "passing",
    "path",
    "range",
    "rows",
    "set",
    "value",
    "version",
    "zone",
];

/// What stands before a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    Start,
    /// `(` or `[`.
    Open,
    /// `)` of a call.
    Call,
    /// `)` of `DISTINCT ON (...)`.
    DistinctOn,
    /// Another `)`, `]`, or a parameter.
    Expression,
    Literal,
    /// A name.
    Name,
    /// A keyword, or a name that may be one.
    Keyword(&'static str),
    GroupBy,
    Dot,
    Cast,
    Operator,
    Comma,
    Semicolon,
}

impl Before {
    /// Whether it is the end of an expression or of an item of `FROM`, so that no expression begins here.
    pub(super) fn ends_something(self) -> bool {
        match self {
            Self::Call | Self::Expression | Self::Literal | Self::Name => true,
            Self::Start
            | Self::Open
            | Self::DistinctOn
            | Self::Keyword(_)
            | Self::GroupBy
            | Self::Dot
            | Self::Cast
            | Self::Operator
            | Self::Comma
            | Self::Semicolon => false,
        }
    }

    pub(super) fn is_keyword(self, words: &[&str]) -> bool {
        matches!(self, Self::Keyword(word) if words.contains(&word))
    }
}
