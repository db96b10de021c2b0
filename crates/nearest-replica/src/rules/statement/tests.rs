//! Statements and what is decided about them.

use super::Runs::{Anywhere, OnPrimary};
use super::WhyPrimary::{
    self, Backslash, Empty, Field, Function, Lock, LongName, NoRead, NotUnderstood, Operator, OtherSchema, Relation,
    Sequence, SeveralStatements, TooDeep, UnicodeEscape, Unterminated, Write,
};
use super::*;

#[track_caller]
fn anywhere(statements: &[&str]) {
    for statement in statements {
        assert_eq!(Runs::of(statement), Anywhere, "{statement}");
    }
}

#[track_caller]
fn on_primary(statements: &[(&str, WhyPrimary<'_>)]) {
    for (statement, why) in statements {
        assert_eq!(Runs::of(statement), OnPrimary(*why), "{statement}");
    }
}

#[test]
fn plain_reads_run_anywhere() {
    anywhere(&[
        "SELECT 1",
        "select",
        "  \t\r\n\u{c}SELECT 1 ;  -- end",
        "/* a /* nested */ comment */ SELECT 1; /* end */",
        "TABLE entries",
        "VALUES (1, 'one'), (2, 'two')",
        "((SELECT 1) UNION ALL (SELECT 2)) ORDER BY 1 LIMIT 5",
        "SELECT id, body FROM entries WHERE author = $1 AND id > $2 ORDER BY id DESC LIMIT 10 OFFSET 20",
        "SELECT e.id, a.name FROM public.entries AS e LEFT JOIN authors a ON a.id = e.author",
        "SELECT * FROM a JOIN (SELECT 1) b ON true NATURAL JOIN (c CROSS JOIN d)",
        "SELECT * FROM a LEFT OUTER JOIN (b JOIN c USING (id)) ON a.id IN (1, 2)",
        "SELECT 'it''s', E'it\\'s', B'01', X'1f', N'n', $$it's$$, $a$ $$ $b$ $a$, 1e5, 1_000, 0x1f, .5, 5., 1.5E-3",
        "SELECT E'a\\\\', 'ä', \"ä\" FROM t -- ä",
        "SELECT E'one\\n'\n'two'",
        "SELECT a.*, (b).*, c[1:2], ARRAY[1, 2], ARRAY(SELECT 1), d[array_length(d, 1)] FROM t",
        "SELECT x::numeric(10, 2), CAST(x AS varchar(10)), x::vector(3), CAST(x AS public.vector(3)), x::pg_catalog.bit(3)",
        "SELECT x::character varying(3), x::bit varying(3), x::timestamp(3) with time zone, '1'::interval(3)",
        "SELECT CASE WHEN (a) THEN (b) ELSE (c) END, COALESCE(a, b), NULLIF(a, b), GREATEST(a, b), ROW(1, 2)",
        "SELECT EXTRACT(year FROM d), SUBSTRING(a FROM 1 FOR 2), TRIM(BOTH ' ' FROM a), POSITION('a' IN b), OVERLAY(a PLACING b FROM 1)",
        "SELECT current_date, CURRENT_USER, current_timestamp(3), localtime(3), now(), d AT TIME ZONE ('UTC')",
        "SELECT a FROM t WHERE a IN (1) AND b NOT IN (2) AND c = ANY ($1) AND EXISTS (SELECT) AND NOT (d) AND a BETWEEN (1) AND (2)",
        "SELECT a FROM t WHERE a LIKE ('x' || $1) OR b ILIKE (c) OR \"d\" LIKE 'e%'",
        "SELECT name FROM people type JOIN (data d JOIN e ON true) ON name ILIKE ('a%') AND text LIKE ('b')",
        "SELECT DISTINCT ON (a) b FROM t",
        "SELECT a IS DISTINCT FROM (b) FROM t FETCH FIRST 3 ROWS WITH TIES",
        "SELECT 1 FROM t FOR READ ONLY",
        "SELECT delete_at, updates, \"update\", \"into\" FROM inserts",
        "SELECT u.age, age FROM users u WHERE u.age > 17 ORDER BY u.age",
        "SELECT u.age, count(*) FROM users u GROUP BY u.age HAVING count(*) > 1",
    ]);
}

#[test]
fn calls_of_harmless_functions_run_anywhere() {
    anywhere(&[
        "SELECT lower(name), \"lower\"(name), LOWER (name), lower/* */(name), pg_catalog.lower(name) FROM t",
        "SELECT \"pg_catalog\" . \"lower\" ('A'), PG_CATALOG.Upper('a')",
        "SELECT count(*), sum(DISTINCT a), array_agg(a ORDER BY b) FILTER (WHERE c), string_agg(a, ',') FROM t",
        "SELECT rank() OVER (PARTITION BY (a) ORDER BY (b)), last_value(a) OVER w, lag(a, 1) OVER (w) FROM t WINDOW w AS (ORDER BY c)",
        "SELECT count(*) FILTER (WHERE a) OVER (ORDER BY b ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t",
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY a) FILTER (WHERE b) FROM t",
        "SELECT a, grouping(a) FROM t GROUP BY ROLLUP (a)",
        "SELECT a FROM t GROUP BY GROUPING SETS ((a), ())",
        "SELECT a FROM t GROUP BY (a), (b) ORDER BY (a)",
        "SELECT left(a, 1), right(a, 1), replace(a, b, c), text(a), date(a), overlaps(a, b, c, d), (a, b) OVERLAPS (c, d) FROM t",
        "SELECT * FROM generate_series(1, $1) AS g(i), unnest($2::text[]) WITH ORDINALITY AS u(a, n)",
        "SELECT * FROM ROWS FROM (generate_series(1, 2), unnest(ARRAY[1])) AS r",
        "SELECT * FROM json_to_record('{}') AS x(a int, b numeric(10, 2), c varchar(3))",
        "SELECT * FROM t, LATERAL (SELECT upper(t.a)) AS l(u)",
        "SELECT make_interval(days => 10), jsonb_path_query(a, '$.b'), a -> 'b' ->> 'c', a @> '{}', a ? 'b', a #>> '{b}' FROM t",
        "SELECT obj_description(c.oid), pg_get_indexdef(i.indexrelid) FROM pg_class c, pg_catalog.pg_index i",
        "SELECT * FROM pg_tables, \"pg_namespace\", information_schema.columns, pg_stats",
    ]);
}

#[test]
fn the_names_of_a_with_are_no_calls() {
    anywhere(&[
        "WITH a AS (SELECT 1), b(x, y) AS (SELECT 1, 2) SELECT * FROM a, b",
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT i FROM n",
        "WITH a(x) AS MATERIALIZED (SELECT 1), \"b\"(y) AS NOT MATERIALIZED (SELECT 2) (SELECT * FROM a)",
        "SELECT (WITH c(x) AS (WITH d(y) AS (SELECT 1) TABLE d), e(z) AS (TABLE c) SELECT z FROM e)",
        "WITH key(x) AS (SELECT 1) VALUES (1)",
    ]);
    on_primary(&[
        ("WITH a AS (SELECT 1) SELECT 1, f(2)", Function("f")),
        ("WITH a AS (SELECT f(1)), b(x) AS (SELECT 1) SELECT 1", Function("f")),
        ("WITH a AS (SELECT 1) SELECT * FROM b, f(x) AS (c int)", Function("f")),
        ("WITH a AS (SELECT 1) SEARCH DEPTH FIRST BY x, f(y) SET z SELECT 1", Function("f")),
        ("SELECT * FROM a WITH f(x)", Function("f")),
        ("WITH a AS (INSERT INTO t VALUES (1) RETURNING id) SELECT * FROM a", Write),
        ("WITH a AS (DELETE FROM t) SELECT 1", Write),
        ("WITH a AS MATERIALIZED (UPDATE t SET x = 1) SELECT 1", Write),
        ("WITH a AS (SELECT 1) MERGE INTO t USING a ON true WHEN MATCHED THEN DO NOTHING", Write),
        ("WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a", Write),
        ("WITH a SELECT 1", NotUnderstood),
        ("WITH a.b AS (SELECT 1) SELECT 1", NotUnderstood),
        ("WITH select AS (SELECT 1) SELECT 1", NotUnderstood),
    ]);
}

#[test]
fn everything_but_one_read_runs_on_the_primary() {
    on_primary(&[
        ("", Empty),
        (" -- nothing", Empty),
        ("/**/;", Empty),
        ("INSERT INTO t VALUES (1)", NoRead),
        ("EXPLAIN SELECT 1", NoRead),
        ("SHOW work_mem", NoRead),
        ("BEGIN", NoRead),
        ("COPY (SELECT 1) TO STDOUT", NoRead),
        ("(INSERT INTO t VALUES (1))", NoRead),
        ("\"select\" 1", NoRead),
        ("\\d", NotUnderstood),
        ("\u{feff}SELECT 1", NotUnderstood),
        ("SELECT\u{a0}1", NotUnderstood),
        ("SELECT 1; SELECT 2", SeveralStatements),
        ("SELECT 1;;", SeveralStatements),
        ("SELECT 1; /* and */ COMMIT", SeveralStatements),
        ("SELECT a INTO b FROM c", Write),
        ("SELECT a INTO TEMP b FROM c", Write),
        ("SELECT delete FROM t", Write),
        ("SELECT 1 FROM t FOR UPDATE", Lock),
        ("SELECT 1 FROM t for/**/ No Key Update", Lock),
        ("SELECT 1 FROM t FOR SHARE OF t", Lock),
        ("SELECT 1 FROM (SELECT 2 FROM t FOR KEY SHARE SKIP LOCKED) a", Lock),
    ]);
}

#[test]
fn what_is_not_on_a_list_runs_on_the_primary() {
    on_primary(&[
        ("SELECT nextval('s')", Function("nextval")),
        ("SELECT place_order()", Function("place_order")),
        ("SELECT \"LOWER\"('a')", Function("LOWER")),
        ("SELECT pg_catalog.set_config('a', 'b', false)", Function("set_config")),
        ("SELECT pg_advisory_lock(1)", Function("pg_advisory_lock")),
        ("SELECT pg_try_advisory_xact_lock -- \n (1)", Function("pg_try_advisory_xact_lock")),
        ("SELECT current_setting('work_mem')", Function("current_setting")),
        ("SELECT random() FROM t", Function("random")),
        ("SELECT query_to_xml('DELETE FROM t', true, true, '')", Function("query_to_xml")),
        ("SELECT version()", Function("version")),
        ("SELECT age(a) FROM t", Function("age")),
        ("SELECT treat('s' AS nextval)", Function("treat")),
        ("SELECT xmlparse(document '<a/>')", Function("xmlparse")),
        ("SELECT * FROM t TABLESAMPLE bernoulli (10)", Function("bernoulli")),
        ("SELECT * FROM t TABLESAMPLE system(10)", Function("system")),
        ("SELECT public.lower('a')", OtherSchema("lower")),
        ("SELECT app.public.lower('a')", OtherSchema("lower")),
        ("SELECT app.pg_catalog.lower('a')", Relation("pg_catalog")),
        ("SELECT information_schema._pg_char_max_length(1, 2)", OtherSchema("_pg_char_max_length")),
        ("SELECT a.between(1)", OtherSchema("between")),
        ("SELECT 1 OPERATOR(public.+) 2", Operator("OPERATOR")),
        ("SELECT a <=> b", Operator("<=>")),
        ("SELECT a FROM pg_stat_activity", Relation("pg_stat_activity")),
        ("TABLE pg_locks", Relation("pg_locks")),
        ("SELECT * FROM pg_catalog.pg_settings", Relation("pg_settings")),
        ("SELECT * FROM \"pg_cursors\"", Relation("pg_cursors")),
        ("SELECT * FROM PG_Prepared_Statements", Relation("PG_Prepared_Statements")),
        ("SELECT * FROM pg_sequences", Relation("pg_sequences")),
        ("SELECT * FROM pg_temp.t", Relation("pg_temp")),
        ("SELECT system_user", Relation("system_user")),
        ("SELECT last_value FROM s", Sequence("last_value")),
        ("SELECT s.is_called FROM s", Sequence("is_called")),
        ("SELECT * FROM t_id_seq", Sequence("t_id_seq")),
        ("TABLE public.\"t_id_seq12\"", Sequence("t_id_seq12")),
    ]);
}

#[test]
fn a_word_that_may_be_a_call_is_one() {
    on_primary(&[
        ("SELECT over(1)", Function("over")),
        ("SELECT DISTINCT ON (a) over(1) FROM t", Function("over")),
        ("SELECT DISTINCT ON (a) join(1) FROM t", Function("join")),
        ("SELECT count(*), filter(1)", Function("filter")),
        ("SELECT join(1)", Function("join")),
        ("SELECT * FROM join(1)", Function("join")),
        ("SELECT NOT ilike('a', 'b')", Function("ilike")),
        ("SELECT a LIKE b ESCAPE ilike('a', 'b')", Function("ilike")),
        ("SELECT a FROM t ORDER BY ilike(a, 'b')", Function("ilike")),
        ("SELECT by(1) FROM t ORDER BY by(2)", Function("by")),
        ("SELECT a FROM t ORDER BY cube(a)", Function("cube")),
        ("SELECT a FROM t GROUP BY a, rollup(b)", Function("rollup")),
        ("SELECT sets(1), zone(1)", Function("sets")),
        ("SELECT varying(1)", Function("varying")),
        ("SELECT materialized(1)", Function("materialized")),
        ("SELECT t.as nextval('s')", Function("nextval")),
        ("SELECT x::a[f(1)]", Function("f")),
        ("SELECT x::numeric(f(1))", Function("f")),
        ("SELECT * FROM t AS a(f(1))", Function("f")),
        ("SELECT * FROM t a(b)", Function("a")),
    ]);
}

#[test]
fn a_function_is_found_in_attribute_notation() {
    on_primary(&[
        ("SELECT (1::bigint).pg_advisory_lock", Field("pg_advisory_lock")),
        ("SELECT ('s'::regclass).\"nextval\"", Field("nextval")),
        ("SELECT (array[7])[1].f", Field("f")),
        ("SELECT $1.f", Field("f")),
        ("SELECT upper('a').lower", Field("lower")),
        ("SELECT g.current_setting FROM unnest(ARRAY['work_mem']) g", Field("current_setting")),
        ("SELECT g.pg_advisory_lock FROM generate_series(1, 2) g", Relation("pg_advisory_lock")),
        ("SELECT g.age FROM unnest(ARRAY['5'::xid]) g", Field("age")),
        ("SELECT \"g\".\"age\" FROM (cast('5' AS xid) g CROSS JOIN t)", Field("age")),
        ("SELECT 'a'.b", NotUnderstood),
        ("SELECT a..b", NotUnderstood),
    ]);
}

#[test]
fn what_servers_may_read_in_different_ways_runs_on_the_primary() {
    on_primary(&[
        ("SELECT 'a", Unterminated),
        ("SELECT \"a", Unterminated),
        ("SELECT E'a\\'", Unterminated),
        ("SELECT $a$ $b$", Unterminated),
        ("SELECT 1 /* /* */", Unterminated),
        ("SELECT 1; /*", Unterminated),
        ("SELECT '\\'; nextval('s')'", Backslash),
        ("SELECT N'\\'", Backslash),
        ("SELECT E'a'\n'\\n'", Backslash),
        ("SELECT U&'\\0041'", UnicodeEscape),
        ("SELECT u&\"\\006eextval\"('s')", UnicodeEscape),
        ("SELECT B'0''1'", NotUnderstood),
        ("SELECT X'no'", NotUnderstood),
        ("SELECT 1nextval('s')", NotUnderstood),
        ("SELECT 1e, 1.2.3", NotUnderstood),
        ("SELECT $1a", NotUnderstood),
        ("SELECT $ä$ $ä$", NotUnderstood),
        ("SELECT größe FROM t", NotUnderstood),
        ("SELECT :name", NotUnderstood),
        ("SELECT a\u{0}", NotUnderstood),
        ("SELECT '\u{0}', \"\u{0}\" -- \u{0}", NotUnderstood),
        ("SELECT {fn now()}", NotUnderstood),
        ("SELECT (1", NotUnderstood),
        ("SELECT (1]", NotUnderstood),
        ("SELECT 1)", NotUnderstood),
    ]);
    let long = "n".repeat(64);
    on_primary(&[(&format!("SELECT {long}"), LongName), (&format!("SELECT \"{long}\""), LongName)]);
}

#[test]
fn comments_and_strings_hide_nothing_and_are_not_taken_for_code() {
    anywhere(&[
        "SELECT 'nextval(1)', $$; DELETE FROM t$$, \"nextval\" -- nextval(1)\n FROM t",
        "SELECT 1 /* -- */ + 2 -- /*",
        "SELECT 1 +-- nextval(1)\n 2",
        "SELECT a$$b$$ FROM t",
    ]);
    on_primary(&[
        ("SELECT 1 -- a\r, nextval('s')", Function("nextval")),
        ("SELECT 1 /* a /* b */ c */ , nextval('s')", Function("nextval")),
        ("SELECT '''', nextval('s'), ''''", Function("nextval")),
        ("SELECT E'\\\\', nextval('s'), ''", Function("nextval")),
        ("SELECT \"a\"\"\", nextval('s'), \"\"\"\"", Function("nextval")),
        ("SELECT $a$ $$ $a$, nextval('s'), $$ $$", Function("nextval")),
        ("SELECT a$$, nextval('s'), b$$", Function("nextval")),
        ("SELECT +/* */nextval('s')", Function("nextval")),
    ]);
}

#[test]
fn megabytes_and_deep_nesting_are_no_trouble() {
    let deep = |depth: usize| format!("SELECT {}1{}", "(".repeat(depth), ")".repeat(depth));
    anywhere(&[&deep(60), &format!("SELECT 1{}", ", (lower('a'))".repeat(200_000))]);
    for opening in ["(", "[", "(SELECT ", "ARRAY[", "lower("] {
        on_primary(&[(&format!("SELECT {}", opening.repeat(10_000)), TooDeep)]);
    }
    on_primary(&[(&deep(10_000), TooDeep)]);
    // A pass for each piece of these would take minutes.
    for piece in
        ["+", "-", "/*", "'", "''", "\"", "$a", "$a$ $", "a.", "1", "=-", "-- \n", "a ", "ä", "((", "*/", "E'\\"]
    {
        let _ = Runs::of(&format!("SELECT {}", piece.repeat(1_000_000)));
    }
}

#[test]
fn why_is_said_in_few_words() {
    let said = |statement| match Runs::of(statement) {
        Anywhere => "anywhere".to_owned(),
        OnPrimary(why) => why.to_string(),
    };
    assert_eq!(said("SELECT nextval('s')"), "function nextval");
    assert_eq!(said("SELECT 1; SELECT 2"), "several statements");
    assert_eq!(said("WITH a AS (DELETE FROM t) SELECT 1"), "write");
}
