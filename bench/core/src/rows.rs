//! Decides the rows: what is compared with what, at which size, under which bar.

use std::process::Command;

use crate::measure::{Row, Sample, What, time};
use crate::ours::Ours;
use crate::{heap, ours, peer};

pub struct Scale {
    repeats: usize,
    members: &'static [usize],
    joining: usize,
}

pub const FULL: Scale = Scale { repeats: 9, members: &[100, 1000, 10_000], joining: 1000 };
/// Shows that everything runs; its figures mean little.
pub const QUICK: Scale = Scale { repeats: 3, members: &[100], joining: 50 };

/// Parts that can be measured alone.
pub const PARTS: [&str; 6] = ["known", "fresh", "fill", "ping", "join", "instructions"];

pub fn measure(part: &str, scale: &Scale, give: &mut dyn FnMut(Row)) {
    if part == "join" {
        return join(scale.joining, give);
    }
    if part == "instructions" {
        // Fresh updates are prepared anew for each run, which would be counted too.
        let counted = [What::Known, What::Fill, What::Ping];
        return counted.into_iter().filter_map(instructions).for_each(give);
    }
    let what = What::ALL.into_iter().find(|what| what.name() == part);
    let what = what.unwrap_or_else(|| unreachable!("{part:?} is no part"));
    scale.members.iter().for_each(|&n| give(compared(what, n, scale.repeats)));
}

fn compared(what: What, n: usize, repeats: usize) -> Row {
    let ours = time(repeats, &mut ours::Work::new(what, n));
    let peer = time(repeats, &mut peer::Work::new(what, n));
    let most = match what {
        What::Known => at_most(n, 20.0),
        What::Fresh => at_most(n, 60.0),
        What::Fill => Some(700.0),
        What::Ping => Some(150.0),
    };
    let name = format!("{}, {n} members", what.about());
    Row { name, unit: "ns", ours, peer: Some(peer), most }
}

/// Bars that are set for ten thousand members.
fn at_most(n: usize, most: f64) -> Option<f64> {
    (n == 10_000).then_some(most)
}

/// All join one seed at the same instant.
fn join(n: usize, give: &mut dyn FnMut(Row)) {
    let record = Ours::knowing(1).record_bytes() as f64;
    let ours = crate::join::ours(n, heap::live);
    let peer = crate::join::peers(n, heap::live);
    let pairs = (n * (n - 1)) as f64;
    let never = f64::INFINITY;
    let mut row = |what: &str, unit, ours: f64, peer: f64, most| {
        let name = format!("{n} join one seed at once: {what}");
        let (ours, peer) = (Sample::count(ours), Some(Sample::count(peer)));
        give(Row { name, unit, ours, peer, most });
    };
    let complete = |joined: &crate::join::Joined| joined.complete.unwrap_or(never);
    row("virtual time until all know all", "s", complete(&ours), complete(&peer), Some(3.0));
    row("pairs unknown after 3 s", "pairs", ours.holes as f64, peer.holes as f64, Some(0.0));
    let sent = |joined: &crate::join::Joined, record: f64| joined.bytes as f64 / pairs / record;
    row(
        "encoded records on the wire for each pair",
        "records",
        sent(&ours, record),
        sent(&peer, 9.0),
        Some(3.0),
    );
    row("bytes on the wire for each pair", "B", sent(&ours, 1.0), sent(&peer, 1.0), None);
    row("CPU for each pair", "ns", ours.cpu as f64 / pairs, peer.cpu as f64 / pairs, None);
    row(
        "heap for each pair, afterwards",
        "B",
        ours.heap as f64 / pairs,
        peer.heap as f64 / pairs,
        Some(64.0),
    );
}

/// Nothing but ours, so that an instrument that counts instructions has nothing else to count:
/// `runs` of it.
pub fn spin(what: What, members: usize, runs: usize) -> usize {
    let mut work = ours::Work::new(what, members);
    // A backlog lasts for several runs.
    let once = |run: usize| {
        if run == 0 || what != What::Fill {
            crate::measure::Measured::prepare(&mut work);
        }
        crate::measure::Measured::run(&mut work)
    };
    (0..runs).map(once).sum()
}

/// Instructions of one unit among ten thousand members, where valgrind is there to count them.
fn instructions(what: What) -> Option<Row> {
    const MEMBERS: usize = 10_000;
    let runs = |runs: usize| -> Option<(f64, f64)> {
        let me = std::env::current_exe().ok()?;
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(me);
        let counts = ["--spin", what.name(), &MEMBERS.to_string(), &runs.to_string()];
        let done = valgrind.args(counts).output().ok()?;
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        let counted = told.lines().find_map(|line| line.split_once("Collected : "))?.1;
        let units = String::from_utf8_lossy(&done.stdout).trim().parse().ok()?;
        Some((counted.parse().ok()?, units))
    };
    let Some(((few, few_units), (many, many_units))) = runs(1).zip(runs(2)) else {
        eprintln!("{}: no instructions counted: valgrind is not here", what.name());
        return None;
    };
    let each = (many - few) / (many_units - few_units);
    let name = format!("{}: instructions, {MEMBERS} members", what.about());
    Some(Row { name, unit: "", ours: Sample::count(each), peer: None, most: None })
}
