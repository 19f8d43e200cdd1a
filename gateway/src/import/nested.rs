//! Locations in locations: the gateway has none, so all become the server's. Where that cannot be said exactly, more is closed than in
//! nginx, and never less.
//!
//! nginx looks for the longest prefix, then for the longest of those in it, and so on. Then come regular expressions: those of the
//! innermost, and those outside of it unless `^~` is there.

use super::parser::Directive;
use super::path::{Path, all_within};
use super::regex;
use super::scope::{Outcome, not, nothing};
use crate::routing::PathMatch;

/// A location for the server.
pub(super) struct Flat<'a> {
    pub(super) directive: &'a Directive,
    /// The locations that it is in, from the outermost.
    pub(super) around: Vec<&'a Directive>,
    /// As the gateway reads it.
    pub(super) path: String,
    /// Why it is closed, whatever it does.
    pub(super) closed: Option<String>,
    /// Why it is closed, unless it refuses anyway.
    pub(super) takes_more: Option<String>,
    /// It stands for another one of this directive, which is there too.
    pub(super) is_extra: bool,
}

/// All locations of a server.
#[derive(Default)]
pub(super) struct Flattened<'a> {
    /// In the order that the gateway needs.
    pub(super) locations: Vec<Flat<'a>>,
    /// Those that no request reaches, with all that is in them.
    pub(super) lost: Vec<(&'a Directive, Outcome)>,
    /// Those that no request reaches, since one of the same path is in them.
    pub(super) replaced: Vec<&'a Directive>,
}

/// Locations by how they are chosen.
#[derive(Default)]
struct Kinds<'a> {
    /// Prefixes, exact paths, and the server's own regular expressions.
    own: Vec<Flat<'a>>,
    /// Regular expressions that were in a prefix; they come before the server's own.
    inner: Vec<Flat<'a>>,
    lost: Vec<(&'a Directive, Outcome)>,
    replaced: Vec<&'a Directive>,
}

/// Makes all locations of a server the server's.
pub(super) fn flatten(server: &[Directive]) -> Flattened<'_> {
    let mut kinds = Kinds::default();
    for one in locations(server) {
        match Path::of(one) {
            Err(why) => kinds.lost.push((one, not(format!("is left out: {why}")))),
            Ok(path @ Path::Regex(modifier, text)) => {
                let (path, closed) = match path.text() {
                    Ok(path) => (path, in_regex(one)),
                    Err(why) => (closest(modifier, text), Some(why)),
                };
                kinds.own.push(Flat { closed, ..flat(one, &[], path) });
            }
            Ok(path) => kinds.add(one, path, &[]),
        }
    }
    kinds.choose()
}

fn flat<'a>(directive: &'a Directive, around: &[&'a Directive], path: String) -> Flat<'a> {
    Flat { directive, around: around.to_vec(), path, closed: None, takes_more: None, is_extra: false }
}

fn locations(block: &[Directive]) -> impl Iterator<Item = &Directive> {
    block.iter().filter(|one| one.name() == "location")
}

/// The least that has in it all that an expression may be for which the gateway cannot use.
fn closest(modifier: &str, regex: &str) -> String {
    match regex::beginning(regex) {
        Some(text) => format!("{modifier} ^{}", ::regex::escape(&text)),
        None => all_within("/"),
    }
}

/// Why a regular expression with locations in it is closed.
fn in_regex(directive: &Directive) -> Option<String> {
    let inner = locations(directive.inner()).next()?;
    Some(format!("which of its paths are for the location in line {} cannot be said", inner.line))
}

fn is(one: &Directive, other: &Directive) -> bool {
    std::ptr::eq(one, other)
}

fn is_final(one: &Directive) -> bool {
    matches!(Path::of(one), Ok(Path::Final(_)))
}

fn prefix(one: &Directive) -> &str {
    Path::of(one).ok().and_then(Path::prefix).unwrap_or_default()
}

impl<'a> Kinds<'a> {
    /// A prefix or an exact path, with what is in it.
    fn add(&mut self, directive: &'a Directive, path: Path<'a>, around: &[&'a Directive]) {
        match path.text() {
            Ok(text) => self.own.push(flat(directive, around, text)),
            Err(why) => return self.lost.push((directive, not(format!("is left out: {why}")))),
        }
        let inside = [around, &[directive]].concat();
        let outside = path.prefix();
        for one in locations(directive.inner()) {
            match (Path::of(one), outside) {
                (Err(why), _) => self.lost.push((one, not(format!("is left out: {why}")))),
                (_, None) => self.lost.push((one, not("is left out: no location is possible in this one"))),
                (Ok(Path::Regex(..)), _) => {}
                (Ok(path), Some(outside)) => {
                    let (Path::Exact(text) | Path::Prefix(text) | Path::Final(text) | Path::Regex(_, text)) =
                        path;
                    if !text.starts_with(outside) {
                        self.lost.push((one, not(format!("is left out: it does not begin with {outside}"))));
                    } else {
                        self.add(one, path, &inside);
                    }
                }
            }
        }
        let regexes = locations(directive.inner()).filter_map(|one| Some((one, Path::of(one).ok()?)));
        for (one, path) in regexes {
            if let (Path::Regex(modifier, text), Some(outside)) = (path, outside) {
                self.inner.push(within(one, modifier, text, path.text(), outside, &inside));
            }
        }
    }

    /// Puts them in order, and closes those for which the gateway would choose otherwise.
    fn choose(mut self) -> Flattened<'a> {
        self.drop_hidden();
        let of_server = self.own.iter().position(|one| one.path.starts_with('~'));
        let mut without_servers: Vec<&'a Directive> = Vec::new();
        for one in self.own.iter_mut().filter(|one| !one.path.starts_with(['~', '='])) {
            let taken: Vec<_> = self.inner.iter_mut().filter(|regex| takes(regex, one)).collect();
            let (wanted, more): (Vec<_>, Vec<_>) = taken.into_iter().partition(|regex| applies(regex, one));
            let top = one.around.first().copied().unwrap_or(one.directive);
            let wants_servers = of_server.is_some() && !is_final(top);
            let path = prefix(one.directive);
            let is_plain = more.is_empty() && of_server.is_none() && !is_final(one.directive);
            if wanted.is_empty() && !wants_servers {
                one.path = if is_plain { path.to_owned() } else { format!("^~ {path}") };
                continue;
            }
            one.path = path.to_owned();
            for regex in more {
                let why = format!("it takes paths that begin with {path} too, which nginx does not give it");
                regex.takes_more.get_or_insert(why);
            }
            let knows = |known: &&Directive| is(known, top);
            if of_server.is_some() && !wants_servers && !without_servers.iter().any(knows) {
                without_servers.push(top);
            }
        }
        for top in without_servers {
            let why = "it has regular expressions in it, and those of the server must not take its paths";
            let closed = Some(why.to_owned());
            self.inner.push(Flat { closed, is_extra: true, ..flat(top, &[], all_within(prefix(top))) });
        }
        let at = of_server.unwrap_or(self.own.len());
        self.own.splice(at..at, self.inner);
        Flattened { locations: self.own, lost: self.lost, replaced: self.replaced }
    }

    /// One that is in a prefix is never found if a longer one stands beside that.
    fn drop_hidden(&mut self) {
        let hides = |one: &Flat<'a>| self.own.iter().any(|other| hides(other, one));
        let hidden: Vec<&'a Directive> =
            self.own.iter().filter(|one| hides(one)).map(|one| one.directive).collect();
        let is_hidden = |one: &Directive| hidden.iter().any(|hidden| is(hidden, one));
        let in_hidden = |one: &Flat<'a>| one.around.iter().any(|outer| is_hidden(outer));
        for one in self.own.iter().filter(|one| is_hidden(one.directive) && !in_hidden(one)) {
            let why = "is never reached: a location beside the outer one is longer";
            self.lost.push((one.directive, nothing(why)));
        }
        // One of the same path in it is found instead.
        let of_same_path = |one: &Flat<'a>, other: &Flat<'a>| {
            let path = Path::of(one.directive).ok().and_then(Path::prefix);
            other.around.last().is_some_and(|outer| is(outer, one.directive))
                && path.is_some()
                && path == Path::of(other.directive).ok().and_then(Path::prefix)
        };
        let replaced: Vec<&'a Directive> = self
            .own
            .iter()
            .filter(|one| self.own.iter().any(|other| of_same_path(one, other)))
            .map(|one| one.directive)
            .collect();
        let is_replaced = |one: &Directive| replaced.iter().any(|known| is(known, one));
        self.own.retain(|one| !is_hidden(one.directive) && !in_hidden(one) && !is_replaced(one.directive));
        self.inner.retain(|one| !in_hidden(one));
        self.replaced = replaced;
    }
}

/// Whether nginx finds `other` in place of the one that `one` is in.
fn hides(other: &Flat<'_>, one: &Flat<'_>) -> bool {
    let depth = other.around.len();
    let Some(outer) = one.around.get(depth) else { return false };
    let is_beside =
        other.around.iter().zip(&one.around).all(|(a, b)| is(a, b)) && !is(other.directive, outer);
    let Ok(Path::Exact(path) | Path::Prefix(path) | Path::Final(path)) = Path::of(one.directive) else {
        return false;
    };
    is_beside
        && match Path::of(other.directive) {
            Ok(Path::Exact(_)) => Path::of(one.directive) == Path::of(other.directive),
            Ok(Path::Prefix(other) | Path::Final(other)) => {
                other.len() > prefix(outer).len() && path.starts_with(other)
            }
            _ => false,
        }
}

/// A regular expression in a prefix.
fn within<'a>(
    directive: &'a Directive,
    modifier: &str,
    text: &str,
    usable: Result<String, String>,
    outside: &str,
    around: &[&'a Directive],
) -> Flat<'a> {
    let (path, closed) = match usable {
        Ok(_) => match regex::within(outside, modifier, text).filter(|path| PathMatch::parse(path).is_ok()) {
            Some(path) => (path, in_regex(directive)),
            None => {
                let why = format!("which paths that begin with {outside} are for it cannot be said");
                (all_within(outside), Some(why))
            }
        },
        Err(why) => match regex::beginning(text) {
            Some(start) if start.starts_with(outside) => (closest(modifier, text), Some(why)),
            _ => (all_within(outside), Some(why)),
        },
    };
    Flat { closed, ..flat(directive, around, path) }
}

/// Whether nginx tries this expression, which is in a prefix, for what that prefix or one in it is for.
fn applies(regex: &Flat<'_>, of: &Flat<'_>) -> bool {
    let Some(holder) = regex.around.last() else { return false };
    let mut chain = of.around.iter().copied().chain([of.directive]).skip_while(|one| !is(one, holder));
    chain.next().is_some() && !chain.next().is_some_and(is_final)
}

/// Whether the gateway does.
fn takes(regex: &Flat<'_>, of: &Flat<'_>) -> bool {
    regex.around.last().is_some_and(|holder| prefix(of.directive).starts_with(prefix(holder)))
}

#[cfg(test)]
mod tests;
