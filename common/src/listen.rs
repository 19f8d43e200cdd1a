//! Whether addresses can be listened on. Pingora finds out in a thread of its own, whose panic would leave a process that runs and serves nothing.

use std::io;
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// A process that is about to end may still have the address; nginx tries as often.
const TRIES: usize = 5;
const BETWEEN: Duration = Duration::from_millis(500);

/// An address that can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}. {}", fix(source, *address))]
pub struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

/// Tries them all. `ipv6_only`: an IPv6 address does not stand for IPv4 too.
///
/// # Errors
/// Names the first that can't be listened on, and what to do.
pub fn try_all(addresses: impl IntoIterator<Item = SocketAddr>, ipv6_only: bool) -> Result<(), ListenError> {
    addresses.into_iter().try_for_each(|address| {
        let mut tries = 1;
        loop {
            match bind(address, ipv6_only) {
                Ok(_) => return Ok(()),
                Err(source) if source.kind() == io::ErrorKind::AddrInUse && tries < TRIES => {
                    tries += 1;
                    sleep(BETWEEN);
                }
                Err(source) => return Err(ListenError { address, source }),
            }
        }
    })
}

/// From now on the process ends when Pingora cannot listen after all: it panics then, in one of its threads.
pub fn end_when_pingora_cannot_listen() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        let said = panic.payload().downcast_ref::<String>();
        if said.is_some_and(|said| said.starts_with("Failed to build listeners")) {
            std::process::exit(i32::from(crate::cli::EXIT_UNAVAILABLE));
        }
    }));
}

/// As Pingora does it.
fn bind(address: SocketAddr, ipv6_only: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(ipv6_only)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn fix(error: &io::Error, address: SocketAddr) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "Another process listens there (`ss -ltnp 'sport = :{}'` shows which); stop it, or choose another address",
            address.port()
        ),
        io::ErrorKind::PermissionDenied => {
            "Ports below 1024 need CAP_NET_BIND_SERVICE: AmbientCapabilities=CAP_NET_BIND_SERVICE in a systemd unit, or a higher port".into()
        }
        io::ErrorKind::AddrNotAvailable => {
            "No interface of this machine has this address; `ip address` shows which there are".into()
        }
        _ => "Choose another address".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn what_cannot_be_is_named_with_the_fix() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = listener.local_addr().unwrap();
        let error = try_all([taken], true).unwrap_err().to_string();
        assert!(error.contains(&taken.to_string()) && error.contains("ss -ltnp"), "{error}");
        let error = try_all(["192.0.2.77:0".parse().unwrap()], true).unwrap_err().to_string();
        assert!(error.contains("192.0.2.77") && error.contains("ip address"), "{error}");
        drop(listener);
        try_all([taken], true).unwrap();
    }

    #[test]
    fn both_families_may_have_one_port() {
        let v4 = TcpListener::bind("0.0.0.0:0").unwrap();
        let v6 = SocketAddr::new("::".parse().unwrap(), v4.local_addr().unwrap().port());
        try_all([v6], true).unwrap();
        assert!(try_all([v6], false).is_err());
    }
}
