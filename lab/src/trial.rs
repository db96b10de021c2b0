//! `make try`: a command of the user's own against the region `fra`, whose replica lags.

use std::io::{IsTerminal, stdin};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::Command;

use crate::lab::{Lab, Plan};
use crate::options::{Options, lag};
use crate::place::url;
use crate::regions::{REGIONS, REPLICAS};
use crate::step;

/// What `try` can be told.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: Options,
    /// How much later than the primary the replicas replay.
    #[arg(long, env = "LAG", default_value = "2s", value_parser = lag)]
    lag: Duration,
    /// The command, for a shell, such as 'pytest -q'. BASE_URL is the app in fra, BASE_URL_SJC, BASE_URL_FRA and
    /// BASE_URL_SYD are the app in each region, DATABASE_URL is the primary.
    #[arg(long, env = "RUN", value_parser = command)]
    run: String,
}

fn command(value: &str) -> Result<String, String> {
    let wanted = "write a command, such as RUN='pytest -q'";
    if value.trim().is_empty() { Err(wanted.to_owned()) } else { Ok(value.to_owned()) }
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode> {
    let plan = Plan::of(&arguments.options, arguments.lag)?;
    plan.build().await?;
    let lab = Lab::start(&plan, &[]).await?;
    let base = |region: &str| format!("http://{}", lab.edge(region));
    step(&format!(
        "running `{}` against {} ({} behind)",
        arguments.run,
        base(REPLICAS[0]),
        humantime::format_duration(arguments.lag)
    ));
    let mut command = Command::new("sh");
    command.args(["-c", &arguments.run]).kill_on_drop(true);
    command.env("BASE_URL", base(REPLICAS[0])).env("DATABASE_URL", url(lab.cluster().primary().address()));
    for region in REGIONS {
        command.env(format!("BASE_URL_{}", region.to_uppercase()), base(region));
    }
    // What the lab was told is none of the command's business.
    for name in ["APP", "SCHEMA", "LAG", "DISTANCE", "RUN", "SPIN", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"] {
        command.env_remove(name);
    }
    // A group that is not the terminal's would be stopped there, without a word.
    if stdin().is_terminal() {
        command.stdin(Stdio::null());
    }
    // With all that it starts, which ends with it.
    let mut child = command.process_group(0).spawn().context("starting a shell")?;
    let _group = Group(child.id());
    let status = child.wait().await.context("waiting for the command")?;
    let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    step(&format!("`{}` has ended with {code}", arguments.run));
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// The processes of a command. Dropping it ends those that are left: those that do not want to, after a second.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let Some(id) = self.0.and_then(|id| i32::try_from(id).ok()) else { return };
        let tell = |signal| killpg(Pid::from_raw(id), signal).is_ok();
        let told = Instant::now();
        let mut is_left = tell(Some(Signal::SIGTERM));
        while is_left && told.elapsed() < Duration::from_secs(1) {
            sleep(Duration::from_millis(10));
            is_left = tell(None);
        }
        if is_left {
            tell(Some(Signal::SIGKILL));
        }
    }
}
