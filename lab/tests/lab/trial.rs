//! `lab try`: an app that reads what it has just written fails on a replica that lags, and passes behind the adapter and the
//! middleware.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use host_tests::wait::eventually;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::program::{SOON, lab, run, turn};

/// Signs, and asks at once whether that is there, as the tests of an app do.
const WRITE_AND_READ: &str = "curl --fail --silent --cookie-jar jar --cookie jar --data hello \"$BASE_URL/notes\" && \
     curl --fail --silent --cookie-jar jar --cookie jar \"$BASE_URL/notes\" | grep -x hello";

fn notes(manifest: &str, lag: &str, command: &str) -> Command {
    let mut trial = lab(&["try", "--app", &format!("lab/notes-guest/{manifest}")]);
    trial.args(["--schema", "lab/notes-guest/schema.sql", "--lag", lag, "--run"]);
    // Cookies are kept in a folder that goes with the command.
    trial.arg(format!("cd \"$(mktemp -d)\" && {command}"));
    trial.env("SPIN_VARIABLE_REPLICA_URL", "{replica_url}");
    trial
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_reads_its_own_writes_from_a_replica_fails() {
    let _turn = turn().await;
    let (status, out, error) = run(notes("spin.toml", "10s", WRITE_AND_READ));
    assert_eq!(status.code(), Some(1), "grep found nothing: {out}{error}");
    // The same app is right where the replica has had the time.
    let (status, out, error) =
        run(notes("spin.toml", "0s", &format!("{WRITE_AND_READ} || {{ sleep 5; {WRITE_AND_READ}; }}")));
    assert!(status.success(), "{out}{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_app_passes_behind_the_adapter_and_the_middleware() {
    let _turn = turn().await;
    let (status, out, error) = run(notes("with-both.toml", "10s", WRITE_AND_READ));
    assert!(status.success(), "{out}{error}");
    assert!(out.contains("hello"), "what the command prints is seen: {out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_status_is_that_of_the_command_which_knows_where_everything_is() {
    let _turn = turn().await;
    let asks = "test \"$BASE_URL\" = \"$BASE_URL_FRA\" || exit 9
         for url in $BASE_URL_SJC $BASE_URL_FRA $BASE_URL_SYD; do curl --fail --silent \"$url/\" || exit 8; done
         case \"$DATABASE_URL\" in postgres://*) ;; *) exit 7 ;; esac
         test -z \"$RUN$APP$SPIN$MAKEFLAGS\" || exit 6
         exit 42";
    let mut trial = lab(&["try"]);
    trial.env("RUN", asks).env("MAKEFLAGS", "n");
    let (status, out, error) = run(trial);
    assert_eq!(status.code(), Some(42), "{out}{error}");
    assert_eq!(out.matches(r#"{"status":"ok"}"#).count(), 3, "{out}");
    let (status, _, error) = run(lab(&["try", "--run", "kill -TERM $$"]));
    assert_eq!((status.code(), status.signal()), (Some(128 + 15), None), "as shells say it: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_command_leaves_in_the_background_ends_with_it() {
    let _turn = turn().await;
    // One that ends when it is told to, and one that does not want to.
    let both = "sleep 3600 & echo $!; (trap '' TERM; exec sleep 3600) & echo $!";
    let (status, out, error) = run(lab(&["try", "--run", both]));
    assert!(status.success(), "{error}");
    let left: Vec<i32> = out.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(left.len(), 2, "{out}");
    for id in left {
        let gone = eventually(SOON, "it to end", async || kill(Pid::from_raw(id), None).is_err().then_some(()));
        gone.await.unwrap();
    }
}
