//! The adapter and Spin's own interface, side by side: the same values, columns and errors, text by text.

use std::collections::HashSet;

use host_tests::machine::Machine;
use host_tests::wait::eventually;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config as ProptestConfig, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use crate::adapted::{Adapted, App, Outcome, PLACE, VERSIONS, does, on, run};
use crate::adapter_sample::{self, Rows, Step};
use crate::scenario::DEADLINE;

const SCHEMA: &str = "
    CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
    CREATE DOMAIN even AS int CHECK (VALUE % 2 = 0);
    CREATE TABLE parents (id int PRIMARY KEY, name text NOT NULL CHECK (name <> 'bad'));
    CREATE TABLE children (id int GENERATED ALWAYS AS IDENTITY, parent int REFERENCES parents DEFERRABLE INITIALLY DEFERRED,
        feeling mood, half even);
    INSERT INTO parents SELECT n, 'name ' || n FROM generate_series(1, 100) AS n;
    CREATE TABLE everything AS SELECT true AS a, 1::int2 AS b, 2 AS c, 3::int8 AS d, 4.5::float4 AS e, 6.75::float8 AS f,
        'text'::text AS g, 'x'::bytea AS h, '2024-02-29'::date AS i, '23:59:59.123456'::time AS j,
        '2024-02-29 12:00:00'::timestamp AS k, '2024-02-29 12:00:00+02'::timestamptz AS l,
        'c0ffee00-0000-4000-8000-000000000000'::uuid AS m, '{\"a\": [1, null]}'::jsonb AS n, 123.456::numeric AS o,
        int4range(1, 5) AS p, int8range(1, NULL) AS q, numrange(NULL, 5.5) AS r, ARRAY[1, NULL, 3] AS s,
        ARRAY[1, NULL]::int8[] AS t, ARRAY[1.5, NULL] AS u, ARRAY['a', NULL] AS v, '1 month 2 days 3 s'::interval AS w,
        'ok'::mood AS x, '127.0.0.1'::inet AS y, 'a=>b'::text AS z;
    INSERT INTO everything (a) VALUES (NULL);
    CREATE FUNCTION raise(text) RETURNS int LANGUAGE plpgsql AS
        'BEGIN RAISE EXCEPTION ''%'', $1 USING ERRCODE = $1, HINT = ''a hint'', DETAIL = ''a detail''; END';
    CREATE VIEW place AS SELECT current_setting('cluster_name') AS name;
    CREATE SEQUENCE numbers;
    CREATE MATERIALIZED VIEW summary AS SELECT count(*) FROM parents";

/// One by one, each on a connection of its own. Those that change something come in an order that both databases see.
const STATEMENTS: &[&str] = &[
    // Types, NULLs, empty results.
    "SELECT * FROM everything",
    "SELECT a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r, s, t, u, v, w, x, y, z FROM everything",
    "SELECT * FROM everything WHERE false",
    "TABLE parents",
    "VALUES (1, 'a'), (2, NULL)",
    "SELECT",
    "SELECT NULL",
    "SELECT ''::text, ''::bytea, '{}'::int[], '{}'::text[]",
    "SELECT 'NaN'::float8, 'Infinity'::float8, '-Infinity'::float4, -0.0::float8",
    "SELECT 0::numeric, -0.000001::numeric, 1.50::numeric(5, 3), NULL::numeric",
    "SELECT 'NaN'::numeric, 0::numeric, -0.000001::numeric, 1e100::numeric",
    "SELECT '9999-12-31'::date, '0001-01-01'::date",
    "SELECT 'infinity'::date",
    "SELECT '24:00'::time",
    "SELECT 'infinity'::timestamp",
    "SELECT '12:00+02'::timetz",
    "SELECT '1 year'::interval, '-1 day'::interval",
    "SELECT 'empty'::int4range, '(,)'::int4range, '[1,1]'::int8range",
    "SELECT int4multirange(int4range(1, 2))",
    "SELECT 'ok'::mood, 'sad'::mood < 'happy'::mood",
    "SELECT ARRAY[true], ARRAY[[1, 2], [3, 4]]",
    "SELECT ROW(1, 'a'), (1, 2) = (1, 2)",
    "SELECT '{\"a\": 1}'::json, '<a/>'::xml",
    "SELECT '1'::\"char\", 'n'::name, 'c'::char(3), 'v'::varchar(3), 1::oid, '1'::xid",
    "SELECT '(1,2)'::point, '101'::bit(3), '1.5'::money, 'a b'::tsvector",
    "SELECT '127.0.0.1/8'::cidr, '08:00:2b:01:02:03'::macaddr",
    "SELECT repeat('x', 1000000)",
    "SELECT decode(repeat('ff', 200000), 'hex')",
    "SELECT n, n * 2 AS double, 'row ' || n AS \"A name with \"\"quotes\"\"\" FROM generate_series(1, 2000) AS n",
    "SELECT 1 AS a, 2 AS a",
    // What only reads, in many forms.
    "SELECT count(*), sum(id), avg(id), min(name), max(name) FROM parents",
    "SELECT id, row_number() OVER (ORDER BY id DESC) FROM parents WHERE id < 5",
    "WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 10) SELECT sum(n) FROM t",
    "SELECT p.name FROM parents AS p LEFT JOIN children AS c ON c.parent = p.id WHERE p.id BETWEEN 3 AND 4 ORDER BY 1",
    "SELECT name FROM parents WHERE id IN (SELECT max(id) FROM parents) UNION SELECT 'x' ORDER BY 1",
    "SELECT coalesce(NULL, 1), nullif(1, 1), greatest(1, 2), CASE WHEN true THEN 1 ELSE 2 END",
    "SELECT extract(year FROM '2024-02-29'::date), substring('abc' FROM 2 FOR 1), position('b' IN 'abc'), trim(' a ')",
    "SELECT name FROM parents ORDER BY name COLLATE \"C\" LIMIT 3 OFFSET 2",
    "/* a comment; DELETE */ SELECT 1 -- INSERT",
    "SELECT 1;",
    "SELECT $$a;b$$, $q$'$q$, E'\\n', U&'\\0041'",
    "SELECT \"name\" FROM \"parents\" WHERE id = 1",
    "SELECT jsonb_agg(id ORDER BY id) FROM parents WHERE id < 4",
    "SELECT string_agg(name, ',' ORDER BY id) FROM parents WHERE id < 4",
    "SELECT upper(name) FROM parents WHERE name ~ '^name 1$'",
    "SELECT * FROM parents TABLESAMPLE system (100) WHERE id = 1",
    "SELECT relname FROM pg_class WHERE relname = 'parents'",
    "SELECT table_name FROM information_schema.tables WHERE table_name = 'parents'",
    "SELECT * FROM summary",
    // What is for the primary.
    "INSERT INTO children (parent, feeling) VALUES (1, 'ok') RETURNING *",
    "INSERT INTO children (parent, half) VALUES (2, 4)",
    "INSERT INTO parents VALUES (1, 'again') ON CONFLICT (id) DO UPDATE SET name = excluded.name RETURNING name",
    "UPDATE parents SET name = 'other' WHERE id = 5 RETURNING id, name",
    "DELETE FROM children WHERE id = 2 RETURNING parent",
    "WITH n AS (INSERT INTO parents VALUES (200, 'n') RETURNING id) SELECT * FROM n",
    "SELECT nextval('numbers')",
    "SELECT setval('numbers', 10)",
    "SELECT name FROM parents WHERE id = 1 FOR UPDATE",
    "SELECT 1 INTO made",
    "CREATE TABLE made2 (a int)",
    "DROP TABLE made2",
    "REFRESH MATERIALIZED VIEW summary",
    "EXPLAIN (COSTS off) SELECT 1",
    "SHOW server_encoding",
    "SET LOCAL work_mem = '1MB'",
    "BEGIN",
    "COMMIT",
    "LOCK TABLE parents",
    "VACUUM parents",
    "ANALYZE parents",
    "NOTIFY something",
    "COPY parents TO STDOUT",
    "DO $$ BEGIN PERFORM 1; END $$",
    "PREPARE p AS SELECT 1",
    "TRUNCATE made",
    "CALL nothing()",
    "SELECT pg_advisory_unlock(1)",
    "SELECT pg_sleep(0)",
    "SELECT txid_current() > 0",
    // Errors of every class.
    "SELECT * FROM absent",
    "SELECT absent FROM parents",
    "SELECT absent(1)",
    "SELECT 1 / 0",
    "SELECT 'x'::int",
    "SELECT 'x'::mood",
    "SELECT 3::even",
    "SELECT 2147483647 + 1",
    "SELECT 1::int2 * 100000::int8 + 9223372036854775807",
    "SELECT sqrt(-1)",
    "SELECT substring('a' FROM 1 FOR -1)",
    "SELECT (SELECT id FROM parents)",
    "SELECT id FROM parents GROUP BY name",
    "SELECT ARRAY[1, 'a']",
    "SELECT '{'::json",
    "SELECT chr(0)",
    "SELECT E'\\xff'",
    "SELECT regexp_replace('a', '(', '')",
    "SELECT * FROM parents p, parents p",
    "SELECT name FROM parents WHERE id = 'x'",
    "SELECT",
    "SELEC 1",
    "SELECT 1 FROM",
    "SELECT 'unterminated",
    "SELECT \"unterminated",
    "/* unterminated",
    "",
    ";",
    "  -- nothing",
    "SELECT 1; SELECT 2",
    "INSERT INTO parents VALUES (301, 'a'); INSERT INTO parents VALUES (302, 'b')",
    "BEGIN; SELECT 1; COMMIT",
    "SELECT 1; DROP TABLE parents",
    "INSERT INTO parents VALUES (1, 'twice')",
    "INSERT INTO parents VALUES (300, NULL)",
    "INSERT INTO parents VALUES (300, 'bad')",
    "INSERT INTO children (parent) VALUES (12345)",
    "INSERT INTO children (parent) VALUES (12345) RETURNING id",
    "INSERT INTO absent VALUES (1)",
    "INSERT INTO parents VALUES (1, 2, 3)",
    "CREATE TABLE parents ()",
    "SELECT raise('P0001')",
    "SELECT raise('40001')",
    "SELECT raise('22012')",
    "SELECT raise('57014')",
    "ROLLBACK",
    "SAVEPOINT a",
    "CREATE DATABASE another TEMPLATE absent",
    "SET absent = 1",
    "SELECT 1 WHERE",
    "SELECT $1",
];

/// With parameters: what fits, what does not, too many, too few.
fn with_parameters() -> Vec<Value> {
    let all = json!([
        { "statement": "SELECT $1::int + $2::int", "params": [{ "int32": 1 }, { "int32": 2 }] },
        { "statement": "SELECT $1::text, $2::text", "params": [{ "str": "a" }, "null"] },
        { "statement": "SELECT $1::int8, $2::float8, $3::bool, $4::bytea",
          "params": [{ "int64": 1 }, { "floating64": 1.5 }, { "boolean": true }, { "binary": [1, 2, 255] }] },
        { "statement": "SELECT name FROM parents WHERE id = $1", "params": [{ "int32": 7 }] },
        { "statement": "SELECT name FROM parents WHERE id = $1", "params": [{ "int64": 7 }] },
        { "statement": "SELECT name FROM parents WHERE id = $1", "params": [{ "str": "7" }] },
        { "statement": "SELECT name FROM parents WHERE id = $1", "params": [] },
        { "statement": "SELECT name FROM parents WHERE id = $1", "params": [{ "int32": 7 }, { "int32": 8 }] },
        { "statement": "SELECT 1", "params": [{ "int32": 7 }] },
        { "statement": "SELECT $1 / 0", "params": [{ "int32": 7 }] },
        { "statement": "UPDATE parents SET name = $1 WHERE id = $2", "params": [{ "str": "p" }, { "int32": 9 }], "execute": true },
        { "statement": "UPDATE parents SET name = $1 WHERE id = $2", "params": ["null", { "int32": 9 }], "execute": true },
        { "statement": "SELECT id FROM parents WHERE id < 4", "execute": true },
        { "statement": "SELECT 1 / 0", "execute": true },
        { "statement": "SELECT 1 / 0 WHERE false", "execute": true },
        { "statement": "CREATE TEMPORARY TABLE t ()", "execute": true },
        { "statement": "SELECT $1::text", "params": [{ "str": "\u{0}" }] },
        { "statement": "SELECT $1::text", "params": [{ "str": "käse 🧀" }] }
    ]);
    all.as_array().expect("it is a list").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_and_every_error_is_that_of_spins_own_interface() {
    let sides = Sides::new().await;
    let mut without_rows = Vec::new();
    for version in VERSIONS {
        let pair = sides.pair(version).await;
        let plain = STATEMENTS.iter().map(|statement| json!({ "statement": statement }));
        for mut step in plain.chain(with_parameters()) {
            // A synchronous query without rows hangs on Spin (its issue 3671), with the adapter and without.
            if version != VERSIONS[0] && without_rows.contains(&step) {
                step["execute"] = true.into();
            }
            let outcomes = pair.agree_on(version, std::slice::from_ref(&step)).await;
            let [outcome] = <[Outcome; 1]>::try_from(outcomes).expect("one step, one outcome");
            if version == VERSIONS[0] && outcome.count == 0 && outcome.error.is_none() {
                without_rows.push(step);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_constraint_that_is_looked_at_when_the_transaction_commits_fails_there_as_without_the_adapter() {
    let sides = Sides::new().await;
    for version in VERSIONS {
        let pair = sides.pair(version).await;
        let steps = [
            does(0, "BEGIN"),
            on(0, "INSERT INTO children (parent) VALUES (12345) RETURNING parent"),
            on(0, "SELECT count(*) FROM children"),
            does(0, "COMMIT"),
            on(0, "SELECT count(*) FROM children"),
        ];
        let outcomes = pair.agree_on(version, &steps).await;
        let [_, inserted, within, commit, after] = &outcomes[..] else { panic!("five steps") };
        assert_eq!((inserted.value(), within.value(), after.value()), ("12345", "1", "0"), "{version}");
        assert!(commit.error.as_ref().is_some_and(|error| error.contains("children_parent_fkey")), "{commit:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_app_says_at_random_is_answered_as_without_the_adapter() {
    let seed = seed();
    let sides = Sides::new().await;
    let mut without_rows = HashSet::new();
    for version in VERSIONS {
        let pair = sides.pair(version).await;
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed.to_le_bytes(); 4].concat());
        let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), random);
        let (mut answered, mut failed) = (0, 0);
        for script in 0..SCRIPTS {
            let drawn = adapter_sample::script().new_tree(&mut runner).expect("a script").current();
            let mut steps = Vec::new();
            for (number, Step { mut json, rows }) in drawn.into_iter().enumerate() {
                let has_none = match rows {
                    Rows::Always => false,
                    // By 3.0.0 it goes another way where there is a parameter that it lacks.
                    Rows::Sometimes => version == "3.0.0" || without_rows.contains(&(script, number)),
                    Rows::Never => true,
                };
                if has_none && version != VERSIONS[0] {
                    json["execute"] = true.into();
                }
                steps.push(json);
            }
            println!("DIFFERENTIAL_SEED={seed}, {version}, script {script}");
            for (number, outcome) in pair.agree_on(version, &steps).await.into_iter().enumerate() {
                match outcome.error {
                    Some(_) => failed += 1,
                    None if outcome.count > 0 => answered += 1,
                    None => drop(without_rows.insert((script, number))),
                }
            }
        }
        println!("{version}: {answered} steps have rows, {failed} fail");
        assert!(answered > SCRIPTS / 10 && failed > SCRIPTS / 10, "{answered} steps have rows, {failed} fail");
    }
}

/// For each version.
const SCRIPTS: usize = 60;

/// The one that a failure has printed, or a new one.
pub(crate) fn seed() -> u64 {
    match std::env::var("DIFFERENTIAL_SEED") {
        Ok(seed) => seed.parse().expect("DIFFERENTIAL_SEED is a number"),
        Err(_) => rand::random(),
    }
}

/// A cluster with a database for the app alone, and one for the app behind the adapter.
struct Sides(Adapted);

/// Machines of the app: alone, and behind the adapter.
struct Pair([Machine; 2]);

impl Sides {
    async fn new() -> Self {
        let adapted = Adapted::new().await;
        for database in ["direct", "adapted"] {
            adapted.primary().ask(&format!("CREATE DATABASE {database}")).await.unwrap();
        }
        Self(adapted)
    }

    async fn machine(&self, app: App, database: &str) -> Machine {
        let setup = self.0.setup("fra", app);
        let url = &setup.environment["DATABASE_URL"];
        let (before, after) = url.rsplit_once("/postgres").expect("the name of the database");
        let url = format!("{before}/{database}{after}");
        self.0.start(setup.env("DATABASE_URL", url)).await
    }

    /// New Machines: what Spin's client does not understand (COPY) may have happened, and reads are on the primary then.
    /// Both databases have the schema, and nothing else.
    async fn pair(&self, version: &str) -> Pair {
        let pair = [self.machine(App::Alone, "direct").await, self.machine(App::WithAdapter, "adapted").await];
        for machine in &pair {
            let prepare = "DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public;";
            let script = format!("DO $do$ BEGIN EXECUTE $sql$ {prepare} {SCHEMA} $sql$; END $do$");
            let prepared = run(machine, "4.2.0", &[json!({ "statement": script, "execute": true })]).await;
            assert_eq!(prepared[0].error, None);
        }
        // The adapter's reads are at home: the schema is there, too.
        let home = eventually(DEADLINE, "the replica to be read from", async || {
            (run(&pair[1], version, &[on(0, PLACE)]).await.first()?.value() == "fra").then_some(())
        });
        home.await.unwrap();
        Pair(pair)
    }
}

impl Pair {
    /// What both say of the same steps.
    async fn agree_on(&self, version: &str, steps: &[Value]) -> Vec<Outcome> {
        let [alone, behind] = &self.0;
        let expected = without_oids(run(alone, version, steps).await);
        let got = without_oids(run(behind, version, steps).await);
        for ((step, got), expected) in steps.iter().zip(&got).zip(&expected) {
            assert_eq!(got, expected, "{version}: {step}, of {steps:?}");
        }
        assert_eq!(got.len(), expected.len(), "{version}: {steps:?}");
        expected
    }
}

/// The type of a parameter that does not fit is told with its number, and each database counts by itself.
fn without_oids(mut outcomes: Vec<Outcome>) -> Vec<Outcome> {
    for error in outcomes.iter_mut().filter_map(|outcome| outcome.error.as_mut()) {
        let mut parts = error.split(" oid: ");
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            text = format!("{text} oid: {}", part.trim_start_matches(|c: char| c.is_ascii_digit()));
        }
        *error = text;
    }
    outcomes
}
