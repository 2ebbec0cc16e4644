//! Decides what is asked of the operating system beyond what std and tokio offer.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

/// Has the kernel kill this process when its parent ends. False: the parent is gone already.
pub(crate) fn die_with_parent(parent: u32) -> bool {
    let asked = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    asked.is_ok() && std::os::unix::process::parent_id() == parent
}

/// The name of this host, if it has one.
pub(crate) fn host_name() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// The address that this host uses towards others: of IPv4, or of IPv6 where that is spoken and
/// the host has no other; loopback where it has no route.
pub(crate) fn outward_address(ipv6: bool) -> IpAddr {
    let probe = |from: IpAddr, to: IpAddr| {
        let socket = UdpSocket::bind((from, 0)).ok()?;
        socket.connect((to, 9)).ok()?; // asks for a route, sends nothing
        Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified())
    };
    let v4 = || probe(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into());
    let elsewhere = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    let v6 = || probe(Ipv6Addr::UNSPECIFIED.into(), elsewhere.into()).filter(|_| ipv6);
    v4().or_else(v6).unwrap_or(Ipv4Addr::LOCALHOST.into())
}

/// Lifts the soft limit of open files to the hard one: each connection is one. Returns the limit.
pub(crate) fn lift_file_limit() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let lifted = Rlimit { current: limit.maximum, ..limit };
        if setrlimit(Resource::Nofile, lifted).is_ok() {
            limit = lifted;
        }
    }
    limit.current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}

pub(crate) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// What this process uses.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    pub(crate) resident_bytes: u64,
    pub(crate) cpu: Duration,
    pub(crate) open_files: usize,
    pub(crate) threads: u64,
}

/// CPU time of this process so far.
pub(crate) fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Reads `/proc`; what cannot be read is zero.
pub(crate) fn usage() -> Usage {
    let mut usage = Usage::default();
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        let field = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        usage.resident_bytes = field("VmRSS:") * 1024;
        usage.threads = field("Threads:");
    }
    if let Ok(stat) = fs::read_to_string("/proc/self/stat") {
        // utime and stime are the 12th and 13th fields after the name, in ticks of 10 ms.
        let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let ticks: u64 =
            after_name.split(' ').skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
        usage.cpu = Duration::from_millis(ticks * 10);
    }
    usage.open_files = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    usage
}
