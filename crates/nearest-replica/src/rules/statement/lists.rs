//! What of PostgreSQL's own is harmless, as sorted lists of names. A test compares each with a real server's catalogue.

/// A list, and where its lines begin.
#[derive(Clone, Copy)]
struct List {
    text: &'static str,
    starts: &'static [usize],
}

macro_rules! list {
    ($file:literal) => {
        List { text: include_str!($file), starts: &starts::<{ lines(include_str!($file)) }>(include_str!($file)) }
    };
}

/// Functions of which every overload is harmless.
const FUNCTIONS: List = list!("functions.txt");
/// Functions of which one is not, and that can be called as a column of their one argument. Those whose names begin with
/// `pg_` are left out: such names are all looked up in [`RELATIONS`].
const FIELDS: List = list!("fields.txt");
/// Operators; an operator of the database's own may have the same name.
const OPERATORS: List = list!("operators.txt");
/// Tables of the catalogue, which are replicated like others, and views that show nothing else.
const RELATIONS: List = list!("relations.txt");
/// Keywords with their class.
const KEYWORDS: List = list!("keywords.txt");

/// What PostgreSQL's grammar does with a keyword (its manual, appendix C).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Never a name.
    Reserved,
    /// May be the name of a column or table, never of a function or type.
    ColumnName,
    /// May be the name of a function or type.
    FunctionName,
    /// May be any name.
    Unreserved,
}

pub(super) fn is_harmless_function(name: &[u8]) -> bool {
    find(FUNCTIONS, name).is_some()
}

pub(super) fn is_harmful_field(name: &[u8]) -> bool {
    find(FIELDS, name).is_some()
}

pub(super) fn is_harmless_operator(name: &str) -> bool {
    find(OPERATORS, name.as_bytes()).is_some()
}

pub(super) fn is_harmless_relation(name: &[u8]) -> bool {
    find(RELATIONS, name).is_some()
}

/// The keyword that an unquoted word is, in small letters.
pub(super) fn keyword(word: &[u8]) -> Option<(&'static str, Class)> {
    let (keyword, class) = find(KEYWORDS, word)?.split_once(' ')?;
    let class = match class {
        "R" => Class::Reserved,
        "C" => Class::ColumnName,
        "T" => Class::FunctionName,
        _ => Class::Unreserved,
    };
    Some((keyword, class))
}

const fn lines(text: &str) -> usize {
    let (mut lines, mut at) = (0, 0);
    while at < text.len() {
        if text.as_bytes()[at] == b'\n' {
            lines += 1;
        }
        at += 1;
    }
    lines
}

const fn starts<const LINES: usize>(text: &str) -> [usize; LINES] {
    let mut starts = [0; LINES];
    let (mut line, mut at) = (1, 0);
    while line < LINES {
        if text.as_bytes()[at] == b'\n' {
            starts[line] = at + 1;
            line += 1;
        }
        at += 1;
    }
    starts
}

/// The line of a sorted list whose first word is `key`.
fn find(list: List, key: &[u8]) -> Option<&'static str> {
    let line = |start: usize| {
        let rest = &list.text[start..];
        rest.split_once('\n').map_or(rest, |(line, _)| line)
    };
    let word = |start: &usize| line(*start).split(' ').next().unwrap_or_default().as_bytes().cmp(key);
    let found = list.starts.binary_search_by(word).ok()?;
    Some(line(list.starts[found]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_found_and_nothing_else() {
        for list in [FUNCTIONS, FIELDS, OPERATORS, RELATIONS, KEYWORDS] {
            assert!(list.text.ends_with('\n') && list.starts.len() > 15, "{}", list.text);
            for line in list.text.lines() {
                let word = line.split(' ').next().unwrap();
                assert_eq!(find(list, word.as_bytes()), Some(line));
                for other in [format!("{word}!!"), word[1..].to_owned() + "\n", format!("{line}\n"), String::new()] {
                    assert_eq!(find(list, other.as_bytes()), None, "{other:?}");
                }
            }
        }
    }

    #[test]
    fn a_keyword_comes_with_its_class() {
        assert_eq!(keyword(b"select"), Some(("select", Class::Reserved)));
        assert_eq!(keyword(b"values"), Some(("values", Class::ColumnName)));
        assert_eq!(keyword(b"left"), Some(("left", Class::FunctionName)));
        assert_eq!(keyword(b"over"), Some(("over", Class::Unreserved)));
        assert_eq!(keyword(b"SELECT"), None);
    }
}
