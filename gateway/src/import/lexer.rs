//! nginx's words, as `ngx_conf_read_token` of `ngx_conf_file.c` cuts them.
//!
//! Ours because no crate does it nginx's way: `nginx-lint-parser` 0.24, the one that is kept up to date, takes
//! `https://$host$uri` for three words, refuses CRLF, and overflows its stack on deeply nested blocks; `nginx-config` knows a
//! fixed set of directives.

/// A word: what it says, and how it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) written: String,
}

/// The words up to a `;`, a brace, or the end of the file.
#[derive(Debug)]
pub(super) struct Statement {
    /// Where the first word is.
    pub(super) line: usize,
    pub(super) words: Vec<Word>,
    pub(super) end: End,
}

/// What ended a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Semicolon,
    Open,
    Close,
    File,
}

/// What is wrong, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) line: usize,
    pub(super) message: String,
}

/// Reads a file's bytes.
pub(super) struct Lexer<'a> {
    bytes: &'a [u8],
    at: usize,
    line: usize,
}

const MISSING_END: &str = "the file ends within a directive; ';' or '{' is expected";

impl<'a> Lexer<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, line: 1 }
    }

    /// The next statement.
    pub(super) fn statement(&mut self) -> Result<Statement, Broken> {
        let mut words = Vec::new();
        let mut line = self.line;
        loop {
            self.skip_blank();
            if words.is_empty() {
                line = self.line;
            }
            let end = match self.peek() {
                None if words.is_empty() => End::File,
                None => return Err(self.broken(MISSING_END)),
                Some(b';') => End::Semicolon,
                Some(b'{') => End::Open,
                Some(b'}') => End::Close,
                Some(_) => {
                    words.push(self.word()?);
                    continue;
                }
            };
            match (end, words.is_empty()) {
                (End::Semicolon | End::Open, true) => {
                    return Err(self.broken("a directive is expected before ';' or '{'"));
                }
                (End::Close, false) => return Err(self.broken("';' is expected before '}'")),
                _ => {}
            }
            self.advance();
            return Ok(Statement { line, words, end });
        }
    }

    /// Lua code after its `{`, up to the `}` that ends it.
    pub(super) fn skip_lua(&mut self) -> Result<(), Broken> {
        let rest = &self.bytes[self.at..];
        let length =
            super::lua::length(rest).ok_or_else(|| self.broken("the Lua code has no '}' at its end"))?;
        for _ in 0..length {
            self.advance();
        }
        Ok(())
    }

    fn word(&mut self) -> Result<Word, Broken> {
        let start = self.at;
        let (from, to) = match self.peek() {
            Some(quote @ (b'"' | b'\'')) => {
                self.advance();
                self.quoted(quote)?;
                if !matches!(self.peek(), None | Some(b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{' | b')')) {
                    return Err(self.broken("a blank, ';' or '{' is expected after a quote"));
                }
                (start + 1, self.at - 1)
            }
            _ => {
                self.bare();
                (start, self.at)
            }
        };
        let text = |from: usize, to: usize| std::str::from_utf8(&self.bytes[from..to]);
        match (text(from, to), text(start, self.at)) {
            (Ok(word), Ok(written)) => Ok(Word { text: unescape(word), written: written.to_owned() }),
            _ => Err(self.broken("UTF-8 is expected outside of comments")),
        }
    }

    fn quoted(&mut self, quote: u8) -> Result<(), Broken> {
        let line = self.line;
        while let Some(byte) = self.advance() {
            if byte == quote {
                return Ok(());
            }
            if byte == b'\\' {
                self.advance();
            }
        }
        Err(Broken {
            line,
            message: format!("a quote begins here that has no {} at its end", char::from(quote)),
        })
    }

    /// `}` is a part of the word, and so is `{` after `$`.
    fn bare(&mut self) {
        let mut variable = false;
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b';' => return,
                b'{' if !variable => return,
                b'\\' => {
                    self.advance();
                }
                _ => {}
            }
            variable = byte == b'$' || (byte == b'{' && variable);
            self.advance();
        }
    }

    fn skip_blank(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => {
                    self.advance();
                }
                b'#' => while !matches!(self.advance(), None | Some(b'\n')) {},
                _ => return,
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn advance(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        if byte == b'\n' {
            self.line += 1;
        }
        Some(byte)
    }

    fn broken(&self, message: &str) -> Broken {
        Broken { line: self.line, message: message.to_owned() }
    }
}

/// `\"`, `\'`, `\\`, `\t`, `\r` and `\n`; any other backslash stays, for regular expressions.
fn unescape(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    let mut rest = word.chars();
    while let Some(c) = rest.next() {
        let escaped =
            (c == '\\').then(|| rest.as_str().chars().next()).flatten().and_then(|next| match next {
                '"' | '\'' | '\\' => Some(next),
                't' => Some('\t'),
                'r' => Some('\r'),
                'n' => Some('\n'),
                _ => None,
            });
        if escaped.is_some() {
            rest.next();
        }
        out.push(escaped.unwrap_or(c));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut lexer = Lexer::new(text.as_bytes());
        lexer.statement().unwrap().words.into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn words_are_cut_as_nginx_cuts_them() {
        for (text, expected) in [
            ("return 301 https://$host$request_uri;", vec!["return", "301", "https://$host$request_uri"]),
            ("listen\r\n 80 ;\r\n", vec!["listen", "80"]),
            (r#"a "b;c" 'd e' f"g";"#, vec!["a", "b;c", "d e", "f\"g\""]),
            (r#"a "b\"c\\d\te\$f\.g";"#, vec!["a", "b\"c\\d\te\\$f\\.g"]),
            (r"a b\ c\;d;", vec!["a", r"b\ c\;d"]),
            ("a ab#c # comment ; {\n d;", vec!["a", "ab#c", "d"]),
            ("location ~ ^/(a|b)}$ {", vec!["location", "~", "^/(a|b)}$"]),
            ("a ${b}c;", vec!["a", "${b}c"]),
            ("if ($a = 'b') {", vec!["if", "($a", "=", "b", ")"]),
            ("a '' \"\";", vec!["a", "", ""]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn lines_are_counted() {
        let mut lexer = Lexer::new(b"# x\n\na\nb;\nc {\n}\n");
        let lines: Vec<_> = std::iter::from_fn(|| lexer.statement().ok().filter(|s| s.end != End::File))
            .map(|statement| (statement.line, statement.end))
            .collect();
        assert_eq!(lines, [(3, End::Semicolon), (5, End::Open), (6, End::Close)]);
    }

    #[test]
    fn what_is_broken_is_named_with_its_line() {
        for (text, line, named) in [
            ("a b\n", 2, "ends within"),
            ("\n;", 2, "before ';'"),
            ("a }", 1, "before '}'"),
            ("\na \"b\nc", 2, "quote begins here"),
            ("a \"b\"c;", 1, "after a quote"),
        ] {
            let error = Lexer::new(text.as_bytes()).statement().unwrap_err();
            assert!(error.line == line && error.message.contains(named), "{text}: {error:?}");
        }
        assert!(Lexer::new(b"a \xff;").statement().unwrap_err().message.contains("UTF-8"));
        assert!(Lexer::new(b"# \xff\na;").statement().is_ok());
    }
}
