//! The page in a real browser, Chromium without a window: `make test-browser`. The README's picture is made here:
//! `LAB_PICTURE=docs/lab.png make test-browser`.

#[path = "../lab/program.rs"]
#[expect(dead_code, reason = "the other tests need more of it")]
mod program;

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use fantoccini::key::Key;
use fantoccini::{Client, ClientBuilder, Locator};
use host_tests::machine::repository;
use host_tests::wait::eventually;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use program::{Lab, SOON, home, turn};

/// A browser, and what drives it. Dropping it ends both.
struct Browser {
    client: Client,
    driver: Child,
}

#[derive(Clone, Copy, PartialEq)]
enum Scheme {
    Light,
    Dark,
}

impl Browser {
    async fn start(scheme: Scheme) -> Self {
        let address = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={}", address.port()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is there: `make test-browser` installs it");
        // Root may not use its sandbox.
        let arguments =
            ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1240,1080"];
        let dark = "--blink-settings=preferredColorScheme=0".to_owned();
        let arguments = arguments.map(str::to_owned).into_iter().chain((scheme == Scheme::Dark).then_some(dark));
        let options = json!({"goog:chromeOptions": {"args": arguments.collect::<Vec<_>>()}});
        let capabilities = options.as_object().unwrap().clone();
        let url = format!("http://{address}");
        let client = eventually(SOON, "a browser", async || {
            ClientBuilder::new(HttpConnector::new()).capabilities(capabilities.clone()).connect(&url).await.ok()
        });
        Self { client: client.await.unwrap(), driver }
    }

    async fn open(&self, address: SocketAddr) {
        self.client.goto(&format!("http://{address}/")).await.unwrap();
    }

    async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    async fn click(&self, name: &str) {
        let button = format!("button[aria-label='{name}']");
        let button = self.client.wait().at_most(SOON).for_element(Locator::Css(&button)).await;
        button.unwrap_or_else(|error| panic!("{name}: {error}")).click().await.unwrap();
    }

    /// What a part of the page says.
    async fn text(&self, selector: &str) -> String {
        let script =
            format!("return [...document.querySelectorAll(\"{selector}\")].map((one) => one.textContent).join(' ')");
        self.run(&script).await.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until it says something.
    async fn says(&self, selector: &str, expected: &str) {
        let mut said = String::new();
        let outcome = eventually(SOON, expected, async || {
            said = self.text(selector).await;
            said.contains(expected).then_some(())
        });
        outcome.await.unwrap_or_else(|error| panic!("{error}; {selector} says: {said}"));
    }

    async fn close(self) {
        let _ = self.client.clone().close().await;
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

const FRA: &str = "#region-fra";

/// The guestbook, open in a browser.
async fn guestbook(scheme: Scheme) -> (Lab, Browser) {
    let lab = Lab::start(&["--app", "examples/rust", "--schema", "examples/rust/schema.sql"]).await;
    let browser = Browser::start(scheme).await;
    browser.open(lab.page()).await;
    browser.says(&format!("{FRA} .bars"), home()).await;
    (lab, browser)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_killed_and_no_reader_notices() {
    let _turn = turn().await;
    let (_lab, browser) = guestbook(Scheme::Light).await;
    let (bars, state) = (format!("{FRA} .bars"), format!("{FRA} .state"));
    browser.says(&state, "replica").await;
    let picture = std::env::var_os("LAB_PICTURE");
    if picture.is_some() {
        browser.says(&bars, &format!("{}50", home())).await;
    }
    browser.click("Kill the database in fra").await;
    browser.says(&state, "down").await;
    browser.says(&bars, "replica-down").await;
    if let Some(file) = picture {
        browser.says(&bars, "replica-down2").await;
        let picture = browser.client.screenshot().await.unwrap();
        std::fs::write(repository().join(file), picture).unwrap();
    }
    browser.click("Start the database in fra").await;
    browser.says(&state, "replica").await;
    // For ten seconds the answers by others are among those that are shown.
    let home = eventually(SOON, "reads to come home", async || {
        let said = browser.text(&bars).await;
        (said.contains(home()) && !said.contains("replica-down")).then_some(())
    });
    home.await.unwrap();
    assert_eq!(browser.text(&format!("{FRA} [data-figure=errors]")).await, "0");
    assert_eq!(browser.text("#requests .error").await, "", "not one request failed");
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_writes_while_replay_is_paused_and_sees_why_it_is_read_elsewhere() {
    let _turn = turn().await;
    let (_lab, browser) = guestbook(Scheme::Light).await;
    browser.click("Pause replay in fra").await;
    browser.says(&format!("{FRA} .database"), "replay paused").await;
    let form = browser.client.form(Locator::Id("errand")).await.unwrap();
    let message = r#"{"name": "Ann", "message": "from the browser"}"#;
    for (name, value) in [("method", "POST"), ("path", "/entries"), ("body", message)] {
        form.set_by_name(name, value).await.unwrap();
    }
    browser.run("document.querySelector('#errand button').click()").await;
    browser.says("#answer", "201 after").await;
    browser.says("#requests .own", "POST /entries").await;
    browser.says("#requests .own", "fra → sjc (replayed)").await;
    browser.run("const form = document.getElementById('errand'); form.method.value; \
                 form.elements.method.value = 'GET'; form.elements.body.value = ''; form.querySelector('button').click()").await;
    browser.says("#answer", "200 after").await;
    browser.says("#answer", "from the browser").await;
    browser.says("#answer", "reason bookmark-behind").await;
    browser.click("Resume replay in fra").await;
    browser.says(&format!("{FRA} .database"), "up to date").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_can_be_done_by_the_keyboard_and_read_in_both_schemes() {
    let _turn = turn().await;
    for scheme in [Scheme::Light, Scheme::Dark] {
        let (_lab, browser) = guestbook(scheme).await;
        let dark = browser.run("return matchMedia('(prefers-color-scheme: dark)').matches").await;
        assert_eq!(dark.as_bool(), Some(scheme == Scheme::Dark));
        browser.says(&format!("{FRA} .database"), "timeline 1").await;
        assert_eq!(browser.run(TOO_FAINT).await, json!([]), "text with too little contrast");
        assert_eq!(browser.run(NAMELESS).await, json!([]), "controls without a name of their own");
        assert_eq!(browser.run("return document.documentElement.scrollWidth > innerWidth").await, json!(false));

        // The slider first, then what comes next.
        browser.run("document.getElementById('load').focus()").await;
        let load = browser.client.find(Locator::Id("load")).await.unwrap();
        load.send_keys(&Key::Right.to_string()).await.unwrap();
        browser.says("#load-value", "6 req/s").await;
        let reached = browser.run(REACHABLE).await;
        assert_eq!(reached, json!([]), "controls that the Tab key passes over");
        let kill = browser.client.find(Locator::Css("button[aria-label='Kill the database in syd']")).await.unwrap();
        kill.send_keys(&Key::Enter.to_string()).await.unwrap();
        browser.says("#region-syd .state", "down").await;
        let focus = browser.run("return document.activeElement.getAttribute('aria-label')").await;
        assert_eq!(focus, "Kill the database in syd", "the focus stays while figures change");
        browser.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_somebody_elses_cannot_command_and_the_lab_asks_nobody_else() {
    let _turn = turn().await;
    let (lab, browser) = guestbook(Scheme::Light).await;
    let elsewhere = browser
        .run("return performance.getEntriesByType('resource').map((one) => one.name).filter((name) => !name.startsWith(location.origin))")
        .await;
    assert_eq!(elsewhere, json!([]), "requests to somewhere else");

    // A page of another origin: that of the app.
    browser.open(lab.region(1)).await;
    for kind in ["application/json", "text/plain"] {
        let script = format!(
            "return fetch('http://{}/commands', {{method: 'POST', headers: {{'content-type': '{kind}'}}, \
             body: JSON.stringify({{do: 'kill', database: 'fra'}})}}).then(() => 'read', () => 'refused')",
            lab.page()
        );
        assert_eq!(browser.run(&script).await, "refused", "{kind}");
    }
    let read = format!("return fetch('http://{}/events').then(() => 'read', () => 'refused')", lab.page());
    assert_eq!(browser.run(&read).await, "refused");
    let frame = format!(
        "const frame = document.createElement('iframe'); frame.src = 'http://{}/'; document.body.append(frame); \
         return new Promise((done) => frame.addEventListener('load', () => done(frame.contentDocument === null)))",
        lab.page()
    );
    browser.run(&frame).await;
    browser.open(lab.page()).await;
    browser.says(&format!("{FRA} .state"), "replica").await;
    browser.close().await;
}

/// Text whose contrast is below the 4.5 of WCAG 2.2 (1.4.3). What is disabled is exempt there.
const TOO_FAINT: &str = r#"
    const parts = (colour) => colour.match(/[\d.]+/g).map(Number);
    const light = (colour) => {
        const [r, g, b] = parts(colour).map((part) => part / 255).map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (element) => {
        for (let one = element; one; one = one.parentElement) {
            const colour = getComputedStyle(one).backgroundColor, alpha = parts(colour)[3];
            if (alpha !== 0) return colour;
        }
        return 'rgb(255, 255, 255)';
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), faint = [];
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        if (!walker.currentNode.textContent.trim() || !element.checkVisibility() || element.closest('[aria-disabled=true]')) continue;
        const [a, b] = [light(getComputedStyle(element).color), light(ground(element))];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (contrast < 4.5) faint.push(`${walker.currentNode.textContent.trim()}: ${contrast.toFixed(2)}`);
    }
    return [...new Set(faint)];
"#;

/// Controls without a name, or with the name of another one.
const NAMELESS: &str = r#"
    const name = (one) => one.getAttribute('aria-label') ?? (one.labels?.[0] ?? one).textContent.trim();
    const names = [...document.querySelectorAll('button, input, select, textarea, a')].map(name);
    return names.filter((one, index) => !one || names.indexOf(one) !== index);
"#;

/// Controls that cannot have the focus.
const REACHABLE: &str = r#"
    return [...document.querySelectorAll('button, input, select, textarea, a')].filter((one) => {
        one.focus();
        return document.activeElement !== one || one.tabIndex < 0;
    }).map((one) => one.outerHTML);
"#;
