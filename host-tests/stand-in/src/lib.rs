//! Stands in for `spin:postgres` in two versions. It knows no SQL: a "statement" is what to try of its own host, and
//! the one row says what came of it.
#![cfg(target_family = "wasm")]

mod host {
    wit_bindgen::generate!({
        path: ["../../wit/spin-postgres@4.0.0", "../../wit/fermyon-spin@2.0.0"],
        inline: "
            package tests:stand-in;
            world host {
                import fermyon:spin/key-value@2.0.0;
                import fermyon:spin/variables@2.0.0;
                import spin:postgres/postgres@4.0.0;
            }
        ",
        world: "tests:stand-in/host",
        generate_all,
    });
}

mod app {
    wit_bindgen::generate!({
        path: ["../../wit/spin-postgres@3.0.0", "../../wit/spin-postgres@4.0.0"],
        inline: "
            package tests:stand-in;
            world app {
                export spin:postgres/postgres@3.0.0;
                export spin:postgres/postgres@4.0.0;
            }
        ",
        world: "tests:stand-in/app",
        generate_all,
    });
    export!(Component with_types_in self);

    pub(crate) struct Component;
    pub(crate) struct Connection;
}

/// Does what a statement says: `variable <name>`, `store <label>` or `open <url>`.
fn attempt(statement: &str) -> String {
    use host::fermyon::spin::{key_value, variables};
    use host::spin::postgres::postgres;
    let (verb, what) = statement.split_once(' ').unwrap_or((statement, ""));
    match verb {
        "variable" => format!("{:?}", variables::get(what)),
        "store" => format!("{:?}", key_value::Store::open(what).map(|_| ())),
        "open" => format!("{:?}", postgres::Connection::open(what).map(|_| ())),
        _ => statement.to_owned(),
    }
}

/// One version of the interface.
macro_rules! stand_in {
    ($version:literal, $($module:ident)::+) => {
        const _: () = {
            use app::exports::$($module)::+ as wit;

            impl wit::Guest for app::Component {
                type Connection = app::Connection;
            }

            impl wit::GuestConnection for app::Connection {
                fn open(_: String) -> Result<wit::Connection, wit::Error> {
                    Ok(wit::Connection::new(app::Connection))
                }

                fn query(&self, statement: String, _: Vec<wit::ParameterValue>) -> Result<wit::RowSet, wit::Error> {
                    let column = wit::Column { name: $version.to_owned(), data_type: wit::DbDataType::Str };
                    Ok(wit::RowSet { columns: vec![column], rows: vec![vec![wit::DbValue::Str(attempt(&statement))]] })
                }

                fn execute(&self, _: String, _: Vec<wit::ParameterValue>) -> Result<u64, wit::Error> {
                    Ok(0)
                }
            }
        };
    };
}

stand_in!("stand-in 3.0.0", spin::postgres3_0_0::postgres);
stand_in!("stand-in 4.0.0", spin::postgres4_0_0::postgres);
