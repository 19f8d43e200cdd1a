//! How errors name a block of the file.

use super::raw::Block;

impl Block {
    /// How errors name a `[[server]]`, the `number`th of the file.
    pub(super) fn place_of_server(&self, number: usize) -> String {
        match self.server_name.first() {
            Some(name) => format!("server {number} ({name})"),
            None => format!("server {number}"),
        }
    }

    /// How errors name a `[[server.location]]`, the `number`th of its server.
    pub(super) fn place_of_location(&self, server: &str, number: usize) -> String {
        match &self.path {
            Some(path) => format!("{server}: location {number} ({path})"),
            None => format!("{server}: location {number}"),
        }
    }
}
