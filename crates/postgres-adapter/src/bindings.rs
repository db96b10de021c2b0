//! Spin's interfaces as this component imports and exports them. wit-bindgen needs two worlds where an interface is on both
//! sides.

/// What Spin provides.
pub(crate) mod imports {
    spin_sdk::wit_bindgen::generate!({
        runtime_path: "spin_sdk::wit_bindgen::rt",
        path: ["../../wit/spin-postgres@4.2.0", "../../wit/fermyon-spin@2.0.0"],
        inline: "
            package nearest-replica:imports;
            world imports {
                import spin:postgres/postgres@4.2.0;
                import fermyon:spin/variables@2.0.0;
                import fermyon:spin/key-value@2.0.0;
            }
        ",
        world: "nearest-replica:imports/imports",
        generate_all,
    });
}

/// What the app takes for Spin.
pub(crate) mod exports {
    spin_sdk::wit_bindgen::generate!({
        runtime_path: "spin_sdk::wit_bindgen::rt",
        path: ["../../wit/spin-postgres@3.0.0", "../../wit/spin-postgres@4.0.0", "../../wit/spin-postgres@4.2.0"],
        inline: "
            package nearest-replica:exports;
            world exports {
                export spin:postgres/postgres@3.0.0;
                export spin:postgres/postgres@4.0.0;
                export spin:postgres/postgres@4.2.0;
            }
        ",
        world: "nearest-replica:exports/exports",
        async: [
            "-export:spin:postgres/postgres@4.2.0#[static]connection.open-async",
            "-export:spin:postgres/postgres@4.2.0#[method]connection-builder.build-async",
        ],
        generate_all,
    });
}
