//! The manifests in `conf/kubernetes`, rendered by the real kustomize, and the schemas of Kubernetes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::{binaries, needs};

/// The three newest minor versions. When there is a newer one: here, and in `tests/kubernetes/requirements.txt`.
pub const VERSIONS: [&str; 3] = ["1.35", "1.36", "1.37"];
/// The module that has the definitions of the Gateway API.
const GATEWAY_API: &str = "sigs.k8s.io/gateway-api@v1.6.3";
/// Where kustomize is built from, if it is not there.
const KUSTOMIZE: &str = "sigs.k8s.io/kustomize/kustomize/v5@v5.8.3";

/// `conf/kubernetes`.
pub fn manifests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf/kubernetes")
}

/// What renders and checks.
pub struct Kubernetes {
    render: Vec<String>,
    python: PathBuf,
    crds: PathBuf,
}

impl Kubernetes {
    /// Finds what is needed, or installs it. `None`: it can't be had here, which is said.
    pub fn find() -> Option<Self> {
        let directory = binaries::target().parent()?.join("kubernetes");
        fs::create_dir_all(&directory).unwrap();
        let lock = File::create(directory.join("lock")).unwrap();
        lock.lock().unwrap();
        let found = kustomize(&directory)
            .and_then(|render| Ok(Self { render, python: python(&directory)?, crds: crds(&directory)? }));
        found.map_err(|why| needs::skipped("the manifests of Kubernetes", &why)).ok()
    }

    /// A kustomization, rendered: YAML.
    ///
    /// # Panics
    /// With what kustomize says, if it can't be.
    pub fn render(&self, kustomization: &Path) -> String {
        let output =
            Command::new(&self.render[0]).args(&self.render[1..]).arg(kustomization).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Checks rendered manifests against the schemas of all [`VERSIONS`]: their resources.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self, rendered: &str) -> Result<Vec<Value>, String> {
        let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        fs::write(file.path(), rendered).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("kubernetes/validate.py");
        let mut command = Command::new(&self.python);
        command.arg(script).arg(VERSIONS.join(",")).arg(&self.crds).arg(file.path());
        let output = command.output().unwrap();
        match output.status.success() {
            true => Ok(serde_json::from_slice(&output.stdout).unwrap()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }
}

/// A program that renders: kustomize, kubectl, or kustomize built from its module.
fn kustomize(directory: &Path) -> Result<Vec<String>, String> {
    if let Some(kustomize) = needs::find("kustomize") {
        return Ok(vec![kustomize.display().to_string(), "build".into()]);
    }
    // Older ones, Debian's among them, don't know components.
    if let Some(kubectl) = needs::find("kubectl").filter(|kubectl| minor(kubectl).is_some_and(|n| n >= 27)) {
        return Ok(vec![kubectl.display().to_string(), "kustomize".into()]);
    }
    let built = directory.join("kustomize");
    if !built.exists() {
        let go =
            needs::find("go").ok_or("there is neither kustomize nor kubectl, nor Go to build it with")?;
        let install = Command::new(go).args(["install", KUSTOMIZE]).env("GOBIN", directory).status();
        if !install.is_ok_and(|status| status.success()) {
            return Err(format!("{KUSTOMIZE} could not be built"));
        }
    }
    Ok(vec![built.display().to_string(), "build".into()])
}

/// The minor version of a kubectl.
fn minor(kubectl: &Path) -> Option<u32> {
    let output = Command::new(kubectl).args(["version", "--client", "--output=json"]).output().ok()?;
    let version: Value = serde_json::from_slice(&output.stdout).ok()?;
    version["clientVersion"]["gitVersion"].as_str()?.split('.').nth(1)?.parse().ok()
}

/// A Python with `tests/kubernetes/requirements.txt`.
fn python(directory: &Path) -> Result<PathBuf, String> {
    let wanted = Path::new(env!("CARGO_MANIFEST_DIR")).join("kubernetes/requirements.txt");
    let (venv, has) = (directory.join("venv"), directory.join("requirements.txt"));
    let text = fs::read(&wanted).unwrap();
    let python = venv.join("bin/python");
    if fs::read(&has).is_ok_and(|has| has == text) && python.exists() {
        return Ok(python);
    }
    needs::ensure_python();
    let made = run(Command::new(needs::find("python3").unwrap()).args(["-m", "venv", "--clear"]).arg(&venv))
        && run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "-r"]).arg(&wanted));
    if !made {
        return Err("kubernetes-validate could not be installed with pip".into());
    }
    fs::write(has, text).unwrap();
    Ok(python)
}

/// The definitions of the Gateway API, from its Go module.
fn crds(directory: &Path) -> Result<PathBuf, String> {
    let crds = directory.join(GATEWAY_API.rsplit('/').next().unwrap());
    if crds.exists() {
        return Ok(crds);
    }
    let go =
        needs::find("go").ok_or("the definitions of the Gateway API come as a Go module: Go is needed")?;
    let output = Command::new(go).args(["mod", "download", "-json", GATEWAY_API]).output();
    let output = output.map_err(|error| error.to_string())?;
    let said: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    let from = said["Dir"].as_str().ok_or_else(|| format!("{GATEWAY_API} could not be had"))?;
    let scratch = tempfile::tempdir_in(directory).unwrap();
    for file in fs::read_dir(Path::new(from).join("config/crd/standard")).unwrap() {
        let file = file.unwrap().path();
        fs::copy(&file, scratch.path().join(file.file_name().unwrap())).unwrap();
    }
    fs::rename(scratch.keep(), &crds).unwrap();
    Ok(crds)
}

fn run(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}
