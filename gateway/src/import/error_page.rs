//! `error_page`: a path that nginx looks up again becomes the file that it finds.

use satchel_common::import::block::{Block, Value};

use super::location;
use super::parser::Directive;
use super::scope::{Level, Outcome, Scope, changed, not, nothing};

/// Translates one.
pub(super) fn translate(scope: &mut Scope<'_>, directive: &Directive) -> Outcome {
    if scope.level == Level::Http {
        return nothing("is written into each server that has none of its own");
    }
    let args = directive.args();
    let Some((uri, statuses)) = args.split_last() else { return not("a status and a path are expected") };
    if statuses.iter().any(|word| word.starts_with('=')) {
        return not(
            "the status of an error cannot be changed; write error_page.\"502 503\" = \"/path/of/a/file.html\"",
        );
    }
    let is_error = |word: &&str| word.parse::<u16>().is_ok_and(|status| (400..=599).contains(&status));
    if statuses.is_empty() || !statuses.iter().all(is_error) {
        return not("pages are possible for 400 to 599 only");
    }
    let server = scope.chain.get(1).copied().unwrap_or_default();
    let found = file(uri, server, scope.chain.first().copied().unwrap_or_default());
    // Of two pages for a status the first one counts.
    let mut written: Vec<_> =
        statuses.iter().copied().filter(|status| !is_taken(&scope.block, status)).collect();
    // Where nginx answers 502 because no server can be reached, the gateway says 503.
    let of = |block: &&[Directive], status: Option<&str>| {
        let mut pages = block.iter().filter(|one| one.name() == "error_page");
        pages.any(|page| status.is_none_or(|status| page.args().contains(&status)))
    };
    let in_force = scope.chain.iter().rev().find(|block| of(block, None));
    let has_503 = in_force.is_some_and(|block| of(block, Some("503")));
    let too = written.contains(&"502") && !has_503;
    written.extend(too.then_some("503"));
    match found {
        Ok(_) if written.is_empty() => not("is here twice; the first one counts"),
        Ok((file, _)) => {
            scope.block.add_row("error_page", &written.join(" "), file);
            match too {
                true => changed("is for 503 too: so does the gateway answer where no server can be reached"),
                false => Outcome::Carried,
            }
        }
        Err(why) => {
            not(format!("{why}; write error_page.\"{}\" = \"/path/of/a/file.html\"", statuses.join(" ")))
        }
    }
}

fn is_taken(block: &Block, status: &str) -> bool {
    let Some(Value::Table(rows)) = block.get("error_page") else { return false };
    rows.iter().any(|(statuses, _)| statuses.split(' ').any(|taken| taken == status))
}

/// Whether a location is there for the pages only.
pub(super) fn serves(location: &Directive, server: &[Directive], http: &[Directive]) -> bool {
    let of_locations = server.iter().filter(|one| one.name() == "location").flat_map(|one| one.inner());
    let mut pages = http.iter().chain(server).chain(of_locations).filter(|one| one.name() == "error_page");
    pages.any(|page| {
        let uri = page.words.last().map_or("", |word| &word.text);
        matches!(file(uri, server, http), Ok((_, Some(found))) if std::ptr::eq(found, location))
    })
}

/// The file that nginx would send for a path, and the location that says so.
fn file<'a>(
    uri: &str,
    server: &'a [Directive],
    http: &'a [Directive],
) -> Result<(String, Option<&'a Directive>), String> {
    if !uri.starts_with('/') || uri.contains('$') {
        return Err("a page is a file here, no address, named location or variable".into());
    }
    let location = location::of_path(uri, server)?;
    let inner = location.map_or(&[][..], |location| location.inner());
    if inner.iter().any(|one| matches!(one.name(), "proxy_pass" | "return" | "rewrite" | "try_files")) {
        return Err(format!("{uri} is no file, it comes from where its location says"));
    }
    let nearest = |name: &str| {
        [inner, server, http].iter().find_map(|block| block.iter().find(|one| one.name() == name))
    };
    let file = match (inner.iter().find(|one| one.name() == "alias"), nearest("root")) {
        (Some(alias), _) => {
            let prefix = location.and_then(|location| location.words.last()).map_or("", |word| &word.text);
            format!("{}{}", alias.arg(0), uri.strip_prefix(prefix).unwrap_or_default())
        }
        (None, Some(root)) => format!("{}{uri}", root.arg(0).trim_end_matches('/')),
        (None, None) => return Err(format!("there is no root for {uri}")),
    };
    match file.starts_with('/') && !file.contains('$') {
        true => Ok((file, location)),
        false => Err(format!("{file} is no whole path")),
    }
}

/// What `http` says for servers that say nothing.
pub(super) fn inherit(scope: &mut Scope<'_>) {
    let outer = scope.chain.first().copied().unwrap_or_default();
    if scope.siblings().iter().any(|one| one.name() == "error_page") {
        return;
    }
    for page in outer.iter().filter(|one| one.name() == "error_page") {
        let outcome = translate(scope, page);
        scope.context.report(page, outcome);
    }
}

#[cfg(test)]
mod tests {
    use crate::import::tests::imported;

    const REST: &str = "location / { proxy_pass http://t:1; }";

    fn page(server: &str) -> String {
        let result = imported(&format!("server {{ {server} {REST} }}"));
        let line = result.toml.lines().find(|line| line.starts_with("\"502 503\" ="));
        line.map_or_else(|| result.notes.iter().map(ToString::to_string).collect(), str::to_owned)
    }

    #[test]
    fn a_path_becomes_the_file_that_nginx_sends() {
        for (server, file) in [
            (
                "error_page 502 503 /50x.html; location = /50x.html { root /usr/share/html; }",
                "/usr/share/html/50x.html",
            ),
            (
                "error_page 502 /e/x.html; location /e/ { internal; alias /srv/errors/; }",
                "/srv/errors/x.html",
            ),
            ("error_page 502 /50x.html; root /srv/; location = /50x.html { internal; }", "/srv/50x.html"),
        ] {
            let page = page(server);
            assert!(page.ends_with(&format!("= \"{file}\"")), "{page}");
        }
    }

    #[test]
    fn what_is_no_file_is_named() {
        for (server, why) in [
            ("error_page 502 =503 /x.html;", "cannot be changed"),
            ("error_page 502 @x;", "no address"),
            ("error_page 502 /x.html;", "comes from where its location says"),
            ("error_page 302 /x.html;", "400 to 599"),
            ("error_page 502 /x.html; location = /x.html { }", "no root"),
            ("error_page 502 /x.html; location = /x.html { root html; }", "no whole path"),
        ] {
            assert!(page(server).contains(why), "{}", page(server));
        }
    }

    #[test]
    fn the_page_of_502_is_that_of_503_unless_there_is_one() {
        let pages = |pages: &str| {
            let result = imported(&format!(
                "server {{ root /srv; {pages} location = /x.html {{ internal; }} location = /y.html {{ internal; }} {REST} }}"
            ));
            let (_, rows) = result.toml.split_once("[server.error_page]\n").unwrap();
            rows.split("\n\n").next().unwrap().replace('\n', "; ")
        };
        for (nginx, ours) in [
            ("error_page 502 /x.html;", "\"502 503\" = \"/srv/x.html\""),
            ("error_page 404 502 504 /x.html;", "\"404 502 504 503\" = \"/srv/x.html\""),
            (
                "error_page 502 /x.html; error_page 503 /y.html;",
                "502 = \"/srv/x.html\"; 503 = \"/srv/y.html\"",
            ),
            (
                "error_page 502 /x.html; error_page 502 504 /y.html;",
                "\"502 503\" = \"/srv/x.html\"; 504 = \"/srv/y.html\"",
            ),
            ("error_page 502 /x.html; error_page 503 @y;", "502 = \"/srv/x.html\""),
            ("error_page 404 /x.html;", "404 = \"/srv/x.html\""),
        ] {
            assert_eq!(pages(nginx), ours, "{nginx}");
        }
        // Of a location in a location.
        let inner = imported(&format!(
            "error_page 503 /x.html; server {{ root /srv; location = /x.html {{ internal; }} {REST} }}
             server {{ listen 81; root /srv; location = /x.html {{ internal; }} location /a/ {{ error_page 502 /x.html; location /a/b/ {{ proxy_pass http://t:1; }} }} {REST} }}"
        ));
        assert_eq!(inner.toml.matches("\"502 503\" = \"/srv/x.html\"").count(), 1, "{}", inner.toml);
    }

    #[test]
    fn the_pages_of_http_go_to_servers_without_any() {
        let result = imported(&format!(
            "error_page 502 /50x.html; server {{ location = /50x.html {{ root /a; }} {REST} }}
             server {{ error_page 503 /y.html; location = /y.html {{ root /b; }} {REST} }}"
        ));
        assert_eq!(result.toml.matches("\"502 503\" = \"/a/50x.html\"").count(), 1, "{}", result.toml);
        assert!(result.toml.contains("503 = \"/b/y.html\"") && result.is_complete());
    }
}
