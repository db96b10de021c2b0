//! ARCHITECTURE.md and the picture in the README, held to the tree and to what the regions really are.

use std::collections::BTreeSet;

use host_tests::machine::repository;
use host_tests::postgres::PRIMARY;
use roxmltree::{Document, Node};

use crate::texts::{quoted, read, sources, table};

/// The paths that ARCHITECTURE.md names, from the root of the repository; those of a table are in the folder of the
/// heading before it.
fn named() -> BTreeSet<String> {
    let mut folder = String::new();
    let mut found = BTreeSet::new();
    for line in read("ARCHITECTURE.md").lines() {
        if line.starts_with('#') {
            folder = quoted(line).first().map_or_else(String::new, |folder| (*folder).to_owned());
            found.insert(folder.clone());
        }
        let first_cell = line.starts_with("| `").then(|| line.split(" | ").next().unwrap());
        found.extend(first_cell.into_iter().flat_map(quoted).map(|name| format!("{folder}{name}")));
        if first_cell.is_none() {
            let full = |name: &&str| name.contains('/') && !name.contains(' ');
            found.extend(quoted(line).into_iter().filter(full).map(str::to_owned));
        }
    }
    found.remove("");
    found
}

/// Whether a path is one that a name means; a `*` in it stands for one file or folder.
fn means(name: &str, path: &str) -> bool {
    let (name, path): (Vec<_>, Vec<_>) = (name.split('/').collect(), path.split('/').collect());
    name.len() == path.len() && name.iter().zip(&path).all(|(name, part)| *name == "*" || name == part)
}

#[test]
fn the_map_names_every_source_and_nothing_that_is_not_there() {
    let named = named();
    let sources = sources();
    for name in &named {
        let exists = match name.contains('*') {
            true => sources.iter().any(|source| means(name, &source.path)),
            // Paths in the life of a request are short: those of the library.
            false => ["", "crates/nearest-replica/src/"].iter().any(|base| repository().join(base).join(name).exists()),
        };
        assert!(exists, "ARCHITECTURE.md: there is no {name}");
    }
    // A folder's own `mod.rs` is meant by the folder.
    let listed = |path: &str| named.iter().any(|name| means(name, path) || path == format!("{name}mod.rs"));
    let missing: Vec<_> = sources.into_iter().map(|source| source.path).filter(|path| !listed(path)).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md does not say what these are for: {missing:?}");
    let library = "crates/nearest-replica/";
    assert!(!named.iter().any(|name| name.starts_with(library) && name.contains('*')), "each file of it has a line");
}

#[test]
fn where_to_change_what_is_where_the_map_says() {
    let rows = table(&read("ARCHITECTURE.md"), "| what | file | there |");
    assert!(rows.len() > 15, "found the table");
    for row in rows {
        for file in quoted(&row[1]) {
            let text = read(file);
            for there in quoted(&row[2]) {
                let words = |c: char| !c.is_alphanumeric() && c != '_' && c != '-';
                assert!(text.split(words).any(|word| word == there), "{}: no {there} in {file}", row[0]);
            }
        }
    }
}

#[test]
fn the_picture_shows_the_regions_and_can_be_read_on_any_ground() {
    let text = read("docs/regions.svg");
    let picture = Document::parse(&text).unwrap();
    let svg = picture.root_element();
    let by_id = |id: &str| -> Node {
        let found = picture.descendants().find(|node| node.attribute("id") == Some(id));
        found.unwrap_or_else(|| panic!("the picture has no `{id}`"))
    };
    let texts = |node: Node| -> Vec<String> {
        let texts = node.descendants().filter(|node| node.has_tag_name("text"));
        texts.map(|node| node.text().unwrap().to_owned()).collect()
    };
    assert!(read("README.md").contains("](docs/regions.svg)"), "README.md shows it");

    let fly: toml::Table = toml::from_str(&read("fly.toml")).unwrap();
    assert_eq!(fly["primary_region"].as_str(), Some(PRIMARY));
    let manifest: toml::Table = toml::from_str(&read("spin.toml")).unwrap();
    let replica_port = manifest["variables"]["replica_port"]["default"].as_str().unwrap();
    let up = read("lab/src/regions.rs");
    let replicas: Vec<_> =
        up.split("const REPLICAS").nth(1).unwrap().split(';').nth(1).unwrap().split('"').skip(1).step_by(2).collect();
    assert_eq!(replicas.len(), 2);
    let databases =
        replicas.iter().map(|region| (*region, "replica", replica_port)).chain([(PRIMARY, "primary", "5432")]);
    for (region, role, port) in databases {
        let said = texts(by_id(region));
        for expected in [region, "Machine", &format!("Postgres, {role}"), &format!("port {port}")] {
            assert!(said.iter().any(|text| text == expected), "{region}: no `{expected}` in {said:?}");
        }
        by_id(&format!("{region}-read"));
    }
    for region in replicas {
        by_id(&format!("{region}-fall-back"));
        by_id(&format!("{region}-replication"));
    }
    let legend = texts(by_id("legend")).join("; ");
    for arrow in ["read", "fall-back", "replication"] {
        assert!(legend.contains(arrow), "{legend}");
    }

    // A ground of its own below everything else, text that is text, and nothing from elsewhere.
    let size: Vec<_> = svg.attribute("viewBox").unwrap().split(' ').collect();
    let ground = svg.children().find(|node| node.is_element() && !["title", "desc"].contains(&node.tag_name().name()));
    let ground = ground.unwrap();
    assert_eq!([ground.attribute("width"), ground.attribute("height")], [Some(size[2]), Some(size[3])]);
    assert_eq!((ground.tag_name().name(), ground.attribute("fill")), ("rect", Some("#ffffff")));
    for node in picture.descendants().filter(Node::is_element) {
        assert!(
            !["image", "script", "foreignObject", "use"].contains(&node.tag_name().name()),
            "{:?}",
            node.tag_name()
        );
    }
}
