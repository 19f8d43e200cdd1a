//! One access log for all; the error log on standard error.

use satchel_common::import::block::Value;

use super::Rule::{self, By, Nothing};
use crate::import::definitions::LogFormat;
use crate::import::parser::Directive;
use crate::import::scope::{Level, Outcome, Scope, changed, not};
use crate::import::variables::{Known, unknown};

pub(super) const RULES: &[(&str, Rule)] = &[
    ("access_log", By(access_log)),
    ("log_format", Nothing("is written out where the access log uses it")),
    ("error_log", By(error_log)),
    ("open_log_file_cache", Nothing("the gateway keeps its log open")),
];

fn access_log(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    let path = match directive.arg(0) {
        "off" => return scope.set("access_log", Value::Flag(false)),
        "/dev/stdout" => "stdout",
        path if path.starts_with("syslog:") => {
            return not("write path = \"stdout\" and let the service manager log");
        }
        path if !path.starts_with('/') => return not("a whole path is expected"),
        path if path.contains('$') => return not("a path with variables is not possible; there is one log"),
        path => path,
    };
    let (format, loss) = match format(scope, directive) {
        Ok(found) => found,
        Err(why) => return not(why),
    };
    let log = &mut scope.context.access_log;
    let is_first = log.set("path", Value::Text(path.into()));
    if is_first {
        log.set("format", Value::Text(format));
    } else if log.get("path") != Some(&Value::Text(path.into()))
        || log.get("format") != Some(&Value::Text(format))
    {
        return not("there is one access log for all; the first one counts");
    }
    if scope.outer("access_log").is_some_and(|outer| outer.arg(0) == "off") {
        scope.block.set("access_log", Value::Flag(true));
    }
    let args = directive.args();
    if let Some(option) =
        args.iter().skip(2).find(|option| option.starts_with("if=") || option.starts_with("gzip"))
    {
        let loss = loss.map(|loss| format!("; {loss}")).unwrap_or_default();
        return not(format!("without '{option}': a block is logged whole or not (access_log = false){loss}"));
    }
    match loss {
        Some(loss) => changed(loss),
        None if is_first && scope.level != Level::Http => {
            changed("is the log of all servers now; say access_log = false where nothing is to be logged")
        }
        None => Outcome::Carried,
    }
}

/// What stands in `format`, and what is lost by it.
fn format(scope: &Scope<'_>, directive: &Directive) -> Result<(String, Option<String>), String> {
    let name = match directive.arg(1) {
        "" | "combined" => return Ok(("combined".into(), None)),
        name if name.contains('=') => return Ok(("combined".into(), None)),
        name => name,
    };
    let Some(LogFormat { text, is_json }) = scope.context.definitions.formats.get(name) else {
        return Err(format!("there is no log_format '{name}'"));
    };
    if *is_json {
        return Ok((
            "json".into(),
            Some("format = \"json\" has names of its own; see conf/gateway.toml".into()),
        ));
    }
    const COMBINED: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\"";
    match unknown(text, Known::Log) {
        None if text == COMBINED => Ok(("combined".into(), None)),
        None if text.contains('$') && !text.contains(|c: char| c.is_control() && c != '\t') => {
            Ok((text.clone(), None))
        }
        None => Err("the format has no variable, or a line break".into()),
        Some(variable) => {
            let why = scope.context.definitions.why_unknown(&variable);
            Ok(("combined".into(), Some(format!("format = \"combined\" is written: {why}"))))
        }
    }
}

fn error_log(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    if scope.level != Level::Http {
        return not("there is one error log for all, on standard error");
    }
    let level = match directive.arg(1) {
        "debug" => "debug",
        "info" | "notice" => "info",
        "warn" => "warn",
        _ => "error",
    };
    if !scope.context.top.set("log_level", Value::Text(level.into())) {
        return not("there is one error log; the first one counts");
    }
    match directive.arg(0) {
        _ if matches!(level, "warn" | "error") => changed(format!(
            "the error log goes to standard error; with log_level = \"{level}\" it says nothing of starts, reloads and servers that come back"
        )),
        "stderr" | "/dev/stderr" => Outcome::Carried,
        _ => changed("the error log goes to standard error; the service manager keeps it"),
    }
}
