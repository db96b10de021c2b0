//! The host side of Spin's interfaces, generated: by build.rs for those of today, here for those of earlier versions.

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));

/// Key-value stores and variables of `fermyon:spin@2.0.0`, Postgres of `spin:postgres@3.0.0`.
pub(crate) mod earlier {
    wasmtime::component::bindgen!({
        path: ["../wit/fermyon-spin@2.0.0", "../wit/spin-postgres@3.0.0"],
        inline: "
            package nearest-replica:earlier;
            world earlier {
                import fermyon:spin/key-value@2.0.0;
                import fermyon:spin/variables@2.0.0;
                import spin:postgres/postgres@3.0.0;
            }
        ",
        world: "nearest-replica:earlier/earlier",
        with: {
            "fermyon:spin/key-value@2.0.0.store": super::super::resources::Store,
            "spin:postgres/postgres@3.0.0.connection": super::super::resources::Connection,
        },
        imports: { default: async | trappable },
        trappable_error_type: {
            "fermyon:spin/key-value@2.0.0.error" => fermyon::spin::key_value::Error,
            "fermyon:spin/variables@2.0.0.error" => fermyon::spin::variables::Error,
            "spin:postgres/postgres@3.0.0.error" => spin::postgres::postgres::Error,
        },
    });
}
