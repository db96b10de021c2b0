//! `make doctor`: the doctor as a program.

use std::process::ExitCode;

use clap::Parser;
use doctor::Arguments;

/// Says of each database that this Machine would read from whether it can be reached and is what it should be, and what to
/// write where it is not. Reads the environment as the component does: `DATABASE_URL`, `FLY_REGION`,
/// `SPIN_VARIABLE_PRIMARY_REGION` and the other variables. It only reads, and shows no password.
///
/// Exit status: 0 where nothing is wrong that must be mended (warnings and notes are no errors), 1 where something is, 2
/// where a variable or an argument makes no sense.
#[derive(Parser)]
#[command(name = "doctor", verbatim_doc_comment)]
struct Program {
    #[command(flatten)]
    arguments: Arguments,
}

#[tokio::main]
async fn main() -> ExitCode {
    doctor::run(Program::parse().arguments).await
}
