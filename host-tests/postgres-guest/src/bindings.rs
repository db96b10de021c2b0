//! Every version of Spin's Postgres interface.

spin_sdk::wit_bindgen::generate!({
    runtime_path: "spin_sdk::wit_bindgen::rt",
    path: ["../../wit/spin-postgres@3.0.0", "../../wit/spin-postgres@4.0.0", "../../wit/spin-postgres@4.2.0"],
    inline: "
        package nearest-replica:postgres-guest;
        world guest {
            import spin:postgres/postgres@3.0.0;
            import spin:postgres/postgres@4.0.0;
            import spin:postgres/postgres@4.2.0;
        }
    ",
    world: "nearest-replica:postgres-guest/guest",
    generate_all,
});
