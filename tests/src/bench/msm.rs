//! memcached-session-manager, the way that the scenario has it and the fastest way that it knows.

use std::path::PathBuf;

use crate::maven;

/// The last release, for the last Tomcat that it knows.
const VERSION: &str = "2.3.2";

/// How msm turns sessions into bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serializer {
    /// Java's own, as in the scenario.
    Java,
    /// kryo: by msm's own measurements the fastest.
    Kryo,
}

/// The `<Manager>` of the scenario, with this serializer and one node `n1` on this port of 127.0.0.1.
pub fn manager(serializer: Serializer, memcached: u16) -> String {
    let factory = match serializer {
        Serializer::Java => "de.javakaffee.web.msm.JavaSerializationTranscoderFactory",
        Serializer::Kryo => "de.javakaffee.web.msm.serializer.kryo.KryoTranscoderFactory",
    };
    format!(
        "<Manager className=\"de.javakaffee.web.msm.MemcachedBackupSessionManager\" \
         memcachedNodes=\"n1:127.0.0.1:{memcached}\" requestUriIgnorePattern=\".*\\.(png|gif|jpg|css|js)$\" \
         sessionBackupAsync=\"false\" sessionBackupTimeout=\"100\" sticky=\"false\" \
         transcoderFactoryClass=\"{factory}\" copyCollectionsForSerialization=\"false\"/>"
    )
}

/// What goes into Tomcat's `lib`.
///
/// # Errors
/// Why it can't be had.
pub fn jars(serializer: Serializer) -> Result<Vec<PathBuf>, String> {
    let artifact = |name: &str| format!("de.javakaffee.msm:{name}:{VERSION}");
    let (manager, kryo) = (artifact("memcached-session-manager-tc9"), artifact("msm-kryo-serializer"));
    match serializer {
        Serializer::Java => maven::jars("msm", &[&manager]),
        Serializer::Kryo => maven::jars("msm-kryo", &[&manager, &kryo]),
    }
}
