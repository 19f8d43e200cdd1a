//! What was found, for people, for programs, and as files to put in the place of the wrong ones.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::edit::apply;
use super::{Finding, Report, Severity};
use crate::shown::{harmless, harmless_lines};

/// For people; with colours if it goes to a terminal.
pub fn text(report: &Report, colours: bool) -> String {
    let mut out = String::new();
    let paint = |code: &str, text: &str| {
        if colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    };
    for finding in &report.findings {
        let code = match finding.severity {
            Severity::Error => "1;31",
            Severity::Warning => "1;33",
            Severity::Note => "1;36",
        };
        let place = finding.place.as_ref().map(|place| format!(" {}", harmless(&place.to_string())));
        let place = place.unwrap_or_default();
        let head = format!("{}[{}]", finding.severity.name(), finding.id);
        let _ = writeln!(out, "{}{place}", paint(code, &head));
        for (name, text) in [("what", &finding.what), ("why", &finding.why), ("fix", &finding.fix)] {
            let _ = writeln!(
                out,
                "  {} {}",
                paint("1", &format!("{:5}", format!("{name}:"))),
                harmless_lines(text).replace('\n', "\n        ")
            );
        }
        out.push('\n');
    }
    for unchecked in &report.unchecked {
        let (what, why) = (harmless(&unchecked.what), harmless_lines(&unchecked.why));
        let _ = writeln!(out, "{} {what}: {why}", paint("2", "not checked:"));
    }
    if !report.unchecked.is_empty() {
        out.push('\n');
    }
    out.push_str(&summary(report));
    if report.findings.iter().any(|finding| !finding.edits.is_empty()) {
        out.push_str("--fix-print prints the corrected XML.\n");
    }
    out
}

fn summary(report: &Report) -> String {
    let count = |severity| {
        let n = report.count(severity);
        format!("{n} {}{}", severity.name(), if n == 1 { "" } else { "s" })
    };
    let all = [Severity::Error, Severity::Warning, Severity::Note].map(count).join(", ");
    match report.unchecked.len() {
        0 => format!("{all}.\n"),
        n => format!("{all}; {n} not checked.\n"),
    }
}

/// For programs.
pub fn json(report: &Report) -> Value {
    let finding = |finding: &Finding| {
        let place = finding.place.as_ref();
        let at = place.and_then(|place| place.at);
        json!({
            "id": finding.id,
            "severity": finding.severity.name(),
            "path": place.map(|place| place.path.display().to_string()),
            "line": at.map(|(line, _)| line),
            "column": at.map(|(_, column)| column),
            "what": finding.what,
            "why": finding.why,
            "fix": finding.fix,
        })
    };
    let unchecked: Vec<_> =
        report.unchecked.iter().map(|one| json!({"what": one.what, "why": one.why})).collect();
    let files: Vec<_> = fixed(report)
        .into_iter()
        .map(|(path, text)| json!({"path": path.display().to_string(), "text": text}))
        .collect();
    json!({
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "unchecked": unchecked,
        "fixed": files,
    })
}

/// The corrected files, each behind a line that names it.
pub fn fixes(report: &Report) -> String {
    fixed(report)
        .into_iter()
        .map(|(path, text)| format!("==> {} <==\n{text}\n", harmless(&path.display().to_string())))
        .collect()
}

fn fixed(report: &Report) -> BTreeMap<PathBuf, String> {
    apply(report.findings.iter().map(|finding| finding.edits.as_slice()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_steer_no_terminal() {
        let mut report = Report::default();
        let jar = "msm-\u{1b}]0;x\u{7}.jar";
        report.add(
            Finding::new("jars.msm", Severity::Warning, format!("left: {jar}"), "why", "remove:\n$ rm x")
                .of(format!("/lib/\u{1b}[2J/{jar}")),
        );
        report.unchecked(format!("/srv/{jar}"), "no");
        let text = text(&report, false);
        assert!(text.lines().all(|line| !line.contains(char::is_control)), "{text:?}");
        assert!(text.contains("\n        $ rm x\n"), "{text}");
    }
}
