//! Decides what the binary promises to scripts and clients: every test runs the real program on
//! free ports of loopback.

mod advise;
mod aggregates;
mod cli;
mod cluster;
mod coordinates;
#[cfg(target_os = "linux")]
mod disk;
mod ending;
mod flags;
mod http;
mod kill;
mod kv;
mod life;
mod misuse;
#[cfg(target_os = "linux")]
mod network;
mod overload;
mod plan;
mod receipts;
mod review;
mod sessions;
mod sim_epidemic;
mod sim_paper;
mod sim_reconcile;
mod sim_run;
mod support;
mod values;
