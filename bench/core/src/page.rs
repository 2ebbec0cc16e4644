//! Decides the results page: one table, and what the figures mean.

use std::fmt::Write as _;

use crate::measure::{Row, Sample};

const HEAD: &str = "\
# The core beside foca

Written by `make bench-core` ([how](../../bench/README.md)): foca 2.0.0 in the same process and run as
ours, on one core. Nothing here is edited by hand.

- Times are CPU time of the one thread: the median of nine runs, least and largest in brackets. This was measured
  on a machine that others share: cache and memory are theirs too, and the same row differs twofold between
  runs. foca's value in the same run says how much. Instructions do not depend on it.
- A row about updates is of whole datagrams through `Node::handle`, as its driver gives them: checksum of the
  packet, look-up of the sender, every timer and the deadline are in it, divided by the updates in it. Ours
  are records of 65 bytes with name, address, boot number and checksum, 21 a datagram; foca's are its best case:
  a copyable identity of 8 bytes, 9 on the wire, 100 a packet, no checksum.
- *Fresh*: a higher incarnation of a thousand random members, two seconds after the last ones. foca's backlog
  is empty at first, its best case.
- *One packet*: a round of gossip with one peer, from the choice of the peer to the sealed packet, of some 60
  refutations (a higher incarnation, all else as before). For foca one packet of its `gossip`.
- *Join*: virtual time, every way takes 1 ms, nothing is lost, default settings for a LAN. Bytes are those of
  datagrams and streams until all know all (foca: 60 s), in encoded records of each.
- *Heap*: what is freed with the nodes, later, divided by pairs; facts are shared by the nodes of a process.
- *Instructions*: of the whole work by valgrind, less those of a shorter run; set-up cancels out.

| | ours | foca | ratio | bar | |
|---|---:|---:|---:|---|---|
";

pub fn page(rows: &[Row]) -> String {
    let mut page = HEAD.to_owned();
    for row in rows {
        let peer = row.peer.as_ref().map_or(String::new(), |peer| shown(peer, row.unit));
        let ratio = row.ratio().map_or(String::new(), |ratio| format!("{ratio:.4}"));
        let bar = row.most.map_or(String::new(), |most| format!("≤ {}", number(most, row.unit)));
        let met = match row.passes() {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "",
        };
        let (name, ours) = (&row.name, shown(&row.ours, row.unit));
        // Writing to a string does not fail.
        let _ = writeln!(page, "| {name} | {ours} | {peer} | {ratio} | {bar} | {met} |");
    }
    page
}

fn shown(sample: &Sample, unit: &str) -> String {
    let [least, median, most] =
        [sample.least(), sample.median(), sample.most()].map(|n| number(n, unit));
    if least == most { median } else { format!("{median} ({least}–{most})") }
}

/// Three digits and a unit that fits.
fn number(n: f64, unit: &str) -> String {
    if n.is_infinite() {
        return "never".to_owned();
    }
    let steps = [(1e9, "s"), (1e6, "ms"), (1e3, "µs")];
    let step = steps.into_iter().find(|&(by, _)| unit == "ns" && n >= by);
    let (by, unit) = step.unwrap_or((1.0, unit));
    let n = n / by;
    let digits = match n {
        n if n >= 100.0 || n.fract() == 0.0 => 0,
        n if n >= 10.0 => 1,
        _ => 2,
    };
    format!("{n:.digits$} {unit}")
}
