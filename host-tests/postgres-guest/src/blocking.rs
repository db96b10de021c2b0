//! By the functions that block.

macro_rules! version {
    ($name:ident, $path:path) => {
        pub(crate) mod $name {
            use $path as pg;

            use crate::params::$name as params;
            use crate::{Outcome, Step};

            pub(crate) fn run(address: &str, steps: &[Step]) -> Vec<Outcome> {
                let mut connections: Vec<Option<pg::Connection>> = Vec::new();
                steps.iter().map(|step| outcome(one(address, &mut connections, step))).collect()
            }

            fn one(
                address: &str,
                connections: &mut Vec<Option<pg::Connection>>,
                step: &Step,
            ) -> Result<Outcome, pg::Error> {
                if connections.len() <= step.on {
                    connections.resize_with(step.on + 1, || None);
                }
                if connections[step.on].is_none() {
                    connections[step.on] = Some(pg::Connection::open(address)?);
                }
                let connection = connections[step.on].as_ref().expect("it was opened");
                let params = params::all(&step.params)?;
                if step.execute {
                    let count = connection.execute(&step.statement, &params)?;
                    return Ok(Outcome { count, ..Outcome::default() });
                }
                let answer = connection.query(&step.statement, &params)?;
                let rows: Vec<_> = answer.rows.iter().map(|row| format!("{row:?}")).collect();
                let columns = answer.columns.iter().map(|column| format!("{column:?}")).collect();
                Ok(Outcome { columns, count: rows.len() as u64, rows, error: None })
            }

            fn outcome(outcome: Result<Outcome, pg::Error>) -> Outcome {
                outcome.unwrap_or_else(|error| Outcome { error: Some(format!("{error:?}")), ..Outcome::default() })
            }
        }
    };
}

version!(v3_0, crate::bindings::spin::postgres3_0_0::postgres);
version!(v4_0, crate::bindings::spin::postgres4_0_0::postgres);
version!(v4_2, crate::bindings::spin::postgres4_2_0::postgres);
