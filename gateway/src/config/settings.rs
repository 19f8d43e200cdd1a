//! What may be said for all servers, for one, or for a location. The innermost word counts, key by key, as in nginx.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderName;
use regex::Regex;
use satchel_common::config::Invalid;
use satchel_common::units::{Size, Time};

use super::limits::{ConnectionLimit, RateLimit, connection_limit, rate_limit};
use super::replacement::replacement;
use super::{defaults, raw};
use crate::template::Template;

/// How requests of a location are treated.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Bytes of a request's body; `None`: any.
    pub client_max_body_size: Option<u64>,
    /// Between two reads of a request's body.
    pub client_body_timeout: Duration,
    /// Between two writes of a response.
    pub send_timeout: Duration,
    /// For connecting to a server.
    pub proxy_connect_timeout: Duration,
    /// Between two reads of a response.
    pub proxy_read_timeout: Duration,
    /// Between two writes of a request.
    pub proxy_send_timeout: Duration,
    /// When another server is tried.
    pub next_upstream: NextUpstream,
    /// Whether what a client does not take at once is spooled.
    pub proxy_buffering: bool,
    /// Where it is spooled.
    pub temp_files: TempFiles,
    /// Fields that are set on the request.
    pub proxy_set_header: Vec<(HeaderName, Template)>,
    /// Fields that are taken from the response.
    pub proxy_hide_header: Vec<HeaderName>,
    /// How `Location` is rewritten.
    pub proxy_redirect: Redirects,
    /// How the path of cookies is rewritten; groups are `${1}`.
    pub proxy_cookie_path: Vec<(Regex, String)>,
    /// Whether the servers' errors get our pages too.
    pub proxy_intercept_errors: bool,
    /// Fields that are added to the response.
    pub add_header: Vec<AddHeader>,
    /// Our pages, by status.
    pub error_pages: HashMap<u16, Page>,
    /// Added to `Content-Type` of texts that say none.
    pub charset: Option<String>,
    /// What is compressed.
    pub compression: Compression,
    /// Requests of one client in a time.
    pub limit_req: Option<RateLimit>,
    /// Requests of one client at one time.
    pub limit_conn: Option<ConnectionLimit>,
    /// What those past `limit_req` are answered.
    pub limit_req_status: u16,
    /// What those past `limit_conn` are answered.
    pub limit_conn_status: u16,
    /// Whether requests are logged.
    pub access_log: bool,
}

/// nginx's `proxy_next_upstream` and its companions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NextUpstream {
    /// A connection that could not be made or was lost.
    pub error: bool,
    /// A server that did not answer in time.
    pub timeout: bool,
    /// An answer that is none.
    pub invalid_header: bool,
    /// Also requests that may do something twice.
    pub non_idempotent: bool,
    /// These answers.
    pub status: Vec<u16>,
    /// Servers that are tried; zero: all.
    pub tries: usize,
    /// For all tries together; `None`: any time.
    pub timeout_total: Option<Duration>,
}

/// nginx's `proxy_temp_path` and `proxy_max_temp_file_size`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TempFiles {
    /// The directory.
    pub path: Arc<Path>,
    /// Of one file, in bytes; zero: there is none.
    pub max: u64,
}

/// How `Location` and `Refresh` are rewritten.
#[derive(Debug, Clone)]
pub enum Redirects {
    /// What `proxy_pass` has put in place of the location's path is put back, as nginx does by default.
    Default,
    /// By these rules; none: not at all.
    Rules(Vec<(Regex, Template)>),
}

/// A field that is added to the response.
#[derive(Debug, Clone)]
pub struct AddHeader {
    /// Its name.
    pub name: HeaderName,
    /// Its value.
    pub value: Template,
    /// Also to errors.
    pub always: bool,
}

/// A page of our own.
#[derive(Debug, Clone)]
pub struct Page {
    /// The file's bytes.
    pub body: Bytes,
    /// By the file's name.
    pub content_type: &'static str,
}

/// What is compressed, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compression {
    /// Offered.
    pub gzip: bool,
    /// Offered.
    pub brotli: bool,
    /// Offered.
    pub zstd: bool,
    /// Of these types; `*`: any.
    pub types: Vec<String>,
    /// Of at least so many bytes, if the length is known.
    pub min_length: u64,
    /// 1 to 9.
    pub level: u32,
}

impl Compression {
    /// Whether any encoding is offered.
    pub fn is_on(&self) -> bool {
        self.gzip || self.brotli || self.zstd
    }
}

impl Settings {
    /// Where nothing is said.
    pub(crate) fn defaults() -> Self {
        Self {
            client_max_body_size: Some(defaults::CLIENT_MAX_BODY_SIZE.0),
            client_body_timeout: defaults::CLIENT_BODY_TIMEOUT.0,
            send_timeout: defaults::SEND_TIMEOUT.0,
            proxy_connect_timeout: defaults::PROXY_CONNECT_TIMEOUT.0,
            proxy_read_timeout: defaults::PROXY_READ_TIMEOUT.0,
            proxy_send_timeout: defaults::PROXY_SEND_TIMEOUT.0,
            // nginx's.
            next_upstream: NextUpstream { error: true, timeout: true, ..NextUpstream::default() },
            proxy_buffering: true,
            temp_files: TempFiles {
                path: Path::new(defaults::PROXY_TEMP_PATH).into(),
                max: defaults::PROXY_MAX_TEMP_FILE_SIZE.0,
            },
            proxy_set_header: Vec::new(),
            proxy_hide_header: Vec::new(),
            proxy_redirect: Redirects::Default,
            proxy_cookie_path: Vec::new(),
            proxy_intercept_errors: false,
            add_header: Vec::new(),
            error_pages: HashMap::new(),
            charset: None,
            compression: Compression {
                gzip: false,
                brotli: false,
                zstd: false,
                types: defaults::GZIP_TYPES.map(str::to_owned).to_vec(),
                min_length: defaults::GZIP_MIN_LENGTH.0,
                level: defaults::GZIP_COMP_LEVEL,
            },
            limit_req: None,
            limit_conn: None,
            limit_req_status: defaults::LIMIT_STATUS,
            limit_conn_status: defaults::LIMIT_STATUS,
            access_log: true,
        }
    }

    /// With what `raw` says. `key` is how a key of the block is named in errors.
    pub(super) fn with(&self, raw: &raw::Block, key: &dyn Fn(&str) -> String) -> Result<Self, Invalid> {
        let mut new = self.clone();
        if let Some(Size(size)) = raw.client_max_body_size {
            new.client_max_body_size = (size > 0).then_some(size);
        }
        for (name, value, place) in [
            ("client_body_timeout", raw.client_body_timeout, &mut new.client_body_timeout),
            ("send_timeout", raw.send_timeout, &mut new.send_timeout),
            ("proxy_connect_timeout", raw.proxy_connect_timeout, &mut new.proxy_connect_timeout),
            ("proxy_read_timeout", raw.proxy_read_timeout, &mut new.proxy_read_timeout),
            ("proxy_send_timeout", raw.proxy_send_timeout, &mut new.proxy_send_timeout),
        ] {
            *place = time(key(name), value, Time(*place))?;
        }
        if let Some(words) = &raw.proxy_next_upstream {
            new.next_upstream = next_upstream(words, &new.next_upstream)
                .map_err(|error| Invalid::new(key("proxy_next_upstream"), error))?;
        }
        if let Some(tries) = raw.proxy_next_upstream_tries {
            new.next_upstream.tries = tries as usize;
        }
        if let Some(Time(time)) = raw.proxy_next_upstream_timeout {
            new.next_upstream.timeout_total = (!time.is_zero()).then_some(time);
        }
        new.proxy_buffering = raw.proxy_buffering.unwrap_or(new.proxy_buffering);
        if let Some(path) = &raw.proxy_temp_path {
            if !Path::new(path).is_dir() {
                return Err(Invalid::new(
                    key("proxy_temp_path"),
                    format!("{path} is no directory; make it for the gateway's user"),
                ));
            }
            new.temp_files.path = Path::new(path).into();
        }
        if let Some(Size(size)) = raw.proxy_max_temp_file_size {
            new.temp_files.max = size;
        }
        if let Some(set) = &raw.proxy_set_header {
            new.proxy_set_header = request_headers(&key("proxy_set_header"), set)?;
        }
        if let Some(names) = &raw.proxy_hide_header {
            let parse = |name: &String| header_name(&key("proxy_hide_header"), name);
            new.proxy_hide_header = names.iter().map(parse).collect::<Result<_, _>>()?;
        }
        if let Some(rules) = &raw.proxy_redirect {
            let key = key("proxy_redirect");
            let rule = |[from, to]: &[String; 2]| Ok((pattern(&key, from)?, template(&key, to)?));
            new.proxy_redirect = Redirects::Rules(rules.iter().map(rule).collect::<Result<_, _>>()?);
        }
        if let Some(rules) = &raw.proxy_cookie_path {
            let key = key("proxy_cookie_path");
            let rule = |[from, to]: &[String; 2]| {
                let from = pattern(&key, from)?;
                let to = replacement(&from, to).map_err(|error| Invalid::new(&key, error))?;
                Ok((from, to))
            };
            new.proxy_cookie_path = rules.iter().map(rule).collect::<Result<_, _>>()?;
        }
        if let Some(on) = raw.proxy_intercept_errors {
            new.proxy_intercept_errors = on;
        }
        if let Some(add) = &raw.add_header {
            new.add_header = add
                .iter()
                .map(|(name, value)| added(&format!("{}.{name}", key("add_header")), name, value))
                .collect::<Result<_, _>>()?;
        }
        if let Some(pages) = &raw.error_page {
            new.error_pages = error_pages(&key("error_page"), pages)?;
        }
        if let Some(charset) = &raw.charset {
            if !charset.bytes().all(|b| b.is_ascii_graphic() && b != b';' && b != b'"') {
                return Err(Invalid::new(key("charset"), "is no name of a character set"));
            }
            new.charset = (charset != "off").then(|| charset.clone());
        }
        compression(raw, key, &mut new.compression)?;
        if let Some(text) = &raw.limit_req {
            let key = key("limit_req");
            new.limit_req = rate_limit(text, &key).map_err(|error| Invalid::new(key, error))?;
        }
        for (name, value, place) in [
            ("limit_req_status", raw.limit_req_status, &mut new.limit_req_status),
            ("limit_conn_status", raw.limit_conn_status, &mut new.limit_conn_status),
        ] {
            *place = value.unwrap_or(*place);
            // nginx's word for no answer at all.
            if !(400..=599).contains(place) || *place == 444 {
                return Err(Invalid::new(
                    key(name),
                    format!("is {place}; 400 to 599 are allowed, but not 444"),
                ));
            }
        }
        if let Some(written) = &raw.limit_conn {
            let key = key("limit_conn");
            new.limit_conn = connection_limit(written, &key).map_err(|error| Invalid::new(key, error))?;
        }
        new.access_log = raw.access_log.unwrap_or(new.access_log);
        Ok(new)
    }
}

/// A time that must not be zero.
pub(super) fn time(key: String, value: Option<Time>, default: Time) -> Result<Duration, Invalid> {
    let value = value.unwrap_or(default).0;
    if value.is_zero() { Err(Invalid::new(key, "must be more than zero")) } else { Ok(value) }
}

/// Tries and time are not among the words: those of `outer` stay.
fn next_upstream(words: &[String], outer: &NextUpstream) -> Result<NextUpstream, String> {
    let mut on =
        NextUpstream { tries: outer.tries, timeout_total: outer.timeout_total, ..NextUpstream::default() };
    for word in words {
        match word.as_str() {
            "error" => on.error = true,
            "timeout" => on.timeout = true,
            "invalid_header" => on.invalid_header = true,
            "non_idempotent" => on.non_idempotent = true,
            "off" => {}
            other => {
                let status = other.strip_prefix("http_").and_then(|status| status.parse().ok());
                let Some(status @ (403 | 404 | 429 | 500 | 502 | 503 | 504)) = status else {
                    return Err(format!(
                        "'{other}' is not known; error, timeout, invalid_header, http_500, http_502, http_503, http_504, http_403, \
                         http_404, http_429, non_idempotent and off are"
                    ));
                };
                on.status.push(status);
            }
        }
    }
    Ok(on)
}

/// What frames a message is the gateway's business.
const RESERVED: [&str; 6] =
    ["connection", "content-length", "transfer-encoding", "upgrade", "x-satchel-unsent", "te"];

fn request_headers(
    key: &str,
    raw: &BTreeMap<String, String>,
) -> Result<Vec<(HeaderName, Template)>, Invalid> {
    raw.iter()
        .map(|(name, value)| {
            let key = format!("{key}.{name}");
            Ok((own_header_name(&key, name)?, template(&key, value)?))
        })
        .collect()
}

fn added(key: &str, name: &str, value: &str) -> Result<AddHeader, Invalid> {
    let (value, always) = match value.strip_suffix(" always") {
        Some(value) => (value, true),
        None => (value, false),
    };
    Ok(AddHeader { name: own_header_name(key, name)?, value: template(key, value)?, always })
}

fn own_header_name(key: &str, name: &str) -> Result<HeaderName, Invalid> {
    let header = header_name(key, name)?;
    if RESERVED.contains(&header.as_str()) {
        return Err(Invalid::new(key, "is set by the gateway itself and can't be configured"));
    }
    Ok(header)
}

fn header_name(key: &str, name: &str) -> Result<HeaderName, Invalid> {
    name.parse().map_err(|_| Invalid::new(key, format!("'{name}' is not the name of a header")))
}

fn template(key: &str, text: &str) -> Result<Template, Invalid> {
    Template::parse(text).map_err(|error| Invalid::new(key, error.to_string()))
}

/// nginx's `~regex` and `~*regex`, in place of which all of the value is replaced; anything else is a prefix.
fn pattern(key: &str, text: &str) -> Result<Regex, Invalid> {
    let whole = |flags: &str, regex: &str| format!("(?s{flags})^.*?(?:{}).*$", regex.trim_start());
    let regex = match (text.strip_prefix("~*"), text.strip_prefix('~')) {
        (Some(regex), _) => whole("i", regex),
        (_, Some(regex)) => whole("", regex),
        _ => format!("^{}", regex::escape(text)),
    };
    Regex::new(&regex).map_err(|error| Invalid::new(key, error.to_string()))
}

fn error_pages(key: &str, raw: &BTreeMap<String, String>) -> Result<HashMap<u16, Page>, Invalid> {
    let mut pages = HashMap::new();
    for (statuses, path) in raw {
        let key = format!("{key}.\"{statuses}\"");
        let body = std::fs::read(path)
            .map_err(|error| Invalid::new(&key, format!("cannot read {path}: {error}")))?;
        let page = Page { body: body.into(), content_type: content_type(path) };
        for status in statuses.split_ascii_whitespace() {
            let status = status.parse().ok().filter(|status| (400..=599).contains(status));
            let status = status.ok_or_else(|| Invalid::new(&key, "write one or more of 400 to 599"))?;
            pages.insert(status, page.clone());
        }
    }
    Ok(pages)
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html" | "htm") => "text/html",
        Some("json") => "application/json",
        _ => "text/plain",
    }
}

fn compression(raw: &raw::Block, key: &dyn Fn(&str) -> String, to: &mut Compression) -> Result<(), Invalid> {
    to.gzip = raw.gzip.unwrap_or(to.gzip);
    to.brotli = raw.brotli.unwrap_or(to.brotli);
    to.zstd = raw.zstd.unwrap_or(to.zstd);
    to.min_length = raw.gzip_min_length.map_or(to.min_length, |size| size.0);
    if let Some(types) = &raw.gzip_types {
        // nginx compresses text/html always.
        to.types = defaults::GZIP_TYPES.map(str::to_owned).to_vec();
        to.types.extend(types.iter().map(|one| one.to_ascii_lowercase()));
    }
    if let Some(level) = raw.gzip_comp_level {
        if !(1..=9).contains(&level) {
            return Err(Invalid::new(key("gzip_comp_level"), format!("is {level}; 1 to 9 are allowed")));
        }
        to.level = level;
    }
    Ok(())
}
