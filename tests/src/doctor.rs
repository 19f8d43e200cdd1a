//! `sidecar doctor` as somebody runs it, and its fixes carried out as they are printed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::binaries;
use crate::process::User;

/// How it is called.
#[derive(Debug, Clone, Default)]
pub struct Doctor {
    arguments: Vec<String>,
    user: Option<User>,
}

/// What it said.
#[derive(Debug)]
pub struct Said {
    /// Its exit status.
    pub code: i32,
    /// What it found.
    pub findings: Vec<Found>,
    /// What it could not look at.
    pub unchecked: Vec<String>,
}

/// One finding.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its name.
    pub id: String,
    /// `error`, `warning` or `note`.
    pub severity: String,
    /// `FILE:LINE`, or a file or directory.
    pub place: String,
    /// What is wrong, and why it matters.
    pub what: String,
    /// What to do.
    pub fix: String,
}

impl Doctor {
    /// For this CATALINA_BASE.
    #[must_use]
    pub fn base(self, base: &Path) -> Self {
        self.argument("--catalina-base", base)
    }

    /// With this CATALINA_HOME.
    #[must_use]
    pub fn home(self, home: &Path) -> Self {
        self.argument("--catalina-home", home)
    }

    /// For this configuration.
    #[must_use]
    pub fn config(self, config: &Path) -> Self {
        self.argument("--config", config)
    }

    /// As this user.
    #[must_use]
    pub fn user(mut self, user: User) -> Self {
        self.user = Some(user);
        self
    }

    fn argument(mut self, name: &str, path: &Path) -> Self {
        self.arguments.extend([name.to_owned(), path.display().to_string()]);
        self
    }

    /// Runs it with one more argument.
    ///
    /// # Panics
    /// When it can't be run.
    pub fn run(&self, more: &[&str]) -> Output {
        let sidecar = binaries::binary("sidecar");
        let mut command = match self.user.filter(|_| rustix::process::geteuid().is_root()) {
            Some(user) => user.command(&sidecar),
            None => Command::new(sidecar),
        };
        command.env_remove("CATALINA_BASE").env_remove("CATALINA_HOME");
        command.arg("doctor").args(&self.arguments).args(more).output().unwrap()
    }

    /// What it finds.
    ///
    /// # Panics
    /// When what it says is not what it is to say.
    pub fn look(&self) -> Said {
        let output = self.run(&["--json"]);
        let said: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let found = |value: &Value| Found {
            id: text(value, "id"),
            severity: text(value, "severity"),
            place: match value["line"].as_u64() {
                Some(line) => format!("{}:{line}", text(value, "path")),
                None => text(value, "path"),
            },
            what: format!("{}; {}", text(value, "what"), text(value, "why")),
            fix: text(value, "fix"),
        };
        let list = |name: &str| said[name].as_array().unwrap().clone();
        Said {
            code: output.status.code().unwrap(),
            findings: list("findings").iter().map(found).collect(),
            unchecked: list("unchecked")
                .iter()
                .map(|one| format!("{}: {}", text(one, "what"), text(one, "why")))
                .collect(),
        }
    }

    /// The one finding of this name.
    ///
    /// # Panics
    /// When there is none, or it lacks something.
    pub fn finds(&self, id: &str) -> Found {
        let said = self.look();
        let found = said.findings.iter().find(|found| found.id == id);
        let found = found.unwrap_or_else(|| panic!("no {id} in {:#?}", said.findings)).clone();
        assert!(!found.what.is_empty() && !found.fix.is_empty(), "{found:?}");
        let worst = |severity: &str| said.findings.iter().any(|found| found.severity == severity);
        let code = if worst("error") { 2 } else { i32::from(worst("warning")) };
        assert_eq!(said.code, code, "{:#?}", said.findings);
        found
    }

    /// That it finds nothing of this name any more.
    ///
    /// # Panics
    /// When it does.
    pub fn finds_no(&self, id: &str) {
        let said = self.look();
        assert!(said.findings.iter().all(|found| found.id != id), "{:#?}", said.findings);
    }

    /// That it finds nothing at all.
    ///
    /// # Panics
    /// When it does.
    pub fn finds_nothing(&self) {
        let said = self.look();
        assert!(said.findings.is_empty() && said.code == 0, "{} {:#?}", said.code, said.findings);
    }

    /// Puts the files of `--fix-print` where they belong. Their paths.
    ///
    /// # Panics
    /// When none is printed.
    pub fn apply_xml(&self) -> Vec<PathBuf> {
        let output = self.run(&["--fix-print"]);
        let printed = String::from_utf8(output.stdout).unwrap();
        let mut paths = Vec::new();
        for part in printed.split("==> ").skip(1) {
            let (path, text) = part.split_once(" <==\n").unwrap();
            let path = PathBuf::from(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text.strip_suffix('\n').unwrap()).unwrap();
            paths.push(path);
        }
        assert!(!paths.is_empty(), "{printed}");
        paths
    }
}

impl Found {
    /// Runs the commands of its fix, as root.
    ///
    /// # Panics
    /// When there is none, or one fails.
    pub fn apply(&self) {
        let commands: Vec<_> = self.fix.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
        assert!(!commands.is_empty(), "{}", self.fix);
        for command in commands {
            let output = Command::new("sh").args(["-c", command]).output().unwrap();
            assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }

    /// Writes a line of its fix into a configuration, in place of the line with the same key.
    ///
    /// # Panics
    /// When the fix has no such line, or the configuration none.
    pub fn apply_line(&self, key: &str, file: &Path) {
        let starts = |line: &&str| line.trim_start().starts_with(&format!("{key} ="));
        let told =
            self.fix.lines().find(starts).unwrap_or_else(|| panic!("{key} in {}", self.fix)).to_owned();
        let text = std::fs::read_to_string(file).unwrap();
        let wrong = text.lines().find(starts).unwrap_or_else(|| panic!("{key} in {text}"));
        std::fs::write(file, text.replacen(wrong, &told, 1)).unwrap();
    }
}
