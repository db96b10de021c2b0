//! The texts of this repository: its sources and documents, and how to read tables and code out of them.

use std::path::Path;

use host_tests::machine::repository;

/// A file by its path from the root of the repository, with slashes.
pub(crate) struct Text {
    pub(crate) path: String,
    pub(crate) text: String,
}

pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Rust file of the repository.
pub(crate) fn sources() -> Vec<Text> {
    let found = files("rs");
    assert!(found.len() > 60, "found the sources: {}", found.len());
    found
}

/// Every document of the repository.
pub(crate) fn documents() -> Vec<Text> {
    let found = files("md");
    assert!(found.len() > 6, "found the documents: {}", found.len());
    found
}

/// The files with this extension, without those that are built.
fn files(extension: &str) -> Vec<Text> {
    fn collect(folder: &Path, extension: &str, found: &mut Vec<Text>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy();
            if name == "target" || name == "node_modules" || name.starts_with('.') {
                continue;
            }
            if path.is_dir() {
                collect(&path, extension, found);
            } else if path.extension().is_some_and(|found| found == extension) {
                let text = std::fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(repository()).unwrap().to_string_lossy().into_owned();
                found.push(Text { path, text });
            }
        }
    }
    let mut found = Vec::new();
    collect(repository(), extension, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The cells of a table's rows, without its head.
pub(crate) fn table(text: &str, head: &str) -> Vec<Vec<String>> {
    let rows = text.lines().map(|line| line.trim_start_matches("//! "));
    let rows = rows.skip_while(|line| !line.starts_with(head)).skip(2).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    let rows: Vec<_> = rows.map(cells).collect();
    assert!(!rows.is_empty(), "no table with the head {head}");
    rows
}

/// What stands in backticks.
pub(crate) fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The code of a document: the lines of its code blocks, and what stands in backticks.
pub(crate) fn code(document: &str) -> Vec<&str> {
    let mut fenced = false;
    let mut found = Vec::new();
    for line in document.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            found.push(line.trim());
        } else {
            found.extend(quoted(line));
        }
    }
    found
}

/// The fenced code blocks of a document in one language.
pub(crate) fn blocks<'a>(document: &'a str, language: &str) -> Vec<&'a str> {
    let opening = format!("```{language}\n");
    document.split(&opening).skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

/// What a source does outside its tests, without comments.
pub(crate) fn product_code(source: &str) -> String {
    let product = source.split("#[cfg(test)]").next().unwrap();
    product.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect()
}
