//! What the documents say, held to the code: tables, commands, links, paths, numbers.

use std::collections::BTreeSet;
use std::path::Path;

use host_tests::machine::repository;
use host_tests::postgres::PRIMARY;

use crate::texts::{Text, blocks, code, documents, quoted, read, sources, table};

const LIBRARY: &str = "crates/nearest-replica/src";

fn set<T: Into<String>>(words: impl IntoIterator<Item = T>) -> BTreeSet<String> {
    words.into_iter().map(Into::into).collect()
}

/// What stands in quotation marks behind each `marker`.
fn literals<'a>(text: &'a str, marker: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(marker).skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
}

/// The names of the problems, as in `type` and in the log.
fn problems() -> BTreeSet<String> {
    let code = read(&format!("{LIBRARY}/problem.rs"));
    set(literals(&code, " =>").filter(|name| !name.contains(' ')))
}

/// What the code takes for variables that a component does not have.
fn defaults_of(code: &str) -> Vec<(String, String)> {
    let default = |line: &str| {
        let (name, rest) = line.split_once("\", Some(\"")?;
        let name = name.rsplit('"').next()?;
        Some((name.to_owned(), rest.split('"').next()?.to_owned()))
    };
    code.lines().filter(|line| line.trim_start().starts_with('(')).filter_map(default).collect()
}

#[test]
fn variables_are_the_same_in_the_manifest_the_code_and_the_readme() {
    let manifest: toml::Table = toml::from_str(&read("spin.toml")).unwrap();
    let keys = |table: &toml::Value| set(table.as_table().unwrap().keys().cloned());
    let application = keys(&manifest["variables"]);
    let component = keys(&manifest["component"]["nearest-replica"]["variables"]);
    let example: toml::Table = toml::from_str(&read("examples/rust/spin.toml")).unwrap();
    let example = keys(&example["component"]["guestbook"]["variables"]);
    // Sessions have one more.
    let all = set(component.iter().cloned().chain(["bookmark_wait_ms".to_owned()]));
    assert_eq!(example, all, "examples/rust/spin.toml and spin.toml");

    let code = read(&format!("{LIBRARY}/instance/config.rs"));
    let names = code.split("const NAMES").nth(1).unwrap().split(';').nth(1).unwrap();
    let asked = names.split("\n    (\"").skip(1).filter_map(|rest| rest.split('"').next()).chain(["deadline_ms"]);
    assert_eq!(set(asked), all, "instance/config.rs and examples/rust/spin.toml");
    let documented = table(&read("README.md"), "| variable | environment | default |");
    for row in &documented {
        let name = quoted(&row[0])[0];
        let default = &manifest["variables"][name];
        let stated = row[2].trim_matches('`');
        match default.get("default").and_then(toml::Value::as_str) {
            None => assert_eq!((stated, default["required"].as_bool()), ("required", Some(true)), "{name}"),
            Some("") => assert_eq!(stated, "empty", "{name}"),
            Some(value) => assert_eq!(stated, value, "{name}"),
        }
    }
    assert_eq!(set(documented.iter().map(|row| quoted(&row[0])[0])), application, "README.md and spin.toml");
    let defaults = defaults_of(&code);
    assert!(defaults.len() >= 2, "{defaults:?}");
    for (name, value) in defaults.iter().filter(|(_, value)| !value.is_empty()) {
        let row = documented.iter().find(|row| quoted(&row[0])[0] == *name).expect("it is documented");
        assert_eq!(row[2].trim_matches('`'), value, "{name} in config.rs and the README");
    }
}

#[test]
fn the_table_of_candidates_is_the_same_in_the_code_and_the_readme() {
    let code = read(&format!("{LIBRARY}/rules/candidates.rs"));
    let code = table(&code, "| host in `DATABASE_URL`, outside the primary region |");
    assert_eq!(table(&read("README.md"), "| host in `DATABASE_URL` | candidates |"), code);
}

#[test]
fn the_readme_names_the_parameters_that_are_added_and_the_states_that_are_tried_again() {
    let readme = read("README.md");
    let added = read(&format!("{LIBRARY}/rules/url_defaults.rs"));
    let recovery = read(&format!("{LIBRARY}/rules/recovery.rs"));
    let product = recovery.split("#[cfg(test)]").next().unwrap();
    let is_state = |word: &&str| word.len() == 5 && word.chars().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase());
    let states: Vec<_> = product.split('"').skip(1).step_by(2).filter(is_state).collect();
    let parameters: Vec<_> = literals(&added, "with_default(").collect();
    assert!(states.len() > 5 && parameters.len() > 7, "{states:?} {parameters:?}");
    for name in states.iter().chain(&parameters) {
        assert!(readme.contains(&format!("`{name}`")), "README.md does not name {name}");
    }
    let retried = readme.split("(SQLSTATE").nth(1).unwrap().split("class").next().unwrap();
    assert_eq!(set(quoted(retried)), set(states), "README.md names others as well");
}

#[test]
fn every_test_that_the_documents_name_exists() {
    let sources: String = sources().into_iter().map(|source| source.text).collect();
    let exists = |test: &str| assert!(sources.contains(&format!("fn {test}(")), "there is no test {test}");
    for row in table(&read("docs/faults.md"), "| what happens | what the user sees | test |") {
        match quoted(&row[2]).as_slice() {
            [] => assert!(row[2].starts_with("not tested: "), "{row:?}"),
            tests => tests.iter().for_each(|test| exists(test)),
        }
    }
    for Text { text, .. } in documents() {
        for command in code(&text).into_iter().filter_map(|code| code.strip_prefix("cargo test ")) {
            let words: Vec<_> = command.split_whitespace().collect();
            if let Some(test) = words.iter().skip_while(|word| **word != "it").nth(1) {
                exists(test);
            }
        }
    }
}

#[test]
fn the_documents_name_every_problem_and_every_event() {
    let problems = problems();
    assert!(problems.len() > 4, "{problems:?}");
    let to_do = table(&read("docs/fly.md"), "| problem | what to do |");
    assert_eq!(set(to_do.iter().flat_map(|row| quoted(&row[0]))), problems, "docs/fly.md");
    let faults = read("docs/faults.md");
    for problem in &problems {
        assert!(faults.contains(&format!("`{problem}`")), "docs/faults.md does not speak of the problem {problem}");
    }
    // The others are no fault, so they are not logged.
    let logged = problems
        .into_iter()
        .filter(|name| !["not-found", "method-not-allowed", "unusable-row"].contains(&name.as_str()));
    let ours = [LIBRARY, "crates/postgres-adapter/src/"];
    let library = sources().into_iter().filter(|source| ours.iter().any(|folder| source.path.starts_with(folder)));
    let code: String = library.map(|source| source.text).collect();
    let events = set(literals(&code, "log::line(")).into_iter().chain(logged).collect::<BTreeSet<_>>();
    let documented = table(&faults, "| event | what happened |");
    assert_eq!(set(documented.iter().flat_map(|row| quoted(&row[0]))), events, "docs/faults.md");
}

#[test]
fn every_make_command_in_a_document_is_a_target() {
    let makefile = read("Makefile");
    let mut found = BTreeSet::new();
    for Text { path, text } in documents() {
        for target in code(&text).into_iter().filter_map(|code| code.strip_prefix("make ")?.split_whitespace().next()) {
            assert!(makefile.contains(&format!("\n{target}:")), "{path}: make {target}");
            found.insert(target.to_owned());
        }
    }
    let targets = makefile.lines().find_map(|line| line.strip_prefix(".PHONY: ")).unwrap().split_whitespace();
    // Those are called by the others.
    for target in targets.filter(|target| !["setup", "lint-tools"].contains(target)) {
        assert!(found.contains(target), "no document speaks of make {target}");
    }
}

#[test]
fn every_package_test_and_fuzz_target_in_a_cargo_command_exists() {
    let lock: toml::Table = toml::from_str(&read("Cargo.lock")).unwrap();
    // Those of the workspace come from nowhere.
    let packages = lock["package"].as_array().unwrap().iter().filter(|package| package.get("source").is_none());
    let packages = set(packages.map(|package| package["name"].as_str().unwrap()));
    let mut found = 0;
    for Text { path, text } in documents() {
        for command in code(&text).into_iter().filter(|code| code.starts_with("cargo ")) {
            let words: Vec<_> = command.split_whitespace().collect();
            let after = |word: &str| words.iter().skip_while(|it| **it != word).nth(1).map(|it| (*it).to_owned());
            if let Some(package) = after("--package") {
                assert!(packages.contains(&package), "{path}: {command}");
                found += 1;
            }
            if let Some(target) = after("--test") {
                let tests = repository().join("host-tests/tests");
                let sources = [tests.join(format!("{target}.rs")), tests.join(&target).join("main.rs")];
                assert!(sources.iter().any(|source| source.is_file()), "{path}: {command}");
                found += 1;
            }
            if let Some(target) = after("run").filter(|_| words.contains(&"fuzz")) {
                assert!(repository().join(format!("fuzz/fuzz_targets/{target}.rs")).is_file(), "{path}: {command}");
                found += 1;
            }
        }
    }
    assert!(found > 3, "found the commands");
}

#[test]
fn every_link_and_every_path_in_a_document_leads_somewhere() {
    let mut links = 0;
    for Text { path, text } in documents() {
        let folder = Path::new(&path).parent().unwrap();
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if link.starts_with("https://") {
                continue;
            }
            links += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { repository().join(&path) } else { repository().join(folder).join(file) };
            assert!(target.exists(), "{path}: {link}");
            if !anchor.is_empty() {
                let target = std::fs::read_to_string(&target).unwrap();
                assert!(headings(&target).contains(anchor), "{path}: no heading for {link}");
            }
        }
        // These speak of the past, or are made of figures.
        if ["CHANGELOG.md", "bench/report/report.md"].contains(&path.as_str()) {
            continue;
        }
        for name in code(&text).into_iter().filter(|code| is_path(code)) {
            assert!(repository().join(name).exists(), "{path}: there is no {name}");
        }
    }
    assert!(links > 15, "found the links");
}

/// The anchors of a document's headings, as GitHub makes them.
fn headings(document: &str) -> BTreeSet<String> {
    let titles = document.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    titles.map(|title| title.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}

/// Whether a piece of code is meant as the path of a file or folder of this repository.
fn is_path(code: &str) -> bool {
    const TOP: [&str; 11] = [
        "src/",
        "crates/",
        "host-tests/",
        "lab/",
        "bench/",
        "docs/",
        "examples/",
        "fuzz/",
        "scripts/",
        ".ci/",
        ".github/",
    ];
    let plain = code.chars().all(|c| c.is_ascii_alphanumeric() || "._/-".contains(c));
    let at_the_top = !code.contains('/') && [".toml", ".md"].iter().any(|end| code.ends_with(end));
    plain && (at_the_top || TOP.iter().any(|top| code.starts_with(top)))
}

#[test]
fn the_readme_is_short_and_shows_what_make_up_prints() {
    let readme = read("README.md");
    let (before, rest) = readme.split_once("<!-- make bench -->").unwrap();
    let (_, after) = rest.split_once("<!-- /make bench -->").unwrap();
    let lines = before.lines().count() + after.lines().count();
    assert!(lines <= 150, "README.md has {lines} lines without the figures");

    let up = read("lab/src/up.rs");
    assert!(up.contains(r#""{:<8}{:<26}{:<12}role", "region", "address", "reads from""#), "the head of the table");
    let regions = read("lab/src/regions.rs");
    let replicas =
        regions.split("const REPLICAS").nth(1).unwrap().split(';').nth(1).unwrap().split('"').skip(1).step_by(2);
    let port: u16 =
        up.split("\"PORT\", default_value_t = ").nth(1).unwrap().split([',', ')']).next().unwrap().parse().unwrap();
    let mut shown = vec![format!("{:<8}{:<26}{:<12}role", "region", "address", "reads from")];
    for ((region, role), port) in
        [(PRIMARY, "primary")].into_iter().chain(replicas.map(|it| (it, "replica"))).zip(port..)
    {
        let url = format!("http://127.0.0.1:{port}/");
        shown.push(format!("{region:<8}{url:<26}{region:<12}{role}"));
    }
    assert_eq!(blocks(&readme, "text")[0].lines().take(shown.len()).collect::<Vec<_>>(), shown);

    // Its headers are those that the component sends.
    let component = read("src/lib.rs") + &read("src/response.rs");
    let answer = blocks(&readme, "http")[0];
    for header in answer.lines().skip(1).filter_map(|line| line.split_once(": ")).map(|(name, _)| name) {
        assert!(component.contains(&format!("\"{header}\"")), "the component sends no {header}");
    }
}

#[test]
fn the_code_of_the_library_guide_is_that_of_the_example() {
    let guide = read("docs/library.md");
    let [package, manifest] = ["Cargo.toml", "spin.toml"].map(|name| read(&format!("examples/rust/{name}")));
    let of = |folder: &str| sources().into_iter().filter(|source| source.path.starts_with(folder)).collect::<Vec<_>>();
    let example: String = of("examples/rust/src/").into_iter().map(|source| source.text).collect();
    let (rust, toml) = (blocks(&guide, "rust"), blocks(&guide, "toml"));
    assert!(rust.len() > 1 && toml.len() > 1, "found the code");
    for block in rust {
        assert!(example.contains(block), "not in the example:\n{block}");
    }
    let texts = [package, manifest];
    for line in toml.into_iter().flat_map(str::lines) {
        assert!(texts.iter().any(|text| text.lines().any(|found| found == line)), "not in the example: {line}");
    }
    let library: String = of(LIBRARY).into_iter().map(|source| source.text).collect();
    for call in table(&guide, "| call | what it does |") {
        let (of_whom, name) = quoted(&call[0])[0].split_once("::").unwrap();
        assert!(library.contains(&format!("pub struct {of_whom}")), "{of_whom}");
        let is_there = |kind: &str| ["(", "<"].iter().any(|next| library.contains(&format!("pub {kind} {name}{next}")));
        assert!(is_there("fn") || is_there("async fn"), "{name}");
    }
}

#[test]
fn the_arithmetic_of_connections_is_right() {
    /// For each candidate: the shared connections, and those that must not wait behind them.
    const POOLS: u32 = 2;
    let guide = read("docs/fly.md");
    let number = |cell: &str| -> u32 { cell.split_whitespace().next().unwrap().parse().unwrap() };
    let rows = table(&guide, "| connections to the database | Machines | `max_connections` |");
    for row in &rows {
        let [allowed, machines, most, total] = [0, 1, 2, 3].map(|cell| number(&row[cell]));
        assert_eq!(most, allowed / (machines * POOLS), "{row:?}");
        assert_eq!(total, most * machines * POOLS, "{row:?}");
    }
    let configuration: toml::Table = toml::from_str(blocks(&guide, "toml")[0]).unwrap();
    assert_eq!(configuration["outbound_pg"]["max_connections"].as_integer(), Some(number(&rows[0][2]).into()));
    let pool = read("host-tests/src/spin/pool.rs");
    let size: u32 = pool.split("PER_ADDRESS: usize = ").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
    let machines = number(&rows[0][1]);
    let sum = format!("{machines} x {POOLS} x {size} = {}", machines * POOLS * size);
    assert!(guide.contains(&sum), "docs/fly.md does not say {sum}");
}
