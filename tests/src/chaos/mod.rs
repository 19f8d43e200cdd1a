//! `cargo chaos`: a real farm, clients that note what they are told, a nemesis that breaks the farm's parts, and a checker that decides
//! from the clients' notes alone whether a session was lost, mixed up or revived.

pub mod checker;
pub mod farm;
pub mod history;
pub mod memory;
pub mod nemesis;
pub mod report;
pub mod schedule;
pub mod users;
