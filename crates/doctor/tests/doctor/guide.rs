//! docs/doctor.md, held to the program.

use std::collections::BTreeSet;
use std::time::Duration;

use doctor::Code;
use host_tests::fault::FaultProxy;
use host_tests::wait::eventually;

use crate::fixtures::{Doctor, shared};

const GUIDE: &str = include_str!("../../../../docs/doctor.md");

/// What a line is about: its indentation and its first word.
fn shape(text: &str) -> Vec<String> {
    let about = |line: &str| {
        let indentation = line.len() - line.trim_start().len();
        format!("{indentation} {}", line.split_whitespace().next().unwrap_or_default())
    };
    text.lines().map(about).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_transcript_of_the_guide_is_what_is_printed() {
    let cluster = shared().await;
    let blocks: Vec<_> = GUIDE.split("```text\n").skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect();
    let replica = cluster.server("fra");
    // Only then it says how old the last commit is.
    cluster.primary().ask("CREATE TABLE IF NOT EXISTS guide (text text)").await.unwrap();
    eventually(Duration::from_secs(30), "a commit on the replica", async || {
        (replica.ask("SELECT pg_last_xact_replay_timestamp() IS NOT NULL").await.ok()? == "t").then_some(())
    })
    .await
    .unwrap();
    let (status, printed) = Doctor::of(cluster).text().await;
    assert_eq!((status, shape(blocks[0])), (0, shape(printed.trim_end())), "{printed}");

    let behind_another_port = FaultProxy::before(cluster.primary().address()).await.unwrap();
    let wrong_port = behind_another_port.address().port().to_string();
    let (status, printed) = Doctor::of(cluster).with("SPIN_VARIABLE_REPLICA_PORT", &wrong_port).text().await;
    let end = printed.split_once("\nerror").map(|(_, end)| format!("error{end}")).unwrap();
    let as_printed = blocks[1].replace("5434", &wrong_port);
    assert_eq!((status, as_printed.as_str()), (1, end.trim_end()));
}

#[test]
fn the_guide_lists_every_code_with_its_severity() {
    let rows = GUIDE.lines().filter(|line| line.starts_with("| `"));
    let listed: BTreeSet<_> = rows
        .filter_map(|row| {
            let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
            ["error", "warning", "note"].contains(&cells[1]).then(|| (cells[0].trim_matches('`'), cells[1].to_owned()))
        })
        .collect();
    let known: BTreeSet<_> = Code::ALL.iter().map(|code| (code.name(), code.severity().to_string())).collect();
    assert_eq!(listed, known);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_names_every_field_of_the_report() {
    let told = Doctor::of(shared().await).with("SPIN_VARIABLE_ALLOWED_HOST", "").examine().await;
    let mut fields = BTreeSet::new();
    collect(&told.report, &mut fields);
    assert!(fields.len() > 25, "{fields:?}");
    for field in fields {
        assert!(GUIDE.contains(&format!("`{field}`")), "docs/doctor.md does not name {field}");
    }
}

fn collect(value: &serde_json::Value, fields: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(object) => {
            fields.extend(object.keys().cloned());
            object.values().for_each(|value| collect(value, fields));
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| collect(value, fields)),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => {}
    }
}
