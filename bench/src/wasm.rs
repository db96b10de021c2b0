//! The component as a file: its size, and what it is made of.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use host_tests::machine::repository;
use wasmparser::{KnownCustom, Name, Parser, Payload};

use crate::contender::COMPONENT;
use crate::figures::figures;
use crate::load::Bench;

/// Where the component is in a target folder.
const BUILT: &str = "wasm32-wasip2/release/nearest_replica_component.wasm";

/// Weighs the wasm, and builds it once more with names to see what it is made of: code by crate, the largest first, and
/// data and the rest.
pub(crate) fn measure(bench: &Bench) -> Result<()> {
    let bytes = std::fs::metadata(repository().join("target").join(BUILT)).context("looking for the wasm")?.len();
    let target = repository().join("target/bench/names");
    let status = Command::new("cargo")
        .args(["build", "--locked", "--release", "--target", "wasm32-wasip2", "--package", "nearest-replica-component"])
        .args(["--config", "profile.release.strip='debuginfo'"])
        .args(["--config", "target.wasm32-wasip2.rustflags=['-Csymbol-mangling-version=v0']"])
        .env("CARGO_TARGET_DIR", &target)
        .current_dir(repository())
        .status()
        .context("building the component with names")?;
    ensure!(status.success(), "building the component with names: {status}");
    let named = std::fs::read(target.join(BUILT)).context("reading the component with names")?;
    let mut by_crate = by_crate(&named)?;
    let code: u64 = by_crate.values().sum();
    by_crate.insert("(data and types)".to_owned(), bytes.saturating_sub(code));
    let mut parts: Vec<_> = by_crate.into_iter().map(|(name, bytes)| (bytes, name)).collect();
    parts.sort_unstable_by(|one, other| other.cmp(one));
    for (bytes, name) in [(bytes, "in all".to_owned())].into_iter().chain(parts) {
        bench.record(1, ["wasm", COMPONENT[0], &name], figures([("bytes", bytes as f64)]));
    }
    Ok(())
}

/// The code of a component by the crate that it comes from.
#[expect(clippy::wildcard_enum_match_arm, reason = "most sections have no code")]
fn by_crate(component: &[u8]) -> Result<BTreeMap<String, u64>> {
    let mut found = BTreeMap::new();
    let (mut imported, mut bodies, mut names) = (0, Vec::new(), BTreeMap::new());
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::ModuleSection { .. } => {
                (imported, bodies) = (0, Vec::new());
                names = BTreeMap::new();
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    imported += u32::from(matches!(import?.ty, wasmparser::TypeRef::Func(_)));
                }
            }
            Payload::CodeSectionEntry(body) => bodies.push(body.range().len()),
            Payload::CustomSection(section) => {
                let KnownCustom::Name(subsections) = section.as_known() else { continue };
                for subsection in subsections {
                    let Name::Function(functions) = subsection? else { continue };
                    for function in functions {
                        let function = function?;
                        names.insert(function.index, crate_of(function.name));
                    }
                }
            }
            Payload::End(_) => {
                for (index, length) in (imported..).zip(std::mem::take(&mut bodies)) {
                    let name = names.get(&index).map_or("(no name)", String::as_str);
                    *found.entry(name.to_owned()).or_insert(0) += u64::try_from(length)?;
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// The crate that a mangled name is for: ours where it is named at all, then the last one that is not the standard
/// library's, which is what a generic was made for. A name without a crate is C's: the allocator of wasi-libc.
fn crate_of(name: &str) -> String {
    const STANDARD: [&str; 4] = ["std", "alloc", "core", "hashbrown"];
    let demangled = format!("{:#}", rustc_demangle::demangle(name));
    let paths = demangled.split(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != ':');
    let crates = paths.filter_map(|path| path.split_once("::")).map(|(krate, _)| krate);
    let crates: Vec<_> = crates.filter(|krate| krate.starts_with(char::is_lowercase)).collect();
    let ours = crates.iter().find(|krate| krate.starts_with("nearest_replica"));
    let others = || crates.iter().rfind(|krate| !STANDARD.contains(krate));
    let standard = || STANDARD.iter().find(|krate| crates.contains(krate));
    ours.or_else(others).or_else(standard).map_or("(C)", |krate| *krate).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_tests::machine::Host;

    /// Spin keeps the memory of its instances resident (build.rs).
    #[test]
    fn an_instance_begins_with_little_memory() {
        Host::InHouse.build_component().unwrap();
        let component = std::fs::read(repository().join("target").join(BUILT)).unwrap();
        let mut kib = Vec::new();
        for payload in Parser::new(0).parse_all(&component) {
            if let Payload::MemorySection(memories) = payload.unwrap() {
                kib.extend(memories.into_iter().map(|memory| memory.unwrap().initial * 64));
            }
        }
        assert!(kib.len() == 1 && kib[0] <= 256, "memories of {kib:?} KiB");
    }

    #[test]
    fn code_belongs_to_the_crate_that_it_was_made_for() {
        for (name, expected) in [
            ("_RNvNtCs1234_7mycrate3foo3bar", "mycrate"),
            ("_RINvNtCs1234_4core3ptr13drop_in_placeNtNtCs1234_3url6parser6ParserECs1234_15nearest_replica", "url"),
            ("_RINvNtCs1234_3url5parse3runNtNtCs1234_15nearest_replica4read6ReaderE", "nearest_replica"),
            ("_RNvNtCs1234_5alloc5alloc12handle_error", "alloc"),
            ("_ZN4core3fmt5write17h0123456789abcdefE", "core"),
            ("_ZN15nearest_replica4read6Reader5probe17h0123456789abcdefE", "nearest_replica"),
            ("dlmalloc", "(C)"),
        ] {
            assert_eq!(crate_of(name), expected, "{name}");
        }
    }
}
