//! What is wrong is said at once, in a sentence that says what to write instead, and nothing is left behind.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::program::{four_free_ports, lab, run};

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An app of one file.
const APP: &str = "spin_manifest_version = 2\n[application]\nname = \"a\"\n[[trigger.http]]\nroute = \"/...\"\n\
                   component = \"a\"\n[component.a]\nsource = \"a.wasm\"\n";

/// Serves an app where no Spin is.
fn in_house(manifest: &Path) -> Command {
    let mut command = lab(&["up", "--app", text(manifest)]);
    command.env_remove("SPIN");
    command
}

/// That it fails, and says this and nothing of what it did until then; in the language of its users, without a backtrace.
#[track_caller]
fn refuses(mut command: Command, expected: &str) {
    command.env("RUST_BACKTRACE", "1");
    let (status, out, error) = run(command);
    assert!(!status.success(), "{out}{error}");
    assert!(error.contains(expected), "{error}");
    assert!(!error.contains("3/4") && !error.contains("backtrace") && out.is_empty(), "{out}{error}");
}

#[test]
fn an_app_that_is_not_there_or_is_no_app_is_refused_before_anything_starts() {
    refuses(
        lab(&["up", "--app", "/nowhere/spin.toml"]),
        "there is no file /nowhere/spin.toml: write the path of a spin.toml",
    );
    let folder = folder();
    refuses(lab(&["up", "--app", text(folder.path())]), "write the path of a spin.toml");
    let manifest = folder.path().join("spin.toml");
    fs::write(&manifest, "spin_manifest_version = 2\n[[trigger.redis]]\n").unwrap();
    refuses(lab(&["try", "--run", "true", "--app", text(&manifest)]), "the lab can only send HTTP requests");
    fs::write(&manifest, "spin_manifest_version = 2\n[variables]\npg = { required = true }\n[[trigger.http]]\n")
        .unwrap();
    refuses(lab(&["up", "--app", text(&manifest)]), "set SPIN_VARIABLE_PG; in it, {url} stands for");
}

#[test]
fn what_the_in_house_host_lacks_is_told_before_anything_is_built() {
    let folder = folder();
    let manifest = folder.path().join("spin.toml");
    fs::write(&manifest, format!("{APP}sqlite_databases = [\"default\"]\n")).unwrap();
    refuses(in_house(&manifest), "the in-house host, which serves where no Spin is on the PATH, cannot serve this app");
}

#[test]
fn a_file_that_is_missing_or_no_component_is_named_before_a_server_is_started() {
    let folder = folder();
    let manifest = folder.path().join("spin.toml");
    fs::write(&manifest, APP).unwrap();
    refuses(in_house(&manifest), "a.wasm cannot be read");
    fs::write(folder.path().join("a.wasm"), "<html>").unwrap();
    refuses(in_house(&manifest), "a.wasm is no WebAssembly component: build one");
}

#[test]
fn a_schema_that_is_not_there_is_refused_before_anything_starts() {
    refuses(lab(&["up", "--schema", "/nowhere.sql"]), "write the path of a file of SQL statements");
}

#[test]
fn a_lag_a_distance_a_port_and_a_command_say_what_they_may_be() {
    refuses(lab(&["up", "--lag", "2"]), "such as 2s or 500ms");
    refuses(lab(&["up", "--distance=-1"]), "write a number from 0 to 3");
    refuses(lab(&["up", "--distance=4"]), "write a number from 0 to 3");
    refuses(lab(&["up", "--port", "65535"]), "PORT=65535 leaves no room for 4 ports");
    refuses(lab(&["up", "--load-path", "x"]), "write a path that starts with a slash");
    refuses(lab(&["up", "--database-url", ""]), "leave it out instead");
    refuses(lab(&["up", "--database-url", "postgres://h/db", "--app", "x"]), "cannot be used with");
    refuses(lab(&["up", "--spin", "/nowhere"]), "write the path of a `spin` program");
    refuses(lab(&["try", "--run", " "]), "write a command, such as RUN='pytest -q'");
    refuses(lab(&["try"]), "--run");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let port = four_free_ports();
    let _taken = TcpListener::bind(("127.0.0.1", port + 3)).unwrap();
    let expected = format!("port {} is taken: stop what listens there, or choose others with PORT=", port + 3);
    refuses(lab(&["up", "--port", &port.to_string()]), &expected);
}

#[test]
fn an_error_in_a_schema_is_told_with_its_line_and_no_server_is_left() {
    let folder = folder();
    let schema = folder.path().join("schema.sql");
    fs::write(&schema, "CREATE TABLE a (id int);\n\nCREATE TABEL b (id int);\n").unwrap();
    let mut command = lab(&["try", "--run", "true", "--schema", text(&schema)]);
    command.env("TMPDIR", folder.path());
    let (status, _, error) = run(command);
    assert!(!status.success(), "{error}");
    assert!(error.contains("schema.sql, line 3: syntax error at or near \"TABEL\" (SQLSTATE 42601)"), "{error}");
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["schema.sql"], "its databases are gone");
}

#[test]
fn the_doctor_is_one_of_its_commands() {
    let mut command = lab(&["doctor", "--json"]);
    command.env("DATABASE_URL", "postgres://ann:secret@127.0.0.1:1/db").env_remove("FLY_REGION");
    let (status, out, error) = run(command);
    assert_eq!(status.code(), Some(1), "{out}{error}");
    assert!(out.starts_with('{') && out.contains("refused") && !out.contains("secret"), "{out}");
}
