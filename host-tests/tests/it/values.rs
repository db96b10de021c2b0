//! What becomes of the values of each type between an app and Postgres, both ways: word for word the same on a real Spin and
//! on the in-house host.

use host_tests::machine::{Machine, Setup};
use serde_json::{Value, json};

use crate::adapted::{App, VERSIONS, build_app, run, send};
use crate::fixtures::{SharedCluster, host, shared_cluster};

/// An expression, the type of its column, and its value, by 4.2.0 and 4.0.0.
const COLUMNS: &[(&str, &str, &str)] = &[
    ("true", "Boolean", "Boolean(true)"),
    ("(-32768)::int2", "Int16", "Int16(-32768)"),
    ("2147483647", "Int32", "Int32(2147483647)"),
    ("(-9223372036854775808)::int8", "Int64", "Int64(-9223372036854775808)"),
    ("1.25::float4", "Floating32", "Floating32(1.25)"),
    ("'NaN'::float8", "Floating64", "Floating64(NaN)"),
    ("'-Infinity'::float8", "Floating64", "Floating64(-inf)"),
    ("'-0'::float8", "Floating64", "Floating64(-0.0)"),
    ("'käse'::text", "Str", r#"Str("käse")"#),
    ("'a'::char(3)", "Str", r#"Str("a  ")"#),
    ("'a'::varchar(3)", "Str", r#"Str("a")"#),
    (r"'\x00ff'::bytea", "Binary", "Binary([0, 255])"),
    ("'2024-02-29'::date", "Date", "Date((2024, 2, 29))"),
    ("'0044-03-15 BC'::date", "Date", "Date((-43, 3, 15))"),
    ("'9999-12-31'::date", "Date", "Date((9999, 12, 31))"),
    ("'23:59:59.123456'::time", "Time", "Time((23, 59, 59, 123456000))"),
    ("'24:00'::time", "Time", "Time((0, 0, 0, 0))"),
    ("'2024-02-29 12:30:00.000001'::timestamp", "Datetime", "Datetime((2024, 2, 29, 12, 30, 0, 1000))"),
    ("'1969-12-31 23:59:59.999999'::timestamp", "Datetime", "Datetime((1969, 12, 31, 23, 59, 59, 999999000))"),
    ("'C0FFEE00-0000-4000-8000-000000000000'::uuid", "Uuid", r#"Uuid("c0ffee00-0000-4000-8000-000000000000")"#),
    // {"aa":1.5,"b":[null,"x"]}
    (
        r#"'{"b": [null, "x"], "aa": 1.50}'::jsonb"#,
        "Jsonb",
        "Jsonb([123, 34, 97, 97, 34, 58, 49, 46, 53, 44, 34, 98, 34, 58, 91, 110, 117, 108, 108, 44, 34, 120, 34, 93, 125])",
    ),
    ("'null'::jsonb", "Jsonb", "Jsonb([110, 117, 108, 108])"),
    // 1e+20.
    ("'100000000000000000000'::jsonb", "Jsonb", "Jsonb([49, 101, 43, 50, 48])"),
    ("123.4560::numeric", "Decimal", r#"Decimal("123.4560")"#),
    ("-0.000001::numeric(10, 6)", "Decimal", r#"Decimal("-0.000001")"#),
    ("79228162514264337593543950335::numeric", "Decimal", r#"Decimal("79228162514264337593543950335")"#),
    // What has more digits than 28 is rounded.
    ("(1::numeric(40, 35) / 3)", "Decimal", r#"Decimal("0.3333333333333333333333333333")"#),
    (
        "int4range(1, 5, '[]')",
        "RangeInt32",
        "RangeInt32((Some((1, RangeBoundKind::Inclusive)), Some((6, RangeBoundKind::Exclusive))))",
    ),
    ("'empty'::int4range", "RangeInt32", "RangeInt32((None, None))"),
    ("'(,)'::int4range", "RangeInt32", "RangeInt32((None, None))"),
    ("int8range(NULL, 5)", "RangeInt64", "RangeInt64((None, Some((5, RangeBoundKind::Exclusive))))"),
    (
        "numrange(1.10, 5.5, '(]')",
        "RangeDecimal",
        r#"RangeDecimal((Some(("1.10", RangeBoundKind::Exclusive)), Some(("5.5", RangeBoundKind::Inclusive))))"#,
    ),
    ("ARRAY[1, NULL, 3]", "ArrayInt32", "ArrayInt32([Some(1), None, Some(3)])"),
    ("'{}'::int4[]", "ArrayInt32", "ArrayInt32([])"),
    ("ARRAY[1, NULL]::int8[]", "ArrayInt64", "ArrayInt64([Some(1), None])"),
    ("ARRAY[1.50, NULL]", "ArrayDecimal", r#"ArrayDecimal([Some("1.50"), None])"#),
    ("ARRAY['a', NULL, '']", "ArrayStr", r#"ArrayStr([Some("a"), None, Some("")])"#),
    ("ARRAY['a', 'b']::varchar[]", "ArrayStr", r#"ArrayStr([Some("a"), Some("b")])"#),
    ("ARRAY['a']::char(2)[]", "ArrayStr", r#"ArrayStr([Some("a ")])"#),
    (
        "'-1 month 2 days 03:00:00.000004'::interval",
        "Interval",
        "Interval(Interval { micros: 10800000004, days: 2, months: -1 })",
    ),
    ("'{\"a\": 1}'::json", r#"Other("json")"#, "Unsupported([123, 34, 97, 34, 58, 32, 49, 125])"),
    ("'12:00+02'::timetz", r#"Other("timetz")"#, "Unsupported([0, 0, 0, 10, 14, 235, 176, 0, 255, 255, 227, 224])"),
    ("1::oid", r#"Other("oid")"#, "Unsupported([0, 0, 0, 1])"),
    ("'a'::\"char\"", r#"Other("char")"#, "Unsupported([97])"),
    ("'n'::name", r#"Other("name")"#, "Unsupported([110])"),
    ("'127.0.0.1'::inet", r#"Other("inet")"#, "Unsupported([2, 32, 0, 4, 127, 0, 0, 1])"),
    ("'1.5'::money", r#"Other("money")"#, "Unsupported([0, 0, 0, 0, 0, 0, 0, 150])"),
    (
        "ARRAY[true]",
        r#"Other("_bool")"#,
        "Unsupported([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 1])",
    ),
    ("int4multirange()", r#"Other("int4multirange")"#, "Unsupported([0, 0, 0, 0])"),
    ("'2024-01-01'::holiday", "Date", "Date((2024, 1, 1))"),
    ("'ok'::humour", r#"Other("humour")"#, "Unsupported([111, 107])"),
];

/// The types of columns and parameters that 3.0.0 does not have.
const NEWER: [&str; 11] = [
    "Uuid",
    "Jsonb",
    "Decimal",
    "RangeInt32",
    "RangeInt64",
    "RangeDecimal",
    "ArrayInt32",
    "ArrayInt64",
    "ArrayDecimal",
    "ArrayStr",
    "Interval",
];

/// What cannot be read, and what is said about it.
const UNREADABLE: &[(&str, &str)] = &[
    // Spin asks its driver for a time without a zone, which this is not.
    ("now()", "and the Postgres type `timestamptz`"),
    ("'infinity'::timestamp", "value too large to decode"),
    ("'-infinity'::date", "value too large to decode"),
    ("'5874897-12-31'::date", "value too large to decode"),
    ("'294276-12-31'::timestamp", "value too large to decode"),
    ("'NaN'::numeric", "Error while converting to NaN"),
    ("'Infinity'::numeric", "Error while converting to Infinity"),
    ("79228162514264337593543950336::numeric", "Number exceeds maximum value that can be represented."),
    ("ARRAY[[1, 2], [3, 4]]", "array contains too many dimensions"),
    ("ARRAY[1, 'NaN'::numeric]", "Error while converting to NaN"),
    ("numrange(1, 1e30)", "Number exceeds maximum value that can be represented."),
    ("'1e400'::jsonb", "number out of range at line 1 column 401"),
];

/// What ends the app's instance, because Spin's libraries panic.
const FATAL: &[&str] = &["1e40::numeric", "1e100::numeric"];

/// A parameter, the type it is sent for, and what Postgres makes of it as text.
fn parameters() -> Vec<(Value, &'static str, &'static str)> {
    vec![
        (json!({ "boolean": true }), "bool", "true"),
        (json!({ "int8": 97 }), "\"char\"", "a"),
        (json!({ "int16": -32768 }), "int2", "-32768"),
        (json!({ "int32": -2147483648 }), "int4", "-2147483648"),
        (json!({ "int64": i64::MIN }), "int8", "-9223372036854775808"),
        (json!({ "floating32": 1.5 }), "float4", "1.5"),
        (json!({ "floating64": -2.25 }), "float8", "-2.25"),
        (json!({ "str": "käse" }), "text", "käse"),
        (json!({ "str": "abcd" }), "varchar(3)", "abc"),
        (json!({ "str": "n" }), "name", "n"),
        (json!({ "binary": [0, 255] }), "bytea", "\\\\x00ff"),
        (json!({ "date": [2024, 2, 29] }), "date", "2024-02-29"),
        (json!({ "date": [-43, 3, 15] }), "date", "0044-03-15 BC"),
        (json!({ "date": [200000, 1, 2] }), "date", "200000-01-02"),
        // What is smaller than a microsecond is cut off.
        (json!({ "time": [23, 59, 59, 123456789] }), "time", "23:59:59.123456"),
        (json!({ "datetime": [2024, 2, 29, 1, 2, 3, 4000] }), "timestamp", "2024-02-29 01:02:03.000004"),
        (json!({ "timestamp": 1709210096 }), "timestamptz", "2024-02-29 12:34:56+00"),
        (json!({ "timestamp": -1 }), "timestamptz", "1969-12-31 23:59:59+00"),
        (json!({ "uuid": "C0FFEE00-0000-4000-8000-000000000000" }), "uuid", "c0ffee00-0000-4000-8000-000000000000"),
        (json!({ "uuid": "c0ffee00000040008000000000000000" }), "uuid", "c0ffee00-0000-4000-8000-000000000000"),
        (json!({ "jsonb": r#"{"b": null, "a": [1.50]}"# }), "json", r#"{\"a\":[1.5],\"b\":null}"#),
        (json!({ "jsonb": r#"{"b": 1, "aa": 1.50, "b": 2}"# }), "jsonb", r#"{\"b\": 2, \"aa\": 1.5}"#),
        (json!({ "decimal": "123.4560" }), "numeric", "123.4560"),
        (json!({ "decimal": "-0.0000000000000000000000000001" }), "numeric", "-0.0000000000000000000000000001"),
        (json!({ "decimal": "1_000" }), "numeric", "1000"),
        (json!({ "range-int32": [[1, "inclusive"], [5, "inclusive"]] }), "int4range", "[1,6)"),
        (json!({ "range-int32": [[5, "exclusive"], [1, "inclusive"]] }), "int4range", "empty"),
        (json!({ "range-int32": [null, null] }), "int4range", "(,)"),
        (json!({ "range-int64": [[1, "exclusive"], null] }), "int8range", "[2,)"),
        (json!({ "range-decimal": [["1.10", "exclusive"], ["5.5", "inclusive"]] }), "numrange", "(1.10,5.5]"),
        (json!({ "array-int32": [1, null] }), "int4[]", "{1,NULL}"),
        (json!({ "array-int64": [i64::MAX] }), "int8[]", "{9223372036854775807}"),
        (json!({ "array-decimal": ["1.50", null] }), "numeric[]", "{1.50,NULL}"),
        (json!({ "array-str": ["a", null, ""] }), "text[]", r#"{a,NULL,\"\"}"#),
        (json!({ "array-str": [] }), "varchar[]", "{}"),
        (
            json!({ "interval": { "micros": 10800000004_i64, "days": 2, "months": -1 } }),
            "interval",
            "-1 mons +2 days 03:00:00.000004",
        ),
    ]
}

/// What the host refuses before Postgres has seen it, and why.
fn refused() -> Vec<(Value, &'static str)> {
    vec![
        (json!({ "date": [2023, 2, 29] }), "invalid date y=2023, m=2, d=29"),
        (json!({ "time": [24, 0, 0, 0] }), "invalid time 24:0:0:0"),
        (json!({ "time": [23, 59, 58, 1500000000] }), "invalid time 23:59:58:1500000000"),
        (json!({ "datetime": [2024, 13, 1, 0, 0, 0, 0] }), "invalid date y=2024, m=13, d=1"),
        (json!({ "datetime": [2024, 12, 1, 1, 60, 3, 4] }), "invalid time 1:60:3:4"),
        (json!({ "timestamp": i64::MAX }), "invalid epoch timestamp 9223372036854775807"),
        (json!({ "uuid": "x" }), r"invalid UUID x\n\nCaused by:\n    invalid character: found `x` at 0"),
        (json!({ "jsonb": "{" }), r"invalid JSON {\n\nCaused by:\n    EOF while parsing an object at line 1 column 1"),
        (json!({ "decimal": "1e5" }), r"invalid decimal 1e5\n\nCaused by:\n    Invalid decimal: unknown character"),
        (
            json!({ "decimal": "79228162514264337593543950336" }),
            r"invalid decimal 79228162514264337593543950336\n\nCaused by:\n    Invalid decimal: overflow from too many digits",
        ),
        (
            json!({ "array-decimal": ["1", "0.33333333333333333333333333333"] }),
            r"invalid decimal 0.33333333333333333333333333333\n\nCaused by:\n    Number has a high precision that can not be represented.",
        ),
        (
            json!({ "range-decimal": [["x", "exclusive"], null] }),
            r"invalid decimal x\n\nCaused by:\n    Invalid decimal: unknown character",
        ),
    ]
}

/// What the driver does not send for a column of this type, and its type in Rust.
fn unfit() -> Vec<(Value, &'static str, &'static str)> {
    vec![
        (json!({ "int32": 1 }), "int8", "i32"),
        (json!({ "int64": 1 }), "numeric", "i64"),
        (json!({ "str": "2024-01-01" }), "date", "alloc::string::String"),
        (json!({ "datetime": [2024, 2, 29, 1, 2, 3, 0] }), "timestamptz", "chrono::naive::datetime::NaiveDateTime"),
        (json!({ "timestamp": 0 }), "timestamp", "chrono::datetime::DateTime<chrono::offset::utc::Utc>"),
        (json!({ "uuid": "c0ffee00-0000-4000-8000-000000000000" }), "text", "uuid::Uuid"),
        (json!({ "jsonb": "1" }), "int4", "serde_json::value::Value"),
        (json!({ "decimal": "1" }), "float8", "rust_decimal::decimal::Decimal"),
        (json!({ "range-int32": [null, null] }), "int8range", "postgres_range::Range<i32>"),
        (json!({ "array-int32": [1] }), "int8[]", "alloc::vec::Vec<core::option::Option<i32>>"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_of_column_arrives_as_spin_converts_it() {
    let (cluster, machine) = machine().await;
    let drop_types = "DROP TYPE IF EXISTS humour; DROP DOMAIN IF EXISTS holiday";
    cluster.primary().ask(drop_types).await.unwrap();
    cluster.primary().ask("CREATE TYPE humour AS ENUM ('bad', 'ok'); CREATE DOMAIN holiday AS date").await.unwrap();
    let steps: Vec<_> = COLUMNS.iter().map(|(sql, ..)| json!({ "statement": format!("SELECT {sql} AS c") })).collect();
    for version in VERSIONS {
        let outcomes = run(&machine, version, &steps).await;
        assert_eq!(outcomes.len(), COLUMNS.len());
        for (outcome, (sql, data_type, value)) in outcomes.iter().zip(COLUMNS) {
            let (data_type, value) = in_version(version, data_type, value);
            assert_eq!(outcome.error, None, "{version}: {sql}");
            assert_eq!(outcome.columns, [column("c", &data_type)], "{version}: {sql}");
            assert_eq!(outcome.rows, [format!("[DbValue::{value}]")], "{version}: {sql}");
        }
    }
    cluster.primary().ask(drop_types).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn null_is_null_in_every_type_both_ways() {
    let (_cluster, machine) = machine().await;
    let types = [
        ("bool", "Boolean"),
        ("int2", "Int16"),
        ("int4", "Int32"),
        ("int8", "Int64"),
        ("float4", "Floating32"),
        ("float8", "Floating64"),
        ("text", "Str"),
        ("bytea", "Binary"),
        ("date", "Date"),
        ("time", "Time"),
        ("timestamp", "Datetime"),
        ("uuid", "Uuid"),
        ("jsonb", "Jsonb"),
        ("numeric", "Decimal"),
        ("int4range", "RangeInt32"),
        ("int8range", "RangeInt64"),
        ("numrange", "RangeDecimal"),
        ("int4[]", "ArrayInt32"),
        ("int8[]", "ArrayInt64"),
        ("numeric[]", "ArrayDecimal"),
        ("text[]", "ArrayStr"),
        ("interval", "Interval"),
        ("inet", "Other(\"inet\")"),
    ];
    let step = |(sql, _): &(&str, &str)| json!({ "statement": format!("SELECT NULL::{sql} AS a, $1::{sql} AS b, $1 IS NULL AS c"), "params": ["null"] });
    let steps: Vec<_> = types.iter().map(step).collect();
    for version in VERSIONS {
        let outcomes = run(&machine, version, &steps).await;
        for (outcome, (sql, data_type)) in outcomes.iter().zip(types) {
            let (data_type, _) = in_version(version, data_type, "");
            let columns = [column("a", &data_type), column("b", &data_type), column("c", "Boolean")];
            assert_eq!((&outcome.error, &outcome.columns[..]), (&None, &columns[..]), "{version}: {sql}");
            assert_eq!(
                outcome.rows,
                ["[DbValue::DbNull, DbValue::DbNull, DbValue::Boolean(true)]"],
                "{version}: {sql}"
            );
        }
    }
    // Of this type not even NULL can be read.
    let [outcome] = &run(&machine, "4.2.0", &[step(&("timestamptz", ""))]).await[..] else { panic!("one step") };
    assert!(outcome.error.as_ref().is_some_and(|error| error.contains("timestamptz")), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_said_in_spins_words() {
    let (_cluster, machine) = machine().await;
    for version in VERSIONS {
        let steps: Vec<_> = UNREADABLE.iter().map(|(sql, _)| json!({ "statement": format!("SELECT {sql}") })).collect();
        for (outcome, (sql, text)) in run(&machine, version, &steps).await.iter().zip(UNREADABLE) {
            let error = outcome.error.as_deref().unwrap_or_default();
            assert!(
                error.contains("error deserializing column 0") && error.contains(text),
                "{version}: {sql}: {outcome:?}"
            );
            assert_eq!(outcome.rows, [""; 0], "{version}: {sql}");
        }
        for sql in FATAL {
            let script = json!({ "steps": [{ "statement": format!("SELECT {sql}") }] });
            assert_eq!(send(&machine, version, &script).await.unwrap().status, 500, "{version}: {sql}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_of_parameter_arrives_as_spin_converts_it() {
    let (_cluster, machine) = machine().await;
    for version in VERSIONS {
        let parameters: Vec<_> = parameters().into_iter().filter(|(param, ..)| is_in(version, param)).collect();
        let step = |(param, sql, _): &(Value, &str, &str)| json!({ "statement": format!("SELECT $1::{sql}::text"), "params": [param] });
        let steps: Vec<_> = parameters.iter().map(step).collect();
        for (outcome, (param, sql, text)) in run(&machine, version, &steps).await.iter().zip(parameters) {
            assert_eq!(outcome.error, None, "{version}: {param} for {sql}");
            assert_eq!(outcome.rows, [format!(r#"[DbValue::Str("{text}")]"#)], "{version}: {param} for {sql}");
        }
        // Spin's library panics where it makes a bound exclusive that is the largest number.
        let largest = json!({ "range-int32": [[1, "inclusive"], [i32::MAX, "inclusive"]] });
        if is_in(version, &largest) {
            let script = json!({ "steps": [{ "statement": "SELECT $1::int4range", "params": [largest] }] });
            assert_eq!(send(&machine, version, &script).await.unwrap().status, 500, "{version}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_that_cannot_be_sent_is_refused_in_spins_words() {
    let (_cluster, machine) = machine().await;
    for version in VERSIONS {
        for (param, text) in refused().into_iter().filter(|(param, _)| is_in(version, param)) {
            let step = json!({ "statement": "SELECT $1", "params": [param] });
            let mut execute = step.clone();
            execute["execute"] = true.into();
            let errors: Vec<_> = run(&machine, version, &[step, execute]).await.into_iter().map(|o| o.error).collect();
            // One name for it where rows are asked for, and another where they are not.
            let expected =
                ["BadParameter", "ValueConversionFailed"].map(|name| Some(format!("Error::{name}(\"{text}\")")));
            assert_eq!(errors, expected, "{version}: {param}");
        }
        for (param, sql, rust) in unfit().into_iter().filter(|(param, ..)| is_in(version, param)) {
            let step = json!({ "statement": format!("SELECT $1::{sql}"), "params": [param] });
            let error = run(&machine, version, &[step]).await[0].error.clone().unwrap_or_default();
            let expected = "kind: ToSql(0), cause: Some(WrongType { postgres:";
            assert!(
                error.contains(expected) && error.contains(&format!("rust: \\\"{rust}\\\"")),
                "{version}: {param}: {error}"
            );
        }
    }
}

/// A type and a value of 4.0.0 and newer as a version has them.
fn in_version(version: &str, data_type: &str, value: &str) -> (String, String) {
    let lacks = NEWER.contains(&data_type) || data_type.starts_with("Other");
    if version == "3.0.0" && lacks { ("Other".into(), "Unsupported".into()) } else { (data_type.into(), value.into()) }
}

/// Whether a version has such a parameter.
fn is_in(version: &str, param: &Value) -> bool {
    let kind = param.as_object().and_then(|param| param.keys().next()).expect("the type of a parameter");
    version != "3.0.0" || !NEWER.iter().any(|newer| newer.eq_ignore_ascii_case(&kind.replace('-', "")))
}

fn column(name: &str, data_type: &str) -> String {
    format!("Column {{ name: \"{name}\", data-type: DbDataType::{data_type} }}")
}

async fn machine() -> (SharedCluster, Machine) {
    let cluster = shared_cluster().await;
    build_app().await;
    let host = host();
    let setup = Setup { manifest: Some(App::Alone.manifest()), ..Setup::in_region("sjc", &cluster, &host) };
    let machine = Machine::start(&host, setup).await.unwrap();
    (cluster, machine)
}
