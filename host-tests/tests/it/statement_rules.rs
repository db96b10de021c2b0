//! What the rules send anywhere has one result on a primary and on a standby, and leaves nothing behind; what only looks
//! harmless is never sent anywhere.

use nearest_replica::{Runs, WhyPrimary};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::statement_pair::{Outcome, Pair};
use crate::statement_sample::{Danger, quotes, statement};

/// What apps ask, and what a standby refuses as the primary does.
const READS: [&str; 60] = [
    "SELECT 1",
    "SELECT * FROM people ORDER BY id",
    "TABLE people",
    "VALUES (1, 'a'), (2, NULL)",
    "SELECT count(*), sum(paid), avg(age), min(name), max(at), array_agg(id ORDER BY id) FROM people",
    "SELECT mood, count(*) FILTER (WHERE age > 20) FROM people GROUP BY mood HAVING count(*) > 0 ORDER BY mood",
    "SELECT p.name, b.name FROM people p LEFT JOIN people b ON b.id = p.boss ORDER BY p.id",
    "SELECT p.age FROM people AS p WHERE p.age IS NOT NULL ORDER BY p.age DESC",
    "SELECT name, rank() OVER (ORDER BY paid), lag(name) OVER w, sum(paid) OVER w FROM people WINDOW w AS (ORDER BY id)",
    "SELECT doc -> 'a' ->> 'b', doc #> '{a,b}', doc @> '{}', doc ? 'a', jsonb_path_query_array(doc, '$.*') FROM people",
    "SELECT id, unnest(tags) FROM people",
    "SELECT name FROM people WHERE name LIKE ('A' || '%') OR name ILIKE ('b%') OR name SIMILAR TO '(c|d)%' OR name ~ '^Ü'",
    "SELECT mood::text, mood > 'sad', enum_range(mood), 'ok'::app.mood, CAST('glad' AS app.mood) FROM people",
    "SELECT 'broken'::app.mood",
    "SELECT 'a text that is too long for it'::app.short",
    "SELECT at AT TIME ZONE 'Europe/Berlin', date_trunc('day', at), extract(epoch FROM at), to_char(at, 'YYYY') FROM people",
    "SELECT at < now(), at < current_timestamp, '2020-01-01'::date < current_date FROM people",
    "SELECT during @> '2024-01-05'::date, lower(during), isempty(during), during && daterange('2023-01-01', NULL) FROM people",
    "SELECT paid::numeric(10, 1), paid::int, round(paid, 1), paid / 3, -paid, abs(paid), paid % 2 FROM people",
    "SELECT 1 / 0",
    "SELECT sqrt(-1)",
    "SELECT 'x'::int",
    "SELECT 99999 * 99999",
    "SELECT no_such_column FROM people",
    "SELECT * FROM no_such_table",
    "SELECT * FROM no_such_schema.t",
    "SELECT lower(1, 2)",
    "SELECT FROM WHERE",
    "SELECT $1",
    "SELECT 1 AS over ()",
    "SELECT (SELECT id FROM people)",
    "SELECT id FROM people GROUP BY name",
    "SELECT id FROM people UNION SELECT name FROM people",
    "(SELECT id FROM people) UNION ALL (SELECT 7) EXCEPT SELECT 1 ORDER BY 1",
    "WITH a AS (SELECT 1 AS x), b(y) AS (SELECT x + 1 FROM a) SELECT * FROM a, b",
    "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT i FROM n",
    "WITH RECURSIVE up AS (SELECT id, boss FROM people WHERE id = 3 UNION SELECT p.id, p.boss FROM people p JOIN up ON p.id = up.boss) TABLE up",
    "WITH p AS MATERIALIZED (SELECT * FROM people), q(id) AS NOT MATERIALIZED (SELECT id FROM p) SELECT * FROM q",
    "SELECT * FROM generate_series(1, 5) AS g(i), LATERAL (SELECT i * 2) AS d(j)",
    "SELECT * FROM ROWS FROM (generate_series(1, 2), unnest(ARRAY['a', 'b', 'c'])) WITH ORDINALITY AS r(a, b, n)",
    "SELECT * FROM json_to_record('{\"a\": 1, \"b\": \"c\"}') AS x(a int, b varchar(1))",
    "SELECT DISTINCT ON (mood) mood, id FROM people ORDER BY mood, id",
    "SELECT age, mood, count(*), grouping(mood) FROM people GROUP BY GROUPING SETS ((age), (mood), ())",
    "SELECT age, count(*) FROM people GROUP BY ROLLUP (age)",
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY paid), mode() WITHIN GROUP (ORDER BY mood) FROM people",
    "SELECT CASE WHEN age > 20 THEN 'old' ELSE 'young' END, coalesce(age, 0), nullif(age, 17), greatest(age, 20) FROM people",
    "SELECT substring(name FROM 1 FOR 2), trim(BOTH 'A' FROM name), position('n' IN name), overlay(name PLACING 'x' FROM 1) FROM people",
    "SELECT E'\\'\\u00e4\\n', 'it''s', $a$ $$ $a$, B'101', X'1f', 1e3, .5, 'a' 'b'",
    "SELECT 'a'\n'b', E'c'\n'd'",
    "SELECT 1 -- comment\n + /* another /* one */ */ 2",
    "SELECT ctid, xmin, xmax, tableoid::regclass FROM people",
    "SELECT p, p.*, (p).*, ROW(p.id, p.name) FROM people p",
    "SELECT id FROM people ORDER BY id OFFSET 1 FETCH FIRST 1 ROW WITH TIES",
    "SELECT id FROM people WHERE (id, name) = ANY (SELECT id, name FROM adults) OR id = ALL (ARRAY[1])",
    "SELECT * FROM adults, moods",
    "SELECT current_user, session_user, current_catalog, current_schema, current_schemas(true), current_database()",
    "SELECT to_tsvector('english', 'the cats') @@ to_tsquery('cat'), ts_headline('the cats', 'cat'::tsquery)",
    "SELECT relname, relkind, reltuples FROM pg_class WHERE relnamespace = 'public'::regnamespace",
    "SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a WHERE attrelid = 'people'::regclass",
    "SELECT tags[1], tags[1:1], ARRAY[[1, 2]], array_length(tags, 1), tags || 'c', 'a' = ANY (tags) FROM people",
];

/// What would change something on a standby, or say something else there, and how it may be written.
const DANGEROUS: [&str; 37] = [
    "SELECT tenant('x')",
    "SELECT id FROM people WHERE tenant(name) = 'Ann'",
    "SELECT lock_it(1)",
    "SELECT swallow()",
    "SELECT \"LOWER\"('x')",
    "SELECT public.upper(mood) FROM people",
    "SELECT DISTINCT ON (id) over(id) FROM people",
    "SELECT over /* ( */ (1)",
    "SELECT nextval('app.counter')",
    "SELECT ('app.counter'::regclass).nextval",
    "SELECT (7::bigint).pg_advisory_lock",
    "SELECT (ARRAY[7::bigint])[1].pg_advisory_lock",
    "SELECT g.pg_advisory_lock FROM generate_series(7, 8) g",
    "SELECT (7::bigint).lock_it",
    "SELECT (name::text).tenant FROM people",
    "SELECT s.current_setting FROM unnest(ARRAY['cluster_name']) s",
    "SELECT current_setting('cluster_name')",
    "SELECT g.age FROM unnest(ARRAY['3'::xid]) g",
    "SELECT age(relfrozenxid) FROM pg_class",
    "SELECT treat('app.counter' AS nextval)",
    "SELECT * FROM app.counter WHERE last_value > 0",
    "SELECT * FROM events_id_seq",
    "SELECT * FROM pg_sequences",
    "SELECT setting FROM pg_settings WHERE name = 'cluster_name'",
    "SELECT * FROM pg_stat_wal_receiver",
    "SELECT pg_is_in_recovery()",
    "SELECT pg_try_advisory_lock(1) UNION SELECT true",
    "SELECT set_config('work_mem', '1MB', false)",
    "SELECT * FROM query_to_xml('SELECT lock_it(2)', true, true, '')",
    "SELECT * FROM table_to_xml('people', true, true, '')",
    "SELECT * FROM ts_stat('SELECT ''a''::tsvector')",
    "WITH a AS (INSERT INTO events (what) VALUES ('x') RETURNING id) SELECT * FROM a",
    "SELECT id INTO TEMP copy FROM people",
    "SELECT id FROM people FOR UPDATE",
    "SELECT 1; SELECT tenant('x')",
    "SELECT 1 -- \r, tenant('x')",
    "SELECT '\\', tenant('ann'), '",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_may_run_anywhere_has_one_result() {
    let pair = Pair::start().await;
    for read in READS {
        assert_eq!(Runs::of(read), Runs::Anywhere, "{read}");
        pair.agree_on(read).await;
    }
    let relations = "SELECT format('%I.%I', nspname, relname), reltuples FROM pg_class c
        JOIN pg_namespace n ON n.oid = relnamespace AND nspname IN ('pg_catalog', 'information_schema') AND relkind IN ('r', 'v')";
    let mut asked = 0;
    for row in pair.primary.query(relations, &[]).await.unwrap() {
        let read = format!("SELECT * FROM {}", row.get::<_, &str>(0));
        if Runs::of(&read) == Runs::Anywhere {
            pair.agree_on(&read).await;
            asked += 1;
        }
    }
    assert!(asked > 130, "{asked} relations");
    pair.assert_no_traces().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_made_at_random_have_one_result_where_they_may_run_anywhere() {
    let pair = Pair::start().await;
    let mut runner = TestRunner::deterministic();
    let strategy = statement();
    let (mut anywhere, mut answered) = (0, 0);
    for _ in 0..2_000 {
        let (text, danger) = strategy.new_tree(&mut runner).unwrap().current();
        match (Runs::of(&text), danger) {
            (Runs::Anywhere, Danger::None) => {
                anywhere += 1;
                if let Outcome::Rows(_) = pair.agree_on(&text).await {
                    answered += 1;
                }
            }
            (Runs::OnPrimary(_), Danger::Some) => {}
            (runs, _) => panic!("{runs:?}, {danger:?}: {text}"),
        }
    }
    assert!(anywhere > 500 && answered > 200, "{anywhere} may run anywhere, {answered} of them have rows");
    pair.assert_no_traces().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quotes_and_comments_made_at_random_end_where_postgresql_says() {
    let pair = Pair::start().await;
    let mut runner = TestRunner::deterministic();
    let strategy = quotes();
    let (mut anywhere, mut answered) = (0, 0);
    for _ in 0..60_000 {
        let text = strategy.new_tree(&mut runner).unwrap().current();
        if Runs::of(&text) == Runs::Anywhere {
            anywhere += 1;
            if let Outcome::Rows(_) = pair.agree_on(&text).await {
                answered += 1;
            }
        }
    }
    assert!(anywhere > 1_000 && answered > 100, "{anywhere} may run anywhere, {answered} of them have rows");
    pair.assert_no_traces().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_looks_harmless_runs_on_the_primary() {
    let pair = Pair::start().await;
    for statement in DANGEROUS {
        assert_ne!(Runs::of(statement), Runs::Anywhere, "{statement}");
    }
    // That these are dangerous is no theory: the standby does them without a word.
    for statement in ["SELECT (7::bigint).pg_advisory_lock", "SELECT DISTINCT ON (id) over(id) FROM people"] {
        assert!(matches!(pair.ask_both(statement).await.1, Outcome::Rows(_)), "{statement}");
    }
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()";
    assert_eq!(pair.ask_both(locks).await.1, Outcome::Rows(vec![vec![Some("4".to_owned())]]));
    for statement in [
        "SELECT swallow()",
        "SELECT ('cluster_name'::text).current_setting",
        "SELECT count(*) FROM pg_stat_wal_receiver",
    ] {
        let (_, standby) = pair.ask_both(statement).await;
        assert!(matches!(standby, Outcome::Rows(_)), "{statement}: {standby:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_standby_cannot_read_is_refused_and_not_made_up() {
    let pair = Pair::start().await;
    let read = "SELECT * FROM counts";
    assert_eq!(Runs::of(read), Runs::Anywhere);
    let (primary, standby) = pair.ask_both(read).await;
    assert_eq!(primary, Outcome::Rows(Vec::new()));
    // Only the primary may say no: the read runs there next.
    assert_eq!(standby, Outcome::Refused("0A000".to_owned()));
    assert_eq!(Runs::of("SELECT * FROM pg_temp.made"), Runs::OnPrimary(WhyPrimary::Relation("pg_temp")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_text_cannot_tell_is_known() {
    let pair = Pair::start().await;
    // A function of the database's own that has a name on the list and fits better.
    let hidden = "SELECT upper(mood) FROM people";
    assert_eq!(Runs::of(hidden), Runs::Anywhere);
    pair.agree_on(hidden).await;
    let tenant = "SELECT current_setting('app.tenant', true)";
    assert_ne!(pair.ask_both(tenant).await.1, Outcome::Rows(vec![vec![None]]));
}
