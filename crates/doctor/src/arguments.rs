//! The command line, and what becomes of a report.

use std::io::Write;
use std::process::ExitCode;

use crate::examine::examine;
use crate::report::Load;
use crate::variables::Variables;

/// What `doctor` can be told.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
    /// How many Machines of the app connect to the same database
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    machines: u32,
    /// `max_connections` of `[outbound_pg]` in runtime-config.toml; Spin's own number where there is none
    #[arg(long, value_name = "NUMBER", default_value_t = Load::PER_POOL, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    max_connections: u32,
    /// From how many seconds on a replica that has not replayed everything lags too much
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    max_lag: u32,
}

/// Examines what the environment of this process leads to and prints the report to standard output.
pub async fn run(arguments: Arguments) -> ExitCode {
    let Arguments { json, machines, max_connections, max_lag } = arguments;
    let variables = Variables::read(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()));
    let report = examine(&variables, &Load { machines, max_connections, max_lag }).await;
    let text = if json { report.to_json() } else { report.to_string() };
    // Nobody is left to be told where the reader has gone.
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    ExitCode::from(report.exit_status)
}
