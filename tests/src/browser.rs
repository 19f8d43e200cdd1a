//! A real Chromium without a window, told what to do by its chromedriver (W3C WebDriver, over plain HTTP).

use std::path::Path;

use serde_json::{Value, json};

use crate::process::Process;
use crate::{Client, eventually, needs, ports};

/// What names an element in an answer (WebDriver, 12.2).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one page.
pub struct Browser {
    client: Client,
    session: String,
    _driver: Process,
    _chromium: Process,
    _directory: tempfile::TempDir,
}

impl Browser {
    /// Starts one.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Self {
        needs::ensure_browser();
        let directory = tempfile::tempdir().unwrap();
        let (debug, port) = (ports::free(), ports::free());
        // Started here, and not by its driver, so that it ends with us.
        let chromium = needs::find("chromium").unwrap();
        let mut chromium =
            Process::start("chromium", &chromium, &directory.path().join("chromium"), |command| {
                command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]);
                command.args([
                    "--no-first-run",
                    "--disable-background-networking",
                    "--disable-component-update",
                ]);
                command.args(["--disable-sync", "--hide-scrollbars", "--window-size=1280,900"]);
                command.arg(format!("--remote-debugging-port={debug}"));
                command.arg(format!("--user-data-dir={}", directory.path().join("profile").display()));
                command.arg("about:blank").env("HOME", directory.path());
            });
        eventually("chromium can be told", || {
            assert!(chromium.is_running(), "chromium ended: {}", chromium.log());
            let mut client = Client::new(debug);
            client.host = format!("127.0.0.1:{debug}");
            client.try_send("GET", "/json/version", &[], b"").is_ok_and(|answer| answer.status == 200)
        });
        let driver = needs::find("chromedriver").unwrap();
        let mut driver =
            Process::start("chromedriver", &driver, &directory.path().join("driver"), |command| {
                command.arg(format!("--port={port}"));
            });
        let mut client = Client::new(port);
        client.host = format!("127.0.0.1:{port}");
        eventually("chromedriver is ready", || {
            assert!(driver.is_running(), "chromedriver ended: {}", driver.log());
            client.try_send("GET", "/status", &[], b"").is_ok_and(|answer| answer.status == 200)
        });
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "debuggerAddress": format!("127.0.0.1:{debug}") },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let mut browser = Self {
            client,
            session: String::new(),
            _driver: driver,
            _chromium: chromium,
            _directory: directory,
        };
        let made = browser.ask("POST", "/session", &wanted);
        browser.session = format!("/session/{}", made["sessionId"].as_str().unwrap());
        browser
    }

    fn ask(&mut self, method: &str, path: &str, body: &Value) -> Value {
        let (path, body) = (format!("{}{path}", self.session), body.to_string());
        let body = if method == "GET" { "" } else { &body };
        let answer =
            self.client.send(method, &path, &[("Content-Type", "application/json")], body.as_bytes());
        let said: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer.status, 200, "{method} {path}: {said}");
        said["value"].clone()
    }

    /// Opens an address, and waits until it has loaded.
    pub fn open(&mut self, url: &str) {
        self.ask("POST", "/url", &json!({ "url": url }));
    }

    /// Runs a script with these arguments. What it returns.
    pub fn run(&mut self, script: &str, arguments: &[Value]) -> Value {
        self.ask("POST", "/execute/sync", &json!({ "script": script, "args": arguments }))
    }

    /// What an element shows; `None`: there is no such element.
    pub fn text(&mut self, css: &str) -> Option<String> {
        let shown = self.run("return document.querySelector(arguments[0])?.innerText", &[json!(css)]);
        shown.as_str().map(str::to_owned)
    }

    fn element(&mut self, css: &str) -> String {
        let found = self.ask("POST", "/element", &json!({ "using": "css selector", "value": css }));
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    /// Clicks on an element, as a mouse does: one that is covered can't be clicked on.
    ///
    /// # Panics
    /// When it can't be clicked on.
    pub fn click(&mut self, css: &str) {
        let element = self.element(css);
        self.ask("POST", &format!("/element/{element}/click"), &json!({}));
    }

    /// Types into an element.
    pub fn type_into(&mut self, css: &str, text: &str) {
        let element = self.element(css);
        self.ask("POST", &format!("/element/{element}/value"), &json!({ "text": text }));
    }

    /// Looks at pages in this size, with the colours that the system would ask for.
    pub fn view(&mut self, width: u32, height: u32, dark: bool) {
        let scheme = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", &features);
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
    }

    /// A picture of the whole page, as high as it is.
    pub fn screenshot(&mut self, file: &Path) {
        let size = self
            .run("return [document.documentElement.clientWidth, document.documentElement.scrollHeight]", &[]);
        let clip = json!({ "x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1 });
        let how = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let picture = self.devtools("Page.captureScreenshot", &how);
        let png = base64::Engine::decode(
            &base64::engine::general_purpose::STANDARD,
            picture["data"].as_str().unwrap(),
        );
        std::fs::write(file, png.unwrap()).unwrap();
    }

    fn devtools(&mut self, command: &str, parameters: &Value) -> Value {
        self.ask("POST", "/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    /// What its console has said since it was asked last, of warnings and errors: refusals by a page's policy among them.
    pub fn complaints(&mut self) -> Vec<String> {
        let said = self.ask("POST", "/se/log", &json!({ "type": "browser" }));
        let bad = |line: &&Value| matches!(line["level"].as_str(), Some("SEVERE" | "WARNING"));
        let lines = said.as_array().cloned().unwrap_or_default();
        lines.iter().filter(bad).map(|line| line["message"].to_string()).collect()
    }
}
