//! What whoever is at the terminal sees: help with examples, exit codes, the log's first lines; and that commands in the documentation exist.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use satchel_tests::sidecar::KEY;
use satchel_tests::{Gateway, Memcached, Sidecar, binaries, eventually, ports};

/// Each program with its commands.
const COMMANDS: [&[&str]; 9] = [
    &["gateway"],
    &["gateway", "import"],
    &["sidecar"],
    &["sidecar", "import"],
    &["sidecar", "doctor"],
    &["sidecar", "session"],
    &["sidecar", "session", "list"],
    &["sidecar", "session", "show"],
    &["sidecar", "session", "delete"],
];

/// The exit code, and what went to standard output and to standard error.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(binaries::binary(arguments[0])).args(&arguments[1..]).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn help(command: &[&str]) -> String {
    let (code, out, _) = run(&[command, &["--help"]].concat());
    assert_eq!(code, Some(0), "{command:?}");
    out
}

#[test]
fn help_has_examples_and_no_colours_in_a_pipe() {
    for command in COMMANDS {
        let said = help(command);
        assert!(!said.contains('\u{1b}'), "{said}");
        // Those of `session` have them for all of its commands.
        assert!(said.contains("Example") || command.len() == 3, "{command:?}: {said}");
    }
    assert!(run(&["sidecar", "--version"]).1.starts_with("sidecar "));
}

#[test]
fn the_exit_code_says_what_was_wrong() {
    const USAGE: i32 = 64;
    const CONFIGURATION: i32 = 78;
    let nowhere = ["--config", "/nowhere/x.toml"];
    for (arguments, code, named) in [
        (&["gateway"][..], USAGE, "--config <FILE>"),
        (&["gateway", "--no-such"], USAGE, "--no-such"),
        (&["gateway", "import"], USAGE, "FILE"),
        (&["gateway", "import", "/nowhere/nginx.conf"], USAGE, "/nowhere/nginx.conf"),
        (&["gateway", nowhere[0], nowhere[1]], CONFIGURATION, "cannot read /nowhere/x.toml"),
        (&["gateway", "--test", nowhere[0], nowhere[1]], CONFIGURATION, "cannot read /nowhere/x.toml"),
        (&["sidecar"], USAGE, "--config <FILE>"),
        (&["sidecar", "--no-such"], USAGE, "--no-such"),
        (&["sidecar", nowhere[0], nowhere[1]], CONFIGURATION, "cannot read /nowhere/x.toml"),
        (&["sidecar", "--test", nowhere[0], nowhere[1]], CONFIGURATION, "cannot read /nowhere/x.toml"),
        (&["sidecar", "session", "list"], USAGE, "--config FILE"),
        (
            &["sidecar", "session", "list", nowhere[0], nowhere[1]],
            CONFIGURATION,
            "cannot read /nowhere/x.toml",
        ),
        (&["sidecar", "doctor", "--no-such"], USAGE, "--no-such"),
        (&["sidecar", "import", "/nowhere/context.xml"], USAGE, "/nowhere/context.xml"),
    ] {
        let (is, out, error) = run(arguments);
        assert_eq!((is, out.as_str()), (Some(code), ""), "{arguments:?}: {error}");
        assert!(error.contains(named), "{arguments:?}: {error}");
    }
}

/// The longest of our commands that a line begins with, without prompt or `sudo`.
fn command_of(words: &[&str]) -> Option<&'static [&'static str]> {
    COMMANDS.into_iter().filter(|command| words.starts_with(command)).max_by_key(|command| command.len())
}

#[test]
fn commands_in_the_documentation_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut pages: Vec<_> =
        std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.extend(["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].map(|name| root.join(name)));
    let mut found = 0;
    for page in pages.iter().filter(|page| page.extension().is_some_and(|ending| ending == "md")) {
        let text = std::fs::read_to_string(page).unwrap();
        let code = text.lines().flat_map(|line| {
            let inline: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
            if line.starts_with("    ") && inline.is_empty() { vec![line] } else { inline }
        });
        for line in code {
            let words: Vec<&str> =
                line.split_whitespace().take_while(|word| !word.starts_with('#')).collect();
            let Some(command) = command_of(&words) else { continue };
            let said = help(command);
            for option in words.iter().filter(|word| word.len() > 2 && word.starts_with("--")) {
                let option = option.split('=').next().unwrap();
                found += 1;
                assert!(said.contains(option), "{}: {line}: there is no {option}", page.display());
            }
        }
    }
    assert!(found > 20, "only {found} options were found");
}

#[test]
fn the_quick_starts_configurations_are_good() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/quick-start.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks: Vec<&str> =
        page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file.toml");
    for (program, block) in ["sidecar", "gateway"].iter().zip(&blocks) {
        std::fs::write(&file, block.replace("\"…\"", &format!("\"{KEY}\""))).unwrap();
        let (code, _, said) = run(&[program, "--test", "--config", file.to_str().unwrap()]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.ends_with("the configuration is good\n"), "{said}");
    }
    assert_eq!(blocks.len(), 2);
}

#[test]
fn the_log_begins_with_what_runs_and_what_it_was_told() {
    let gateway = Gateway::with(|port, _| {
        format!("access_log.path = \"off\"\n[[server]]\nlisten = [\"127.0.0.1:{port}\"]\nreturn = \"204\"\n")
    });
    let log = || gateway.log();
    eventually("the gateway says where it listens", || log().contains("Listening on"));
    let lines = ["Satchel gateway ", &format!("server _: on 127.0.0.1:{} answers by itself", gateway.port())];
    in_order(&log(), &[&lines[..], &["Listening on"]].concat());

    let memcached = Memcached::start();
    let store = tempfile::Builder::new().prefix("satchel-test-").tempdir_in("/dev/shm").unwrap();
    let (port, admin) = (ports::free(), ports::free());
    let (tomcat, node, store) = (ports::free(), memcached.port(), store.path().join("ROOT"));
    let sidecar = Sidecar::run(&configuration(port, admin, tomcat, &store, node), port, admin);
    let log = sidecar.log();
    let application =
        format!("Application /: JSESSIONID in its cookie, session files in {}", store.display());
    let farm = format!("Farm default: each session on one of n1 (127.0.0.1:{node})");
    let status = format!("Status page: http://127.0.0.1:{admin}/");
    let listening = format!("Listening on 127.0.0.1:{port}, for Tomcat at 127.0.0.1:{tomcat}");
    in_order(&log, &["Satchel sidecar ", &application, &farm, "sealed with key ", &status, &listening]);
    assert!(!log.contains(KEY) && !log.contains('\u{1b}'), "{log}");
}

fn configuration(port: u16, admin: u16, tomcat: u16, store: &Path, node: u16) -> String {
    format!(
        "listen = \"127.0.0.1:{port}\"\nadmin = \"127.0.0.1:{admin}\"\n[tomcat]\naddress = \"127.0.0.1:{tomcat}\"\n[[context]]\n\
         path = \"/\"\ndirectory = \"{}\"\n[memcached]\nnodes = \"n1:127.0.0.1:{node}\"\n[record]\nkeys = [\"{KEY}\"]\n\
         index_key = \"{KEY}\"\n",
        store.display()
    )
}

#[test]
fn a_terminal_is_shown_what_is_waited_for_and_a_pipe_is_not() {
    // A node that takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("sidecar.toml");
    let text = configuration(1, 2, 3, &directory.path().join("ROOT"), silent.local_addr().unwrap().port());
    std::fs::write(&file, text).unwrap();
    let arguments = ["sidecar", "doctor", "--config", &file.display().to_string()];
    let (code, found, nothing) = run(&arguments);
    assert!(code == Some(2) && found.contains("n1") && nothing.is_empty(), "{code:?} {found} {nothing}");
    let program = binaries::binary(arguments[0]).display().to_string();
    let command = [&[&*program], &arguments[1..]].concat().join(" ");
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &command, "/dev/null"]).env("TERM", "xterm");
    let shown = script.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&shown.stdout);
    assert_eq!(shown.status.code(), Some(2), "{said}");
    // The line is taken away before the findings are printed.
    in_order(&said, &["asking memcached", "\u{1b}[2K", "n1"]);
}

/// The log has these texts in this order.
fn in_order(log: &str, texts: &[&str]) {
    texts.iter().fold(log, |rest, text| {
        let found = rest.split_once(text);
        assert!(found.is_some(), "'{text}' is not in its place in\n{log}");
        found.unwrap().1
    });
}
