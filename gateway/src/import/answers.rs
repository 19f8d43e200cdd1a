//! What a server answers before it looks at its locations: nginx's rewrite phase.

use super::listen::Listen;
use super::parser::Directive;
use super::redirect::{self, Condition};
use super::scope::{Scope, not, nothing};
use super::{access, closed};

/// What a server answers before it looks at its locations.
#[derive(Default)]
pub(super) struct Answers<'a> {
    /// To every request.
    pub(super) all: Option<String>,
    /// To those without TLS.
    pub(super) plain: Option<String>,
    /// To those for a host.
    pub(super) hosts: Vec<(String, String)>,
    /// An `if` that refuses some requests and is not carried over: nothing behind it may be open.
    pub(super) refusing: Option<&'a Directive>,
}

impl<'a> Answers<'a> {
    /// By the rewrite directives, in their order.
    pub(super) fn find(scope: &mut Scope<'a>, names: &[String], listens: &[Listen]) -> Self {
        let mut answers = Self::default();
        let count = |ssl: bool| listens.iter().filter(|listen| listen.ssl == ssl).count();
        for one in scope.siblings() {
            let is_rewrite = matches!(one.name(), "return" | "rewrite" | "if" | "set" | "break");
            if is_rewrite && answers.all.is_some() {
                scope.context.report_whole(one, &nothing("is never reached: 'return' answers before"));
                continue;
            }
            let found = match one.name() {
                "return" => redirect::of_return(one).map(Some),
                "rewrite" => Ok(redirect::of_rewrite(one)),
                "if" => match redirect::of_if(one) {
                    Some((Condition::Plain, _)) if count(false) == 0 => {
                        let why = nothing("is never true: every address of this server has ssl");
                        scope.context.report_whole(one, &why);
                        continue;
                    }
                    Some((Condition::Plain, answer)) if count(true) == 0 => Ok(Some(answer)),
                    // After one for a host it would have to know that host too.
                    Some((Condition::Plain, (text, outcome))) if answers.is_empty() => {
                        answers.plain = Some(text);
                        one.inner().iter().for_each(|inner| scope.context.report(inner, outcome.clone()));
                        continue;
                    }
                    Some((Condition::Host(host), (text, outcome)))
                        if answers.refusing.is_none()
                            && names.contains(&host)
                            && answers.hosts.iter().all(|(known, _)| *known != host) =>
                    {
                        answers.hosts.push((host, text));
                        one.inner().iter().for_each(|inner| scope.context.report(inner, outcome.clone()));
                        continue;
                    }
                    _ => Ok(None),
                },
                "set" | "break" => Ok(None),
                _ => continue,
            };
            match found {
                Ok(Some((text, outcome))) => {
                    answers.all = Some(text);
                    scope.context.report(one, outcome);
                }
                Ok(None) if one.name() == "if" && access::refuses(one, &scope.context.definitions) => {
                    let why = not(
                        "the gateway has no conditions; since this one refuses, all of the server is closed (403)",
                    );
                    scope.context.report_whole(one, &why);
                    answers.refusing = answers.refusing.or(Some(one));
                }
                Ok(None) => scope.apply(one),
                Err(why) => {
                    // The locations are not reached in nginx, so they must not be here.
                    answers.all = Some(closed::ANSWER.into());
                    let why = not(format!("all of the server is closed (403): {why}"));
                    scope.context.report_whole(one, &why);
                }
            }
        }
        answers
    }

    fn is_empty(&self) -> bool {
        self.all.is_none() && self.plain.is_none() && self.hosts.is_empty() && self.refusing.is_none()
    }
}
