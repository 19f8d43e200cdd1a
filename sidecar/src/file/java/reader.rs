//! The grammar of the stream (specification, 6.4). Every object is walked over, since nothing says how long it is.

use std::ops::Range;
use std::rc::Rc;

use super::class::{Class, LINEAGE_MAX, Written, primitive};
use super::{Incomplete, text};

const MAGIC: [u8; 4] = [0xAC, 0xED, 0, 5];
/// The first handle.
const HANDLES_FROM: u32 = 0x007E_0000;
/// Java itself runs out of its stack at some thousand.
const DEPTH_MAX: usize = 1_000;
/// Each is some 40 bytes of memory, and at least three bytes of the stream.
const HANDLES_MAX: usize = 1 << 20;
/// Objects, and classes of objects, that are walked over.
const STEPS_MAX: usize = 1 << 26;
/// Longer texts are cut when they are shown, names of classes too.
const TEXT_MAX: usize = 1_000;

/// What was read.
#[derive(Debug, Clone)]
pub(super) enum Seen {
    Null,
    /// Bytes of a text.
    Text(Range<usize>),
    /// An object or an array, and the value in it if its class is one that holds a single one.
    Object(Rc<Class>, Option<Scalar>),
    /// A class, or a descriptor of one.
    Class(Rc<Class>),
}

/// A primitive value: its type, and its bytes at the end of eight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scalar {
    code: u8,
    bytes: [u8; 8],
}

/// Why the reading has stopped.
#[derive(Debug)]
pub(super) enum Stop {
    Incomplete(Incomplete),
    /// The writer met an exception in the middle of an object, of this class. The next object can be read.
    Aborted(String),
}

impl Stop {
    pub(super) fn into_incomplete(self) -> Option<Incomplete> {
        match self {
            Self::Incomplete(why) => Some(why),
            Self::Aborted(_) => Some(Incomplete::Malformed(0)),
        }
    }
}

impl Seen {
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }
}

pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    handles: Vec<Seen>,
    steps: usize,
}

/// What may stand where something is expected.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// An object.
    Object,
    /// In what a class's own code has written: also blocks of bytes, and the end.
    Annotation,
}

/// What stands there.
enum Content {
    Seen(Seen),
    Block,
    End,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Stop> {
        let mut reader = Self { bytes, at: 0, handles: Vec::new(), steps: 0 };
        if reader.take::<4>()? != MAGIC {
            reader.at = 0;
            return Err(reader.malformed());
        }
        Ok(reader)
    }

    /// The next object.
    pub(super) fn object(&mut self) -> Result<Seen, Stop> {
        self.value_at(0)
    }

    pub(super) fn malformed(&self) -> Stop {
        Stop::Incomplete(Incomplete::Malformed(self.at))
    }

    /// An Integer.
    pub(super) fn number(&self, seen: &Seen) -> Option<i32> {
        match seen {
            Seen::Object(class, Some(scalar)) if class.name == "java.lang.Integer" => {
                Some(i32::from_be_bytes(scalar.last()))
            }
            _ => None,
        }
    }

    /// Its class, for people. A name may have 64 KiB, and many objects one class.
    pub(super) fn class(&self, seen: &Seen) -> String {
        match seen {
            Seen::Null => "null".into(),
            Seen::Text(_) => "java.lang.String".into(),
            Seen::Object(class, _) => {
                let shown = class.shown();
                match shown.char_indices().nth(TEXT_MAX) {
                    Some((end, _)) => format!("{}…", &shown[..end]),
                    None => shown,
                }
            }
            Seen::Class(_) => "java.lang.Class".into(),
        }
    }

    /// Its value, if it is a text, a number, a truth value or a character.
    pub(super) fn value(&self, seen: &Seen) -> Option<String> {
        match seen {
            Seen::Text(range) => {
                let bytes = self.bytes.get(range.clone())?;
                let cut = &bytes[..bytes.len().min(TEXT_MAX)];
                let more = if cut.len() < bytes.len() { "…" } else { "" };
                Some(format!("{}{more}", text::decode(cut)))
            }
            Seen::Object(_, Some(scalar)) => scalar.shown(),
            _ => None,
        }
    }

    fn value_at(&mut self, depth: usize) -> Result<Seen, Stop> {
        match self.content(depth, Place::Object)? {
            Content::Seen(seen) => Ok(seen),
            Content::Block | Content::End => Err(self.malformed()),
        }
    }

    fn content(&mut self, depth: usize, place: Place) -> Result<Content, Stop> {
        if depth > DEPTH_MAX {
            return Err(Stop::Incomplete(Incomplete::TooLarge));
        }
        loop {
            self.step()?;
            let start = self.at;
            let [code] = self.take()?;
            let seen = match code {
                0x70 => Seen::Null,
                0x71 => self.reference()?,
                0x72 | 0x7D => {
                    self.at = start;
                    let class = self.descriptor(depth + 1)?.ok_or_else(|| self.malformed())?;
                    Seen::Class(class)
                }
                0x73 => self.new_object(depth + 1)?,
                0x74 | 0x7C => self.text(code)?,
                0x75 => self.array(depth + 1)?,
                0x76 => {
                    let class = self.descriptor(depth + 1)?.ok_or_else(|| self.malformed())?;
                    self.remember(Seen::Class(class.clone()))?;
                    Seen::Class(class)
                }
                0x77 if place == Place::Annotation => {
                    let [len] = self.take()?;
                    self.skip(usize::from(len))?;
                    return Ok(Content::Block);
                }
                0x7A if place == Place::Annotation => {
                    let len = u32::from_be_bytes(self.take()?);
                    self.skip(usize::try_from(len).unwrap_or(usize::MAX))?;
                    return Ok(Content::Block);
                }
                0x78 if place == Place::Annotation => return Ok(Content::End),
                0x79 => {
                    self.handles.clear();
                    continue;
                }
                0x7B => {
                    self.handles.clear();
                    let exception = self.value_at(depth + 1)?;
                    self.handles.clear();
                    return Err(Stop::Aborted(self.class(&exception)));
                }
                0x7E => {
                    let class = self.descriptor(depth + 1)?.ok_or_else(|| self.malformed())?;
                    let seen = Seen::Object(class, None);
                    self.remember(seen.clone())?;
                    // The constant's name.
                    if !self.value_at(depth + 1)?.is_text() {
                        return Err(self.malformed());
                    }
                    seen
                }
                _ => {
                    self.at = start;
                    return Err(self.malformed());
                }
            };
            return Ok(Content::Seen(seen));
        }
    }

    fn reference(&mut self) -> Result<Seen, Stop> {
        let handle = u32::from_be_bytes(self.take()?).checked_sub(HANDLES_FROM);
        let seen = handle.and_then(|handle| self.handles.get(usize::try_from(handle).ok()?));
        seen.cloned().ok_or_else(|| self.malformed())
    }

    fn text(&mut self, code: u8) -> Result<Seen, Stop> {
        let len = if code == 0x74 {
            usize::from(u16::from_be_bytes(self.take()?))
        } else {
            usize::try_from(u64::from_be_bytes(self.take()?)).unwrap_or(usize::MAX)
        };
        let seen = Seen::Text(self.skip(len)?);
        self.remember(seen.clone())?;
        Ok(seen)
    }

    fn new_object(&mut self, depth: usize) -> Result<Seen, Stop> {
        let class = self.descriptor(depth)?.ok_or_else(|| self.malformed())?;
        let handle = self.remember(Seen::Object(class.clone(), None))?;
        let mut scalar = None;
        for class in class.lineage() {
            self.step()?;
            match class.written() {
                Written::Nothing => {}
                Written::Blocks => self.annotation(depth)?,
                Written::Opaque => return Err(Stop::Incomplete(Incomplete::Opaque(self.at))),
                written @ (Written::Fields | Written::FieldsAndMore) => {
                    let primitives = self.skip(class.primitives)?;
                    scalar = class.lone.and_then(|code| Scalar::read(code, self.bytes.get(primitives)?));
                    for _ in 0..class.objects {
                        self.value_at(depth)?;
                    }
                    if written == Written::FieldsAndMore {
                        self.annotation(depth)?;
                    }
                }
            }
        }
        let scalar = scalar.filter(|_| holds_one(&class.name));
        let seen = Seen::Object(class, scalar);
        // An exception inside has forgotten it.
        if let Some(known) = self.handles.get_mut(handle) {
            *known = seen.clone();
        }
        Ok(seen)
    }

    fn array(&mut self, depth: usize) -> Result<Seen, Stop> {
        let class = self.descriptor(depth)?.ok_or_else(|| self.malformed())?;
        let seen = Seen::Object(class.clone(), None);
        self.remember(seen.clone())?;
        let len = i32::from_be_bytes(self.take()?);
        let len = usize::try_from(len).map_err(|_| self.malformed())?;
        match class.name.as_bytes() {
            [b'[', b'[' | b'L', ..] => {
                for _ in 0..len {
                    self.value_at(depth)?;
                }
            }
            [b'[', code] => {
                let (_, size) = primitive(*code).ok_or_else(|| self.malformed())?;
                self.skip(len.saturating_mul(size))?;
            }
            _ => return Err(self.malformed()),
        }
        Ok(seen)
    }

    /// What a class's own code has written, to its end.
    fn annotation(&mut self, depth: usize) -> Result<(), Stop> {
        while !matches!(self.content(depth, Place::Annotation)?, Content::End) {}
        Ok(())
    }

    /// A class descriptor; `None`: null.
    fn descriptor(&mut self, depth: usize) -> Result<Option<Rc<Class>>, Stop> {
        if depth > DEPTH_MAX {
            return Err(Stop::Incomplete(Incomplete::TooLarge));
        }
        self.step()?;
        let [code] = self.take()?;
        match code {
            0x70 => Ok(None),
            0x71 => match self.reference()? {
                Seen::Class(class) => Ok(Some(class)),
                _ => Err(self.malformed()),
            },
            0x72 => self.class_descriptor(depth + 1).map(Some),
            0x7D => self.proxy_descriptor(depth + 1).map(Some),
            _ => Err(self.malformed()),
        }
    }

    fn class_descriptor(&mut self, depth: usize) -> Result<Rc<Class>, Stop> {
        let name = self.name()?;
        self.skip(8)?;
        // Its handle comes before its fields, whose types may be texts with handles of their own.
        let handle = self.remember(Seen::Null)?;
        let [flags] = self.take()?;
        let count = u16::from_be_bytes(self.take()?);
        let (mut primitives, mut objects, mut lone) = (0, 0, None);
        for n in 0..count {
            self.step()?;
            let [code] = self.take()?;
            self.name()?;
            match (primitive(code), code) {
                // Primitive fields come first (ObjectStreamClass.computeFieldOffsets).
                (Some((_, size)), _) if objects == 0 => {
                    primitives += size;
                    lone = (n == 0).then_some(code);
                }
                (None, b'L' | b'[') => {
                    if !self.value_at(depth)?.is_text() {
                        return Err(self.malformed());
                    }
                    objects += 1;
                }
                _ => return Err(self.malformed()),
            }
        }
        self.annotation(depth)?;
        let parent = self.descriptor(depth)?;
        self.described(handle, Class { name, flags, primitives, lone, objects, parent, lineage: 1 })
    }

    /// A proxy's class is described by its interfaces.
    fn proxy_descriptor(&mut self, depth: usize) -> Result<Rc<Class>, Stop> {
        let handle = self.remember(Seen::Null)?;
        let count = u32::from_be_bytes(self.take()?);
        let mut names = Vec::new();
        for _ in 0..count {
            self.step()?;
            let name = self.name()?;
            // Some are enough to tell what it is.
            if names.len() < 8 {
                names.push(name);
            }
        }
        self.annotation(depth)?;
        let parent = self.descriptor(depth)?;
        let name = format!("proxy of {}", names.join(", "));
        // Its only data are its superclass's (java.lang.reflect.Proxy).
        let flags = 2;
        self.described(
            handle,
            Class { name, flags, primitives: 0, lone: None, objects: 0, parent, lineage: 1 },
        )
    }

    fn described(&mut self, handle: usize, mut class: Class) -> Result<Rc<Class>, Stop> {
        class.lineage = class.parent.as_ref().map_or(0, |parent| parent.lineage) + 1;
        if class.lineage > LINEAGE_MAX {
            return Err(Stop::Incomplete(Incomplete::TooLarge));
        }
        let class = Rc::new(class);
        match self.handles.get_mut(handle) {
            Some(known) => *known = Seen::Class(class.clone()),
            None => return Err(self.malformed()),
        }
        Ok(class)
    }

    /// A text of at most 64 KiB that has no handle.
    fn name(&mut self) -> Result<String, Stop> {
        let len = usize::from(u16::from_be_bytes(self.take()?));
        let range = self.skip(len)?;
        Ok(text::decode(&self.bytes[range]))
    }

    fn remember(&mut self, seen: Seen) -> Result<usize, Stop> {
        if self.handles.len() >= HANDLES_MAX {
            return Err(Stop::Incomplete(Incomplete::TooLarge));
        }
        self.handles.push(seen);
        Ok(self.handles.len() - 1)
    }

    fn step(&mut self) -> Result<(), Stop> {
        self.steps += 1;
        if self.steps > STEPS_MAX { Err(Stop::Incomplete(Incomplete::TooLarge)) } else { Ok(()) }
    }

    fn skip(&mut self, len: usize) -> Result<Range<usize>, Stop> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| self.malformed())?;
        Ok(std::mem::replace(&mut self.at, end)..end)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let range = self.skip(N)?;
        self.bytes[range].try_into().map_err(|_| self.malformed())
    }
}

/// Classes whose only content is one primitive value.
fn holds_one(name: &str) -> bool {
    let simple = name.strip_prefix("java.lang.").unwrap_or_default();
    matches!(simple, "Boolean" | "Byte" | "Character" | "Double" | "Float" | "Integer" | "Long" | "Short")
}

impl Scalar {
    fn read(code: u8, value: &[u8]) -> Option<Self> {
        let mut bytes = [0; 8];
        bytes.get_mut(8_usize.checked_sub(value.len())?..)?.copy_from_slice(value);
        Some(Self { code, bytes })
    }

    fn last<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        out.copy_from_slice(&self.bytes[8 - N..]);
        out
    }

    fn shown(&self) -> Option<String> {
        Some(match self.code {
            b'Z' => (self.bytes[7] != 0).to_string(),
            b'B' => i8::from_be_bytes(self.last()).to_string(),
            b'S' => i16::from_be_bytes(self.last()).to_string(),
            b'I' => i32::from_be_bytes(self.last()).to_string(),
            b'J' => i64::from_be_bytes(self.last()).to_string(),
            b'F' => f32::from_be_bytes(self.last()).to_string(),
            b'D' => f64::from_be_bytes(self.last()).to_string(),
            b'C' => char::from_u32(u16::from_be_bytes(self.last()).into()).unwrap_or('\u{FFFD}').to_string(),
            _ => return None,
        })
    }
}
