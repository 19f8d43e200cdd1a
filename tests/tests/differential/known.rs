//! The differences that remain, each as narrow as it is. docs/from-nginx.md lists them for users.

use super::compare::{Difference, Place};

/// A difference that is wanted, or can't be helped.
pub struct Known {
    /// Why it is so.
    pub why: &'static str,
    /// Whether this is one.
    pub fits: fn(&Difference) -> bool,
}

fn header(difference: &Difference, name: &str) -> bool {
    difference.place == Place::Header(name.to_owned())
}

fn seen(difference: &Difference, name: &str) -> bool {
    difference.place == Place::SeenHeader(name.to_owned())
}

/// Both answered with an error of their own, or one with a redirect of its own: their texts differ.
fn own_page(difference: &Difference) -> bool {
    let (nginx, gateway) = difference.statuses;
    let own = [
        "host:",
        "path:",
        "header:",
        "method:",
        "limit:",
        "upload:",
        "return:",
        "error:",
        "redirect:",
        "file:",
    ];
    own.iter().any(|kind| difference.case.starts_with(kind)) && nginx >= 300 && gateway >= 300
}

/// Everything about an answer that the other did not give.
fn strict(difference: &Difference) -> bool {
    let about = [
        "a@b",
        "Host: other.test:99",
        "http://a.wild.test",
        "http://moved.test",
        "/<>",
        "/^`",
        "No(Token)",
        "GET  /",
    ];
    about.iter().any(|text| difference.case.contains(text))
}

pub const KNOWN: &[Known] = &[
    Known {
        why: "nginx says that it is nginx; the gateway leaves what the server says (Pingora names itself where it refuses what is no HTTP)",
        fits: |d| header(d, "server"),
    },
    Known {
        why: "X-Real-IP, X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host are always set, and never believed of strangers",
        fits: |d| {
            let address = seen(d, "x-real-ip") || seen(d, "x-forwarded-for");
            address && d.gateway == "127.0.0.1"
                || seen(d, "x-forwarded-proto") && d.gateway == "http"
                || seen(d, "x-forwarded-host") && (d.gateway == "-" || d.case.contains(&d.gateway))
                || seen(d, "forwarded") && d.gateway == "-"
        },
    },
    Known {
        why: "each request has a name and a trace",
        fits: |d| {
            let hex = |text: &str| text.chars().all(|digit| digit.is_ascii_hexdigit() || digit == '-');
            seen(d, "x-request-id") && d.gateway.len() >= 32 && hex(&d.gateway)
                || seen(d, "traceparent") && d.gateway.len() == 55 && hex(&d.gateway)
        },
    },
    Known {
        why: "connections to servers are kept; what a client says of its own connection is not passed on",
        fits: |d| {
            seen(d, "connection") || seen(d, "proxy-connection") || (seen(d, "x-hop") && d.gateway == "-")
        },
    },
    Known {
        why: "texts of errors and redirects are the programs' own",
        fits: |d| {
            let nginx_says =
                |length: std::ops::Range<usize>| d.nginx.parse().is_ok_and(|is| length.contains(&is));
            let short = d.gateway == "-" || d.gateway.parse().is_ok_and(|length: usize| length < 50);
            own_page(d)
                && (d.place == Place::Body && d.nginx.contains("<center>nginx")
                    || header(d, "content-type") && d.nginx.starts_with("text/html")
                    || header(d, "content-length") && nginx_says(140..240) && short)
        },
    },
    Known {
        why: "errors of our own are not to be cached, and say when to come again",
        fits: |d| own_page(d) && d.nginx == "-" && (header(d, "cache-control") || header(d, "retry-after")),
    },
    Known {
        why: "the connection is closed after errors of our own and after an upload that was not read; kept after a 500 of the server",
        fits: |d| {
            let was = (d.nginx.as_str(), d.gateway.as_str());
            let unread = d.case.contains("POST /a HTTP/1.1; Host: moved.test");
            own_page(d)
                && header(d, "connection")
                && match d.statuses {
                    (502, 503) | (404, 404) | (429, 429) => was == ("keep-alive", "close"),
                    (301, 301) => unread && was == ("keep-alive", "close"),
                    (500, 500) => was == ("close", "keep-alive"),
                    _ => false,
                }
        },
    },
    Known {
        why: "the page of an error has no ETag",
        fits: |d| own_page(d) && header(d, "etag") && d.gateway == "-",
    },
    Known {
        why: "what is malformed is refused more strictly: hosts and paths that RFC 3986 does not know, an absolute address of another host",
        fits: |d| d.statuses.1 == 400 && d.statuses.0 < 400 && strict(d),
    },
    Known {
        why: "a blank in a path is sent on as %20 (Pingora mends it)",
        fits: |d| d.case.contains("GET /a b HTTP"),
    },
    Known {
        why: "HTTP/0.9 is not spoken",
        fits: |d| d.case == "header: GET /" && matches!(d.place, Place::Responses | Place::Seen),
    },
    Known {
        why: "one status for all that is malformed, where nginx has 501 and 505; 431 for a large header, where it has 400",
        fits: |d| d.place == Place::Status && matches!(d.statuses, (501 | 505, 400) | (400, 431)),
    },
    Known {
        why: "a server that cannot be reached is 503 with Retry-After, where nginx says 502",
        fits: |d| d.place == Place::Status && d.statuses == (502, 503),
    },
    Known {
        why: "uploads are passed on in chunks, as they come; the sidecar takes them in whole. An Expect is passed on, too",
        fits: |d| {
            seen(d, "expect")
                || (d.case.contains("Transfer-Encoding: chunked")
                    && (seen(d, "content-length") || seen(d, "transfer-encoding")))
        },
    },
    Known {
        why: "Vary says accept-encoding once, and in lower case; also where something in another encoding, or nothing, is sent",
        fits: |d| header(d, "vary"),
    },
    Known {
        why: "HEAD has the framing of the server's answer; nginx has that of its own compression",
        fits: |d| {
            d.case.contains(": HEAD ")
                && ["transfer-encoding", "content-encoding", "content-length"]
                    .iter()
                    .any(|name| header(d, name))
        },
    },
    Known {
        why: "`*` and every line of Accept-Encoding count, and a media type in capitals is not compressed",
        fits: |d| {
            let case = ["Accept-Encoding: *", "Accept-Encoding: br; Accept-Encoding: gzip", "Text/Plain"];
            case.iter().any(|text| d.case.contains(text))
                && ["transfer-encoding", "content-encoding", "content-length"]
                    .iter()
                    .any(|name| header(d, name))
        },
    },
    Known {
        why: "several lines of one field are one value in $http_NAME, as in nginx since 1.23",
        fits: |d| seen(d, "x-thing") && d.gateway == "one, two",
    },
    Known {
        why: "a path that is rewritten is escaped where RFC 3986 wants it, and a fragment is not sent",
        fits: |d| {
            d.place == Place::SeenLine
                && (d.gateway.contains('%') && !d.nginx.contains('%') || d.case.contains("#fragment"))
        },
    },
    Known {
        why: "without a host the server's name stands in redirects, not its address",
        fits: |d| header(d, "location") && d.case.ends_with("HTTP/1.0"),
    },
    Known {
        why: "cookies keep the blanks that the server wrote",
        fits: |d| header(d, "set-cookie") && d.nginx.replace("; ", ";") == d.gateway,
    },
    Known {
        why: "an error page of ours keeps the cookies of the answer in whose place it stands (a session may have begun), and has the location's headers",
        fits: |d| {
            d.case.contains("/own-errors/")
                && (header(d, "set-cookie")
                    || header(d, "x-always")
                    || matches!(d.place, Place::Responses | Place::Seen))
        },
    },
    Known {
        why: "a parameter of a text's type does not keep its character set from being named",
        fits: |d| header(d, "content-type") && d.case.contains("text/html;x=y"),
    },
    Known {
        why: "expires is Cache-Control, without the header Expires, and beside what the server says in it",
        fits: |d| {
            let both = d.gateway.strip_suffix(&d.nginx).is_some_and(|own| own == "private | ");
            d.case.contains("/expires/")
                && (header(d, "expires") && d.gateway == "-" || header(d, "cache-control") && both)
        },
    },
    Known {
        why: "after a body that was not read the connection is closed",
        fits: |d| header(d, "connection") && d.case.contains("POST /return/200"),
    },
    Known { why: "the clock goes on", fits: |d| header(d, "date") },
];
