//! Every function on the list of harmless ones is called on a primary and on a standby, and both say the same.

use host_tests::machine::repository;
use nearest_replica::Runs;
use tokio_postgres::Row;

use crate::statement_pair::{Outcome, Pair};

/// These say what time it is.
const CLOCK: [&str; 3] = ["now", "statement_timestamp", "transaction_timestamp"];

/// Calls of those that refuse what [`literal`] gives them.
const CALLS: [&str; 46] = [
    "acldefault('r', 10)",
    "makeaclitem(10, 10, 'SELECT', false)",
    "acosh(2), like_escape('a', 'b'), similar_escape('a', 'b'), line(point(1, 2), point(3, 4)), to_number('1,2', '9G9')",
    "date_bin('1 hour', '2024-02-03 04:05'::timestamp, '2024-01-01'), timezone('UTC', '2024-02-03'::timestamp)",
    "date_part('year', '2024-02-03'::date), date_trunc('month', '2024-02-03'::timestamptz)",
    "pg_catalog.extract('year', '2024-02-03'::timestamp)",
    "encode(decode('YWJj', 'base64'), 'hex'), get_byte('abc', 1), set_byte('abc', 1, 7), set_bit('abc'::bytea, 1, 1)",
    "has_any_column_privilege('people', 'SELECT'), has_column_privilege('people', 'id', 'SELECT')",
    "has_database_privilege('postgres', 'CONNECT'), has_function_privilege('tenant(text)', 'EXECUTE')",
    "has_language_privilege('sql', 'USAGE'), has_schema_privilege('app', 'USAGE'), has_type_privilege('app.mood', 'USAGE')",
    "has_parameter_privilege('work_mem', 'SET'), has_tablespace_privilege('pg_default', 'CREATE')",
    "has_sequence_privilege('app.counter', 'USAGE'), has_table_privilege('people', 'SELECT')",
    "has_foreign_data_wrapper_privilege('postgres', 'remote', 'USAGE')",
    "has_server_privilege('postgres', 'elsewhere', 'USAGE')",
    "pg_has_role('postgres', 'pg_monitor', 'MEMBER')",
    "pg_catalog.is_normalized('a', 'NFC'), pg_catalog.normalize('a\u{308}', 'NFC'), macaddr('08:00:2b:ff:fe:01:02:03'::macaddr8)",
    "json_array_elements('[1, {}]'), json_array_elements_text('[1, {}]'), json_array_length('[1]')",
    "jsonb_array_elements('[1, {}]'), jsonb_array_elements_text('[1, {}]'), jsonb_array_length('[1]')",
    "json_populate_record(NULL::people, '{\"id\": 1, \"mood\": \"ok\", \"name\": \"Ann\"}')",
    "json_populate_recordset(NULL::people, '[{\"id\": 1}]'), jsonb_populate_recordset(NULL::people, '[{\"id\": 1}]')",
    "jsonb_populate_record(NULL::people, '{\"name\": \"a name that is too long for its domain\"}')",
    "jsonb_populate_record(NULL::people, '{\"id\": 1}')",
    "(SELECT b FROM json_to_recordset('[{\"b\": 1}]') AS x(b int))",
    "(SELECT b FROM jsonb_to_recordset('[{\"b\": 1}]') AS x(b int))",
    "json_to_tsvector('{\"a\": \"cats\"}', '\"all\"'), jsonb_to_tsvector('{\"a\": \"cats\"}', '\"all\"')",
    "jsonb_insert('{\"a\": []}', '{a,0}', '1'), jsonb_set('{}', '{a}', '1'), jsonb_set_lax('{}', '{a}', '1')",
    "pg_get_object_address('table', '{people}', '{}')",
    "pg_get_publication_tables('all_of_it')",
    "pg_get_serial_sequence('events', 'id'), pg_sequence_parameters('app.counter'::regclass)",
    "pg_size_bytes('3 MB'), regclass('people'::text), to_ascii(convert_from('abc', 'LATIN1'), 'LATIN1')",
    "satisfies_hash_partition('halves'::regclass, 2, 0, 1)",
    "to_regoperator('+(integer,integer)'), to_regprocedure('lower(text)')",
    "ts_parse('default', 'two words'), ts_token_type('default')",
    "xmlvalidate('<a/>', 'a')",
    "pg_describe_object('pg_class'::regclass, c.oid, 0), pg_relation_filenode(c.oid) FROM pg_class c",
    "pg_get_indexdef(indexrelid), pg_relation_filepath(indrelid) FROM pg_index",
    "pg_get_functiondef(oid) FROM pg_proc WHERE prokind = 'f' AND oid > 16384",
    "pg_get_function_result(oid), pg_get_function_arguments(oid), pg_function_is_visible(oid) FROM pg_proc",
    "pg_get_constraintdef(oid), obj_description(oid) FROM pg_constraint",
    "pg_get_viewdef(oid), pg_table_is_visible(oid), pg_relation_is_updatable(oid, true) FROM pg_class WHERE relkind = 'v'",
    "pg_get_ruledef(oid) FROM pg_rewrite",
    "pg_get_expr(adbin, adrelid) FROM pg_attrdef",
    "pg_get_triggerdef(oid) FROM pg_trigger",
    "format_type(oid, -1), pg_type_is_visible(oid) FROM pg_type",
    "pg_identify_object('pg_proc'::regclass, oid, 0) FROM pg_proc",
    "pg_column_size(p.*), pg_column_compression(p.name), row_to_json(p), to_jsonb(p) FROM people p",
];

/// Refused whatever the arguments: PostgreSQL no longer has them, or never had.
const REFUSED: [&str; 3] = ["aclinsert", "aclremove", "xmlvalidate"];

/// Every overload that a statement can call, with the types of its arguments.
const OVERLOADS: &str = "
    SELECT proname::text AS name, prokind::text AS kind, coalesce(aggkind::text, '') AS aggregate,
        coalesce(aggnumdirectargs, 0)::int AS direct, provariadic <> 0 AS variadic,
        prorettype = 'record'::regtype AND proallargtypes IS NULL AS needs_columns,
        ARRAY(SELECT format_type(type, NULL) FROM unnest(proargtypes::oid[]) WITH ORDINALITY AS t(type, n)
            ORDER BY n) AS arguments
    FROM pg_proc LEFT JOIN pg_aggregate ON aggfnoid = pg_proc.oid
    WHERE pronamespace = 'pg_catalog'::regnamespace AND NOT EXISTS (SELECT FROM unnest(proargtypes::oid[]) AS type
        WHERE type IN ('internal'::regtype, 'cstring'::regtype))
    ORDER BY 1";

/// An argument of a type that functions are asked about.
fn literal(kind: &str) -> Option<String> {
    let polymorphic = match kind {
        "anyelement" | "anynonarray" | "anycompatible" | "anycompatiblenonarray" => Some("1"),
        "anyarray" | "anycompatiblearray" => Some("ARRAY[3, 1, 2]"),
        "anyenum" => Some("'ok'::app.mood"),
        "anyrange" | "anycompatiblerange" => Some("int4range(1, 5)"),
        "anymultirange" | "anycompatiblemultirange" => Some("int4multirange(int4range(1, 5))"),
        "\"any\"" => Some("'it''s'::text"),
        "record" => Some("ROW(1, 'b')"),
        _ => None,
    };
    let value = match kind {
        "boolean" => "true",
        "smallint" | "integer" | "bigint" | "xid" | "cid" | "xid8" => "3",
        "oid" => "1259",
        "numeric" => "2.25",
        "real" | "double precision" => "0.5",
        "money" => "12.50",
        "text" | "character varying" | "character" | "name" | "\"char\"" | "bytea" => "abc",
        "date" => "2024-02-03",
        "timestamp without time zone" | "timestamp with time zone" => "2024-02-03 04:05:06.789",
        "time without time zone" | "time with time zone" => "04:05:06.789",
        "interval" => "1 month 40 days 30:00:00",
        "json" | "jsonb" => r#"{"a": [1, {"b": "c"}]}"#,
        "jsonpath" => "$.a[*]",
        "inet" => "10.1.2.3/8",
        "cidr" => "10.0.0.0/8",
        "macaddr" => "08:00:2b:01:02:03",
        "macaddr8" => "08:00:2b:01:02:03:04:05",
        "point" => "(1,2)",
        "box" | "lseg" => "((1,2),(3,4))",
        "path" | "polygon" => "((1,2),(3,4),(5,0))",
        "circle" => "<(1,2),3>",
        "line" => "{1,2,3}",
        "bit" | "bit varying" => "101",
        "xml" => "<a><b>1</b></a>",
        "regclass" => "pg_class",
        "regproc" => "now",
        "regprocedure" => "now()",
        "regtype" => "int4",
        "regconfig" => "english",
        "regdictionary" => "english_stem",
        "regrole" => "postgres",
        "regnamespace" => "pg_catalog",
        "tsvector" => "'cat':1A 'dog':2",
        "tsquery" => "cat & dog",
        "pg_lsn" => "0/1000",
        "aclitem" => "=r/postgres",
        "oidvector" | "int2vector" => "23 25",
        "int4range" | "int8range" | "numrange" => "[1,5)",
        "daterange" | "tsrange" | "tstzrange" => "[2024-01-01,2024-02-01)",
        "int4multirange" | "int8multirange" | "nummultirange" => "{[1,5)}",
        "datemultirange" | "tsmultirange" | "tstzmultirange" => "{[2024-01-01,2024-02-01)}",
        "text[]" | "name[]" | "character varying[]" => "{a,b}",
        "double precision[]" | "real[]" => "{0.25,0.75}",
        "integer[]" | "bigint[]" | "smallint[]" | "oid[]" | "numeric[]" => "{3,1,2}",
        "aclitem[]" => "{=r/postgres}",
        _ => return polymorphic.map(str::to_owned),
    };
    Some(format!("'{}'::{kind}", value.replace('\'', "''")))
}

fn null(kind: &str) -> String {
    // A polymorphic type cannot be written; what is written for one says which it is.
    let pseudo = kind.starts_with("any") || ["\"any\"", "record"].contains(&kind);
    if pseudo { format!("nullif({0}, {0})", literal(kind).unwrap()) } else { format!("NULL::{kind}") }
}

/// A statement that calls an overload.
fn call(overload: &Row, argument: impl Fn(&str) -> String) -> String {
    let name: &str = overload.get("name");
    let kinds: Vec<String> = overload.get("arguments");
    let mut arguments: Vec<String> = kinds.iter().map(|kind| argument(kind)).collect();
    if overload.get("variadic") && kinds.last().is_some_and(|kind| kind != "\"any\"") {
        let last = arguments.pop().unwrap();
        arguments.push(format!("VARIADIC {last}"));
    }
    let direct = usize::try_from(overload.get::<_, i32>("direct")).unwrap();
    let all = arguments.join(", ");
    match (overload.get("kind"), overload.get("aggregate")) {
        ("w", _) => format!("SELECT pg_catalog.\"{name}\"({all}) OVER (ORDER BY x) FROM (VALUES (1), (2)) AS v(x)"),
        ("a", "o" | "h") => {
            let (direct, ordered) = arguments.split_at(direct.min(arguments.len() - 1));
            let (direct, ordered) = (direct.join(", "), ordered.join(", "));
            format!("SELECT pg_catalog.\"{name}\"({direct}) WITHIN GROUP (ORDER BY {ordered})")
        }
        ("a", _) if all.is_empty() => format!("SELECT pg_catalog.\"{name}\"(*) FROM (VALUES (1), (2)) AS v(x)"),
        _ if overload.get("needs_columns") => format!("SELECT * FROM pg_catalog.\"{name}\"({all}) AS r(a text, b int)"),
        _ => format!("SELECT pg_catalog.\"{name}\"({all})"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_function_on_the_list_says_the_same_on_a_standby() {
    let pair = Pair::start().await;
    let path = repository().join("crates/nearest-replica/src/rules/statement/functions.txt");
    let list = std::fs::read_to_string(path).unwrap();
    let overloads = pair.primary.query(OVERLOADS, &[]).await.unwrap();
    let (mut called, mut answered) = (std::collections::BTreeSet::new(), 0);
    for overload in &overloads {
        let name: &str = overload.get("name");
        if !list.lines().any(|line| line == name) || CLOCK.contains(&name) {
            continue;
        }
        let statement = call(overload, |kind| literal(kind).unwrap_or_else(|| null(kind)));
        if let Outcome::Rows(_) = pair.agree_on(&statement).await {
            called.insert(name.to_owned());
            answered += 1;
        }
        pair.agree_on(&call(overload, null)).await;
        assert_eq!(Runs::of(&format!("SELECT \"{name}\"(1)")), Runs::Anywhere, "{name}");
    }
    for call in CALLS {
        let statement = format!("SELECT {call}");
        assert_eq!(Runs::of(&statement), Runs::Anywhere, "{statement}");
        if let Outcome::Rows(_) = pair.agree_on(&statement).await {
            called.extend(call.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_owned));
        }
    }
    pair.assert_no_traces().await;
    let refused: Vec<_> = list.lines().filter(|name| !called.contains(*name) && !CLOCK.contains(name)).collect();
    assert_eq!(refused, REFUSED, "of {answered} answers");
    assert!(answered > 800, "{answered} answers");
}
