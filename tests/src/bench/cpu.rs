//! CPU time of processes, from the kernel.

use std::fs;
use std::ops::Sub;

/// A process whose CPU time is counted.
#[derive(Debug, Clone)]
pub struct Part {
    /// What it is called in tables.
    pub name: String,
    pid: u32,
}

/// CPU time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu {
    /// In nanoseconds, of all threads that live (`/proc/PID/task/*/schedstat`).
    pub total: u64,
    /// The part of it that was spent in the kernel, in ticks of 10 ms (`/proc/PID/stat`, `stime`).
    pub system_ticks: u64,
    /// The part that was not, likewise (`utime`).
    pub user_ticks: u64,
}

impl Part {
    /// The process `pid`, called `name`.
    pub fn new(name: &str, pid: u32) -> Self {
        Self { name: name.to_owned(), pid }
    }

    /// What it has used so far.
    pub fn cpu(&self) -> Cpu {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid)).into_iter().flatten().flatten();
        let total = tasks.filter_map(|task| {
            fs::read_to_string(task.path().join("schedstat")).ok()?.split(' ').next()?.parse::<u64>().ok()
        });
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        // The name in parentheses may have spaces; utime and stime are fields 14 and 15 (proc(5)), 12th and 13th behind it.
        let mut after = stat.rsplit(") ").next().unwrap_or("").split(' ').skip(11);
        let mut ticks = || after.next().and_then(|field| field.parse().ok()).unwrap_or(0);
        Cpu { total: total.sum(), user_ticks: ticks(), system_ticks: ticks() }
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            // A thread that has ended takes its time along.
            total: self.total.saturating_sub(before.total),
            system_ticks: self.system_ticks.saturating_sub(before.system_ticks),
            user_ticks: self.user_ticks.saturating_sub(before.user_ticks),
        }
    }
}

impl Cpu {
    /// Which share of it was spent in the kernel.
    pub fn system_share(self) -> f64 {
        self.system_ticks as f64 / (self.system_ticks + self.user_ticks).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_burns_is_seen() {
        let this = Part::new("this", std::process::id());
        let before = this.cpu();
        crate::eventually("it is counted", || {
            let used = this.cpu() - before;
            used.total > 100_000_000 && used.user_ticks + used.system_ticks > 5
        });
    }
}
