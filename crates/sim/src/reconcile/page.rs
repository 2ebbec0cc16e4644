//! Decides the page that shows what reconciliation costs: each method by how much differs, with the
//! bars of PAPERS 8, and what each mechanism is for beside what it was measured to cost.

use std::fmt::Write as _;
use std::time::Duration;

use tidings_proto::config::Reconciliation;

use super::{Cost, Difference, Lacks, Replicas};

/// Differences, who lacks them, and the metadata bytes that PAPERS 8 and issue 4 allow.
const ROWS: [(usize, Lacks, Option<u64>); 8] = [
    (0, Lacks::Both, Some(64)),
    (1, Lacks::First, Some(100)),
    (1, Lacks::Second, Some(100)),
    (10, Lacks::Both, None),
    (100, Lacks::Both, Some(2_500)),
    (1_000, Lacks::Both, Some(24_000)),
    (10_000, Lacks::Both, Some(240_000)),
    (100_000, Lacks::Both, Some(2_500_000)),
];

const METHODS: [(&str, Reconciliation); 4] = [
    ("auto", Reconciliation::Auto),
    ("sketch", Reconciliation::Sketch),
    ("merkle", Reconciliation::Merkle),
    ("digest", Reconciliation::Digest),
];

/// One run.
#[derive(Clone, Debug)]
pub struct Measured {
    pub asked_for: &'static str,
    pub differing: usize,
    pub most: Option<u64>,
    pub cost: Cost,
    /// CPU time of both sides.
    pub cpu: Duration,
}

/// Runs all rows that this many keys allow, one at a time. `cpu` tells the CPU time so far; `told`
/// hears each run when it is done.
pub fn measure(
    keys: usize,
    seed: u64,
    cpu: impl Fn() -> Duration,
    mut told: impl FnMut(&Measured),
) -> Result<Vec<Measured>, String> {
    let mut all = Vec::new();
    for (differing, lacks, most) in ROWS.into_iter().filter(|row| row.0 <= keys / 10) {
        for (asked_for, method) in METHODS {
            let writers = Difference::writers_for(keys);
            let difference = Difference { keys, differing, lacks, writers, method, seed };
            difference.check()?;
            let mut replicas = Replicas::new(&difference);
            let before = cpu();
            let cost = replicas.reconcile()?;
            let cpu = cpu().saturating_sub(before);
            let most = most.filter(|_| asked_for == "sketch" || asked_for == "auto");
            all.push(Measured { asked_for, differing, most, cost, cpu });
            told(all.last().expect("just pushed"));
        }
    }
    Ok(all)
}

impl Measured {
    /// Whether it kept within its bar; `None`: it has none.
    pub fn pass(&self) -> Option<bool> {
        self.most.map(|most| self.cost.metadata_bytes <= most)
    }

    fn row(&self) -> String {
        let Measured { asked_for, differing, cost, cpu, .. } = self;
        let bar = self.most.map_or(String::new(), |most| format!("≤ {most}"));
        let verdict = match self.pass() {
            Some(true) => "PASS",
            Some(false) => "FAIL",
            None => "",
        };
        let Cost { asker_lacked, metadata_bytes, bytes, round_trips, symbols, method, .. } = cost;
        let cpu = cpu.as_secs_f64() * 1e3;
        format!(
            "| {differing} | {asker_lacked} | {asked_for} | {method} | {metadata_bytes} | {bar} | {verdict} \
             | {bytes} | {round_trips} | {symbols} | {cpu:.1} |"
        )
    }
}

/// What each mechanism is for, and the runs that show what it costs (row M9).
struct Mechanism {
    name: &'static str,
    trigger: &'static str,
    best_for: &'static str,
    /// `Cost::method` and the differences it was measured at.
    shown_by: (&'static str, &'static [usize]),
}

const MECHANISMS: [Mechanism; 5] = [
    Mechanism {
        name: "sum",
        trigger: "every ping and ack",
        best_for: "nothing differs",
        shown_by: ("sum", &[0]),
    },
    Mechanism {
        name: "single",
        trigger: "the difference of the sums is the print of one entry, here or there",
        best_for: "one missed entry",
        shown_by: ("single", &[1]),
    },
    Mechanism {
        name: "sketch",
        trigger: "the sketch on the ack, or sketches of samples, tell how many differ",
        best_for: "anything up to half of all",
        shown_by: ("sketch", &[10, 100, 1_000, 10_000, 100_000]),
    },
    Mechanism {
        name: "merkle",
        trigger: "symbols that do not add up; `reconciliation = merkle`",
        best_for: "a peer whose symbols lie; ranges; proofs",
        shown_by: ("merkle", &[1, 10, 1_000]),
    },
    Mechanism {
        name: "digest",
        trigger: "most differs; few writers and no holes; sessions that were in vain",
        best_for: "a joiner, a node that was away",
        shown_by: ("digest", &[1, 100_000]),
    },
];

impl Mechanism {
    fn row(&self, all: &[Measured]) -> String {
        let Mechanism { name, trigger, best_for, shown_by: (method, differences) } = *self;
        let figure = |&d: &usize| {
            let run = all.iter().find(|m| m.differing == d && m.cost.method == method)?;
            let Cost { metadata_bytes, round_trips, .. } = run.cost;
            Some(format!("d = {d}: {metadata_bytes} B, {round_trips} trips"))
        };
        let measured: Vec<String> = differences.iter().filter_map(figure).collect();
        format!("| {name} | {trigger} | {best_for} | {} |", measured.join("; "))
    }
}

/// The page; `command` wrote it.
pub fn markdown(keys: usize, all: &[Measured], command: &str) -> String {
    let mut out = format!(
        "# What it costs two replicas to become equal\n\n\
         Written by `{command}`: two whole cores with {keys} keys together, one for each hundred keys a writer, \
         until stores and vectors are equal. *Metadata* is all bytes of the session, both ways, packet headers \
         and what goes with the ack included, without the entries that one side lacked. A round trip is a request \
         and its answer. CPU is that of both sides and of the simulated network; bytes follow from the seed, CPU \
         does not. Bars: PAPERS 8 and issue 4.\n\n\
         | differ | the asker lacks | asked for | found by | metadata, B | bar | | all bytes | round trips | symbols | CPU, ms |\n\
         |--:|--:|---|---|--:|--:|---|--:|--:|--:|--:|\n"
    );
    all.iter().for_each(|measured| writeln!(out, "{}", measured.row()).expect("text"));
    out.push_str(
        "\n## Which mechanism when\n\n\
         | mechanism | trigger | best for | measured above |\n|---|---|---|---|\n",
    );
    MECHANISMS.iter().for_each(|m| writeln!(out, "{}", m.row(all)).expect("text"));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_each_run_and_whether_it_kept_its_bar() {
        let mut heard = 0;
        let all = measure(500, 1, || Duration::ZERO, |_| heard += 1).expect("they become equal");
        assert_eq!((all.len(), heard), (4 * 4, 4 * 4));
        let page = markdown(500, &all, "a command");
        assert!(page.contains("| 1 | 1 | auto | single |"), "{page}");
        assert!(page.contains("| 1 | 0 | auto | single |"), "{page}");
        assert!(page.contains("d = 1: "), "{page}");
        let failed = all.iter().filter(|m| m.pass() == Some(false)).count();
        assert_eq!((failed, page.matches("FAIL").count()), (0, 0), "{page}");
    }
}
