//! Generates the host side of Spin's interfaces from the WIT of the very spin-sdk that the component is built with.

use anyhow::Result;

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=../Cargo.lock");
    #[cfg(feature = "in-house")]
    generate()?;
    Ok(())
}

#[cfg(feature = "in-house")]
fn generate() -> Result<()> {
    use std::{env, fs, path::PathBuf};

    use anyhow::Context;
    use cargo_metadata::MetadataCommand;

    let metadata = MetadataCommand::new()
        .other_options(["--locked".into(), "--filter-platform".into(), env::var("TARGET")?])
        .exec()
        .context("asking cargo for the workspace's packages")?;
    let sdk = metadata.packages.iter().find(|package| package.name == "spin-sdk").context("finding spin-sdk")?;
    let wit = sdk.manifest_path.parent().context("finding spin-sdk's folder")?.join("wit");
    let bindings = format!(
        r##"wasmtime::component::bindgen!({{
    path: {path:?},
    inline: r#"
        package nearest-replica:host;
        world host {{
            include spin:sdk/spin-sdk-kv;
            include spin:sdk/spin-sdk-pg;
            include spin:sdk/spin-sdk-variables;
        }}
    "#,
    world: "nearest-replica:host/host",
    with: {{
        "spin:key-value/key-value@3.0.0.store": super::resources::Store,
        "spin:postgres/postgres@4.2.0.connection": super::resources::Connection,
        "spin:postgres/postgres@4.2.0.connection-builder": super::resources::Builder,
    }},
    imports: {{ default: async | trappable }},
    trappable_error_type: {{
        "spin:key-value/key-value@3.0.0.error" => spin::key_value::key_value::Error,
        "spin:postgres/postgres@4.2.0.error" => spin::postgres::postgres::Error,
        "spin:variables/variables@3.0.0.error" => spin::variables::variables::Error,
    }},
}});
"##,
        path = wit.as_str()
    );
    let out = PathBuf::from(env::var("OUT_DIR")?).join("bindings.rs");
    fs::write(&out, bindings).with_context(|| format!("writing {}", out.display()))
}
