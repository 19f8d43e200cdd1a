//! Every default, with its reason.

use satchel_common::units::{Size, Time};

/// One thread was the cheapest in CPU per request, and never the limit beside one Tomcat (measured).
pub const THREADS: usize = 1;
/// Below the 30 s after which Kubernetes kills.
pub const STOP_TIMEOUT: Time = Time::secs(25);
/// As nginx's `proxy_request_buffering`: a slow upload does not hold the user's other requests.
pub const REQUEST_BUFFERING: bool = true;
/// Uploads take room on a disk while they come in, and somebody may send without end.
pub const CLIENT_MAX_BODY_SIZE: Size = Size(1 << 30);
/// Tomcat is on the same machine: if connecting takes longer, its accept queue is full.
pub const CONNECT_TIMEOUT: Time = Time::secs(2);
/// As nginx's `proxy_send_timeout`.
pub const WRITE_TIMEOUT: Time = Time::secs(60);
/// Below Tomcat's `keepAliveTimeout` of 20 s, so that a request hardly ever meets a connection that Tomcat
/// is closing.
pub const KEEPALIVE_TIMEOUT: Time = Time::secs(15);
/// Generous: a request that runs longer is given up, counted and logged.
pub const MAX_REQUEST_TIME: Time = Time::secs(600);
/// Tomcat reads a session within milliseconds of the request, unless all its threads are busy.
pub const ABANDON_TIME: Time = Time::secs(5);
/// Tomcat's default (`SessionConfig`).
pub const COOKIE_NAME: &str = "JSESSIONID";
/// msm's `sessionBackupTimeout`.
pub const BACKUP_TIMEOUT: Time = Time::millis(100);
/// msm gives up after 1 s and goes on without the lock; here the request would fail, so it waits longer.
pub const LOCK_TIMEOUT: Time = Time::secs(30);
/// Thousands of sessions of usual size: more than a Tomcat serves while its memcacheds restart.
pub const OUTBOX_SIZE: Size = Size(16 << 20);
/// Sixteen times memcached's default item limit.
pub const MAX_SESSION_SIZE: Size = Size(16 << 20);
/// A browser presents an unknown id once, then has a new one.
pub const UNKNOWN_IDS_PER_SECOND: u32 = 100;
/// Some thousand sessions of usual size.
pub const CACHE_SIZE: Size = Size(64 << 20);
/// msm's `operationTimeout`.
pub const NODE_TIMEOUT: Time = Time::secs(1);
/// A lock lives for 5 s: a renewal that takes longer than this comes too late for the next.
pub const NODE_TIMEOUT_MAX: Time = Time::secs(2);
/// One farm to a set of memcached nodes is the usual case.
pub const FARM: &str = "default";
/// A session survives the death of its node.
pub const COPIES: usize = 2;
/// Nothing is lost. msm's own default is "none".
pub const LOCKING: &str = "all";
