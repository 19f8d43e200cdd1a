//! The test application, compiled once for each Servlet API.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{TomcatVersion, binaries, needs};

/// Its variants: they differ in web.xml only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum App {
    /// Nothing is protected.
    Plain,
    /// `/protected/*` needs FORM login.
    Form,
    /// Everything needs FORM login.
    FormEverywhere,
    /// `/protected/*` needs BASIC login.
    Basic,
    /// As [`Plain`](Self::Plain), with `sessionCookiePath="/"`.
    SharedCookie,
    /// As [`Plain`](Self::Plain), with a `sessionAttributeNameFilter` that keeps `n` only.
    Filtered,
    /// As [`Form`](Self::Form), with the `sessionAttributeValueClassNameFilter` of `docs/security.md`.
    ClassFilter,
    /// As [`Plain`](Self::Plain), with every attribute that a session cookie can have.
    CookieAttributes,
}

/// The exploded application: a directory for `docBase`.
///
/// # Panics
/// When it can't be compiled.
pub fn build(version: TomcatVersion, app: App) -> PathBuf {
    let api = version.api();
    let root = binaries::target().parent().unwrap().join("webapp").join(format!("{api}-{app:?}"));
    fs::create_dir_all(&root).unwrap();
    let lock = File::create(root.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("webapp");
    if !is_newer(&root.join("built"), &sources) {
        compile(version, &sources, &root);
        for name in ["ShowSession.jsp", "login.html", "login-error.html"] {
            fs::copy(sources.join(name), root.join(name)).unwrap();
        }
        fs::create_dir_all(root.join("static")).unwrap();
        fs::write(root.join("static/pixel.png"), b"not really a picture").unwrap();
        let web_xml = fs::read_to_string(sources.join("web.xml")).unwrap();
        let security = match app {
            App::Plain | App::SharedCookie | App::Filtered => String::new(),
            App::CookieAttributes => COOKIE_CONFIG.to_owned(),
            App::Form | App::ClassFilter => SECURITY.replace("LOGIN", FORM),
            App::FormEverywhere => SECURITY.replace("LOGIN", FORM).replace("/protected/*", "/*"),
            App::Basic => {
                SECURITY.replace("LOGIN", "<auth-method>BASIC</auth-method><realm-name>test</realm-name>")
            }
        };
        fs::write(root.join("WEB-INF/web.xml"), web_xml.replace("<!-- security -->", &security)).unwrap();
        File::create(root.join("built")).unwrap();
    }
    root
}

const COOKIE_CONFIG: &str = "<session-config><cookie-config><domain>shop.example</domain><http-only>true</http-only>\
<secure>true</secure><max-age>3600</max-age></cookie-config></session-config>";

const FORM: &str = "<auth-method>FORM</auth-method><form-login-config><form-login-page>/login.html</form-login-page>\
<form-error-page>/login-error.html</form-error-page></form-login-config>";
const SECURITY: &str = "<security-constraint><web-resource-collection><web-resource-name>p</web-resource-name>\
<url-pattern>/protected/*</url-pattern></web-resource-collection><auth-constraint><role-name>user</role-name>\
</auth-constraint></security-constraint><login-config>LOGIN</login-config>\
<security-role><role-name>user</role-name></security-role>";

fn compile(version: TomcatVersion, sources: &Path, root: &Path) {
    let classes = root.join("WEB-INF/classes");
    let java = root.join("sources");
    for directory in [&classes, &java] {
        let _ = fs::remove_dir_all(directory);
        fs::create_dir_all(directory).unwrap();
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(sources).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "java") {
            let mut text = fs::read_to_string(&path).unwrap();
            if version.api() == "javax" {
                text = text.replace("jakarta.", "javax.");
            }
            let copy = java.join(path.file_name().unwrap());
            fs::write(&copy, text).unwrap();
            files.push(copy);
        }
    }
    let lib = version.home().unwrap().join("lib");
    let jars: Vec<String> = ["servlet-api.jar", "websocket-api.jar", "websocket-client-api.jar"]
        .iter()
        .map(|jar| lib.join(jar).display().to_string())
        .collect();
    let status = Command::new(needs::find("javac").expect("javac"))
        .args(["--release", "11", "-nowarn", "-cp", &jars.join(":"), "-d"])
        .arg(&classes)
        .args(&files)
        .status()
        .unwrap();
    assert!(status.success(), "the test application does not compile");
}

fn is_newer(built: &Path, sources: &Path) -> bool {
    let Ok(built) = fs::metadata(built).and_then(|m| m.modified()) else { return false };
    let this = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/webapp.rs");
    fs::read_dir(sources)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .chain([this])
        .all(|path| fs::metadata(path).unwrap().modified().unwrap() < built)
}
