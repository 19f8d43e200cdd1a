//! Class descriptors: how much there is to skip in an object.

use std::rc::Rc;

/// `ObjectStreamConstants`: who has written the object's data.
const WRITE_METHOD: u8 = 1;
const SERIALIZABLE: u8 = 2;
const EXTERNALIZABLE: u8 = 4;
const BLOCK_DATA: u8 = 8;

/// More superclasses than any class has. Each object of a class is read by walking over them.
pub const LINEAGE_MAX: usize = 128;

/// A class as the stream describes it.
#[derive(Debug)]
pub struct Class {
    /// As `Class.getName` says: `java.lang.Long`, `[B`.
    pub name: String,
    pub(super) flags: u8,
    /// Bytes of all primitive fields. They come first.
    pub primitives: usize,
    /// The type of a lone primitive field.
    pub lone: Option<u8>,
    /// How many fields are objects.
    pub objects: usize,
    pub parent: Option<Rc<Self>>,
    /// With it, how many classes an object's data are of.
    pub lineage: usize,
}

/// How an object's data of one class are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Its fields.
    Fields,
    /// Its fields, and what its own code adds.
    FieldsAndMore,
    /// By its own code, in blocks that can be skipped.
    Blocks,
    /// By its own code, as only that knows.
    Opaque,
    /// Nothing of this class.
    Nothing,
}

impl Class {
    pub fn written(&self) -> Written {
        match self.flags {
            flags if flags & EXTERNALIZABLE != 0 && flags & BLOCK_DATA != 0 => Written::Blocks,
            flags if flags & EXTERNALIZABLE != 0 => Written::Opaque,
            flags if flags & SERIALIZABLE != 0 && flags & WRITE_METHOD != 0 => Written::FieldsAndMore,
            flags if flags & SERIALIZABLE != 0 => Written::Fields,
            _ => Written::Nothing,
        }
    }

    /// It and its superclasses, the uppermost first: in this order an object's data are written.
    pub fn lineage(self: &Rc<Self>) -> Vec<Rc<Self>> {
        let mut all = vec![self.clone()];
        while let Some(parent) = all.last().and_then(|class| class.parent.clone()) {
            all.push(parent);
        }
        all.reverse();
        all
    }

    /// As it is written in a program.
    pub fn shown(&self) -> String {
        let element = self.name.trim_start_matches('[');
        let dimensions = self.name.len() - element.len();
        let name = match (dimensions, element.as_bytes()) {
            (0, _) => element,
            (_, [code]) => primitive(*code).map_or(element, |(name, _)| name),
            _ => element.strip_prefix('L').and_then(|name| name.strip_suffix(';')).unwrap_or(element),
        };
        format!("{name}{}", "[]".repeat(dimensions))
    }
}

/// Name and size in bytes of a primitive type.
pub fn primitive(code: u8) -> Option<(&'static str, usize)> {
    Some(match code {
        b'B' => ("byte", 1),
        b'C' => ("char", 2),
        b'D' => ("double", 8),
        b'F' => ("float", 4),
        b'I' => ("int", 4),
        b'J' => ("long", 8),
        b'S' => ("short", 2),
        b'Z' => ("boolean", 1),
        _ => return None,
    })
}
