//! The files: what they are, by their root element and by where they lie below CATALINA_BASE.

use std::path::{Component, Path, PathBuf};

use roxmltree::{Document, Node};
use satchel_common::import::note::shown;
use satchel_common::import::{Kind, Note};

use super::ImportError;
use super::property::{self, Resolved, resolve};
use super::xml::{self, LARGEST, Lines, attribute};
use crate::stock::name::Name;

/// Tomcat's own `appBase`.
pub(super) const APP_BASE: &str = "webapps";

/// A file as it was read.
#[derive(Debug, Clone)]
pub struct Source {
    /// As its administrator calls it.
    pub path: PathBuf,
    /// From the root on: the folders say what it is.
    pub absolute: PathBuf,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// A file's text, and how it becomes bytes again.
pub(super) struct Text {
    pub(super) text: String,
    /// One byte is one character; its number is the byte.
    single: bool,
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// `conf/server.xml`.
    Server,
    /// `conf/context.xml`: for every application.
    Everywhere,
    /// `conf/ENGINE/HOST/context.xml.default`: for those of one host.
    Host(Folder),
    /// `conf/ENGINE/HOST/NAME.xml`.
    Application(Option<Folder>, Name),
    /// `APPBASE/NAME/META-INF/context.xml`.
    Inside(String, Name),
}

/// `ENGINE/HOST` below `conf`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Folder {
    pub(super) engine: String,
    pub(super) host: String,
}

/// A file that is read.
pub(super) struct File<'a> {
    pub(super) source: &'a Source,
    pub(super) text: &'a Text,
    pub(super) document: Document<'a>,
    pub(super) lines: Lines,
    pub(super) place: Place,
}

// === impl Source ===

impl Source {
    /// # Errors
    /// Says what it must be.
    pub(super) fn decode(&self) -> Result<Text, ImportError> {
        decode(&self.bytes).map_err(|message| self.refused(message))
    }

    fn refused(&self, message: String) -> ImportError {
        ImportError::File { path: self.path.clone(), message }
    }

    /// The folders above it and its name, the last first.
    fn names(&self) -> impl Iterator<Item = String> + '_ {
        let normal = |part: Component<'_>| match part {
            Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
            _ => None,
        };
        self.absolute.components().rev().filter_map(normal)
    }

    fn place(&self, root: Node<'_, '_>) -> Result<Place, String> {
        match root.tag_name().name() {
            "Server" => return Ok(Place::Server),
            "Context" => {}
            other => {
                return Err(format!(
                    "begins with <{other}>, and what is expected is a file of Tomcat's with <Context> or <Server>"
                ));
            }
        }
        let mut names = self.names();
        let [file, parent, above, conf] = [(); 4].map(|()| names.next().unwrap_or_default());
        // Debian's conf is a link to /etc/tomcatN.
        let folder = (conf == "conf" || above == "Catalina")
            .then(|| Folder { engine: above.clone(), host: parent.clone() });
        Ok(match file.as_str() {
            "context.xml" if parent == "META-INF" => {
                let base = if conf.is_empty() { APP_BASE.to_owned() } else { conf };
                Place::Inside(base, Name::of_file(above.strip_suffix(".war").unwrap_or(&above)))
            }
            "context.xml" => Place::Everywhere,
            "context.xml.default" => match folder {
                Some(folder) => Place::Host(folder),
                None => Place::Everywhere,
            },
            name => Place::Application(folder, Name::of_file(name.strip_suffix(".xml").unwrap_or(name))),
        })
    }
}

// === impl Text ===

impl Text {
    /// A changed text in the encoding of this one.
    pub(super) fn encode(&self, text: &str) -> Vec<u8> {
        match self.single {
            // What is put in is ASCII, or was in the file.
            true => text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect(),
            false => text.as_bytes().to_vec(),
        }
    }
}

fn decode(bytes: &[u8]) -> Result<Text, String> {
    if bytes.len() > LARGEST {
        return Err(format!("has more than {LARGEST} bytes: this is no configuration of Tomcat's"));
    }
    let declared = declared_encoding(bytes).unwrap_or_default();
    let single = ["iso-8859-", "windows-125", "latin"].iter().any(|family| declared.starts_with(family));
    if single {
        return Ok(Text { text: bytes.iter().map(|byte| char::from(*byte)).collect(), single });
    }
    match String::from_utf8(bytes.to_vec()) {
        Ok(text) => Ok(Text { text, single }),
        Err(error) => Err(format!(
            "is not UTF-8 (byte {}): save it in UTF-8, with encoding=\"UTF-8\" in its first line",
            error.utf8_error().valid_up_to() + 1
        )),
    }
}

/// In `<?xml … encoding="…"?>`, in lower case.
fn declared_encoding(bytes: &[u8]) -> Option<String> {
    let start = bytes.get(..bytes.len().min(200))?;
    let text = String::from_utf8_lossy(start).to_ascii_lowercase();
    let declaration = text.trim_start_matches('\u{feff}').strip_prefix("<?xml")?.split_once("?>")?.0;
    let value = declaration.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    Some(value.get(1..)?.split_once(quote)?.0.to_owned())
}

// === impl File ===

impl<'a> File<'a> {
    /// # Errors
    /// Says what it must be.
    pub(super) fn read(source: &'a Source, text: &'a Text) -> Result<Self, ImportError> {
        let document = xml::parse(&text.text).map_err(|message| source.refused(message))?;
        let place = source.place(document.root_element()).map_err(|message| source.refused(message))?;
        Ok(Self { source, text, lines: Lines::of(&text.text), place, document })
    }

    /// A note about what begins at `at`.
    pub(super) fn note(&self, at: usize, written: &str, kind: Kind, text: impl Into<String>) -> Note {
        let (file, line) = (self.source.path.clone(), self.lines.number(at));
        Note { file, line, written: shown(written), kind, text: text.into() }
    }

    /// A note about an element.
    pub(super) fn note_of(
        &self,
        node: Node<'_, '_>,
        written: &str,
        kind: Kind,
        text: impl Into<String>,
    ) -> Note {
        self.note(node.range().start, written, kind, text)
    }

    /// `file:line`.
    pub(super) fn place_of(&self, node: Node<'_, '_>) -> String {
        format!("{}:{}", self.source.path.display(), self.lines.number(node.range().start))
    }

    /// What an attribute says, if it is there, with Tomcat's properties in it. What is not known is said, and is no value.
    pub(super) fn value(
        &self,
        node: Node<'_, '_>,
        name: &str,
        known: &[(String, String)],
        notes: &mut Vec<Note>,
    ) -> Option<Option<String>> {
        let written = attribute(node, name)?;
        let Resolved { text, unknown, defaulted } = resolve(written, known);
        let written = format!("{name}=\"{written}\"");
        for property in &defaulted {
            notes.push(self.note_of(node, &written, Kind::Changed, property::default_taken(property)));
        }
        let unknown = unknown.first();
        notes.extend(
            unknown.map(|one| self.note_of(node, &written, Kind::NotCarried, property::asked_for(one))),
        );
        Some(unknown.is_none().then(|| text.trim().to_owned()))
    }

    /// Where it belongs below CATALINA_BASE.
    pub(super) fn target(&self) -> PathBuf {
        match &self.place {
            Place::Server => "conf/server.xml".into(),
            Place::Everywhere => "conf/context.xml".into(),
            Place::Host(folder) => folder.path().join("context.xml.default"),
            Place::Application(folder, name) => {
                descriptor(folder.as_ref().unwrap_or(&Folder::default()), name)
            }
            Place::Inside(base, name) => Path::new(base).join(name.file()).join("META-INF/context.xml"),
        }
    }
}

/// Whether a path stays below the directory that it is joined to: names of engines and hosts are parts of it, and may be anything.
pub(super) fn is_below(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// The file of an application of a host.
pub(super) fn descriptor(folder: &Folder, name: &Name) -> PathBuf {
    folder.path().join(format!("{}.xml", name.file()))
}

// === impl Folder ===

impl Default for Folder {
    /// Tomcat's own.
    fn default() -> Self {
        Self { engine: "Catalina".into(), host: "localhost".into() }
    }
}

impl Folder {
    pub(super) fn path(&self) -> PathBuf {
        Path::new("conf").join(&self.engine).join(&self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &str, text: &str) -> Result<(Place, String), String> {
        let source = Source { path: path.into(), absolute: path.into(), bytes: text.into() };
        let text = source.decode().map_err(|error| error.to_string())?;
        let file = File::read(&source, &text).map_err(|error| error.to_string())?;
        Ok((file.place.clone(), file.target().display().to_string()))
    }

    #[test]
    fn a_files_place_says_what_it_is_for() {
        let folder = |host: &str| Folder { engine: "Catalina".into(), host: host.into() };
        for (path, root, is, target) in [
            ("/t/conf/server.xml", "<Server/>", Place::Server, "conf/server.xml"),
            ("/t/conf/context.xml", "<Context/>", Place::Everywhere, "conf/context.xml"),
            ("/home/me/context.xml", "<Context/>", Place::Everywhere, "conf/context.xml"),
            (
                "/t/conf/Catalina/a.example/context.xml.default",
                "<Context/>",
                Place::Host(folder("a.example")),
                "conf/Catalina/a.example/context.xml.default",
            ),
            (
                "/t/conf/Catalina/localhost/app#sub.xml",
                "<Context/>",
                Place::Application(Some(folder("localhost")), Name::of_path("/app/sub")),
                "conf/Catalina/localhost/app#sub.xml",
            ),
            (
                "/etc/tomcat9/Catalina/a.example/ROOT.xml",
                "<Context/>",
                Place::Application(Some(folder("a.example")), Name::of_path("/")),
                "conf/Catalina/a.example/ROOT.xml",
            ),
            (
                "/home/me/ROOT.xml",
                "<Context/>",
                Place::Application(None, Name::of_path("/")),
                "conf/Catalina/localhost/ROOT.xml",
            ),
            (
                "/t/webapps/shop/META-INF/context.xml",
                "<Context/>",
                Place::Inside("webapps".into(), Name::of_path("/shop")),
                "webapps/shop/META-INF/context.xml",
            ),
            (
                "/t/webapps/shop##2/META-INF/context.xml",
                "<Context/>",
                Place::Inside("webapps".into(), Name::of_file("shop##2")),
                "webapps/shop##2/META-INF/context.xml",
            ),
        ] {
            assert_eq!(place(path, root), Ok((is, target.to_owned())), "{path}");
        }
        assert!(place("/t/conf/web.xml", "<web-app/>").unwrap_err().contains("<web-app>"));
    }

    #[test]
    fn bytes_of_other_encodings_come_back_as_they_were() {
        let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?><Context path='\xe9\x80'/>";
        let text = decode(latin).unwrap();
        assert!(text.text.contains('é'));
        assert_eq!(text.encode(&text.text), latin);
        let utf8 = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Context path='é'/>";
        assert_eq!(decode(utf8.as_bytes()).map(|text| text.encode(&text.text)).unwrap(), utf8.as_bytes());
        for wrong in [&b"<a b='\xe9'/>"[..], b"\xff\xfe<\0a\0"] {
            assert!(decode(wrong).map(drop).unwrap_err().contains("save it in UTF-8"));
        }
    }
}
