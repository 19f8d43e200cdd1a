//! Breaks the farm, one part at a time, and mends it again.

use std::thread;
use std::time::{Duration, Instant};

use super::farm::Farm;
use super::history::Fault;
use super::schedule::{Blow, Part, Plan, name};
use super::users::Users;
use crate::process::Process;

/// Requests that have to be under way when a fault strikes.
const IN_FLIGHT: usize = 5;
/// How long a program may take to end when it is asked to.
const ENDS_WITHIN: Duration = Duration::from_secs(30);
/// How long the clients are waited for after a fault. Who has not been served by then shows in the history.
const SERVED_WITHIN: Duration = Duration::from_secs(15);

/// Strikes, waits, mends, and waits until every client has been served.
pub fn strike(farm: &mut Farm, users: &Users, plans: &[Plan]) -> Vec<Fault> {
    thread::sleep(plans.iter().map(|plan| plan.calm).max().unwrap_or_default());
    let deadline = Instant::now() + SERVED_WITHIN;
    while users.in_flight() < IN_FLIGHT && Instant::now() < deadline {
        thread::yield_now();
    }
    let in_flight = users.in_flight();
    let mut faults = Vec::new();
    for plan in plans {
        let struck = users.now();
        begin(farm, plan);
        let kind = name((plan.part, plan.blow));
        faults.push(Fault { kind, target: target(farm, plan), struck, healed: 0, in_flight });
    }
    thread::sleep(plans.iter().map(|plan| plan.lasts).max().unwrap_or_default());
    for (plan, fault) in plans.iter().zip(&mut faults) {
        end(farm, plan);
        fault.healed = users.now();
    }
    all_served(users);
    faults
}

/// Every client was served twice: its session is on two nodes again.
fn all_served(users: &Users) {
    let before = users.served();
    let deadline = Instant::now() + SERVED_WITHIN;
    while users.served().iter().zip(&before).any(|(now, before)| *now < before + 2)
        && Instant::now() < deadline
    {
        thread::sleep(Duration::from_millis(5));
    }
}

fn target(farm: &Farm, plan: &Plan) -> usize {
    let many = match plan.part {
        Part::Gateway => 1,
        Part::Sidecar | Part::Tomcat => farm.sidecars.len(),
        Part::Memcached => farm.nodes.len(),
    };
    plan.target % many
}

fn process<'a>(farm: &'a mut Farm, plan: &Plan) -> &'a mut Process {
    let target = target(farm, plan);
    match plan.part {
        Part::Gateway => farm.gateway.process(),
        Part::Sidecar => farm.sidecars[target].process(),
        Part::Tomcat => farm.tomcats[target].process(),
        Part::Memcached => farm.nodes[target].process(),
    }
}

fn begin(farm: &mut Farm, plan: &Plan) {
    let target = target(farm, plan);
    match plan.blow {
        Blow::Kill => process(farm, plan).kill9(),
        Blow::Stop => process(farm, plan).stop(),
        Blow::Restart => process(farm, plan).terminate(),
        Blow::Fill => farm.stores[target].fill(),
        Blow::Cut => way(farm, plan).cut(),
    }
}

fn end(farm: &mut Farm, plan: &Plan) {
    let target = target(farm, plan);
    match plan.blow {
        Blow::Stop => process(farm, plan).cont(),
        Blow::Fill => farm.stores[target].empty(),
        Blow::Cut => way(farm, plan).mend(),
        Blow::Kill | Blow::Restart => {
            let deadline = Instant::now() + ENDS_WITHIN;
            while process(farm, plan).is_running() {
                let part = name((plan.part, plan.blow));
                assert!(Instant::now() < deadline, "{part}: it has not ended within {ENDS_WITHIN:?}");
                thread::sleep(Duration::from_millis(5));
            }
            match plan.part {
                Part::Gateway => farm.gateway.restart(),
                Part::Sidecar => farm.sidecars[target].restart(),
                Part::Tomcat => farm.tomcats[target].restart(),
                Part::Memcached => farm.nodes[target].restart(),
            }
        }
    }
}

fn way<'a>(farm: &'a Farm, plan: &Plan) -> &'a crate::Link {
    let target = target(farm, plan);
    match plan.part {
        Part::Gateway => &farm.entrance,
        Part::Sidecar => &farm.to_sidecars[target],
        Part::Tomcat => &farm.to_tomcats[target],
        Part::Memcached => &farm.to_nodes[target],
    }
}
