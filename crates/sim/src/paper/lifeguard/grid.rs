//! Decides the grid of anomalies (Lifeguard, section V): how many members stand still, how long,
//! how long they are free in between, and what is counted while they do.

use tidings_proto::base::rng::Rng;

use super::rules::{MEMBERS, MILLISECOND, SECOND};

/// One run lasts this long; half way through a member that was never anomalous crashes.
pub(super) const LASTS: u64 = 120 * SECOND;
pub(super) const CRASH_AT: u64 = LASTS / 2;

/// One experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Members that are anomalous together.
    pub anomalous: usize,
    /// Microseconds blocked, and free in between.
    pub blocked: u64,
    pub free: u64,
    pub seed: u64,
}

pub(super) const ANOMALOUS: [usize; 6] = [1, 4, 8, 16, 24, 32];
const BLOCKED: [u64; 6] =
    [SECOND / 2, 2 * SECOND, 4 * SECOND, 8 * SECOND, 16 * SECOND, 33 * SECOND];
const FREE: [u64; 7] = [
    4 * MILLISECOND,
    16 * MILLISECOND,
    64 * MILLISECOND,
    256 * MILLISECOND,
    SECOND,
    4 * SECOND,
    16 * SECOND,
];

/// The whole grid, or nine cells of it: each C and D and nearly each I occurs.
pub fn cells(quick: bool, seed: u64) -> Vec<Cell> {
    let mut cells = Vec::new();
    for anomalous in ANOMALOUS {
        for blocked in BLOCKED {
            for free in FREE {
                let seed = Rng::from_u64(seed ^ (cells.len() as u64) << 32).u64();
                cells.push(Cell { anomalous, blocked, free, seed });
            }
        }
    }
    if quick {
        // The last two are where plain SWIM is worst.
        let kept: Vec<usize> = (3..230).step_by(37).chain([238, 245]).collect();
        cells = kept.into_iter().map(|at| cells[at]).collect();
    }
    cells
}

impl Cell {
    /// Who is anomalous, and who crashes: members are numbered, all alike.
    pub(super) fn is_anomalous(&self, member: usize) -> bool {
        member < self.anomalous
    }

    pub(super) fn victim(&self) -> usize {
        MEMBERS - 1
    }
}

/// What was counted in one run or several.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Members that were never anomalous and alive, declared dead: at any member,
    pub false_dead: u64,
    /// and at a member that was never anomalous either.
    pub false_dead_healthy: u64,
    pub messages: u64,
    pub bytes: u64,
    /// Seconds from the crash to the first verdict by a member that was never anomalous.
    pub detections: Vec<f64>,
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        self.false_dead += other.false_dead;
        self.false_dead_healthy += other.false_dead_healthy;
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.detections.extend(&other.detections);
    }
}
