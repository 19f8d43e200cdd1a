//! What a command is doing, for who waits for it.

use std::borrow::Cow;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The line moves as often.
const TICK: Duration = Duration::from_millis(120);

/// A line on standard error that says what is done now, while it is done. Only a terminal sees it, and it is gone when this is dropped.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// What is done at first.
    pub fn new(what: impl Into<Cow<'static, str>>) -> Self {
        let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
        let line =
            line.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner())).with_message(what);
        line.enable_steady_tick(TICK);
        Self(line)
    }

    /// What is done from now on.
    pub fn on(&self, what: impl Into<Cow<'static, str>>) {
        self.0.set_message(what);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
