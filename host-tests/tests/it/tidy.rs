//! What would drift in the sources if nobody looked: sizes, names that stand in several files, which file uses which.

use std::collections::{BTreeMap, BTreeSet};

use host_tests::machine::repository;
use syn::visit::Visit;
use syn::{Attribute, File, ImplItemFn, ItemFn, ItemImpl, ItemMod, ItemUse, Path, UseTree, Visibility};

use crate::texts::{Text, product_code, read, sources};

#[test]
fn every_file_says_what_it_is_for_and_is_short() {
    for Text { path, text } in sources() {
        assert!(text.starts_with("//! "), "{path} does not start with what it is for");
        let lines = text.lines().count();
        assert!(lines <= 400, "{path} has {lines} lines: which two files is it?");
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

#[test]
fn rules_are_pure_and_one_file_touches_spins_postgres_interface() {
    const LIBRARY: &str = "crates/nearest-replica/src/";
    let sources = sources();
    let mut rules = 0;
    for Text { path, text } in sources.iter().filter(|source| source.path.starts_with(LIBRARY)) {
        let code = product_code(text);
        if path.starts_with(&format!("{LIBRARY}rules/")) {
            rules += 1;
            for impure in ["spin_sdk", "Instant::now", "SystemTime", "std::env", "std::fs", "std::net::Tcp", "async "] {
                assert!(!code.contains(impure), "{path} has `{impure}`");
            }
        }
        if code.contains("spin_sdk::pg") {
            assert_eq!(path, &format!("{LIBRARY}spin/postgres.rs"));
        }
        for interface in ["spin_sdk::key_value", "spin_sdk::variables"] {
            assert!(!code.contains(interface) || path.starts_with(&format!("{LIBRARY}spin/")), "{path}: {interface}");
        }
    }
    assert!(rules > 10, "found the rules");
    for Text { path, text } in sources.iter().filter(|source| source.path.starts_with("src/")) {
        assert!(!product_code(text).contains("spin_sdk::pg"), "{path} leaves Postgres to the library");
    }
}

#[test]
fn the_newest_postgres_interface_is_that_of_spin_sdk() {
    let metadata = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version", "1"])
        .current_dir(repository())
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let sdk = packages.iter().find(|package| package["name"] == "spin-sdk").unwrap();
    let manifest = std::path::Path::new(sdk["manifest_path"].as_str().unwrap());
    let theirs = manifest.with_file_name("wit").join("deps/spin-postgres@4.2.0/postgres.wit");
    assert_eq!(read("wit/spin-postgres@4.2.0/postgres.wit"), std::fs::read_to_string(theirs).unwrap());
}

/// Each uses only those before it, and its own.
const FLOORS: [&[&str]; 8] = [
    &["rules"],
    &["spin"],
    &["instance"],
    &["log", "outcome", "position", "problem", "rows", "write"],
    &["read"],
    &["database"],
    &["session"],
    &["transaction"],
];

#[test]
fn the_library_depends_in_one_direction() {
    let floor = |module: &str| {
        let first = module.split("::").next().unwrap();
        FLOORS.iter().position(|floor| floor.contains(&first)).unwrap_or_else(|| panic!("{module} is on no floor"))
    };
    let uses = uses("crates/nearest-replica/src/");
    assert!(uses.len() > 15, "found the library");
    for (module, used) in uses.iter().filter(|(module, _)| !module.is_empty()) {
        for other in used {
            assert!(floor(other) <= floor(module), "{module} uses {other}, which is above it");
        }
    }
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let folders = [
        "src/",
        "crates/doctor/src/",
        "crates/nearest-replica/src/",
        "crates/postgres-adapter/src/",
        "host-tests/src/",
        "host-tests/tests/it/",
        "bench/src/",
        "lab/src/",
        "lab/tests/lab/",
    ];
    let circles =
        folders.iter().filter_map(|folder| Some(format!("{folder}: {}", circle(&uses(folder))?.join(" -> "))));
    assert_eq!(circles.collect::<Vec<_>>(), [""; 0], "these use each other");
}

/// A circle, if there is one: each module uses the next, the last is the first.
fn circle(uses: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<&str>> {
    fn visit<'a>(
        module: &'a str,
        uses: &'a BTreeMap<String, BTreeSet<String>>,
        path: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
    ) -> Option<Vec<&'a str>> {
        if let Some(start) = path.iter().position(|visited| *visited == module) {
            return Some([&path[start..], &[module]].concat());
        }
        if !done.contains(module) {
            path.push(module);
            let found = uses[module].iter().find_map(|used| visit(used, uses, path, done));
            path.pop();
            done.insert(module);
            return found;
        }
        None
    }
    let mut done = BTreeSet::new();
    uses.keys().find_map(|module| visit(module, uses, &mut Vec::new(), &mut done))
}

#[test]
fn a_circle_is_found_and_re_exports_lead_to_the_file_itself() {
    let file = |path: &str, text: &str| Text { path: path.to_owned(), text: text.to_owned() };
    let files = [
        file("lib.rs", "pub mod host; pub mod wait; #[cfg(all(test, unix))] mod tests { use crate::wait::Wait; }"),
        file("wait.rs", "pub struct Wait;"),
        file("host/mod.rs", "mod pool; mod server; pub use pool::{Pool, Size as Number}; pub use server::Server;"),
        file("host/pool.rs", "use crate::wait::{self, Wait}; pub struct Pool; pub struct Size;"),
        file("host/server.rs", "use super::{Number, pool}; pub struct Server; fn f() { super::Pool::new() }"),
    ];
    let uses = uses_of(&files);
    assert_eq!(uses["host::server"], BTreeSet::from(["host::pool".to_owned()]));
    assert_eq!(uses["host::pool"], BTreeSet::from(["wait".to_owned()]));
    assert!(uses["host"].is_empty() && uses[""].is_empty(), "{uses:?}");
    assert_eq!(circle(&uses), None);

    let mut files = files;
    files[3].text += "fn g() { crate::host::Server::start() }";
    assert_eq!(circle(&uses_of(&files)), Some(vec!["host::pool", "host::server", "host::pool"]));
}

/// The modules of a crate by name, `` for its root, and the modules that each uses outside its tests.
fn uses(folder: &str) -> BTreeMap<String, BTreeSet<String>> {
    let inside = sources().into_iter().filter_map(|Text { path, text }| {
        let path = path.strip_prefix(folder)?.to_owned();
        // Programs use the library beside them, and nobody uses them.
        let program = path.starts_with("bin/") || (folder == "bench/src/" && path == "main.rs");
        (!program).then_some(Text { path, text })
    });
    let files: Vec<_> = inside.collect();
    assert!(files.len() > 1, "found {folder}");
    uses_of(&files)
}

fn uses_of(files: &[Text]) -> BTreeMap<String, BTreeSet<String>> {
    let modules: BTreeMap<Vec<String>, Module> = files
        .iter()
        .map(|Text { path, text }| {
            let file: File = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"));
            let name = module_name(path);
            let mut module = Module { name: name.clone(), ..Module::default() };
            module.visit_file(&file);
            (name, module)
        })
        .collect();
    let of = |module: &Module| {
        let used = module.used.iter().filter_map(|path| resolve(path, &modules)).filter(|used| *used != module.name);
        used.map(|name| name.join("::")).collect()
    };
    modules.iter().map(|(name, module)| (name.join("::"), of(module))).collect()
}

/// `spin/mod.rs` is `[spin]`, `spin/pool.rs` is `[spin, pool]`, `lib.rs` and `main.rs` are `[]`.
fn module_name(path: &str) -> Vec<String> {
    let mut parts: Vec<_> = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| last == "mod") || parts == ["lib"] || parts == ["main"] {
        parts.pop();
    }
    parts
}

/// The module in whose file the thing behind a path is.
fn resolve(path: &[String], modules: &BTreeMap<Vec<String>, Module>) -> Option<Vec<String>> {
    let length = (0..=path.len()).rev().find(|length| modules.contains_key(&path[..*length]))?;
    let module = &modules[&path[..length]];
    match path.get(length).and_then(|name| module.names.get(name)) {
        Some(elsewhere) if elsewhere != path => resolve(elsewhere, modules),
        Some(_) | None => Some(module.name.clone()),
    }
}

/// One file of a crate.
#[derive(Default)]
struct Module {
    name: Vec<String>,
    /// Paths from the root of the crate, as far as they are inside it.
    used: Vec<Vec<String>>,
    /// What `use` brings into the module, and from where: others may name it by this module's name.
    names: BTreeMap<String, Vec<String>>,
    children: BTreeSet<String>,
}

impl Module {
    /// A path from the root of the crate; nothing where it leads out of it.
    fn absolute(&self, path: &[String]) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        let base = match first.as_str() {
            "crate" => &[],
            "self" => self.name.as_slice(),
            "super" => &self.name[..self.name.len().checked_sub(1)?],
            child if self.children.contains(child) => return Some([self.name.as_slice(), path].concat()),
            _ => return None,
        };
        Some([base, rest].concat())
    }

    fn add_use(&mut self, prefix: &[String], tree: &UseTree, counts: bool) {
        let join = |name: &syn::Ident| [prefix, &[name.to_string()]].concat();
        let (path, name) = match tree {
            UseTree::Path(path) => return self.add_use(&join(&path.ident), &path.tree, counts),
            UseTree::Group(group) => return group.items.iter().for_each(|tree| self.add_use(prefix, tree, counts)),
            UseTree::Glob(_) => (prefix.to_vec(), String::new()),
            UseTree::Name(name) if name.ident == "self" => (prefix.to_vec(), prefix.last().unwrap().clone()),
            UseTree::Name(name) => (join(&name.ident), name.ident.to_string()),
            UseTree::Rename(rename) => (join(&rename.ident), rename.rename.to_string()),
        };
        if let Some(path) = self.absolute(&path) {
            self.names.insert(name, path.clone());
            if counts {
                self.used.push(path);
            }
        }
    }
}

/// `cfg(test)`, `cfg(all(test, ...))`.
fn is_test(attributes: &[Attribute]) -> bool {
    let cfg = attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"));
    cfg.filter_map(|attribute| attribute.meta.require_list().ok()).any(|list| {
        let text = list.tokens.to_string();
        let words: Vec<_> = text.split(|c: char| !c.is_alphanumeric()).collect();
        words.contains(&"test") && !words.contains(&"not")
    })
}

impl<'ast> Visit<'ast> for Module {
    fn visit_file(&mut self, file: &'ast File) {
        for item in &file.items {
            if let syn::Item::Mod(child) = item {
                self.children.insert(child.ident.to_string());
            }
        }
        syn::visit::visit_file(self, file);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_test(&item.attrs) {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        if !is_test(&item.attrs) {
            syn::visit::visit_item_fn(self, item);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        if !is_test(&item.attrs) {
            syn::visit::visit_item_impl(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        if !is_test(&item.attrs) {
            syn::visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if !is_test(&item.attrs) {
            // A re-export says where something is, not that it is used.
            let counts = matches!(item.vis, Visibility::Inherited);
            self.add_use(&[], &item.tree, counts);
        }
    }

    fn visit_path(&mut self, path: &'ast Path) {
        let segments: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if matches!(segments[0].as_str(), "crate" | "super" | "self") && segments.len() > 1 {
            self.used.extend(self.absolute(&segments));
        }
        syn::visit::visit_path(self, path);
    }
}
