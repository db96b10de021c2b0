//! Which Spin `make up` serves with.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use host_tests::machine::repository;

#[test]
fn a_spin_on_the_path_serves_from_4_1_on() {
    let script = repository().join("scripts/find-spin");
    for (version, serves) in [
        ("spin 4.1.0-pre0 (94a8fc8 2026-11-20)", true),
        ("spin 4.1.0 (94a8fc8 2026-11-20)", true),
        ("spin 4.10.2", true),
        ("spin 5.0.0", true),
        ("spin 4.0.9", false),
        ("spin 3.6.0", false),
        // The model checker of the same name.
        ("Spin Version 6.5.2 -- 6 December 2019", false),
        ("", false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let spin = folder.path().join("spin");
        std::fs::write(&spin, format!("#!/bin/sh\necho '{version}'\n")).unwrap();
        std::fs::set_permissions(&spin, Permissions::from_mode(0o755)).unwrap();
        let found = |variable: Option<&str>| {
            let mut command = Command::new(&script);
            let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
            command.env("PATH", path).env_remove("SPIN").envs(variable.map(|value| ("SPIN", value)));
            String::from_utf8(command.output().unwrap().stdout).unwrap()
        };
        let path = format!("{}\n", spin.display());
        assert_eq!(found(None), if serves { path.as_str() } else { "" }, "{version:?}");
        assert_eq!(found(Some("")), "", "an empty SPIN is the in-house host");
        assert_eq!(found(Some(path.trim())), path, "a Spin that is named is taken as it is");
    }
}
