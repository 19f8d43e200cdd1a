//! How much memory processes use while a run goes on, and a plot of it.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::process::memory_kib;

/// Between two looks.
const STEP: Duration = Duration::from_secs(1);
/// The plot's size.
const SIZE: (f64, f64) = (800.0, 300.0);
const MARGIN: f64 = 50.0;
const COLOURS: [&str; 3] = ["#1f77b4", "#d62728", "#2ca02c"];

/// Looks that are being taken.
pub struct Memory {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Curves>,
}

/// What was seen.
pub struct Curves {
    names: Vec<String>,
    /// Seconds since the beginning, and KiB of each.
    looks: Vec<(f64, Vec<u64>)>,
}

impl Memory {
    /// Looks at these processes from now on.
    pub fn watch(processes: Vec<(String, u32)>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let began = Instant::now();
            let mut looks = Vec::new();
            while !stopped.load(Ordering::SeqCst) {
                let look = processes.iter().map(|(_, pid)| memory_kib(*pid)).collect();
                looks.push((began.elapsed().as_secs_f64(), look));
                thread::sleep(STEP);
            }
            Curves { names: processes.into_iter().map(|(name, _)| name).collect(), looks }
        });
        Self { stop, thread }
    }

    /// Looks no more.
    ///
    /// # Panics
    /// When the looking thread has.
    pub fn finish(self) -> Curves {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

impl Curves {
    /// Of each: after a tenth of the time, after half of it, and in the end, as means over a tenth, in MiB.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        let tenth = (self.looks.len() / 10).max(1);
        for (n, name) in self.names.iter().enumerate() {
            let mean = |from: usize| {
                let looks = self.looks.iter().skip(from).take(tenth);
                looks.map(|(_, all)| all[n]).sum::<u64>() as f64 / tenth as f64 / 1024.0
            };
            let (early, middle) = (mean(tenth), mean(self.looks.len() / 2));
            let late = mean(self.looks.len().saturating_sub(tenth));
            let _ =
                writeln!(text, "memory of {name}: {early:.1} MiB, then {middle:.1}, in the end {late:.1}");
        }
        text
    }

    /// As a picture.
    pub fn svg(&self) -> String {
        let (width, height) = SIZE;
        let last = self.looks.last().map_or(1.0, |(time, _)| *time).max(1.0);
        let most = self.looks.iter().flat_map(|(_, all)| all).copied().max().unwrap_or(1).max(1) as f64 * 1.1;
        let x = |time: f64| MARGIN + (width - 2.0 * MARGIN) * time / last;
        let y = |kib: f64| height - MARGIN - (height - 2.0 * MARGIN) * kib / most;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
        );
        for part in 0..=4 {
            let (kib, time) = (most * f64::from(part) / 4.0, last * f64::from(part) / 4.0);
            let (level, across) = (y(kib), x(time));
            let _ = writeln!(
                svg,
                "<line x1=\"{MARGIN}\" x2=\"{}\" y1=\"{level:.1}\" y2=\"{level:.1}\" stroke=\"#ddd\"/>\n\
                 <text x=\"{}\" y=\"{level:.1}\" text-anchor=\"end\">{:.0} MiB</text>\n\
                 <text x=\"{across:.1}\" y=\"{}\" text-anchor=\"middle\">{:.0} min</text>",
                width - MARGIN,
                MARGIN - 4.0,
                kib / 1024.0,
                height - MARGIN + 16.0,
                time / 60.0,
            );
        }
        for (n, name) in self.names.iter().enumerate() {
            let colour = COLOURS[n % COLOURS.len()];
            let points: Vec<String> = self
                .looks
                .iter()
                .step_by((self.looks.len() / 700).max(1))
                .map(|(time, all)| format!("{:.1},{:.1}", x(*time), y(all[n] as f64)))
                .collect();
            let _ = writeln!(
                svg,
                "<polyline fill=\"none\" stroke=\"{colour}\" points=\"{}\"/>\n\
                 <text x=\"{}\" y=\"{}\" fill=\"{colour}\">{name}</text>",
                points.join(" "),
                MARGIN + 10.0 + 120.0 * n as f64,
                MARGIN - 20.0,
            );
        }
        svg + "</svg>\n"
    }
}
