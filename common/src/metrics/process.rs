//! What every process tells Prometheus of itself, under the names that all its client libraries use.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::{Family, Page, Value};

const START: Family =
    Family::gauge("process_start_time_seconds", &[], "When the process was started, in seconds since 1970.");
const CPU: Family =
    Family::counter("process_cpu_seconds_total", &[], "Processor time that the process has used.");
const MEMORY: Family = Family::gauge("process_resident_memory_bytes", &[], "Memory that the process has.");
const OPEN: Family = Family::gauge("process_open_fds", &[], "Files and connections that are open.");
const MAX: Family = Family::gauge("process_max_fds", &[], "How many may be open.");

/// All of them.
pub const PROCESS: [&Family; 5] = [&START, &CPU, &MEMORY, &OPEN, &MAX];

/// This process.
#[derive(Debug, Clone, Copy)]
pub struct Process {
    started: SystemTime,
}

impl Process {
    /// One that has just been started.
    pub fn started_now() -> Self {
        Self { started: SystemTime::now() }
    }

    /// When, in seconds since 1970.
    pub fn started(&self) -> f64 {
        self.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
    }

    /// Memory that it has, in bytes.
    pub fn memory(&self) -> Option<u64> {
        let text = std::fs::read_to_string("/proc/self/statm").ok()?;
        let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
        Some(pages * rustix::param::page_size() as u64)
    }

    /// Writes what is known.
    ///
    /// # Errors
    /// None: a page is a string.
    pub fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let open = std::fs::read_dir("/proc/self/fd").ok().map(|open| open.count() as f64);
        let max = getrlimit(Resource::Nofile).current.map(|max| max as f64);
        page.one(&START, Value::Level(self.started()))?;
        page.one(&CPU, Value::Seconds(cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9))?;
        for (family, value) in
            [(&MEMORY, self.memory().map(|bytes| bytes as f64)), (&OPEN, open), (&MAX, max)]
        {
            let values = value.map(|value| (Vec::<&str>::new(), Value::Level(value)));
            page.each(family, values)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Exposition;

    #[test]
    fn all_of_it_is_known_here() {
        let process = Process::started_now();
        let (_, page) = Exposition::new(move |page| process.collect(page)).render("");
        for family in PROCESS {
            let value =
                page.lines().find_map(|line| line.strip_prefix(family.name)?.trim().parse::<f64>().ok());
            assert!(value.is_some_and(|value| value > 0.0), "{}: {page}", family.name);
        }
    }
}
