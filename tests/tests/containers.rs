//! What images need of the programs: a look at whether they are ready, signals, and papers for packages, without any other program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use satchel_tests::{Farm, Gateway, binaries, eventually};

fn run(program: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } =
        Command::new(binaries::binary(program)).args(arguments).output().unwrap();
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

fn health(program: &str, config: &Path) -> (Option<i32>, String) {
    run(program, &["--health", "-c", &config.display().to_string()])
}

#[test]
fn health_is_what_the_running_process_says() {
    let mut farm = Farm::builder().admin().start();
    let (gateway, sidecar) =
        (farm.gateway.directory().join("gateway.toml"), farm.sidecars[0].configuration());
    // Its admin address may be there a little later than the others.
    eventually("the gateway is ready", || health("gateway", &gateway) == (Some(0), "ready\n".into()));
    eventually("the sidecar is ready", || health("sidecar", &sidecar) == (Some(0), "ready\n".into()));
    farm.nodes[0].process().kill9();
    eventually("no memcached is up", || health("sidecar", &sidecar).0 == Some(1));
    assert!(health("sidecar", &sidecar).1.contains("no memcached node is up"));
    farm.gateway.process().kill9();
    let (status, said) = health("gateway", &gateway);
    assert!(status == Some(1) && said.contains("cannot be asked"), "{said}");
    // Without an admin address nobody can be asked.
    let other = Gateway::builder().server(farm.sidecars[0].port(), 1).start();
    let (status, said) = health("gateway", &other.directory().join("gateway.toml"));
    assert!(status == Some(78) && said.contains("admin is not set"), "{said}");
}

#[test]
fn signals_reach_the_program_that_is_meant_and_no_other() {
    let mut farm = Farm::start();
    let sidecar = farm.sidecars[0].pid().to_string();
    assert_eq!(run("sidecar", &["--signal", "reload", "--pid", &sidecar]), (Some(0), String::new()));
    eventually("it has reloaded", || farm.sidecars[0].reloads() == 1);
    let gateway = farm.gateway.pid().to_string();
    let (status, said) = run("sidecar", &["-s", "quit", "--pid", &gateway]);
    assert!(status == Some(69) && said.contains("it is gateway and not a sidecar"), "{said}");
    // Process 1 is something else, outside of a container.
    let (status, said) = run("gateway", &["-s", "quit"]);
    assert!(status == Some(69) && said.contains("process 1") && said.contains("--pid"), "{said}");
    let (status, said) = run("gateway", &["-s", "drain"]);
    assert!(status == Some(64) && said.contains("reload"), "{said}");
    assert_eq!(run("gateway", &["-s", "quit", "--pid", &gateway]).0, Some(0));
    eventually("it has ended", || farm.gateway.process().exit_code() == Some(0));
}

#[test]
fn papers_are_made_from_the_command_line_itself() {
    let directory = tempfile::tempdir().unwrap();
    for (program, pages) in [
        ("gateway", ["gateway.1", "gateway-import.1", "gateway.bash"]),
        ("sidecar", ["sidecar.1", "sidecar-session-show.1", "sidecar.bash"]),
    ] {
        assert_eq!(
            run(program, &["papers", &directory.path().display().to_string()]),
            (Some(0), String::new())
        );
        for page in pages {
            let text = fs::read_to_string(directory.path().join(page)).unwrap();
            assert!(text.contains("config") || text.contains("nginx"), "{page}: {text}");
        }
        let bash =
            Command::new("bash").arg("-n").arg(directory.path().join(format!("{program}.bash"))).output();
        assert!(bash.unwrap().stderr.is_empty());
        for name in [format!("_{program}"), format!("{program}.fish")] {
            assert!(directory.path().join(&name).exists(), "{name}");
        }
        assert!(run(program, &["--version"]).1.starts_with(&format!("{program} 0.")));
        assert!(!run(program, &["--help"]).1.contains("papers"));
    }
}

#[test]
fn what_the_packages_are_made_of_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for program in ["gateway", "sidecar"] {
        let manifest = fs::read_to_string(root.join(program).join("Cargo.toml")).unwrap();
        let (_, metadata) = manifest.split_once("[package.metadata.deb]").unwrap();
        let mut files = 0;
        for line in metadata.lines().filter_map(|line| line.trim().strip_prefix("[\"")) {
            let source: PathBuf = line.split('"').next().unwrap().into();
            // The rest is built, or made by .ci/package.
            if !source.starts_with("target") && !source.starts_with("../target") {
                let source = source.display().to_string().replace('*', "10.1");
                assert!(root.join(program).join(&source).exists(), "{program}: {source}");
                files += 1;
            }
        }
        assert!(files > 1, "{program}");
        assert!(root.join(format!("conf/deb/{program}/postinst")).exists());
    }
}
