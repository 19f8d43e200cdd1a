//! How often a test repeats what has to hold every time.

/// `usual` times, or with `SATCHEL_LONG` in the environment `long` times.
pub fn often(usual: usize, long: usize) -> usize {
    if std::env::var_os("SATCHEL_LONG").is_some() { long } else { usual }
}
