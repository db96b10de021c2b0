//! What the component weighs: the wasm and what it is made of, an instance, and connections as the clients grow.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use host_tests::machine::repository;
use host_tests::postgres::Cluster;
use host_tests::spin::{Options, instantiate};
use serde::{Deserialize, Serialize};
use wasmparser::{KnownCustom, Name, Parser, Payload};

use crate::contender::{Application, Contender, REGION};
use crate::cpu::Usage;
use crate::figures::{Figures, Spread, Spreads, figures, spreads_of_each};
use crate::load;
use crate::throughput::CLIENTS;

const INSTANCES: usize = 100;

/// The component as a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Wasm {
    /// Its size.
    pub bytes: u64,
    /// Code by crate, in bytes, in a build that kept its names; data and the rest under `(data and types)`.
    pub by_crate: BTreeMap<String, u64>,
}

/// Instances and connections.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cost {
    /// Making an instance on the in-house host.
    pub instantiation_us: Spread,
    /// Resident memory of an instance that has not worked yet, in KiB.
    pub instance_kib: Spread,
    /// Clients -> `connections` held in the server, `memory_mib` of the process.
    pub by_clients: BTreeMap<usize, Spreads>,
}

fn wasm_path(target: &Path) -> PathBuf {
    target.join("wasm32-wasip2/release/nearest_replica.wasm")
}

/// Weighs the wasm, and builds it once more with names to see what it is made of.
///
/// # Errors
/// When that build fails.
pub fn wasm() -> Result<Wasm> {
    let bytes = std::fs::metadata(wasm_path(&repository().join("target"))).context("looking for the wasm")?.len();
    let target = repository().join("target/bench/names");
    let status = Command::new("cargo")
        .args(["build", "--locked", "--release", "--target", "wasm32-wasip2", "--package", "nearest-replica"])
        .args(["--config", "profile.release.strip='debuginfo'"])
        .args(["--config", "target.wasm32-wasip2.rustflags=['-Csymbol-mangling-version=v0']"])
        .env("CARGO_TARGET_DIR", &target)
        .current_dir(repository())
        .status()
        .context("building the component with names")?;
    ensure!(status.success(), "building the component with names: {status}");
    let named = std::fs::read(wasm_path(&target)).context("reading the component with names")?;
    let mut by_crate = by_crate(&named)?;
    let code: u64 = by_crate.values().sum();
    by_crate.insert("(data and types)".to_owned(), bytes.saturating_sub(code));
    Ok(Wasm { bytes, by_crate })
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
                if let KnownCustom::Name(subsections) = section.as_known() {
                    for subsection in subsections {
                        if let Name::Function(functions) = subsection? {
                            for function in functions {
                                let function = function?;
                                names.insert(function.index, function.name.to_owned());
                            }
                        }
                    }
                }
            }
            Payload::End(_) => {
                for (index, length) in (imported..).zip(std::mem::take(&mut bodies)) {
                    let name = names.get(&index).map_or("(no name)", |name| crate_of(name));
                    *found.entry(name.to_owned()).or_insert(0) += u64::try_from(length)?;
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// The crate that a mangled name is for: where it is a generic's, the one that it was made for, which comes last.
fn crate_of(name: &str) -> &'static str {
    const CRATES: [&str; 12] = [
        "nearest_replica",
        "spin_sdk",
        "wasip3",
        "serde_json",
        "serde_core",
        "futures_util",
        "wit_bindgen",
        "http",
        "bytes",
        "std",
        "alloc",
        "core",
    ];
    let demangled = format!("{:#}", rustc_demangle::demangle(name));
    let is_in = |krate: &&&str| {
        demangled.match_indices(&format!("{krate}::")).any(|(at, _)| {
            !demangled[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == ':')
        })
    };
    // A name without a crate is C's: the allocator and memory functions of wasi-libc.
    CRATES.iter().find(is_in).copied().unwrap_or("(C)")
}

/// What instances cost in one process that has made none before.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct InOneProcess {
    median_us: f64,
    kib: f64,
}

/// Makes many instances that all stay alive.
///
/// # Errors
/// When they cannot be made.
pub async fn in_this_process() -> Result<InOneProcess> {
    let options = Options::new(repository().join("spin.toml")).with("SPIN_VARIABLE_URL", "postgres:///db");
    // The first one also compiles the component.
    let first = instantiate(options.clone(), 1).await?;
    let before = Usage::of(std::process::id())?.memory;
    let instances = instantiate(options, INSTANCES).await?;
    let grown = Usage::of(std::process::id())?.memory.saturating_sub(before);
    let times = instances.times().map(|time| time.as_secs_f64() * 1e6).collect();
    drop(first);
    #[expect(clippy::cast_precision_loss, reason = "a process of some megabytes")]
    Ok(InOneProcess { median_us: Spread::of(times).median, kib: grown as f64 / 1024.0 / INSTANCES as f64 })
}

fn in_a_new_process() -> Result<InOneProcess> {
    let output = Command::new(std::env::current_exe()?).arg("--instances").output().context("making instances")?;
    ensure!(output.status.success(), "making instances: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("making instances")
}

/// Measures instances, and one server from 1 to 256 clients, in every round.
///
/// # Errors
/// When the component does not come up.
pub async fn measure(spin: &Path, cluster: &Cluster, rounds: usize, length: Duration) -> Result<Cost> {
    let (mut times, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let one = in_a_new_process()?;
        times.push(one.median_us);
        memory.push(one.kib);
    }
    let mut measured: BTreeMap<usize, Vec<Figures>> = BTreeMap::new();
    for round in 1..=rounds {
        // A new process each time: memory and connections stay when the clients are gone.
        let server = Contender::application("ours", spin, Application::Ours).start(cluster).await?;
        for clients in CLIENTS {
            let outcome = load::run(server.address(), clients, length).await?;
            let held = cluster.server(REGION).ask(HELD).await?.parse::<f64>()?;
            #[expect(clippy::cast_precision_loss, reason = "a process of some megabytes, and a few requests")]
            let (memory, failed) =
                (Usage::of(server.process())?.memory as f64 / 1024.0 / 1024.0, outcome.failed as f64);
            eprintln!("    round {round}, {clients} clients: {held} connections, {memory:.0} MiB");
            let figures = figures([("connections", held), ("memory_mib", memory), ("failed", failed)]);
            measured.entry(clients).or_default().push(figures);
        }
    }
    Ok(Cost {
        instantiation_us: Spread::of(times),
        instance_kib: Spread::of(memory),
        by_clients: spreads_of_each(measured),
    })
}

const HELD: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'nearest-replica-fra'";

#[cfg(test)]
mod tests {
    use super::*;
    use host_tests::machine::Host;

    /// Spin keeps the memory of its instances resident (build.rs).
    #[test]
    fn an_instance_begins_with_little_memory() {
        Host::InHouse.build_component().unwrap();
        let component = std::fs::read(wasm_path(&repository().join("target"))).unwrap();
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
            ("_RNvNtCs1234_7mycrate3foo3bar", "(C)"),
            ("_ZN4core3fmt5write17h0123456789abcdefE", "core"),
            ("_ZN15nearest_replica4read6Reader5probe17h0123456789abcdefE", "nearest_replica"),
            ("dlmalloc", "(C)"),
        ] {
            assert_eq!(crate_of(name), expected, "{name}");
        }
    }
}
