//! Certificates, and which one a client gets.
//!
//! TLS is rustls with ring: memory-safe, no library of the system to build against or to keep up to date beside this program, and it takes
//! a certificate for each handshake, so that a reload changes them without a new listener.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pingora_core::listeners::tls::Acceptor;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::running::Shared;

/// A chain of certificates and its private key.
#[derive(Clone)]
pub struct Certificate {
    pair: Arc<CertifiedKey>,
    key_file: PathBuf,
}

/// Why a certificate can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file can't be read, or is not in PEM.
    #[error("cannot read {}: {message}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// They do not belong together, or the key is of an unknown kind.
    #[error("{} and {}: {message}", chain.display(), key.display())]
    Pair {
        /// The file with the certificates.
        chain: PathBuf,
        /// The file with the key.
        key: PathBuf,
        /// Why.
        message: String,
    },
}

impl Certificate {
    /// Reads both from PEM files.
    ///
    /// # Errors
    /// As [`CertificateError`].
    pub fn load(chain: &Path, key: &Path) -> Result<Self, CertificateError> {
        let read = |path: &Path, message: String| CertificateError::Read { path: path.to_owned(), message };
        let certificates: Vec<_> = CertificateDer::pem_file_iter(chain)
            .and_then(Iterator::collect)
            .map_err(|error| read(chain, error.to_string()))?;
        if certificates.is_empty() {
            return Err(read(chain, "there is no certificate in it".into()));
        }
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| read(key, error.to_string()))?;
        let pair = CertifiedKey::from_der(certificates, private, &ring::default_provider());
        let pair = pair.map_err(|error| CertificateError::Pair {
            chain: chain.to_owned(),
            key: key.to_owned(),
            message: error.to_string(),
        })?;
        Ok(Self { pair: Arc::new(pair), key_file: key.to_owned() })
    }

    /// Where the private key was read.
    pub fn key_file(&self) -> &Path {
        &self.key_file
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate")
    }
}

/// Picks the certificate of the server that the client names, or that of the socket's default.
struct ByName {
    shared: Shared,
    socket: SocketAddr,
}

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "certificates of {}", self.socket)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let running = self.shared.load();
        let name = hello.server_name().unwrap_or_default().to_ascii_lowercase();
        let server = running.server(self.socket, &name)?;
        let certificate = server.certificate.as_ref().or_else(|| {
            // A server that shares the socket and has none of its own.
            running.server(self.socket, "").and_then(|server| server.certificate.as_ref())
        })?;
        Some(certificate.pair.clone())
    }
}

/// What speaks TLS 1.2 and 1.3 on a socket.
///
/// # Errors
/// When the library can't be set up; it always can.
pub fn acceptor(shared: Shared, socket: SocketAddr, http2: bool) -> Result<Acceptor, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let mut config = builder
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ByName { shared, socket }));
    config.alpn_protocols =
        if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    Ok(Acceptor::from_server_config(Arc::new(config)))
}
