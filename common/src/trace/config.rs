//! The table `[traces]`, the same for both programs.

use http::Uri;
use http::uri::Scheme;
use serde::Deserialize;

use crate::address::HostPort;
use crate::config::Invalid;

/// Of the requests whose trace begins here.
const RATIO: f64 = 0.1;
/// Where a collector takes OTLP over HTTP.
const PORT: u16 = 4318;
const PATH: &str = "/v1/traces";

/// As it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    endpoint: String,
    ratio: Option<f64>,
    service_name: Option<String>,
}

/// Where spans are sent, and which requests have them.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where the collector takes traces by OTLP over HTTP.
    pub endpoint: Endpoint,
    /// Of the requests whose trace begins here, the share that is recorded: 0 to 1.
    pub ratio: f64,
    /// What the collector knows this program as.
    pub service_name: String,
}

/// An address of HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Where it is.
    pub address: HostPort,
    /// What is asked for there.
    pub path: String,
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http{}://{}{}", if self.tls { "s" } else { "" }, self.address, self.path)
    }
}

impl Raw {
    /// Checks it. `name`: the service's, if none is written.
    ///
    /// # Errors
    /// Names the key and what is allowed.
    pub fn check(self, name: &str) -> Result<Config, Invalid> {
        let ratio = self.ratio.unwrap_or(RATIO);
        if !(0.0..=1.0).contains(&ratio) {
            return Err(Invalid::new("traces.ratio", format!("is {ratio}; 0.0 to 1.0 are allowed")));
        }
        let service_name = self.service_name.unwrap_or_else(|| name.to_owned());
        if service_name.trim().is_empty() {
            return Err(Invalid::new("traces.service_name", "is empty; leave it out, or name the service"));
        }
        let endpoint = endpoint(&self.endpoint).ok_or_else(|| {
            let message = format!(
                "'{}' is not an address of a collector; write http://HOST:{PORT}, or with another port and a path",
                self.endpoint
            );
            Invalid::new("traces.endpoint", message)
        })?;
        Ok(Config { endpoint, ratio, service_name })
    }
}

fn endpoint(text: &str) -> Option<Endpoint> {
    let uri: Uri = text.parse().ok()?;
    let tls = match uri.scheme()? {
        scheme if *scheme == Scheme::HTTP => false,
        scheme if *scheme == Scheme::HTTPS => true,
        _ => return None,
    };
    let authority = uri.authority()?;
    // Who has to log in does that by OTEL_EXPORTER_OTLP_HEADERS.
    if authority.as_str().contains('@') {
        return None;
    }
    let address = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(PORT));
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let path = if path == "/" { PATH } else { path };
    Some(Endpoint { tls, address: address.parse().ok()?, path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(endpoint: &str, ratio: f64) -> Result<Config, Invalid> {
        Raw { endpoint: endpoint.into(), ratio: Some(ratio), service_name: None }.check("satchel")
    }

    #[test]
    fn what_is_left_out_is_otlps_own() {
        for (text, full) in [
            ("http://127.0.0.1", "http://127.0.0.1:4318/v1/traces"),
            ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
            ("https://collector.example:443/otlp/v1/traces", "https://collector.example:443/otlp/v1/traces"),
            ("http://[::1]:1", "http://[::1]:1/v1/traces"),
        ] {
            assert_eq!(checked(text, 1.0).unwrap().endpoint.to_string(), full);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for text in ["", "127.0.0.1:4318", "ftp://a", "http://", "http://user:password@a", "http://a:0"] {
            assert_eq!(checked(text, 1.0).unwrap_err().key, "traces.endpoint", "{text}");
        }
        for ratio in [-0.1, 1.1, f64::NAN] {
            assert_eq!(checked("http://a", ratio).unwrap_err().key, "traces.ratio");
        }
    }
}
