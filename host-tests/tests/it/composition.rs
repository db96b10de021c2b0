//! Components that others stand in for Spin by the manifest alone, and manifests that cannot be. The guest is of WASI 0.2
//! and calls two earlier versions of Spin's Postgres interface.

use host_tests::machine::Machine;
use http::Method;

use crate::fixtures::{shared_cluster, url_of};
use crate::guest_app::{GuestApp, NOWHERE};

const VERSIONS: [&str; 2] = ["3.0.0", "4.0.0"];

/// The guest's application with more at the end of its manifest.
async fn app_with(more: &str) -> GuestApp {
    GuestApp::of("sync-guest", more).await
}

async fn app_with_dependencies(entries: &str) -> GuestApp {
    app_with(&format!("[component.sync-guest.dependencies]\n{entries}")).await
}

/// What became of a statement.
async fn ask(machine: &Machine, version: &str, statement: &str) -> String {
    let path = format!("/{version}");
    let mut client = machine.client().await.unwrap();
    let answer = client.send_with(Method::POST, &path, &[], statement.to_owned()).await.unwrap();
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    answer.body
}

/// What the dependency says when it answers in place of Spin.
fn stood_in(version: &str, value: &str) -> String {
    format!(
        "Some(Column {{ name: \"stand-in {version}\", data-type: DbDataType::Str }}) Some([DbValue::Str({value:?})])"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_as_a_key_stands_in_for_every_version_that_is_imported() {
    let app = app_with_dependencies(r#""spin:postgres" = { component = "stand-in" }"#).await;
    let machine = app.start(NOWHERE).await.unwrap();
    for version in VERSIONS {
        assert_eq!(ask(&machine, version, "hello").await, stood_in(version, "hello"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_with_its_version_stands_in_for_that_version_only() {
    let app = app_with_dependencies(r#""spin:postgres/postgres@3.0.0" = { component = "stand-in" }"#).await;
    let machine = app.start(NOWHERE).await.unwrap();
    assert_eq!(ask(&machine, "3.0.0", "hello").await, stood_in("3.0.0", "hello"));
    let of_spin = ask(&machine, "4.0.0", "hello").await;
    assert!(of_spin.starts_with("Error::ConnectionFailed") && of_spin.contains("Connection refused"), "{of_spin}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dependency_may_use_what_it_inherits_and_is_told_so_of_the_rest() {
    let value = format!("Ok({NOWHERE:?})");
    let no_variable = r#"Err(Error::Undefined("database_url"))"#;
    let no_store = "Err(Error::AccessDenied)";
    let no_host = r#"Err(Error::Other("\"spin:postgres/postgres\" is not permitted"))"#;
    let tried = "Err(Error::ConnectionFailed(";
    for (inherit, variable, store, open) in [
        ("", no_variable, no_store, no_host),
        (", inherit_configuration = false", no_variable, no_store, no_host),
        (", inherit_configuration = true", &value, "Ok(())", tried),
        (r#", inherit_configuration = ["variables"]"#, &value, no_store, no_host),
        (r#", inherit_configuration = ["allowed_outbound_hosts"]"#, no_variable, no_store, tried),
        (r#", inherit_configuration = ["key_value_stores", "no_such_thing"]"#, no_variable, "Ok(())", no_host),
    ] {
        let app = app_with_dependencies(&format!(r#""spin:postgres" = {{ component = "stand-in"{inherit} }}"#)).await;
        let machine = app.start(NOWHERE).await.unwrap();
        for version in VERSIONS {
            let said = ask(&machine, version, "variable database_url").await;
            assert_eq!(said, stood_in(version, variable), "{inherit}");
            assert_eq!(ask(&machine, version, "store default").await, stood_in(version, store), "{inherit}");
            let said = ask(&machine, version, &format!("open {NOWHERE}")).await;
            assert!(said.starts_with(stood_in(version, open).trim_end_matches("\")])")), "{inherit}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn earlier_versions_of_the_interface_say_what_todays_says() {
    let cluster = shared_cluster().await;
    let app = app_with("").await;
    let machine = app.start(&url_of(&cluster, "")).await.unwrap();
    for version in VERSIONS {
        let said = ask(&machine, version, "SELECT 7::int4 AS number").await;
        assert_eq!(said, r#"Some(Column { name: "number", data-type: DbDataType::Int32 }) Some([DbValue::Int32(7)])"#);
    }
    let said = ask(&machine, "4.0.0", "SELEC").await;
    assert!(said.starts_with("Error::QueryFailed(QueryError::DbError(") && said.contains("code: \"42601\""), "{said}");
    let said = ask(&machine, "3.0.0", "SELEC").await;
    assert!(said.starts_with("Error::QueryFailed(\"Error { kind: Db") && said.contains("SqlState(E42601)"), "{said}");
    // What comes with the rows is only a text, also where there are parts for it.
    const LATE: &str = "SELECT 1/n FROM (VALUES (1), (0)) AS numbers(n)";
    let said = ask(&machine, "4.0.0", LATE).await;
    assert!(said.starts_with("Error::QueryFailed(QueryError::Text(") && said.contains("division by zero"), "{said}");
    let said = ask(&machine, "3.0.0", LATE).await;
    assert!(said.starts_with("Error::QueryFailed(\"") && said.contains("division by zero"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_cannot_be_composed_says_why() {
    for (entries, why) in [
        (
            r#""spin:postgres/postgres@9.0.0" = { component = "stand-in" }"#,
            "dependency 'spin:postgres/postgres@9.0.0' doesn't match any imports of component 'sync-guest'",
        ),
        (
            r#""fermyon:spin/variables@2.0.0" = { component = "stand-in" }"#,
            "doesn't export 'fermyon:spin/variables@2.0.0' to satisfy import 'fermyon:spin/variables@2.0.0'",
        ),
        (
            r#""spin:postgres/postgres@3.0.0" = { component = "stand-in", export = "spin:postgres/postgres@4.0.0" }"#,
            "exports 'spin:postgres/postgres@4.0.0' which is not compatible with import 'spin:postgres/postgres@3.0.0'",
        ),
        (
            r#""spin:postgres/postgres@3.0.0" = { component = "stand-in" }
            "spin:postgres" = { component = "stand-in" }"#,
            "dependency conflicts with",
        ),
        (
            r#""spin:postgres/postgres@3.0.0" = { component = "stand-in" }
            "spin:postgres/postgres@4.0.0" = { component = "stand-in" }"#,
            "package `spin:postgres` has already been registered",
        ),
        (
            r#""spin:postgres" = { component = "stand-in", export = "spin:postgres/postgres@4.0.0" }"#,
            "using an export to satisfy the package dependency",
        ),
        (r#""spin:postgres" = { component = "nobody" }"#, "dependency ID nobody does not exist"),
        (
            r#""spin:postgres" = { component = "stand-in" }
            [component.stand-in.variables]
            database_url = "postgres:///""#,
            "Component stand-in cannot be used as a dependency of sync-guest because it specifies: variables",
        ),
    ] {
        let app = app_with_dependencies(entries).await;
        let refusal = app.refusal().await;
        assert!(refusal.contains(why), "{refusal}");
    }
}
