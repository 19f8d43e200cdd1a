//! What Prometheus sees: every query of the dashboard gives something, every alert rule can be evaluated, and the right ones tell of what has failed.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use satchel_tests::prometheus::Prometheus;
use satchel_tests::{Client, Farm, Load, eventually, needs};
use serde_json::Value;

fn conf(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("conf").join(name)
}

/// The dashboard's queries, as Grafana asks them when everything is chosen.
fn queries() -> Vec<(String, String)> {
    let dashboard: Value =
        serde_json::from_slice(&std::fs::read(conf("grafana/satchel.json")).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let of = |panel: &Value| {
        let title = panel["title"].as_str().unwrap().to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().map(move |target| (title.clone(), target["expr"].as_str().unwrap().to_owned()))
    };
    let asked = panels.iter().flat_map(of).map(|(title, query)| {
        let query = query.replace("$__rate_interval", "10s");
        (title, query.replace("$gateway", ".*").replace("$sidecar", ".*"))
    });
    asked.collect()
}

/// Names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("satchel_") || word.starts_with("process_"));
    ours.map(str::to_owned).collect()
}

#[test]
fn the_dashboard_and_the_alerts_work_with_a_real_prometheus() {
    let mut farm = Farm::builder().nodes(2).admin().start();
    let admin = farm.gateway_admin.unwrap();
    let sidecars: Vec<u16> = farm.sidecars.iter().map(|sidecar| sidecar.admin_port()).collect();
    let rules = conf("prometheus/alerts.yaml");
    let mut prometheus =
        Prometheus::start(&[("satchel-gateway", &[admin]), ("satchel-sidecar", &sidecars)], &rules);
    let load = Load::start(farm.gateway.port(), 6);
    eventually("all are asked", || prometheus.query("sum(up)").iter().any(|(_, up)| *up == 3.0));

    let queries = queries();
    assert!(queries.len() > 40, "{}", queries.len());
    for (panel, query) in &queries {
        eventually(&format!("{panel} shows something: {query}"), || {
            prometheus.query(query).iter().any(|(_, value)| value.is_finite())
        });
    }
    let metric = |port: u16| Client::new(port).get("/metrics").text();
    let shown = metric(admin) + &metric(sidecars[0]);
    let exist = names(&shown);
    for used in names(&std::fs::read_to_string(&rules).unwrap()) {
        assert!(exist.contains(&used), "{used} is in the alert rules only");
    }
    eventually("every rule is evaluated", || {
        let rules = prometheus.rules();
        assert_eq!(
            rules.len(),
            std::fs::read_to_string(conf("prometheus/alerts.yaml")).unwrap().matches("- alert:").count()
        );
        assert!(rules.iter().all(|rule| rule["health"] != "err"), "{rules:?}");
        rules.iter().all(|rule| rule["health"] == "ok")
    });
    let mut state = |name: &str| {
        let rule = prometheus.rules().into_iter().find(|rule| rule["name"] == name);
        rule.unwrap()["state"].as_str().unwrap().to_owned()
    };
    for quiet in
        ["SatchelServerDown", "SatchelNodeDown", "SatchelSidecarGone", "SatchelErrors", "SatchelSessionsLost"]
    {
        assert_eq!(state(quiet), "inactive", "{quiet}");
    }
    farm.sidecars[0].process().kill9();
    farm.nodes[1].process().kill9();
    for alert in ["SatchelSidecarGone", "SatchelServerDown", "SatchelNodeDown"] {
        eventually(&format!("{alert} is noticed"), || state(alert) != "inactive");
    }
    drop(load);
}

#[test]
fn the_names_follow_prometheus_conventions() {
    needs::ensure_prometheus();
    let farm = Farm::builder().tomcats(1).admin().start();
    let admin = farm.gateway_admin.unwrap();
    assert_eq!(farm.client().get("/kind/small").status, 200);
    for port in [admin, farm.sidecars[0].admin_port()] {
        let promtool = needs::find("promtool").unwrap();
        let mut check = Command::new(promtool);
        check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut check = check.spawn().unwrap();
        let text = Client::new(port).get("/metrics").text();
        check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let said = check.wait_with_output().unwrap();
        let words =
            String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success() && words.trim().is_empty(), "{words}");
        let open = [("Accept", "application/openmetrics-text; version=1.0.0")];
        let open = Client::new(port).send("GET", "/metrics", &open, b"");
        assert!(open.header("content-type").unwrap().starts_with("application/openmetrics-text"));
        assert!(open.text().ends_with("# EOF\n"));
    }
    let broken = Command::new(needs::find("promtool").unwrap())
        .args(["check", "config"])
        .arg(conf("prometheus/prometheus.yaml"))
        .output()
        .unwrap();
    assert!(broken.status.success(), "{}", String::from_utf8_lossy(&broken.stderr));
}

#[test]
fn what_happens_to_a_request_is_counted_in_both() {
    let farm = Farm::builder().nodes(2).admin().start();
    let admin = farm.gateway_admin.unwrap();
    let value = |port: u16, line: &str| -> f64 {
        let text = Client::new(port).get("/metrics").text();
        let found = text.lines().find_map(|other| other.strip_prefix(line)?.trim().parse().ok());
        found.unwrap_or_else(|| panic!("{line} is not in {text}"))
    };
    let mut user = farm.client();
    for n in 1..=4 {
        assert_eq!(user.get("/kind/small").number("n"), Some(n));
    }
    assert_eq!(user.get("/nothing-is-here").status, 404);
    let of_gateway = |line: &str| value(admin, &format!("satchel_gateway_{line}"));
    eventually("all are counted", || of_gateway("request_time_seconds_count{server_name=\"_\"}") == 5.0);
    assert_eq!(of_gateway("requests_total{server_name=\"_\",status=\"2xx\"}"), 4.0);
    assert_eq!(of_gateway("requests_total{server_name=\"_\",status=\"4xx\"}"), 1.0);
    let server = |line: &str, status: &str| -> f64 {
        let of =
            |port| of_gateway(&format!("{line}{{upstream=\"tomcats\",server=\"127.0.0.1:{port}\"{status}}}"));
        farm.sidecars.iter().map(|sidecar| of(sidecar.port())).sum()
    };
    assert_eq!(server("upstream_requests_total", ",status=\"2xx\""), 4.0);
    assert_eq!(server("upstream_up", ""), 2.0);
    assert_eq!(server("upstream_requests_in_flight", ""), 0.0);
    assert!(server("upstream_response_time_seconds_sum", "") > 0.0);
    let of_sidecars = |line: &str| -> f64 {
        let of = |port| value(port, &format!("satchel_sidecar_{line}"));
        farm.sidecars.iter().map(|sidecar| of(sidecar.admin_port())).sum()
    };
    eventually("all are counted", || of_sidecars("request_time_seconds_count") == 5.0);
    assert_eq!(of_sidecars("requests_total{status=\"2xx\"}"), 4.0);
    for (part, count) in [("lock", 4.0), ("place", 4.0), ("tomcat", 5.0), ("store", 4.0)] {
        let of = format!("exchange_part_seconds_count{{part=\"{part}\"}}");
        eventually(&format!("{part} was measured"), || of_sidecars(&of) == count);
    }
    // The session went to and fro: each time the other sidecar's copy was old.
    assert!(of_sidecars("cache_misses_total") >= 2.0);
    assert_eq!(of_sidecars("sessions_created_total"), 1.0);
    assert!(of_sidecars("node_round_trip_seconds_count{node=\"n1\"}") > 0.0);
    assert_eq!(of_sidecars("requests_in_flight") + of_sidecars("locks_held"), 0.0);
    // One that runs.
    let running = farm.client().start("GET", "/kind/small?nosession=1&ms=20000", &[], b"");
    eventually("it is seen", || {
        of_gateway("requests_in_flight") == 1.0 && of_sidecars("requests_in_flight") == 1.0
    });
    drop(running);
    eventually("its client has left", || {
        of_gateway("requests_total{server_name=\"_\",status=\"499\"}") == 1.0
    });
}
