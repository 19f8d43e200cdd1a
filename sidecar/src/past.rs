//! Whether Tomcat can be reached past the sidecar, where a request has no session, no limits, and may say of itself what it likes. The
//! kernel's list of listening sockets tells (proc(5), `/proc/net/tcp`); nobody is connected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Tomcat may start after the sidecar.
const STEP: Duration = Duration::from_secs(5);
/// The state of a socket that listens.
const LISTEN: &str = "0A";

/// That Tomcat's address is not this machine's own.
pub fn of_address(tomcat: SocketAddr) -> Option<String> {
    (!tomcat.ip().to_canonical().is_loopback()).then(|| {
        format!(
            "tomcat.address: {tomcat} is no loopback address: whoever reaches Tomcat there passes the sidecar by, and requests go to it in the \
             clear; run both on one machine or in one pod, and bind Tomcat's connector to 127.0.0.1"
        )
    })
}

/// Waits until Tomcat listens, and warns if it does so for other machines too.
pub async fn watch(tomcat: SocketAddr) {
    if !tomcat.ip().to_canonical().is_loopback() {
        return;
    }
    loop {
        match listening(tomcat) {
            Some(ip) if !ip.is_loopback() => {
                return log::warn!(
                    "Tomcat listens on port {} of every address, and can be reached past the sidecar: give its <Connector> \
                     address=\"127.0.0.1\", or keep others from that port",
                    tomcat.port()
                );
            }
            Some(_) => return,
            None => tokio::time::sleep(STEP).await,
        }
    }
}

/// The address on which connections to `target` are taken on this machine; `None`: nobody listens.
pub fn listening(target: SocketAddr) -> Option<IpAddr> {
    let list = |name: &str| std::fs::read_to_string(format!("/proc/self/net/{name}")).unwrap_or_default();
    listener(&(list("tcp") + &list("tcp6")), target)
}

/// The address of the socket that takes connections to `target`: one of that very address, or else one of all.
fn listener(list: &str, target: SocketAddr) -> Option<IpAddr> {
    let wanted = target.ip().to_canonical();
    let found = list.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (ip, port) = words.nth(1)?.split_once(':')?;
        let listens = words.nth(1)? == LISTEN && u16::from_str_radix(port, 16).ok()? == target.port();
        parse(ip).filter(|ip| listens && (*ip == wanted || ip.is_unspecified()))
    });
    found.min_by_key(IpAddr::is_unspecified)
}

/// Hexadecimal words of four bytes, each in the machine's order.
fn parse(text: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (n, four) in bytes.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&word(n * 8)?);
            }
            Some(IpAddr::from(Ipv6Addr::from(bytes)).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const HEAD: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn of(lines: &[&str], target: &str) -> Option<String> {
        let rest = "00000000:00000000 00:00000000 00000000 0 0 1 1 0000000000000000 100 0 0 10 0";
        let lines: Vec<_> = lines.iter().map(|line| format!("   0: {line} {rest}\n{HEAD}")).collect();
        listener(&lines.concat(), target.parse().unwrap()).map(|ip| ip.to_string())
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_socket_that_takes_the_connection_is_found() {
        let none6 = "00000000000000000000000000000000:0000";
        let (local, other) = ("0100007F:1F90 00000000:0000 0A", "0500000A:1F90 00000000:0000 0A");
        let all = "00000000:1F90 00000000:0000 0A";
        let all6 = format!("00000000000000000000000000000000:1F90 {none6} 0A");
        let local6 = format!("00000000000000000000000001000000:1F90 {none6} 0A");
        let mapped = format!("0000000000000000FFFF00000100007F:1F90 {none6} 0A");
        let connected = "0100007F:1F90 0100007F:9999 01";
        assert_eq!(of(&[local], "127.0.0.1:8080").as_deref(), Some("127.0.0.1"));
        assert_eq!(of(&[&mapped], "127.0.0.1:8080").as_deref(), Some("127.0.0.1"));
        assert_eq!(of(&[&local6], "[::1]:8080").as_deref(), Some("::1"));
        assert_eq!(of(&[all], "127.0.0.1:8080").as_deref(), Some("0.0.0.0"));
        assert_eq!(of(&[&all6], "127.0.0.1:8080").as_deref(), Some("::"));
        assert_eq!(of(&[all, local], "127.0.0.1:8080").as_deref(), Some("127.0.0.1"), "it is the one asked");
        // Another program's, another port, a connection, nothing.
        for lines in [vec![other], vec!["00000000:1F91 00000000:0000 0A"], vec![connected], vec![]] {
            assert_eq!(of(&lines, "127.0.0.1:8080"), None, "{lines:?}");
        }
    }

    #[test]
    fn the_kernels_own_list_is_read() {
        for address in ["127.0.0.1:0", "127.0.0.3:0", "[::1]:0"] {
            let Ok(socket) = TcpListener::bind(address) else { continue };
            let address = socket.local_addr().unwrap();
            let list = |name: &str| std::fs::read_to_string(format!("/proc/self/net/{name}")).unwrap();
            let list = list("tcp") + &list("tcp6");
            assert_eq!(listener(&list, address), Some(address.ip()));
        }
    }

    #[test]
    fn a_tomcat_elsewhere_is_named() {
        assert_eq!(of_address("127.0.0.1:8080".parse().unwrap()), None);
        assert!(of_address("10.0.0.1:8080".parse().unwrap()).unwrap().contains("10.0.0.1:8080"));
    }
}
