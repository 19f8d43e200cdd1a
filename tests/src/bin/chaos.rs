//! `cargo chaos`: breaks a farm of real processes under load and decides from what the clients were told whether it kept its promise.
//!
//! Ends with 0 only if it did, and if the run was worth something: `docs/testing.md`.

// As in the harness: what can't go on says so and stops.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use satchel_tests::chaos::checker::{Verdict, check};
use satchel_tests::chaos::farm::{Builder, Farm};
use satchel_tests::chaos::history::{History, Kind, Operation, Seen};
use satchel_tests::chaos::memory::Memory;
use satchel_tests::chaos::nemesis::strike;
use satchel_tests::chaos::report::{Wanted, report};
use satchel_tests::chaos::schedule::{Blow, KINDS, Part, Schedule, kinds, name};
use satchel_tests::chaos::users::{Habits, Users};
use satchel_tests::{binaries, needs};

/// From so many seconds on the programs are built with the release profile: building them takes minutes.
const RELEASED_FROM: u64 = 300;

/// Breaks a farm of real processes under load, and checks that no session was lost, mixed up or revived.
#[derive(Parser, Clone)]
struct Args {
    /// How long clients are at it.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// The same seed gives the same faults in the same order.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What happens to the farm.
    #[arg(long, value_enum, default_value_t = Mode::Single)]
    mode: Mode,
    /// Only these faults: `memcached.kill`, or `memcached` for all of its.
    #[arg(long, value_delimiter = ',')]
    faults: Vec<String>,
    /// How often each kind of fault has to strike.
    #[arg(long, default_value_t = 10)]
    strikes: usize,
    /// How many clients.
    #[arg(long, default_value_t = 32)]
    clients: usize,
    /// Where the history is written to [default: target/chaos/MODE-SEED.history].
    #[arg(long)]
    history: Option<PathBuf>,
    /// Only checks a history that was written.
    #[arg(long, value_name = "HISTORY")]
    check: Option<PathBuf>,
    /// Runs a product that is broken in this way: the checker has to find it.
    #[arg(long, conflicts_with = "prove")]
    broken: Option<String>,
    /// Runs every broken product, and ends with 0 only if each of them is found out.
    #[arg(long)]
    prove: bool,
    /// Plots the memory of gateway and sidecars into this SVG file (with `--mode calm`: restarts are not followed).
    #[arg(long, value_name = "SVG")]
    memory: Option<PathBuf>,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// One fault at a time.
    Single,
    /// Two faults at a time: losses are reported, and don't fail the run.
    Double,
    /// No fault.
    Calm,
    /// The memcacheds are full and refuse (`-M`).
    Full,
    /// The memcacheds are full and evict: losses have to equal what the product has counted.
    Evict,
}

/// What is broken, and the faults that bring it to light.
const BROKEN: [(&str, &[&str]); 6] = [
    ("no-lock", &[]),
    ("body-complete-is-saved", &[]),
    ("plain-ttl-cache", &[]),
    ("no-tombstones", &["memcached.cut", "memcached.stop"]),
    ("half-written", &[]),
    ("reused-connection", &["memcached.stop"]),
];
/// Within how long a broken product has to be found out.
const FOUND_WITHIN: u64 = 60;
/// Of these, what it takes until everybody has looked at his sessions in the end.
const IN_THE_END: u64 = 30;

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(path) = &args.check {
        return check_file(path);
    }
    let faults = match kinds(&args.faults) {
        Ok(faults) if !faults.is_empty() => faults,
        Ok(_) => KINDS.to_vec(),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(64);
        }
    };
    needs::ensure();
    if args.seconds < RELEASED_FROM || args.prove || args.broken.is_some() {
        binaries::build(true);
    } else {
        binaries::build_released();
    }
    if args.prove {
        return prove(&args);
    }
    let faults = match args.mode {
        Mode::Single | Mode::Double => faults,
        Mode::Calm | Mode::Full | Mode::Evict => Vec::new(),
    };
    if run(&args, faults).1 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn check_file(path: &Path) -> ExitCode {
    let history = match std::fs::read_to_string(path).map_err(|error| error.to_string()) {
        Ok(text) => History::parse(&text),
        Err(error) => Err(error),
    };
    match history {
        Ok(history) => {
            let verdict = check(&history);
            show(&verdict);
            println!("{}", verdict.summary());
            if verdict.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            ExitCode::from(64)
        }
    }
}

fn show(verdict: &Verdict) {
    for violation in verdict.violations.iter().take(20) {
        println!("{:?} at {:.3} s: {}", violation.wrong, violation.at as f64 / 1e6, violation.evidence);
    }
}

fn farm(args: &Args) -> Builder {
    let mut farm = Builder { broken: args.broken.clone(), ..Builder::default() };
    match args.mode {
        Mode::Single | Mode::Double => {}
        Mode::Calm => farm.direct = args.broken.is_none(),
        Mode::Full => farm.memcached = vec!["-M".into(), "-m".into(), "24".into()],
        Mode::Evict => farm.memcached = vec!["-m".into(), "12".into()],
    }
    farm
}

fn habits(args: &Args) -> Habits {
    let usual = Habits { clients: args.clients, sessions: 1, thinks_ms: 60, big: 0, tries_ended: true };
    match args.mode {
        Mode::Single | Mode::Double => usual,
        Mode::Calm => Habits { thinks_ms: if args.memory.is_some() { 0 } else { usual.thinks_ms }, ..usual },
        Mode::Full => Habits { sessions: 20, big: 60_000, ..usual },
        // Tombstones are evicted too: an id that has ended tells nothing about what was lost.
        Mode::Evict => Habits { sessions: 20, big: 60_000, tries_ended: false, ..usual },
    }
}

/// A run. Its verdict, and whether all was as wanted.
fn run(args: &Args, mut faults: Vec<(Part, Blow)>) -> (Verdict, bool) {
    let mut farm = farm(args).start();
    if !farm.stores.iter().all(|store| store.is_small) && faults.contains(&(Part::Tomcat, Blow::Fill)) {
        eprintln!("chaos: tomcat.fill is left out: a tmpfs can't be mounted (that needs root)");
        faults.retain(|kind| kind.1 != Blow::Fill);
    }
    let watched = std::iter::once(("gateway".to_owned(), farm.gateway.pid())).chain(
        (1..).zip(&mut farm.sidecars).map(|(n, sidecar)| (format!("sidecar {n}"), sidecar.process().pid())),
    );
    let memory = args.memory.as_ref().map(|_| Memory::watch(watched.collect()));
    let users = Users::start(farm.port(), args.seed, habits(args));
    let mut history = History { faults: torment(args, &mut farm, &users, &faults), ..History::default() };
    history.lasted = users.now();
    history.operations = users.finish();
    write(args, &history, &farm);
    let verdict = check(&history);
    let wanted = Wanted {
        strikes: args.strikes,
        single: args.mode == Mode::Single,
        kinds: faults.into_iter().map(name).collect(),
        serves: matches!(args.mode, Mode::Single | Mode::Calm),
    };
    let (text, mut missed) = report(&history, &verdict, &wanted);
    print!("{text}");
    if let (Some(memory), Some(path)) = (memory, &args.memory) {
        let curves = memory.finish();
        print!("{}", curves.summary());
        std::fs::write(path, curves.svg()).unwrap();
    }
    missed.extend(spoiled(args, &farm, &history, &verdict));
    show(&verdict);
    for missed in &missed {
        println!("not as wanted: {missed}");
    }
    println!("{}", verdict.summary());
    (verdict, missed.is_empty())
}

/// Strikes until the time is over.
fn torment(
    args: &Args,
    farm: &mut Farm,
    users: &Users,
    kinds: &[(Part, Blow)],
) -> Vec<satchel_tests::chaos::history::Fault> {
    let end = Instant::now() + Duration::from_secs(args.seconds);
    let at_once = if args.mode == Mode::Double { 2 } else { 1 };
    let mut schedule = Schedule::new(args.seed, kinds);
    let mut faults = Vec::new();
    while Instant::now() < end {
        let mut plans = Vec::new();
        while plans.len() < at_once {
            match schedule.next() {
                // Not the same part twice: that would be one fault.
                Some(plan)
                    if plans
                        .iter()
                        .all(|other: &satchel_tests::chaos::schedule::Plan| other.part != plan.part) =>
                {
                    plans.push(plan)
                }
                Some(_) => {}
                None => break,
            }
        }
        if plans.is_empty() {
            std::thread::sleep(Duration::from_millis(100));
            continue;
        }
        for fault in strike(farm, users, &plans) {
            eprintln!(
                "chaos: {:>6.1} s {} {} for {:.1} s, {} requests under way",
                fault.struck as f64 / 1e6,
                fault.kind,
                fault.target + 1,
                (fault.healed - fault.struck) as f64 / 1e6,
                fault.in_flight
            );
            faults.push(fault);
        }
    }
    faults
}

/// What the checker found that must not be.
fn spoiled(args: &Args, farm: &Farm, history: &History, verdict: &Verdict) -> Vec<String> {
    use satchel_tests::chaos::checker::Wrong;
    let lost = verdict.count(&[Wrong::Lost, Wrong::Twice, Wrong::Stale]);
    let mut missed = Vec::new();
    match args.mode {
        Mode::Double if lost > 0 => println!("two faults at a time: {lost} lost"),
        Mode::Evict => {
            let evictions: u64 = farm.nodes.iter().map(|node| node.stat("evictions")).sum();
            let (vanished, unknown) = (farm.metric("vanished"), farm.metric("unknown_ids"));
            let (sessions, told) = (verdict.sessions_lost(), told_of_none(history));
            println!(
                "memcached evicted {evictions} items; {sessions} sessions were lost, as {} to {} requests were told; the product counted {unknown} \
                 unknown ids and {vanished} sessions that vanished while they were used",
                told.start(),
                told.end(),
            );
            if !told.contains(&(unknown + vanished)) {
                missed.push(format!("the product counted {}", unknown + vanished));
            }
            if sessions == 0 {
                missed.push("no session was evicted: nothing was tried".into());
            }
        }
        Mode::Full => {
            let refused: u64 = farm.metric("store_failed");
            println!("{refused} stores were refused");
            if refused == 0 {
                missed.push("no store was refused: nothing was tried".into());
            }
        }
        _ => {}
    }
    let forgiven = matches!(args.mode, Mode::Double | Mode::Evict);
    if lost > 0 && !forgiven {
        missed.push(format!("{lost} lost"));
    }
    for (wrong, name) in [(Wrong::Mixed, "mixed"), (Wrong::Revived, "revived")] {
        if verdict.count(&[wrong]) > 0 {
            missed.push(format!("{} {name}", verdict.count(&[wrong])));
        }
    }
    missed
}

/// How many requests with an id found no session, as their clients know: who got no answer may have, and a logout tells nothing.
fn told_of_none(history: &History) -> RangeInclusive<u64> {
    let with_id = || history.operations.iter().filter(|operation| operation.kind != Kind::Begin);
    let told = |operation: &&Operation| {
        operation.kind != Kind::End && operation.is_acknowledged() && operation.seen == Some(Seen::Nothing)
    };
    let unknown = |operation: &&Operation| operation.kind == Kind::End || !operation.is_acknowledged();
    let told = with_id().filter(told).count() as u64;
    told..=told + with_id().filter(unknown).count() as u64
}

/// The history, and beside it what every part has logged.
fn write(args: &Args, history: &History, farm: &Farm) {
    let mode = args.mode.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let default = || {
        let name = args.broken.clone().unwrap_or(mode);
        binaries::target().parent().unwrap().join("chaos").join(format!("{name}-{}.history", args.seed))
    };
    let path = args.history.clone().unwrap_or_else(default);
    if let Some(directory) = path.parent() {
        let _ = std::fs::create_dir_all(directory);
    }
    std::fs::write(&path, history.write()).unwrap();
    let log = |name: String, text: String| std::fs::write(path.with_extension(name), text).unwrap();
    log("gateway.log".into(), farm.gateway.log());
    for (n, (sidecar, tomcat)) in (1..).zip(farm.sidecars.iter().zip(&farm.tomcats)) {
        log(format!("sidecar-{n}.log"), sidecar.log());
        log(format!("tomcat-{n}.log"), tomcat.log());
    }
    eprintln!("chaos: the history is in {}", path.display());
}

/// Every broken product has to be found out.
fn prove(args: &Args) -> ExitCode {
    let mut missed = Vec::new();
    for (broken, faults) in BROKEN {
        eprintln!("chaos: {broken}");
        let faults: Vec<String> = faults.iter().map(|fault| (*fault).to_owned()).collect();
        let mode = if faults.is_empty() { Mode::Calm } else { Mode::Single };
        let args = Args {
            seconds: FOUND_WITHIN - IN_THE_END,
            mode,
            broken: Some(broken.to_owned()),
            ..args.clone()
        };
        let faults = kinds(&faults).unwrap();
        let (verdict, _) = run(&args, faults);
        match verdict.violations.first().filter(|first| first.at <= FOUND_WITHIN * 1_000_000) {
            Some(first) => {
                println!("FOUND {broken} after {:.1} s: {:?}\n", first.at as f64 / 1e6, first.wrong)
            }
            None => missed.push(broken),
        }
    }
    if missed.is_empty() {
        println!("{} broken products, each was found out", BROKEN.len());
        return ExitCode::SUCCESS;
    }
    println!("not found out: {}", missed.join(", "));
    ExitCode::FAILURE
}
