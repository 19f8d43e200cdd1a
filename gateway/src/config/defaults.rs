//! Every default, with its reason. nginx's where nothing speaks against it.

use satchel_common::units::{Size, Time};

/// Pingora's cheapest setting; raise it on machines with many cores.
pub const THREADS: usize = 1;
/// Below the 30 s after which Kubernetes kills.
pub const STOP_TIMEOUT: Time = Time::secs(25);
/// Where a new process takes the listeners over from the old one.
pub const UPGRADE_SOCK: &str = "/run/satchel-gateway/upgrade.sock";
/// For names whose answer does not say how long it holds: those in the hosts file.
pub const RESOLVER_VALID: Time = Time::secs(30);

/// nginx's.
pub const WEIGHT: u16 = 1;
/// nginx's.
pub const MAX_FAILS: u32 = 1;
/// nginx's.
pub const FAIL_TIMEOUT: Time = Time::secs(10);
/// nginx has 60 s; Tomcat closes after 20 s, and a request that meets a closing connection may be lost.
pub const UPSTREAM_KEEPALIVE_TIMEOUT: Time = Time::secs(15);
/// Requests that wait when every server has max_conns: none, as in nginx without its commercial `queue`.
pub const QUEUE: u32 = 0;
/// nginx's, in its commercial edition.
pub const QUEUE_TIMEOUT: Time = Time::secs(60);
/// Percent of the requests that may be sent a second time: enough for one of five servers to fail, too few to multiply a flood.
pub const RETRY_BUDGET: u32 = 20;
/// nginx's `health_check`, in its commercial edition.
pub const CHECK_INTERVAL: Time = Time::secs(5);
/// A server that needs longer for a check is not one to send users to.
pub const CHECK_TIMEOUT: Time = Time::secs(2);
/// nginx's.
pub const CHECK_FAILS: u32 = 1;
/// nginx's.
pub const CHECK_PASSES: u32 = 1;

/// nginx's.
pub const CLIENT_MAX_BODY_SIZE: Size = Size(1 << 20);
/// nginx's `large_client_header_buffers 4 8k`: 8 KiB for a line …
pub const LARGE_CLIENT_HEADER_SIZE: Size = Size(8 << 10);
/// … and four of them for all.
pub const CLIENT_HEADER_SIZE: Size = Size(32 << 10);
/// nginx's.
pub const CLIENT_HEADER_TIMEOUT: Time = Time::secs(60);
/// nginx's.
pub const CLIENT_BODY_TIMEOUT: Time = Time::secs(60);
/// nginx's.
pub const SEND_TIMEOUT: Time = Time::secs(60);
/// nginx's.
pub const KEEPALIVE_TIMEOUT: Time = Time::secs(75);
/// nginx's.
pub const KEEPALIVE_REQUESTS: u32 = 1000;
/// nginx has 60 s; a server that does not accept within 3 s is better left for another one.
pub const PROXY_CONNECT_TIMEOUT: Time = Time::secs(3);
/// nginx has 60 s. Behind a sidecar a request may first wait 30 s for its session.
pub const PROXY_READ_TIMEOUT: Time = Time::secs(120);
/// nginx's.
pub const PROXY_SEND_TIMEOUT: Time = Time::secs(60);
/// A disk by the Filesystem Hierarchy Standard (5.15), where /tmp is often memory.
pub const PROXY_TEMP_PATH: &str = "/var/tmp";
/// nginx's.
pub const PROXY_MAX_TEMP_FILE_SIZE: Size = Size(1 << 30);
/// nginx's `combined`, in its own words.
pub const ACCESS_LOG_COMBINED: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\"";
/// nginx's.
pub const LIMIT_STATUS: u16 = 503;
/// nginx's.
pub const GZIP_MIN_LENGTH: Size = Size(20);
/// nginx's.
pub const GZIP_COMP_LEVEL: u32 = 1;
/// nginx's.
pub const GZIP_TYPES: [&str; 1] = ["text/html"];
