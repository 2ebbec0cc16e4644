//! Decides what the binary promises to scripts and clients: every test runs the real program on
//! free ports of loopback.

mod cli;
mod cluster;
mod http;
mod kv;
mod life;
mod misuse;
mod support;
