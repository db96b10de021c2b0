//! What would drift if nobody looked: sizes, tables, names that stand in several files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use host_tests::machine::repository;

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Rust file of the repository.
fn sources() -> Vec<(PathBuf, String)> {
    fn collect(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    for folder in ["src", "crates", "host-tests/src", "host-tests/tests", "bench", "examples"] {
        collect(&repository().join(folder), &mut found);
    }
    assert!(found.len() > 20, "found the sources");
    found
}

/// The cells of a table's rows, without its head.
fn table(text: &str, head: &str) -> Vec<Vec<String>> {
    let rows = text.lines().map(|line| line.trim_start_matches("//! "));
    let rows = rows.skip_while(|line| !line.starts_with(head)).skip(2).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    let rows: Vec<_> = rows.map(cells).collect();
    assert!(!rows.is_empty(), "no table with the head {head}");
    rows
}

/// What stands in backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_file_says_what_it_is_for_and_is_short() {
    for (path, text) in sources() {
        assert!(text.starts_with("//! "), "{} does not start with what it is for", path.display());
        let lines = text.lines().count();
        assert!(lines <= 400, "{} has {lines} lines: which two files is it?", path.display());
    }
}

#[test]
fn variables_are_the_same_in_the_manifest_the_code_and_the_readme() {
    let manifest: toml::Table = toml::from_str(&read("spin.toml")).unwrap();
    let keys = |table: &toml::Value| table.as_table().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let application = keys(&manifest["variables"]);
    let component = keys(&manifest["component"]["nearest-replica"]["variables"]);

    let code = read("crates/nearest-replica/src/instance/config.rs");
    let names = code.split("const NAMES").nth(1).unwrap().split(';').nth(1).unwrap();
    let asked = names.split('"').skip(1).step_by(2).chain(["deadline_ms"]).map(str::to_owned);
    assert_eq!(asked.collect::<BTreeSet<_>>(), component, "instance/config.rs and spin.toml");

    for row in table(&read("README.md"), "| variable | environment | default |") {
        let name = quoted(&row[0])[0];
        let default = &manifest["variables"][name];
        let stated = row[2].trim_matches('`');
        match default.get("default").and_then(toml::Value::as_str) {
            None => assert_eq!((stated, default["required"].as_bool()), ("required", Some(true)), "{name}"),
            Some("") => assert_eq!(stated, "empty", "{name}"),
            Some(value) => assert_eq!(stated, value, "{name}"),
        }
    }
    let documented = table(&read("README.md"), "| variable | environment | default |");
    let documented: BTreeSet<_> = documented.iter().map(|row| quoted(&row[0])[0].to_owned()).collect();
    assert_eq!(documented, application, "README.md and spin.toml");
}

#[test]
fn the_table_of_candidates_is_the_same_in_the_code_and_the_readme() {
    let code = table(
        &read("crates/nearest-replica/src/rules/candidates.rs"),
        "| host in `DATABASE_URL`, outside the primary region |",
    );
    assert_eq!(table(&read("README.md"), "| host in `DATABASE_URL` | candidates |"), code);
}

#[test]
fn every_test_that_the_readme_names_exists_and_so_does_every_problem() {
    let sources: String = sources().into_iter().map(|(_, text)| text).collect();
    for row in table(&read("README.md"), "| what happens | what the user sees | test |") {
        match quoted(&row[2]).as_slice() {
            [] => assert!(row[2].starts_with("not tested: "), "{row:?}"),
            tests => {
                for test in tests {
                    assert!(sources.contains(&format!("fn {test}(")), "there is no test {test}");
                }
            }
        }
    }
    let readme = read("README.md");
    let names = read("crates/nearest-replica/src/problem.rs");
    let names = names.split("Self::").filter_map(|arm| arm.split_once("=> \"")).map(|(_, name)| name);
    for name in names.filter_map(|name| name.split('"').next()).filter(|name| !name.contains(' ')) {
        assert!(readme.contains(&format!("`{name}`")), "README.md does not speak of the problem {name}");
    }
}

#[test]
fn commands_in_the_readme_are_targets_of_the_makefile() {
    let makefile = read("Makefile");
    let readme = read("README.md");
    let in_code = readme.lines().flat_map(|line| match line.strip_prefix("    ") {
        Some(code) => vec![code],
        None => quoted(line),
    });
    let targets: Vec<_> = in_code.filter_map(|code| code.strip_prefix("make ")?.split_whitespace().next()).collect();
    assert!(targets.len() > 4, "{targets:?}");
    for target in targets {
        assert!(makefile.contains(&format!("\n{target}:")), "make {target}");
    }
}

#[test]
fn the_toolchain_and_the_packages_agree() {
    let toolchain: toml::Table = toml::from_str(&read("rust-toolchain.toml")).unwrap();
    let cargo: toml::Table = toml::from_str(&read("Cargo.toml")).unwrap();
    let channel = toolchain["toolchain"]["channel"].as_str().unwrap();
    let minimum = cargo["workspace"]["package"]["rust-version"].as_str().unwrap();
    assert!(channel.starts_with(&format!("{minimum}.")), "{channel} and {minimum}");
    assert!(read("CHANGELOG.md").starts_with("# Changelog\n\n## Unreleased\n"), "CHANGELOG.md");
    let manifest: toml::Table = toml::from_str(&read("spin.toml")).unwrap();
    assert_eq!(manifest["application"]["version"], cargo["workspace"]["package"]["version"], "spin.toml");
}
