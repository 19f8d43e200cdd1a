//! nginx's directives as a tree, with `include` followed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use satchel_common::import::{Kind, Note};

use super::error::ImportError;
use super::lexer::{Broken, End, Lexer, Word};
use super::note;

/// One directive, with what is in its braces.
#[derive(Debug)]
pub(super) struct Directive {
    pub(super) file: Arc<Path>,
    pub(super) line: usize,
    /// Its name and its arguments; never empty.
    pub(super) words: Vec<Word>,
    pub(super) block: Option<Vec<Directive>>,
}

/// A configuration with all that it includes.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) directives: Vec<Directive>,
    /// In the order in which they were opened.
    pub(super) files: Vec<Arc<Path>>,
    /// What became of each `include`.
    pub(super) notes: Vec<Note>,
}

/// nginx's own files rarely go beyond six.
const MAX_DEPTH: usize = 32;

struct Parser {
    /// What `include` is relative to.
    base: PathBuf,
    /// The files that are being read, each included by the one before.
    open: Vec<Arc<Path>>,
    files: Vec<Arc<Path>>,
    notes: Vec<Note>,
}

// === impl Directive ===

impl Directive {
    pub(super) fn name(&self) -> &str {
        self.words.first().map_or("", |word| &word.text)
    }

    pub(super) fn args(&self) -> Vec<&str> {
        self.words.iter().skip(1).map(|word| word.text.as_str()).collect()
    }

    /// One argument; empty if there are not so many.
    pub(super) fn arg(&self, index: usize) -> &str {
        self.words.get(index + 1).map_or("", |word| &word.text)
    }

    pub(super) fn inner(&self) -> &[Directive] {
        self.block.as_deref().unwrap_or_default()
    }
}

/// Reads a file and what it includes.
pub(super) fn parse(main_file: &Path) -> Result<Parsed, ImportError> {
    let base = main_file.parent().unwrap_or(Path::new("")).to_owned();
    let mut parser = Parser { base, open: Vec::new(), files: Vec::new(), notes: Vec::new() };
    let directives = parser
        .file(main_file)
        .map_err(|source| ImportError::Read { path: main_file.to_owned(), source })??;
    Ok(Parsed { directives, files: parser.files, notes: parser.notes })
}

// === impl Parser ===

impl Parser {
    /// The outer error is that the file cannot be read.
    fn file(&mut self, path: &Path) -> std::io::Result<Result<Vec<Directive>, ImportError>> {
        let bytes = std::fs::read(path)?;
        let file: Arc<Path> = path.into();
        if !self.files.contains(&file) {
            self.files.push(file.clone());
        }
        self.open.push(file.clone());
        let directives = self.block(&mut Lexer::new(&bytes), &file, 0);
        self.open.pop();
        Ok(directives)
    }

    fn block(
        &mut self,
        lexer: &mut Lexer<'_>,
        file: &Arc<Path>,
        depth: usize,
    ) -> Result<Vec<Directive>, ImportError> {
        let mut directives = Vec::new();
        loop {
            let statement = lexer.statement().map_err(|broken| syntax(file, broken))?;
            let wrong =
                |message: &str| syntax(file, Broken { line: statement.line, message: message.to_owned() });
            match (statement.end, depth) {
                (End::File, 0) | (End::Close, 1..) => return Ok(directives),
                (End::File, _) => return Err(wrong("the file ends within a block; '}' is expected")),
                (End::Close, 0) => return Err(wrong("'}' without '{'; a directive is expected")),
                _ => {}
            }
            let mut directive =
                Directive { file: file.clone(), line: statement.line, words: statement.words, block: None };
            if statement.end == End::Open {
                if depth == MAX_DEPTH {
                    return Err(wrong("blocks are nested too deeply; at most 32 are expected"));
                }
                directive.block = Some(if directive.name().ends_with("_by_lua_block") {
                    lexer.skip_lua().map_err(|broken| syntax(file, broken))?;
                    Vec::new()
                } else {
                    self.block(lexer, file, depth + 1)?
                });
            } else if directive.name() == "include" && directive.words.len() == 2 {
                directives.append(&mut self.include(&directive)?);
                continue;
            }
            directives.push(directive);
        }
    }

    fn include(&mut self, directive: &Directive) -> Result<Vec<Directive>, ImportError> {
        let pattern = self.base.join(directive.arg(0));
        let mut note = |kind, text| self.notes.push(note::about(directive, kind, text));
        // As glob(3), which nginx uses.
        let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
        let text = pattern.to_string_lossy();
        let paths = if text.contains(['*', '?', '[']) {
            match glob::glob_with(&text, options) {
                Ok(found) => found.filter_map(Result::ok).collect(),
                Err(error) => {
                    note(Kind::NotCarried, format!("is no pattern of file names: {error}"));
                    return Ok(Vec::new());
                }
            }
        } else {
            vec![pattern.clone()]
        };
        if paths.is_empty() {
            note(Kind::NeedsNothing, "there is no such file".into());
        }
        let mut all = Vec::new();
        for path in paths {
            if self.open.iter().any(|open| **open == *path) {
                let message = format!("{} includes itself", path.display());
                return Err(syntax(&directive.file, Broken { line: directive.line, message }));
            }
            let shown = path.strip_prefix(&self.base).unwrap_or(&path).display();
            let (kind, text) = match self.file(&path) {
                Ok(directives) => {
                    let mut directives = directives?;
                    let text = format!("{shown} is read in its place");
                    all.append(&mut directives);
                    (Kind::NeedsNothing, text)
                }
                Err(error) => {
                    let text = format!(
                        "cannot read {shown}: {error}; a relative path starts where the main file is"
                    );
                    (Kind::NotCarried, text)
                }
            };
            self.notes.push(note::about(directive, kind, text));
        }
        Ok(all)
    }
}

fn syntax(file: &Path, broken: Broken) -> ImportError {
    ImportError::Syntax { path: file.to_owned(), line: broken.line, message: broken.message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_files(files: &[(&str, &str)]) -> Result<Parsed, String> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        parse(&directory.path().join(files[0].0)).map_err(|error| error.to_string())
    }

    fn names(directives: &[Directive]) -> Vec<String> {
        let one = |directive: &Directive| match &directive.block {
            Some(_) => format!("{}[{}]", directive.name(), names(directive.inner()).join(" ")),
            None => directive.name().to_owned(),
        };
        directives.iter().map(one).collect()
    }

    #[test]
    fn blocks_are_nested_and_files_included_in_place() {
        let parsed = parse_files(&[
            ("nginx.conf", "a; http { include conf.d/*.conf; include none/*; include gone; z; }"),
            ("conf.d/2.conf", "server { b; }"),
            ("conf.d/1.conf", "content_by_lua_block { if x then y = {} end } c;"),
            ("conf.d/.hidden.conf", "d;"),
        ])
        .unwrap();
        assert_eq!(names(&parsed.directives), ["a", "http[content_by_lua_block[] c server[b] z]"]);
        let kinds: Vec<_> = parsed.notes.iter().map(|note| note.kind).collect();
        use Kind::{NeedsNothing, NotCarried};
        assert_eq!(kinds, [NeedsNothing, NeedsNothing, NeedsNothing, NotCarried]);
        assert_eq!(parsed.files.len(), 3);
    }

    #[test]
    fn errors_name_file_and_line() {
        for (text, named) in [
            ("a;\nhttp {\n", "a.conf:3: the file ends within a block"),
            ("a;\n}", "a.conf:2: '}' without '{'"),
            ("a;\ninclude a.conf;", "a.conf:2: "),
            ("x {\n content_by_lua_block { '}\n", "a.conf:2: the Lua code"),
        ] {
            let error = parse_files(&[("a.conf", text)]).unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
        let deep = "a{".repeat(100_000);
        assert!(parse_files(&[("a.conf", &deep)]).unwrap_err().contains("nested too deeply"));
        assert!(parse(Path::new("/none/nginx.conf")).unwrap_err().to_string().contains("cannot read /none"));
    }
}
