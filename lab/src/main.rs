//! The lab: `up` serves an app in three regions on this machine, with real replication and a page that shows it; `try` runs a
//! command against that; `doctor` examines databases that are not of the lab.

mod application;
mod command;
mod databases;
mod lab;
mod load;
mod options;
mod origin;
mod place;
mod regions;
mod requests;
mod single;
mod snapshot;
mod stopping;
mod trial;
mod up;
mod visitor;
mod web;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

/// Three regions on this machine, with real replication.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves until Ctrl-C: three regions and a page that shows them, or one Machine in front of a database of yours.
    Up(up::Arguments),
    /// Runs a command against the region `fra`, whose replica lags; its exit status is the command's.
    Try(trial::Arguments),
    /// Says of each database that a Machine with this environment would read from what is wrong, and what to write instead.
    Doctor(doctor::Arguments),
}

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    let stopped = match stopping::on_signals(&command) {
        Ok(stopped) => stopped,
        Err(error) => return failed(&error),
    };
    let runtime = match tokio::runtime::Runtime::new().context("starting to work") {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let outcome = runtime.block_on(async {
        tokio::select! {
            // Whatever has been started is stopped when this is dropped.
            outcome = work(command) => outcome,
            interrupted = stopped => interrupted.context("listening for signals"),
        }
    });
    // A build that goes on, or a guest that loops, is not waited for.
    runtime.shutdown_background();
    outcome.unwrap_or_else(|error| failed(&error))
}

async fn work(command: Command) -> Result<ExitCode> {
    match command {
        Command::Up(arguments) => up::run(arguments).await.map(|()| ExitCode::SUCCESS),
        Command::Try(arguments) => trial::run(arguments).await,
        Command::Doctor(arguments) => Ok(doctor::run(arguments).await),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

/// Says what is done now.
fn step(what: &str) {
    eprintln!("==> {what}");
}
