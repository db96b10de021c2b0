//! Statements made at random from a small grammar, harmless ones and others, written in all kinds of ways.

use proptest::prelude::*;
use proptest::sample::select;

/// Whether something in a statement must not run on a standby.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Danger {
    None,
    Some,
}

type Piece = (String, Danger);

/// A statement with what is in it.
pub(crate) fn statement() -> impl Strategy<Value = Piece> {
    let end = select(vec!["", ";", " ; -- end", "/* ; */"]);
    let locked =
        prop_oneof![12 => Just(""), 1 => Just(" FOR UPDATE"), 1 => Just(" for/**/share"), 1 => Just("; SELECT 2")];
    (query(), locked, end).prop_map(|((text, danger), locked, end)| {
        let danger = if locked.is_empty() { danger } else { Danger::Some };
        (format!("{text}{locked}{end}"), danger)
    })
}

/// Quotes and comments in any order, with calls in between: what of it is code, PostgreSQL knows best.
pub(crate) fn quotes() -> impl Strategy<Value = String> {
    let piece = select(vec![
        "'",
        "'",
        "''",
        "E'",
        "e'a",
        "\\'",
        "\\\\",
        "\"",
        "\"\"",
        "$$",
        "$a$",
        "a$",
        "$1",
        "--",
        "/*",
        "*/",
        "\n",
        "\r",
        "U&'",
        "B'",
        "X'",
        "N'",
        "\u{e4}",
        " lock_it(7) ",
        ", tenant('ann')",
        ", nextval('app.counter') ",
        " AS \"x\"",
        "::text",
        ", ",
        " 1 ",
        " || ",
        ";",
        ".",
        " AS c",
        " FROM people",
        "e",
        "=-",
        "+",
        "(",
        ")",
    ]);
    proptest::collection::vec(piece, 1..10).prop_map(|pieces| format!("SELECT 1, '' {}", pieces.concat()))
}

fn query() -> impl Strategy<Value = Piece> {
    let simple = prop_oneof![
        2 => (expression(), from()).prop_map(|pieces| join2(pieces, |e, f| format!("SELECT {e} FROM {f}"))),
        1 => (expression(), expression()).prop_map(|pieces| join2(pieces, |a, b| format!("SELECT {a}, {b}"))),
        1 => (expression(), from(), expression())
            .prop_map(|(a, b, c)| join2((join2((a, b), |e, f| format!("SELECT {e} FROM {f}")), c), |s, w| {
                format!("{s} WHERE ({w})::text <> ''")
            })),
        1 => expression().prop_map(|(e, danger)| (format!("VALUES ({e})"), danger)),
    ]
    .boxed();
    simple.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|pieces| join2(pieces, |a, b| {
                format!("WITH a AS ({a}), b (x) AS MATERIALIZED ({b}) SELECT * FROM a, b")
            })),
            inner.clone().prop_map(|(q, danger)| (format!("SELECT * FROM ({q}) AS q (c)"), danger)),
            inner.clone().prop_map(|(q, danger)| (format!("({q})"), danger)),
            (inner.clone(), inner).prop_map(|pieces| join2(pieces, |a, b| format!("({a}) UNION ALL ({b})"))),
        ]
        .boxed()
    })
}

fn from() -> impl Strategy<Value = Piece> {
    let harmless = vec![
        "people",
        "public . \"people\" AS p",
        "adults JOIN (people JOIN moods USING (mood)) ON true",
        "(SELECT 1, 2) AS over(name, age)",
        "generate_series(1, 3) AS people(id)",
        "pg_tables, people",
    ];
    let dangerous = vec![
        "app.counter AS c(last_value, log_cnt, is_called)",
        "events_id_seq",
        "pg_locks",
        "swallow() AS people(name)",
        "people TABLESAMPLE system (100)",
        "ROWS FROM (lock_it(1), generate_series(1, 2)) AS people(id, age)",
    ];
    either(harmless, dangerous, 8)
}

fn expression() -> impl Strategy<Value = Piece> {
    let harmless = vec![
        "1",
        "name",
        "age",
        "'nextval(''app.counter'')'",
        "$$ tenant('x') $$",
        "E'\\' lock_it(1)'",
        "NULL /* swallow() */",
        "-- swallow()\n 2.5",
        "\"name\"",
        "'ok'::app.mood",
        "'1'::numeric(10, 2)",
        "current_user",
        "CAST('abc' AS character varying(2))",
    ];
    let dangerous = vec![
        "tenant('x')",
        "\"LOWER\"('x')",
        "lock_it /**/ (1)",
        "swallow -- )\n()",
        "(1::bigint).pg_advisory_lock",
        "('work_mem'::text) . current_setting",
        "pg_catalog.pg_backend_pid()",
        "\"pg_catalog\".\"set_config\"('app.tenant', 'x', false)",
        "public.upper('ok'::app.mood)",
        "over(1)",
    ];
    either(harmless, dangerous, 40).prop_recursive(3, 12, 3, |inner| {
        let function =
            select(vec!["lower", "UPPER", "pg_catalog.length", "\"md5\"", "concat", "Quote_Literal", "to_json"]);
        prop_oneof![
            (function, select(vec!["", " ", "/* ) */", "-- (\n"]), inner.clone())
                .prop_map(|(function, gap, (e, danger))| (format!("{function}{gap}(({e})::text)"), danger)),
            inner.clone().prop_map(|(e, danger)| (format!("({e})"), danger)),
            inner.clone().prop_map(|(e, danger)| (format!("(SELECT {e})"), danger)),
            inner.clone().prop_map(|(e, danger)| (format!("count({e}) FILTER (WHERE true) OVER ()"), danger)),
            (inner.clone(), inner.clone()).prop_map(|pieces| join2(pieces, |a, b| format!("({a})::text||({b})::text"))),
            (inner.clone(), inner.clone()).prop_map(|pieces| join2(pieces, |a, b| {
                format!("CASE WHEN ({a}) IS NULL THEN ({b})::text ELSE 'x' END")
            })),
            (inner.clone(), inner)
                .prop_map(|pieces| join2(pieces, |a, b| format!("coalesce(({a})::text, ({b})::text)"))),
        ]
        .boxed()
    })
}

/// One of the harmless pieces `weight` times as often as one of the others.
fn either(harmless: Vec<&'static str>, dangerous: Vec<&'static str>, weight: u32) -> BoxedStrategy<Piece> {
    prop_oneof![
        weight => select(harmless).prop_map(|piece| (piece.to_owned(), Danger::None)),
        1 => select(dangerous).prop_map(|piece| (piece.to_owned(), Danger::Some)),
    ]
    .boxed()
}

fn join2((a, b): (Piece, Piece), text: impl Fn(&str, &str) -> String) -> Piece {
    let danger = if a.1 == Danger::None { b.1 } else { Danger::Some };
    (text(&a.0, &b.0), danger)
}
