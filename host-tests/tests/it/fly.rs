//! The image, fly.toml and the commands for Fly, held to what the program and Fly really do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use host_tests::client::Client;
use host_tests::machine::{Host, repository};
use host_tests::process::free_address;
use host_tests::wait::eventually;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use toml::{Table, Value};

use crate::fixtures::{assert_ok, host, shared_cluster};
use crate::texts;
use crate::turn::alone;

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap()
}

/// The instructions of the Dockerfile, with their lines joined.
fn instructions() -> Vec<String> {
    let text = read("Dockerfile").replace("\\\n", " ");
    text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(str::to_owned).collect()
}

/// The instructions of the last stage that begin with a word.
fn last_stage(word: &str) -> Vec<String> {
    let all = instructions();
    let from = all.iter().rposition(|line| line.starts_with("FROM ")).unwrap();
    all[from..].iter().filter_map(|line| line.strip_prefix(word)).map(|rest| rest.trim().to_owned()).collect()
}

fn command() -> Vec<String> {
    serde_json::from_str(&last_stage("CMD ")[0]).unwrap()
}

/// What the last stage sets with ENV.
fn image_environment() -> BTreeMap<String, String> {
    let pairs = last_stage("ENV ").join(" ");
    pairs
        .split_whitespace()
        .map(|pair| pair.split_once('=').unwrap())
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
}

/// The image's files, as its COPY lines make them, below a folder; read-only, like its image.
fn assemble(root: &Path) {
    for copy in last_stage("COPY ") {
        let words: Vec<_> = copy.split_whitespace().collect();
        let (sources, to) = words.split_at(words.len() - 1);
        let folder = root.join(to[0].trim_start_matches('/'));
        fs::create_dir_all(&folder).unwrap();
        for source in sources.iter().filter(|word| !word.starts_with("--")) {
            // The build stage works in /build, with the repository's own layout.
            let path = repository().join(source.trim_start_matches("/build/"));
            fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
    }
    let status = Command::new("chmod").args(["-R", "a-w,a+rX"]).arg(root).status().unwrap();
    assert!(status.success());
}

/// A container's process. Dropping it stops it.
struct Container(Child);

impl Drop for Container {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_image_answers_in_its_regions_as_nobody_from_a_read_only_folder() {
    let host = host();
    let cluster = shared_cluster().await;
    let scratch = tempfile::tempdir().unwrap();
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let root = scratch.path().join("image");
    assemble(&root);
    let temporary = scratch.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o777)).unwrap();
    let program = scratch.path().join("spin");
    let original = match &host {
        Host::InHouse => PathBuf::from(env!("CARGO_BIN_EXE_host")),
        Host::Spin(program) => program.clone(),
    };
    fs::copy(original, &program).unwrap();

    let fly: Table = toml::from_str(&read("fly.toml")).unwrap();
    for (region, role) in [("sjc", "primary"), ("fra", "replica")] {
        let port = free_address().unwrap().port();
        let arguments = command().into_iter().map(|word| {
            let word = if word.starts_with("/app/") { format!("{}{word}", root.display()) } else { word };
            word.replace("0.0.0.0:8080", &format!("127.0.0.1:{port}"))
        });
        let address = |name: &str| cluster.server(name).address();
        let mut container = Command::new(&program);
        container
            .args(arguments)
            .env_clear()
            // What Fly sets on every Machine, and the two secrets and variables of the deploy.
            .envs([
                ("FLY_APP_NAME", "reads"),
                ("FLY_REGION", region),
                ("FLY_MACHINE_ID", "148e"),
                ("PRIMARY_REGION", "sjc"),
            ])
            .env("DATABASE_URL", format!("postgres://postgres@{}/postgres?sslmode=disable", address("sjc")))
            .envs(image_environment())
            .envs(fly["env"].as_table().unwrap().iter().map(|(name, value)| (name, value.as_str().unwrap())))
            // Loopback instead of Fly's names.
            .env("SPIN_VARIABLE_REPLICA_PORT", address("fra").port().to_string())
            .env("SPIN_VARIABLE_ALLOWED_HOST", "postgres://127.0.0.1:*")
            .env("TMPDIR", &temporary)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if Uid::effective().is_root() {
            let user: Vec<u32> = last_stage("USER ")[0].split(':').map(|id| id.parse().unwrap()).collect();
            assert!(user.iter().all(|id| *id != 0), "root in the image");
            container.uid(user[0]).gid(user[1]);
        }
        let _container = Container(container.spawn().unwrap());
        let answer = eventually(Duration::from_secs(60), "the container to answer", async || {
            let mut client = Client::connect(([127, 0, 0, 1], port).into()).await.ok()?;
            client.get("/").await.ok()
        });
        let answer = answer.await.unwrap();
        assert_ok(&answer);
        assert_eq!((answer.header("machine-region"), answer.header("database-role")), (region, role));
    }
}

#[tokio::test]
async fn the_image_holds_the_wasm_of_the_tests() {
    host();
    // A whole build takes all of a machine.
    let _alone = alone().await;
    let manifest: Table = toml::from_str(&read("spin.toml")).unwrap();
    let component = &manifest["component"]["nearest-replica"];
    let build = component["build"]["command"].as_str().unwrap();
    let builds: Vec<_> = instructions().into_iter().filter(|line| line.contains("cargo build")).collect();
    assert_eq!(builds.len(), 2, "the dependencies, then the component");
    assert!(builds.iter().all(|line| line.ends_with(build)), "{builds:?}");

    // The build stage in a folder of its own, with what it copies and nothing else.
    let folder = tempfile::tempdir().unwrap();
    let first_stage = instructions().into_iter().take_while(|line| !line.starts_with("COPY src "));
    for copy in first_stage.filter(|line| line.starts_with("COPY ")) {
        let words: Vec<_> = copy.split_whitespace().skip(1).collect();
        let (into, files) = words.split_last().unwrap();
        fs::create_dir_all(folder.path().join(into)).unwrap();
        for file in files {
            let name = Path::new(file).file_name().unwrap();
            fs::copy(repository().join(file), folder.path().join(into).join(name)).unwrap();
        }
    }
    let stubs = builds[0].strip_prefix("RUN ").unwrap();
    let component_only = builds[1].strip_prefix("RUN ").unwrap();
    // Cargo's own folders stay, so that nothing has to be fetched again.
    let sources = instructions().into_iter().skip_while(|line| !line.starts_with("COPY src "));
    let copies = sources.take_while(|line| line.starts_with("COPY ")).map(|copy| {
        let folder = copy.split_whitespace().nth(1).unwrap().to_owned();
        format!("cp -R {}/. {folder} && ", repository().join(&folder).display())
    });
    let component_only = copies.collect::<String>() + component_only;
    for step in [stubs.to_owned(), component_only] {
        let status = Command::new("sh")
            .args(["-c", &step])
            .current_dir(folder.path())
            .env_remove("CARGO_TARGET_DIR")
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{step}");
    }
    let source = component["source"].as_str().unwrap();
    let [image, tests] = [folder.path(), repository()].map(|root| fs::read(root.join(source)).unwrap());
    assert!(image == tests, "the image's wasm has {} bytes, that of the tests {}", image.len(), tests.len());
    assert!(last_stage("COPY ").iter().any(|copy| copy.contains(&format!("/build/{source} "))), "it is copied");
}

#[test]
fn docker_is_given_what_the_dockerfile_copies_and_nothing_else() {
    let instructions = instructions();
    let copies = instructions.iter().filter_map(|line| line.strip_prefix("COPY "));
    let copied = copies.filter(|copy| !copy.starts_with("--from=")).flat_map(|copy| {
        let words: Vec<_> = copy.split_whitespace().collect();
        words[..words.len() - 1].to_vec()
    });
    let ignored = read(".dockerignore");
    let mut given = ignored.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(given.next(), Some("*"));
    let given: BTreeSet<_> = given.map(|line| line.strip_prefix('!').unwrap()).collect();
    assert_eq!(copied.collect::<BTreeSet<_>>(), given);
}

#[test]
fn fly_toml_keeps_its_promises() {
    let fly: Table = toml::from_str(&read("fly.toml")).unwrap();
    let service = &fly["http_service"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();

    let listen = command().into_iter().skip_while(|word| word != "--listen").nth(1).unwrap();
    let port: i64 = listen.rsplit_once(':').unwrap().1.parse().unwrap();
    assert_eq!(service["internal_port"].as_integer(), Some(port));
    assert_eq!(fly["checks"]["database"]["port"].as_integer(), Some(port));
    assert_eq!(text(&service["checks"][0]["path"]), "/.well-known/spin/health");
    assert_eq!(text(&fly["checks"]["database"]["path"]), "/");

    let environment = fly["env"].as_table().unwrap();
    assert_eq!(environment["SPIN_VARIABLE_PRIMARY_REGION"], fly["primary_region"]);
    assert!(environment.keys().all(|name| !name.starts_with("FLY_")), "Fly keeps these names for itself");

    assert!(["rolling", "immediate", "canary", "bluegreen"].contains(&text(&fly["deploy"]["strategy"]).as_str()));
    assert!(["always", "never", "on-failure"].contains(&text(&fly["restart"][0]["policy"]).as_str()));
    assert_eq!(service["auto_stop_machines"].as_str(), Some("off"));
    assert_eq!(service["force_https"].as_bool(), Some(true));

    // Spin's own time-out is above the component's deadline, and below it is the check's.
    let manifest: Table = toml::from_str(&read("spin.toml")).unwrap();
    let deadline_ms: u64 = text(&manifest["variables"]["deadline_ms"]["default"]).parse().unwrap();
    let seconds = |text: &str| text.trim_end_matches('s').parse::<u64>().unwrap();
    let request_timeout = command().into_iter().skip_while(|word| word != "--request-timeout").nth(1).unwrap();
    assert!(seconds(&request_timeout) * 1000 > deadline_ms);
    for check in [&service["checks"][0], &fly["checks"]["database"]] {
        let [interval, timeout] = ["interval", "timeout"].map(|name| seconds(&text(&check[name])));
        assert!((2..=60).contains(&interval) && (1..=60).contains(&timeout) && timeout < interval, "{check}");
    }
    assert!(seconds(&text(&fly["checks"]["database"]["timeout"])) * 1000 > deadline_ms);
    assert!(seconds(&text(&fly["kill_timeout"])) <= 300);

    // Every request that Fly lets in finds an instance.
    let instances: i64 = image_environment()["SPIN_MAX_INSTANCE_COUNT"].parse().unwrap();
    assert!(service["concurrency"]["hard_limit"].as_integer().unwrap() < instances);
}

/// flyctl's `internal/appconfig` at ad0172fa: the keys of the sections that fly.toml has.
#[test]
fn fly_toml_has_no_key_that_flyctl_does_not_know() {
    let check = "grace_period headers interval method path port processes protocol timeout tls_server_name tls_skip_verify type";
    let known = [
        (
            "",
            "app build checks console_command deploy env experimental files host_dedication_id http_service kill_signal \
             kill_timeout metrics mounts primary_region processes restart services statics swap_size_mb vm",
        ),
        ("build", "args build-target builder buildpacks builtin compression dockerfile ignorefile image settings"),
        ("deploy", "max_unavailable release_command release_command_timeout release_command_vm strategy wait_timeout"),
        (
            "http_service",
            "auto_start_machines auto_stop_machines checks concurrency force_https http_options internal_port \
             machine_checks min_machines_running processes tls_options",
        ),
        ("http_service.concurrency", "hard_limit soft_limit type"),
        ("http_service.checks", check),
        ("checks.database", check),
        ("restart", "policy processes retries"),
        ("vm", "cpu_kind cpus gpu_kind gpus host_dedication_id kernel_args memory memory_mb processes size"),
    ];
    let fly: Value = toml::from_str::<Table>(&read("fly.toml")).unwrap().into();
    for (section, keys) in known {
        let found = section.split('.').filter(|part| !part.is_empty()).fold(&fly, |value, part| &value[part]);
        let tables = found.as_array().map_or_else(|| vec![found], |array| array.iter().collect());
        for key in tables.into_iter().flat_map(|table| table.as_table().unwrap().keys()) {
            assert!(keys.split_whitespace().any(|known| known == key), "[{section}] {key}");
        }
    }
}

#[test]
fn every_fly_command_in_a_document_exists() {
    let table: Table = toml::from_str(&read("host-tests/tests/flyctl.toml")).unwrap();
    let words = |entry: &Value, key: &str| -> Vec<String> {
        entry[key].as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    // The column `then` shows what no longer works.
    let then = texts::table(&read("docs/fly.md"), "| then | today |");
    let documents = texts::documents();
    let mut commands: Vec<_> = documents.iter().flat_map(|document| texts::code(&document.text)).collect();
    commands.retain(|command| !then.iter().any(|row| texts::quoted(&row[0]).contains(command)));
    let commands: Vec<_> = commands.iter().filter_map(|command| command.strip_prefix("fly ")).collect();
    assert!(commands.len() > 20, "{commands:?}");
    for command in commands {
        let said: Vec<_> = command.split_whitespace().collect();
        let is = |entry: &&Value| words(entry, "words").iter().zip(&said).all(|(word, said)| word == said);
        let gone = table["gone"].as_array().unwrap().iter().find(is);
        assert!(gone.is_none(), "fly {command}: {}", gone.unwrap()["source"]);
        let known = table["command"].as_array().unwrap().iter().find(is);
        let known = known.unwrap_or_else(|| panic!("fly {command} is not in flyctl.toml"));
        for flag in said.iter().filter_map(|word| word.strip_prefix("--")) {
            let flag = flag.split('=').next().unwrap();
            assert!(words(known, "flags").iter().any(|known| known == flag), "fly {command}: --{flag}");
        }
    }
}
