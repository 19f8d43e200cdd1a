//! The two programs, built once per test process in the tests' own profile.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// `target/<profile>`, from where this executable lies.
pub fn target() -> PathBuf {
    let mut directory = std::env::current_exe().unwrap();
    while directory.file_name().is_some_and(|name| name != "debug" && name != "release") {
        directory.pop();
    }
    assert!(directory.file_name().is_some(), "not below target/debug or target/release");
    directory
}

/// The path of `gateway` or `sidecar`. `SATCHEL_BIN` names a directory to take them from instead.
///
/// # Panics
/// When they can't be built.
pub fn binary(name: &str) -> PathBuf {
    if let Some(directory) = std::env::var_os("SATCHEL_BIN") {
        return PathBuf::from(directory).join(name);
    }
    build(false);
    released().unwrap_or_else(target).join(name)
}

static RELEASED: OnceLock<()> = OnceLock::new();

fn released() -> Option<PathBuf> {
    RELEASED.get().map(|()| target().with_file_name("release"))
}

/// Builds both with the release profile, whatever this program was built with: what takes long, and counts, is done with what people run.
///
/// # Panics
/// When they can't be built.
pub fn build_released() {
    RELEASED.get_or_init(|| {
        if std::env::var_os("SATCHEL_BIN").is_none() {
            cargo_build(&["--package", "gateway", "--package", "sidecar"], true);
        }
    });
}

/// The sidecar with which it is proved that a check would notice (feature `broken`).
///
/// # Panics
/// When it can't be built.
pub fn broken_sidecar() -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let what = ["--quiet", "--package", "sidecar", "--features", "broken", "--bin", "sidecar-broken"];
        cargo_build(&what, is_release());
    });
    target().join("sidecar-broken")
}

/// The benchmarks' measure.
///
/// # Panics
/// When it can't be built.
pub fn minimal_proxy() -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    let what = ["--quiet", "--package", "satchel-tests", "--bin", "minimal-proxy"];
    BUILT.get_or_init(|| cargo_build(&what, is_release()));
    target().join("minimal-proxy")
}

/// Builds both, once, unless they are taken from elsewhere; with cargo's progress if it is to be `shown`.
///
/// # Panics
/// When they can't be built.
pub fn build(shown: bool) {
    static BUILT: OnceLock<()> = OnceLock::new();
    if std::env::var_os("SATCHEL_BIN").is_some() || RELEASED.get().is_some() {
        return;
    }
    BUILT.get_or_init(|| {
        let quiet: &[&str] = if shown { &[] } else { &["--quiet"] };
        // With the tests' own dependencies some others have more features: to leave these out would build most of them once more.
        let which: &[&str] = match is_test() {
            true => &["--workspace", "--bins", "--tests"],
            false => &["--package", "gateway", "--package", "sidecar"],
        };
        cargo_build(&[quiet, which].concat(), is_release());
    });
}

fn is_test() -> bool {
    std::env::current_exe().is_ok_and(|exe| exe.parent().is_some_and(|parent| parent.ends_with("deps")))
}

fn is_release() -> bool {
    target().ends_with("release")
}

fn cargo_build(arguments: &[&str], release: bool) {
    let target = target();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.arg("build").args(arguments).arg("--target-dir").arg(target.parent().unwrap());
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    // What cargo tells this program of its package would be news to build scripts that watch it (ring's does): with each change between
    // the outer and this build, everything that needs TLS would be built anew.
    let told = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(told)).for_each(|(name, _)| {
        command.env_remove(name);
    });
    if release {
        command.arg("--release");
    }
    assert!(command.status().unwrap().success(), "cargo build failed");
}
