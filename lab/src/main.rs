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
mod trial;
mod up;
mod visitor;
mod web;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

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

#[tokio::main]
async fn main() -> ExitCode {
    let command = Arguments::parse().command;
    match run(command).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // What a command that was interrupted is reported as; for a server Ctrl-C is the way to end it.
    let interrupted = if matches!(command, Command::Up(_)) { 0 } else { 130 };
    let mut work = Box::pin(async {
        match command {
            Command::Up(arguments) => up::run(arguments).await.map(|()| ExitCode::SUCCESS),
            Command::Try(arguments) => trial::run(arguments).await,
            Command::Doctor(arguments) => Ok(doctor::run(arguments).await),
        }
    });
    tokio::select! {
        outcome = &mut work => return outcome,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    step("stopping");
    // Who asks again does not want to wait; the watchdog over the servers stops what is left.
    tokio::spawn(async move {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        std::process::exit(1)
    });
    // Whatever has been started is stopped in its Drop. A build that goes on is not waited for.
    drop(work);
    std::process::exit(interrupted)
}

/// Says what is done now.
fn step(what: &str) {
    eprintln!("==> {what}");
}
