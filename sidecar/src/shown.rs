//! What others have named, as a person reads it: attributes of sessions, files, hosts. It may not steer the terminal that it is shown on, nor
//! the shell that a command is put into.

use std::path::Path;

/// A text in which nothing steers a terminal.
pub fn harmless(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().collect() } else { c.to_string() };
    text.chars().map(escape).collect()
}

/// The same of a text of several lines.
pub fn harmless_lines(text: &str) -> String {
    text.split('\n').map(harmless).collect::<Vec<_>>().join("\n")
}

/// A path as one word of a shell's command. What would steer a terminal is escaped, so that the command finds no such file.
pub fn word(path: &Path) -> String {
    format!("'{}'", harmless(&path.display().to_string()).replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_a_terminal() {
        assert_eq!(harmless("é\u{1b}[31m\n\u{9b}x"), "é\\u{1b}[31m\\n\\u{9b}x");
        assert_eq!(harmless_lines("a\nb\r"), "a\nb\\r");
    }

    #[test]
    fn a_path_is_one_word() {
        for (path, shown) in [
            ("/dev/shm/a b", "'/dev/shm/a b'"),
            ("/a'; rm -rf '/", r"'/a'\''; rm -rf '\''/'"),
            ("/a\n$ rm x", r"'/a\n$ rm x'"),
        ] {
            assert_eq!(word(Path::new(path)), shown);
        }
    }
}
