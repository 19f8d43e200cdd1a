//! A real Prometheus, with a configuration of the test's.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::process::Process;
use crate::{Client, eventually, needs, ports};

/// A running Prometheus.
pub struct Prometheus {
    process: Process,
    client: Client,
    _directory: tempfile::TempDir,
}

impl Prometheus {
    /// Asks these admin ports, each with the name of its job, every second; with the alert rules of this file.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(jobs: &[(&str, &[u16])], rules: &Path) -> Self {
        needs::ensure_prometheus();
        let directory = tempfile::tempdir().unwrap();
        let mut config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [\"{}\"]\nscrape_configs:\n",
            rules.display()
        );
        for (job, admins) in jobs {
            let targets: Vec<_> = admins.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect();
            let targets = targets.join(", ");
            let _ = writeln!(config, "  - {{job_name: {job}, static_configs: [{{targets: [{targets}]}}]}}");
        }
        std::fs::write(directory.path().join("prometheus.yaml"), config).unwrap();
        let port = ports::free();
        let program = needs::find("prometheus").unwrap();
        let process = Process::start("prometheus", &program, &directory.path().join("log"), |command| {
            let path = |name: &str| directory.path().join(name).display().to_string();
            command.arg(format!("--config.file={}", path("prometheus.yaml")));
            command.arg(format!("--storage.tsdb.path={}", path("data")));
            command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        });
        let mut prometheus = Self { process, client: Client::new(port), _directory: directory };
        eventually("prometheus is ready", || {
            assert!(prometheus.process.is_running(), "prometheus ended: {}", prometheus.process.log());
            let ready = prometheus.client.try_send("GET", "/-/ready", &[], b"");
            ready.is_ok_and(|answer| answer.status == 200)
        });
        prometheus
    }

    /// What it answers to a query: labels and values.
    ///
    /// # Panics
    /// When it does not understand the query.
    pub fn query(&mut self, query: &str) -> Vec<(Value, f64)> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = self.client.post("/api/v1/query", &format!("query={encoded}"));
        let said: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(said["status"], "success", "{query}: {said}");
        let value = |one: &Value| (one["metric"].clone(), one["value"][1].as_str().unwrap().parse().unwrap());
        said["data"]["result"].as_array().unwrap().iter().map(value).collect()
    }

    /// All rules, each with its state.
    pub fn rules(&mut self) -> Vec<Value> {
        let said: Value = serde_json::from_slice(&self.client.get("/api/v1/rules").body).unwrap();
        let groups = said["data"]["groups"].as_array().unwrap().clone();
        groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
    }
}
