//! Decides the results page: one table, and what the figures mean.

use std::fmt::Write as _;

use crate::measure::{Row, Sample};

const HEAD: &str = "\
# Replicated state beside chitchat and merkle-search-tree

Written by `make bench-state` ([how](../../bench/README.md)): chitchat 0.13.0 and merkle-search-tree
0.8.0 in the same process and run as ours. Nothing here is edited by hand.

- Times are CPU time of one thread. The least of the repeats is compared, the largest is in brackets:
  other work on a machine only adds.
- *Idle exchange*: two nodes that know the same cluster, with 10 keys of 100 bytes by each member. Theirs is
  SYN, SYN-ACK, ACK, each serialised and read again. Ours is a ping and its ack, both with nothing else in
  them, between two whole cores; its CPU is everything that either core does for it, timers included, and our
  delivery of it.
- *Taking in*: a new node gets all keys of one that has them; CPU of both, and all bytes between them.
- *Differences*: half of them on each side. Metadata only, without the entries themselves. The trees and
  sketches of both sides are kept up to date, so their building is a row of its own. For merkle-search-tree one
  side sends its page ranges and the other calls `diff`, as its documentation says; the ranges that it then
  asks for hold most keys.

| | ours | peer | ratio | bar | |
|---|---:|---:|---:|---|---|
";

pub fn page(rows: &[Row]) -> String {
    let mut page = HEAD.to_owned();
    for row in rows {
        let peer = row.peer.as_ref().map_or(String::new(), |peer| shown(peer, row.unit));
        let ratio = row.ratio().map_or(String::new(), |ratio| format!("{ratio:.4}"));
        let met = match row.passes() {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "",
        };
        let (name, ours) = (&row.name, shown(&row.ours, row.unit));
        // Writing to a string does not fail.
        let _ = writeln!(page, "| {name} | {ours} | {peer} | {ratio} | {} | {met} |", bar(row));
    }
    page
}

fn bar(row: &Row) -> String {
    match row.bar {
        crate::measure::Bar::Ratio(most) => format!("≤ {most}"),
        crate::measure::Bar::Limit(most) => format!("≤ {}", number(most, row.unit)),
        crate::measure::Bar::Shown => String::new(),
    }
}

fn shown(sample: &Sample, unit: &str) -> String {
    let (least, most) = (number(sample.least(), unit), number(sample.most(), unit));
    if least == most { least } else { format!("{least} ({most})") }
}

/// Three digits and a unit that fits.
fn number(n: f64, unit: &str) -> String {
    if unit != "ns" {
        return format!("{n:.0} {unit}").trim_end().to_owned();
    }
    let steps = [(1e9, "s"), (1e6, "ms"), (1e3, "µs")];
    let (by, unit) = steps.into_iter().find(|&(by, _)| n >= by).unwrap_or((1.0, "ns"));
    let n = n / by;
    let digits = if n >= 100.0 {
        0
    } else if n >= 10.0 {
        1
    } else {
        2
    };
    format!("{n:.digits$} {unit}")
}
