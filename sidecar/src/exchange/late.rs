//! Ids that a client was told of and whose session has not come yet (R14): the response ended long ago, nothing
//! can be asked, and Tomcat may still save it. The sweeper finds the file.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::settle::Announced;

/// More than a busy Tomcat has threads, many times over; of more, new ones are not remembered.
const AT_MOST: usize = 10_000;

/// The ids, by context.
#[derive(Default)]
pub struct Late(Mutex<HashMap<(usize, String), (Announced, Instant)>>);

impl Late {
    /// Remembers one for `time`.
    pub fn remember(&self, context: usize, announced: &Announced, time: Duration) {
        let now = Instant::now();
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ids.retain(|_, (_, until)| *until > now);
        if ids.len() < AT_MOST {
            ids.insert((context, announced.id.as_str().to_owned()), (announced.clone(), now + time));
        }
    }

    /// Whether a client was told of `id`. Forgets it.
    pub fn take(&self, context: usize, id: &str) -> Option<Announced> {
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (announced, until) = ids.remove(&(context, id.to_owned()))?;
        (until > Instant::now()).then_some(announced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SessionId;

    #[test]
    fn r14_an_id_is_remembered_for_its_context_and_its_time() {
        let announced = |id: &str| Announced {
            id: SessionId::parse(id.as_bytes()).unwrap(),
            node: 0,
            cookie_attributes: "; Path=/".into(),
        };
        let late = Late::default();
        late.remember(0, &announced("A"), Duration::from_secs(60));
        late.remember(0, &announced("B"), Duration::ZERO);
        assert!(late.take(1, "A").is_none() && late.take(0, "B").is_none());
        assert_eq!(late.take(0, "A").unwrap().cookie_attributes, "; Path=/");
        assert!(late.take(0, "A").is_none(), "once");
    }
}
