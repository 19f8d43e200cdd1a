//! What is in a session file, without Java: a reader of its object stream (Java Object Serialization Specification, chapter 6), as far as
//! is needed to name attributes and their classes.
//!
//! The bytes are an application's, and may be anything: nothing is believed, nothing is run, and what is read is bounded. What can't be read
//! ends the reading; what came before is shown.

mod class;
mod reader;
mod text;

use reader::{Reader, Seen, Stop};

/// The attributes of a session, and who is logged in.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// How the user has logged in: `FORM`, `BASIC`, …
    pub authentication: Option<String>,
    /// The class of who is logged in.
    pub principal: Option<String>,
    /// As many as could be read, in the file's order.
    pub attributes: Vec<Attribute>,
    /// How many there are, if that could be read.
    pub count: Option<usize>,
    /// Why the rest could not be read.
    pub incomplete: Option<Incomplete>,
}

/// One attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// The class of its value, as Java writes it in a program: `java.util.HashMap`, `byte[]`. `null`, if there is none.
    pub class: String,
    /// Texts, numbers, truth values and single characters as text. Nothing else has one.
    pub value: Option<String>,
}

/// Why a stream could not be read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Incomplete {
    /// It is cut, or not a stream of objects.
    #[error("it is not understood at byte {0}")]
    Malformed(usize),
    /// An object whose class says how it is written, in a form that nobody else can skip (protocol version 1).
    #[error("an object at byte {0} can be read by its own class only")]
    Opaque(usize),
    /// It is nested more deeply, or has more objects or attributes, than is read here.
    #[error("it is nested too deeply, or has too many objects or attributes")]
    TooLarge,
}

/// More are not named: each may take some KiB here, and ten bytes of the stream.
const ATTRIBUTES_MAX: usize = 10_000;

/// Reads a session file: `StandardSession.doWriteObject` says in which order.
pub fn contents(file: &[u8]) -> Contents {
    let mut contents = Contents::default();
    let mut reader = match Reader::new(file) {
        Ok(reader) => reader,
        Err(stop) => return Contents { incomplete: stop.into_incomplete(), ..contents },
    };
    if let Err(stop) = read(&mut reader, &mut contents) {
        contents.incomplete = stop.into_incomplete();
    }
    contents
}

fn read(reader: &mut Reader<'_>, contents: &mut Contents) -> Result<(), Stop> {
    // Times, interval, isNew, isValid, time, id: `session_file.rs` knows them.
    for _ in 0..7 {
        reader.object()?;
    }
    // Who is logged in and two notes of FORM may stand before the number of attributes.
    let mut before = Vec::new();
    let count = loop {
        let seen = shown(reader)?;
        match seen.as_ref().ok().and_then(|seen| reader.number(seen)) {
            Some(count) => break count,
            None if before.len() < 4 => before.push(seen),
            None => return Err(reader.malformed()),
        }
    };
    let mut before = before.into_iter();
    contents.authentication = before.next().and_then(|seen| reader.value(&seen.ok()?));
    contents.principal = match before.next() {
        None | Some(Ok(Seen::Null)) => None,
        Some(Ok(seen)) => Some(reader.class(&seen)),
        Some(Err(class)) => Some(not_serializable(&class)),
    };
    let count = usize::try_from(count).map_err(|_| reader.malformed())?;
    contents.count = Some(count);
    for number in 0..count {
        if number >= ATTRIBUTES_MAX {
            return Err(Stop::Incomplete(Incomplete::TooLarge));
        }
        let name = reader.object()?;
        let name = reader.value(&name).filter(|_| name.is_text()).ok_or_else(|| reader.malformed())?;
        let (class, value) = match shown(reader)? {
            Ok(seen) => (reader.class(&seen), reader.value(&seen)),
            Err(class) => (not_serializable(&class), None),
        };
        contents.attributes.push(Attribute { name, class, value });
    }
    Ok(())
}

/// The next object. `Err`: the exception that came in its place when it was written; Tomcat leaves such a one out when it reads the file, and
/// goes on.
fn shown(reader: &mut Reader<'_>) -> Result<Result<Seen, String>, Stop> {
    match reader.object() {
        Ok(seen) => Ok(Ok(seen)),
        Err(Stop::Aborted(class)) => Ok(Err(class)),
        Err(stop) => Err(stop),
    }
}

fn not_serializable(exception: &str) -> String {
    format!("not serializable ({exception})")
}

#[cfg(test)]
mod tests;
