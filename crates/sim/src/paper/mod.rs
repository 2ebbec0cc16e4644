//! Decides which published tables are reproduced, and what a row of such a table is: the paper's
//! value beside ours, with a bar that it meets or misses.

pub mod announced;
pub mod demers;
pub mod endgame;
mod false_alarms;
pub mod lifeguard;
pub mod median_counter;
pub mod phi;
pub mod rounds;
pub mod scuttlebutt;
pub mod swim_detection;
pub mod swim_figure4;
pub mod swim_load;

use crate::report::chart::Chart;
use crate::work::Work;

/// One published table or law, by the name of `tidings sim paper NAME`.
pub struct Paper {
    pub name: &'static str,
    /// What it shows, in one line.
    pub about: &'static str,
    /// Where it was published.
    pub source: &'static str,
    pub run: fn(&Work<'_>) -> Table,
}

/// All papers, in the order in which they are listed.
pub const PAPERS: &[Paper] = &[
    Paper {
        name: "demers",
        about: "residue, traffic and delay of rumours: tables 1 to 3, and the other variants",
        source: DEMERS,
        run: demers::run,
    },
    Paper {
        name: "endgame",
        about: "what anti-entropy leaves after each cycle, from 10 % missing",
        source: DEMERS,
        run: endgame::run,
    },
    Paper {
        name: "announced",
        about: "copies, residue and delay of rumours that are announced before they are sent",
        source: DEMERS,
        run: announced::run,
    },
    Paper {
        name: "rounds",
        about: "rounds until all know, by mode, fanout, loss and size",
        source: "Frieze, Grimmett 1985; Pittel 1987; exact simulations",
        run: rounds::run,
    },
    Paper {
        name: "median-counter",
        about: "messages per node of a rumour that knows when to stop",
        source: "Karp, Schindelhauer, Shenker, Vöcking 2000",
        run: median_counter::run,
    },
    Paper {
        name: "swim-load",
        about: "datagrams per member and period at rest",
        source: SWIM,
        run: swim_load::run,
    },
    Paper {
        name: "swim-detection",
        about: "periods until a dead member is noticed",
        source: SWIM,
        run: swim_detection::run,
    },
    Paper {
        name: "false-alarms",
        about: "false alarms and detection by helpers, loss and protections",
        source: SWIM,
        run: false_alarms::run,
    },
    Paper {
        name: "swim-figure4",
        about: "group size after 17 joins under 10 % loss",
        source: SWIM,
        run: swim_figure4::run,
    },
    Paper {
        name: "lifeguard",
        about: "false positives, messages and detection while members stand still",
        source: "Dadgar, Phillips, Currey 2017",
        run: lifeguard::run,
    },
    Paper {
        name: "phi",
        about: "what a threshold of phi promises, with and without loss",
        source: "Hayashibara et al. 2004; Akka; Cassandra",
        run: phi::run,
    },
    Paper {
        name: "scuttlebutt",
        about: "reconciliation under overload, and flow control",
        source: "van Renesse, Dumitriu, Gough, Thomas, LADIS 2008",
        run: scuttlebutt::run,
    },
];

const DEMERS: &str = "Demers et al. 1987, CSL-89-1";
const SWIM: &str = "Das, Gupta, Motivala 2002";

pub fn find(name: &str) -> Option<&'static Paper> {
    PAPERS.iter().find(|p| p.name == name)
}

/// What a reproduction found.
#[derive(Clone, Debug, Default)]
pub struct Table {
    pub title: String,
    /// How the rows were made and what they mean; each a sentence or two of plain text.
    pub notes: Vec<String>,
    pub rows: Vec<Row>,
    pub charts: Vec<Chart>,
}

impl Table {
    /// True if no row misses its bar.
    pub fn passed(&self) -> bool {
        self.rows.iter().all(|r| r.pass() != Some(false))
    }
}

/// One number, beside the paper's.
#[derive(Clone, Debug)]
pub struct Row {
    /// What is measured, with its parameters and its unit.
    pub what: String,
    /// As printed in the paper, where it is.
    pub paper: Option<f64>,
    pub ours: f64,
    /// Standard error of ours; 0 where it is exact.
    pub se: f64,
    pub bar: Bar,
}

/// What a row must meet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bar {
    /// Within `tolerance` of `of`, either way.
    Near {
        of: f64,
        tolerance: f64,
    },
    AtMost(f64),
    AtLeast(f64),
    /// Shown for comparison; nothing to meet.
    None,
}

impl Row {
    pub fn pass(&self) -> Option<bool> {
        match self.bar {
            Bar::Near { of, tolerance } => Some((self.ours - of).abs() <= tolerance),
            Bar::AtMost(most) => Some(self.ours <= most),
            Bar::AtLeast(least) => Some(self.ours >= least),
            Bar::None => None,
        }
    }
}
