//! The in-house host as a program, with those parts of `spin`'s command line that the Dockerfile and `make up` use.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Parser};
use host_tests::logs::Logs;
use host_tests::spin::{Options, Server, build};

/// Imitates Spin.
#[derive(Parser)]
enum Command {
    /// Builds an application.
    Build {
        /// The manifest.
        #[arg(long, default_value = "spin.toml")]
        from: PathBuf,
    },
    /// Serves an application.
    Up(Up),
}

#[derive(Args)]
struct Up {
    /// The manifest.
    #[arg(long, default_value = "spin.toml")]
    from: PathBuf,
    /// Variables providers.
    #[arg(long, env = "RUNTIME_CONFIG_FILE")]
    runtime_config_file: Option<PathBuf>,
    /// Where to listen.
    #[arg(long, env = "SPIN_HTTP_LISTEN_ADDR", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// Only without one here: nothing is kept between runs.
    #[arg(long, value_parser = nothing)]
    state_dir: Option<String>,
    /// Ends an instance whose request takes longer.
    #[arg(long, value_parser = duration)]
    request_timeout: Option<Duration>,
    /// There is no cache of compiled components here.
    #[arg(long)]
    disable_cache: bool,
}

fn nothing(value: &str) -> Result<String, String> {
    if value.is_empty() { Ok(String::new()) } else { Err("this host has no state directory: write \"\"".to_owned()) }
}

/// Seconds with or without `s`, or `ms`, as Spin reads them.
fn duration(value: &str) -> Result<Duration, String> {
    let (number, unit) = value.split_at(value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len()));
    let number: u64 = number.parse().map_err(|_| format!("{value:?} is not a time: write for example 10s"))?;
    match unit {
        "" | "s" => Ok(Duration::from_secs(number)),
        "ms" => Ok(Duration::from_millis(number)),
        _ => Err(format!("{value:?} is not a time: write for example 10s or 500ms")),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Build { from } => build(&from),
        Command::Up(up) => serve(up).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(up: Up) -> Result<()> {
    let mut options = Options::new(up.from);
    options.runtime_config = up.runtime_config_file;
    options.environment = std::env::vars().collect();
    options.request_timeout = up.request_timeout;
    let server = Server::start(up.listen, options, Logs::echoing("|"), false).await?;
    println!("Serving http://{}", server.address());
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        signal = tokio::signal::ctrl_c() => signal.context("waiting for Ctrl-C")?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
