//! What an app may say on one connection, made at random: statements with expressions and parameters of every type, over
//! the schema of `adapter_differential.rs`, alone and in transactions.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::adapter_kinds::{KINDS, Kind, kind};

/// Whether a statement that does not fail has rows: a synchronous query without them hangs on Spin (its issue 3671).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rows {
    Always,
    Sometimes,
    Never,
}

#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) json: Value,
    pub(crate) rows: Rows,
}

/// A part of a statement, with `$?` where a parameter is.
#[derive(Clone, Debug)]
struct Piece {
    text: String,
    params: Vec<Value>,
}

/// Whether an expression may name the columns of `everything`.
#[derive(Clone, Copy, Debug)]
enum Scope {
    Nothing,
    Everything,
}

/// The steps of one script.
pub(crate) fn script() -> impl Strategy<Value = Vec<Step>> {
    let end = prop_oneof![3 => Just("COMMIT"), 1 => Just("ROLLBACK")];
    let transaction = (vec(within(), 1..5), end).prop_map(|(steps, end)| {
        let step = |text| step(Piece::new(text), Rows::Never);
        std::iter::once(step("BEGIN")).chain(steps).chain([step(end)]).collect()
    });
    prop_oneof![3 => vec(statement(), 1..4), 2 => transaction]
}

fn within() -> impl Strategy<Value = Step> {
    let control = select(vec![
        "SET CONSTRAINTS ALL IMMEDIATE",
        "SET CONSTRAINTS ALL DEFERRED",
        "SAVEPOINT s",
        "ROLLBACK TO s",
        "RELEASE s",
        "SET LOCAL extra_float_digits = 0",
        "SET TRANSACTION READ ONLY",
    ]);
    prop_oneof![5 => statement(), 2 => control.prop_map(|text| step(Piece::new(text), Rows::Never))]
}

fn statement() -> BoxedStrategy<Step> {
    let always = prop_oneof![4 => select_list(), 2 => aggregates(), 2 => tables(), 1 => several(), 3 => inserts()];
    prop_oneof![
        6 => always.prop_map(|piece| step(piece, Rows::Always)),
        3 => joins().prop_map(|piece| step(piece, Rows::Sometimes)),
        2 => changes().prop_map(|piece| step(piece, Rows::Sometimes)),
        1 => inserts().prop_map(|piece| {
            let text = piece.text.split(" RETURNING").next().unwrap_or_default().to_owned();
            step(Piece { text, params: piece.params }, Rows::Never)
        }),
    ]
    .boxed()
}

fn select_list() -> impl Strategy<Value = Piece> {
    vec(any_expression(Scope::Nothing), 1..4).prop_map(|list| Piece::joined("SELECT ", &list, ", ", ""))
}

fn aggregates() -> impl Strategy<Value = Piece> {
    let function = select(vec!["count", "array_agg", "max", "min", "sum", "jsonb_agg", "bool_and", "avg"]);
    let one = (function, any_expression(Scope::Everything)).prop_map(|(function, e)| e.within(function, "(", ")"));
    (vec(one, 1..3), expression(kind("bool"), Scope::Everything)).prop_map(|(list, filter)| {
        let list = Piece::joined("SELECT ", &list, ", ", " FROM everything WHERE ");
        Piece::joined("", &[list, filter], "", "")
    })
}

/// Rows without a table, and common table expressions.
fn tables() -> impl Strategy<Value = Piece> {
    let texts = select(vec![
        ("VALUES (", "), (", ")"),
        ("WITH w (x) AS (SELECT ", ") SELECT x FROM w UNION ALL SELECT ", ""),
        ("SELECT (SELECT ", "), EXISTS (SELECT ", " WHERE false)"),
        ("WITH w AS MATERIALIZED (SELECT ", " AS x), v AS (SELECT x, ", " FROM w) SELECT * FROM w, v ORDER BY 1"),
        ("SELECT * FROM (VALUES (", "), (", ")) AS t (x), LATERAL (SELECT x AS y) AS l"),
    ]);
    let pair = select(KINDS).prop_flat_map(|kind| (expression(kind, Scope::Nothing), expression(kind, Scope::Nothing)));
    (texts, pair).prop_map(|((before, between, after), (a, b))| Piece::joined(before, &[a, b], between, after))
}

/// Which Spin does not run: it has one statement prepared at a time.
fn several() -> impl Strategy<Value = Piece> {
    let second = select(vec!["SELECT 2", "DELETE FROM children", "COMMIT", ""]);
    (select_list(), second).prop_map(|(first, second)| Piece::joined("", &[first, Piece::new(second)], "; ", ""))
}

fn inserts() -> impl Strategy<Value = Piece> {
    let number = || expression(kind("int4"), Scope::Nothing);
    let key = || prop_oneof![3 => (1..120).prop_map(|n: i32| Piece::new(&n.to_string())), 1 => number()];
    let mood = select(vec!["'ok'", "'sad'", "'angry'", "NULL"]).prop_map(Piece::new);
    let child = (key(), mood, number()).prop_map(|(parent, mood, half)| {
        let returning = ") RETURNING id, parent, feeling, half";
        Piece::joined("INSERT INTO children (parent, feeling, half) VALUES (", &[parent, mood, half], ", ", returning)
    });
    let upsert = select(vec!["", " ON CONFLICT (id) DO UPDATE SET name = excluded.name || '!'"]);
    let parent = (key(), expression(kind("text"), Scope::Nothing), upsert).prop_map(|(id, name, upsert)| {
        Piece::joined("INSERT INTO parents VALUES (", &[id, name], ", ", &format!("){upsert} RETURNING *"))
    });
    let anything = select(KINDS).prop_flat_map(|kind| {
        let column = kind.column;
        expression(kind, Scope::Nothing).prop_map(move |e| {
            Piece::joined(
                &format!("INSERT INTO everything ({column}) VALUES ("),
                &[e],
                "",
                &format!(") RETURNING {column}"),
            )
        })
    });
    prop_oneof![3 => child, 2 => parent, 2 => anything]
}

fn joins() -> impl Strategy<Value = Piece> {
    let family = (select(vec!["LEFT JOIN", "JOIN", "RIGHT JOIN"]), 1..130).prop_map(|(join, id)| {
        let tables = format!("parents AS p {join} children AS c ON c.parent = p.id WHERE p.id < $? AND p.id > $?");
        Piece {
            text: format!("SELECT p.id, p.name, c.feeling, c.half FROM {tables} ORDER BY p.id, c.id LIMIT 20"),
            params: vec![json!({ "int32": id }), json!({ "int32": id - 10 })],
        }
    });
    let groups = expression(kind("int4"), Scope::Nothing).prop_map(|e| {
        let after = " GROUP BY name ORDER BY name LIMIT 5";
        Piece::joined("SELECT name, count(*), sum(id) FROM parents WHERE id % 7 = ", &[e], "", after)
    });
    let everything =
        (any_expression(Scope::Everything), expression(kind("bool"), Scope::Everything)).prop_map(|(e, f)| {
            Piece::joined(
                "SELECT ",
                &[e, f],
                " FROM everything WHERE ",
                " ORDER BY 1 NULLS FIRST, everything::text LIMIT 3",
            )
        });
    prop_oneof![family, groups, everything]
}

fn changes() -> impl Strategy<Value = Piece> {
    let rename = (expression(kind("text"), Scope::Nothing), 1..120).prop_map(|(name, id)| {
        Piece::joined("UPDATE parents SET name = ", &[name], "", &format!(" WHERE id = {id} RETURNING id, name"))
    });
    let delete = (select(vec!["children WHERE parent", "parents WHERE id"]), 1..120).prop_map(|(what, id)| Piece {
        text: format!("DELETE FROM {what} = $? RETURNING *"),
        params: vec![json!({ "int32": id })],
    });
    let moved = expression(kind("int4"), Scope::Nothing)
        .prop_map(|e| Piece::joined("UPDATE children SET parent = ", &[e], "", " WHERE half IS NULL RETURNING parent"));
    let written = expression(kind("text"), Scope::Nothing).prop_map(|e| {
        let begin = "WITH n AS (INSERT INTO parents VALUES (400, ";
        Piece::joined(begin, &[e], "", ") ON CONFLICT DO NOTHING RETURNING *) SELECT * FROM n")
    });
    prop_oneof![rename, delete, moved, written]
}

fn any_expression(scope: Scope) -> impl Strategy<Value = Piece> {
    select(KINDS).prop_flat_map(move |kind| expression(kind, scope))
}

/// Of one type, but for what does not fit on purpose.
fn expression(kind: Kind, scope: Scope) -> BoxedStrategy<Piece> {
    let sql = kind.sql;
    let param = |params: Vec<&'static str>| {
        select(params).prop_map(move |param| Piece {
            text: format!("$?::{sql}"),
            params: vec![serde_json::from_str(param).expect("it is JSON")],
        })
    };
    let columns = match scope {
        Scope::Nothing => 0,
        Scope::Everything => 24,
    };
    let everybodys = KINDS.iter().flat_map(|kind| kind.params).copied().collect();
    let leaf = prop_oneof![
        24 => select(kind.literals).prop_map(move |literal| Piece::new(&format!("'{literal}'::{sql}"))),
        24 => param(kind.params.to_vec()),
        columns => Just(Piece::new(kind.column)),
        2 => Just(Piece::new(&format!("NULL::{sql}"))),
        2 => Just(Piece { text: format!("$?::{sql}"), params: vec![json!("null")] }),
        1 => Just(Piece::new(&format!("'x'::{sql}"))),
        1 => param(everybodys),
    ];
    leaf.prop_recursive(2, 4, 2, move |inner| {
        prop_oneof![
            (select(kind.of_one), inner.clone()).prop_map(|(text, a)| Piece::filled(text, &[a])),
            (select(kind.of_two), inner.clone(), inner.clone()).prop_map(|(text, a, b)| Piece::filled(text, &[a, b])),
            (inner.clone(), inner).prop_map(|(a, b)| Piece::filled("CASE WHEN § IS NULL THEN § END", &[a, b])),
        ]
    })
    .boxed()
}

impl Piece {
    fn new(text: &str) -> Self {
        Self { text: text.to_owned(), params: Vec::new() }
    }

    fn joined(before: &str, pieces: &[Self], between: &str, after: &str) -> Self {
        let texts: Vec<_> = pieces.iter().map(|piece| piece.text.as_str()).collect();
        Self {
            text: format!("{before}{}{after}", texts.join(between)),
            params: pieces.iter().flat_map(|piece| piece.params.clone()).collect(),
        }
    }

    fn within(self, name: &str, open: &str, close: &str) -> Self {
        Self { text: format!("{name}{open}{}{close}", self.text), params: self.params }
    }

    /// The pieces where the text has a `§`.
    fn filled(text: &str, pieces: &[Self]) -> Self {
        let mut parts = text.split('§');
        let mut filled = parts.next().unwrap_or_default().to_owned();
        for (piece, part) in pieces.iter().zip(parts) {
            filled = format!("{filled}({}){part}", piece.text);
        }
        Self { text: format!("({filled})"), params: pieces.iter().flat_map(|piece| piece.params.clone()).collect() }
    }
}

fn step(piece: Piece, rows: Rows) -> Step {
    let mut parts = piece.text.split("$?");
    let mut statement = parts.next().unwrap_or_default().to_owned();
    for (number, part) in (1..).zip(parts) {
        statement = format!("{statement}${number}{part}");
    }
    Step { json: json!({ "statement": statement, "params": piece.params }), rows }
}
