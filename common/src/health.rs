//! Asking the process that runs whether it is ready: for health checks in images that have no other program.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use crate::cli::EXIT_CONFIG;

/// For connecting, and for each read and write.
const PATIENCE: Duration = Duration::from_secs(2);
/// Of an answer, in bytes.
const ANSWER_MAX: u64 = 4096;

/// Asks for `/ready` at the admin address of a configuration, and prints what it says. The exit status is 0 for ready, 78 if the configuration
/// has no such address, 1 for anything else.
pub fn health(admin: Option<SocketAddr>) -> ExitCode {
    let Some(admin) = admin else {
        eprintln!("admin is not set, so nobody can be asked: set it in the configuration");
        return ExitCode::from(EXIT_CONFIG);
    };
    match ask(admin) {
        Ok((true, said)) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Ok((false, said)) => {
            eprintln!("not ready: {said}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("not ready: {admin} cannot be asked: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the answer is 200, and its body.
fn ask(admin: SocketAddr) -> io::Result<(bool, String)> {
    let mut stream = TcpStream::connect_timeout(&here(admin), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream
        .write_all(format!("GET /ready HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&*answer, ""));
    Ok((head.starts_with("HTTP/1.1 200 "), body.trim().to_owned()))
}

/// Where a process that listens at this address is reached from its own machine.
fn here(admin: SocketAddr) -> SocketAddr {
    let ip = match admin.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, admin.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_all_is_asked_on_the_loopback() {
        for (admin, asked) in [
            ("0.0.0.0:8090", "127.0.0.1:8090"),
            ("[::]:8090", "[::1]:8090"),
            ("10.0.0.1:8090", "10.0.0.1:8090"),
        ] {
            assert_eq!(here(admin.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
