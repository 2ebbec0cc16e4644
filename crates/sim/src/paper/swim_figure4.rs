//! Decides what suspicion is worth on a bad network (SWIM 2002, Fig 4): 17 processes join under 10 %
//! loss, and false alarms empty the group unless the accused may refute them.

use std::collections::BTreeMap;
use std::time::Duration;

use tidings_proto::Config;
use tidings_proto::base::rng::Rng;

use super::{Bar, Row, Table};
use crate::network::Conditions;
use crate::report::chart::{Axis, Chart, Series, Style};
use crate::statistics::{Summary, mean};
use crate::work::Work;
use crate::world::{World, WorldConfig};

const PROCESSES: usize = 17;
const LOSS: f64 = 0.1;
/// One process joins per period; the prototype's period was 2 s.
const PERIOD_SECONDS: f64 = 2.0;
/// Updates that one packet carries.
const PIGGYBACK: usize = 6;
/// Periods after the last join.
const AFTER: usize = 45;
/// The two versions without suspicion are compared while there still is a group.
const COMPARED: usize = 15;

/// The three versions of the protocol in the figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Failures are multicast, once, to everybody.
    Basic,
    /// Failures are piggybacked on probes.
    Infection,
    /// And a member is suspected first: it may refute.
    Suspicion,
}

pub(super) fn run(work: &Work<'_>) -> Table {
    let runs = if work.quick { 500 } else { 5000 };
    let mut table = Table {
        title: "SWIM Fig 4: group size after 17 joins under 10 % loss".to_owned(),
        notes: notes(),
        ..Table::default()
    };
    let mut series = Vec::new();
    let mut without_suspicion = Vec::new();
    for (version, paper, bar) in [
        (Version::Basic, 2.0, Bar::AtMost(4.0)),
        (Version::Infection, 4.0, Bar::AtMost(4.0)),
        (Version::Suspicion, 12.0, Bar::AtLeast(12.0)),
    ] {
        let seeds: Vec<u64> = (0..runs).map(|run| work.seed << 20 ^ run).collect();
        let curves = work.map(label(version), &seeds, |&seed| group_sizes(version, seed));
        let curves: Vec<Vec<f64>> = curves.into_iter().flatten().collect();
        if curves.is_empty() {
            continue;
        }
        let mut last: Vec<f64> = curves.iter().map(|c| c[PROCESSES + AFTER]).collect();
        let size = Summary::of(&mut last);
        let what = format!("{}: members in the lists", label(version));
        table.rows.push(Row { what, paper: Some(paper), ours: size.mean, se: size.se, bar });
        let meanwhile = |c: &Vec<f64>| mean(&c[PROCESSES..PROCESSES + COMPARED]);
        without_suspicion.push(Summary::of(&mut curves.iter().map(meanwhile).collect::<Vec<_>>()));
        series.push(Series::new(label(version), Style::Line, mean_curve(&curves)));
    }
    if let [basic, infection, ..] = without_suspicion[..] {
        let se = basic.se.hypot(infection.se);
        table.rows.push(Row {
            what: format!("Infection less Basic, mean of {COMPARED} periods after the last join"),
            paper: None,
            ours: infection.mean - basic.mean,
            se,
            bar: Bar::AtLeast(0.0),
        });
    }
    ours(work, &mut table, &mut series);
    table.charts.push(Chart {
        name: "swim-figure4".to_owned(),
        title: "17 processes join under 10 % loss (SWIM Fig 4)".to_owned(),
        x: Axis::linear("seconds since the first join"),
        y: Axis::linear("members in the lists, mean"),
        series,
    });
    table
}

fn notes() -> Vec<String> {
    vec![
        format!(
            "A model of the 2002 prototype in periods of {PERIOD_SECONDS} s: one helper, lambda = \
             3, six updates a packet, a failed process that hears of it leaves. Shown is the mean \
             list of the processes that still run, {AFTER} periods after the last join."
        ),
        "The paper's sizes are of one run each, of a prototype whose joins and end are not \
         described: their order is the claim. Without refutation no size above one is stable: each \
         probe condemns its target with probability 0.065, and the group goes."
            .to_owned(),
        "Ours: the unmodified core, 17 nodes that join one after the other at 10 % loss, LAN \
         profile, for ten minutes."
            .to_owned(),
    ]
}

fn label(version: Version) -> &'static str {
    match version {
        Version::Basic => "Basic",
        Version::Infection => "Infection",
        Version::Suspicion => "Infection + suspicion",
    }
}

fn mean_curve(curves: &[Vec<f64>]) -> Vec<(f64, f64)> {
    let mean = |period: usize| curves.iter().map(|c| c[period]).sum::<f64>() / curves.len() as f64;
    (0..curves[0].len()).map(|p| (p as f64 * PERIOD_SECONDS, mean(p))).collect()
}

// The prototype.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Alive,
    Suspect { until: usize },
    Failed,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    status: Status,
    incarnation: u32,
}

/// An update and how often it was sent.
type Updates = BTreeMap<usize, u32>;

#[derive(Clone, Debug, Default)]
struct Process {
    runs: bool,
    held: BTreeMap<usize, Held>,
    order: Vec<usize>,
    updates: Updates,
}

struct Group {
    version: Version,
    processes: Vec<Process>,
    period: usize,
    rng: Rng,
}

/// The mean list of the processes that run, period by period.
pub fn group_sizes(version: Version, seed: u64) -> Vec<f64> {
    let processes = vec![Process::default(); PROCESSES];
    let mut group = Group { version, processes, period: 0, rng: Rng::from_u64(seed) };
    let mut sizes = Vec::new();
    for period in 0..=PROCESSES + AFTER {
        group.period = period;
        if period < PROCESSES {
            group.join(period);
        }
        let mut order: Vec<usize> = (0..PROCESSES).collect();
        group.rng.shuffle(&mut order);
        for process in order {
            group.take_turn(process);
        }
        sizes.push(group.mean_size());
    }
    sizes
}

impl Group {
    fn mean_size(&self) -> f64 {
        let running: Vec<_> = self.processes.iter().filter(|p| p.runs).collect();
        let listed = running.iter().map(|p| p.live().count()).sum::<usize>();
        listed as f64 / running.len().max(1) as f64
    }

    /// Through any process that runs, which hands over its list; retried until it gets through.
    fn join(&mut self, newcomer: usize) {
        let alive = Held { status: Status::Alive, incarnation: 1 };
        let running: Vec<usize> = (0..newcomer).filter(|&p| self.processes[p].runs).collect();
        let me = &mut self.processes[newcomer];
        me.runs = true;
        me.held.insert(newcomer, alive);
        let Some(&sponsor) = running.first() else { return };
        let list = self.processes[sponsor].held.clone();
        self.processes[newcomer].held.extend(list);
        self.learn(sponsor, newcomer, alive);
        if self.version == Version::Basic {
            self.multicast(sponsor, newcomer, alive);
        }
    }

    fn take_turn(&mut self, me: usize) {
        if !self.processes[me].runs {
            return;
        }
        self.convict_suspects(me);
        let Some(target) = self.processes[me].next_target(me, &mut self.rng) else { return };
        let direct = self.exchange(me, target);
        if direct || self.ask_helper(me, target) {
            return;
        }
        let incarnation = self.processes[me].held[&target].incarnation;
        if self.version == Version::Suspicion {
            let until = self.period + self.processes[me].spread_periods();
            self.learn(me, target, Held { status: Status::Suspect { until }, incarnation });
        } else {
            self.convict(me, target);
        }
    }

    fn convict_suspects(&mut self, me: usize) {
        let due = |(id, held): (&usize, &Held)| match held.status {
            Status::Suspect { until } if until <= self.period => Some(*id),
            _ => None,
        };
        let over: Vec<usize> = self.processes[me].held.iter().filter_map(due).collect();
        for target in over {
            self.convict(me, target);
        }
    }

    fn convict(&mut self, me: usize, target: usize) {
        let incarnation = self.processes[me].held[&target].incarnation;
        let failed = Held { status: Status::Failed, incarnation };
        self.learn(me, target, failed);
        if self.version == Version::Basic {
            self.multicast(me, target, failed);
        }
    }

    fn multicast(&mut self, from: usize, about: usize, held: Held) {
        for to in (0..PROCESSES).filter(|&to| to != from) {
            if self.passes() && self.processes[to].runs {
                self.learn(to, about, held);
            }
        }
    }

    fn passes(&mut self) -> bool {
        !self.rng.chance(LOSS)
    }

    /// A ping and its ack, with what is piggybacked on both.
    fn exchange(&mut self, me: usize, target: usize) -> bool {
        self.message(me, target) && self.processes[target].runs && self.message(target, me)
    }

    fn ask_helper(&mut self, me: usize, target: usize) -> bool {
        let others: Vec<usize> =
            self.processes[me].live().filter(|&p| p != me && p != target).collect();
        if others.is_empty() {
            return false;
        }
        let helper = others[self.rng.index(others.len())];
        self.message(me, helper)
            && self.processes[helper].runs
            && self.exchange(helper, target)
            && self.message(helper, me)
    }

    fn message(&mut self, from: usize, to: usize) -> bool {
        let news = self.processes[from].piggyback();
        let passes = self.passes();
        if passes && self.processes[to].runs && self.version != Version::Basic {
            for (about, held) in news {
                self.learn(to, about, held);
            }
        }
        passes
    }

    /// SWIM 4.2: what overrides what; a suspected process refutes, a failed one leaves.
    fn learn(&mut self, me: usize, about: usize, said: Held) {
        let process = &mut self.processes[me];
        let known = process.held.get(&about).copied();
        if !known.is_none_or(|known| overrides(said, known)) {
            return;
        }
        let mut held = said;
        if me == about {
            match said.status {
                Status::Alive => return,
                Status::Failed => {
                    process.runs = false;
                    return;
                }
                Status::Suspect { .. } => {
                    held = Held { status: Status::Alive, incarnation: said.incarnation + 1 };
                }
            }
        } else if matches!(said.status, Status::Suspect { .. }) {
            held.status = Status::Suspect { until: self.period + process.spread_periods() };
        }
        process.held.insert(about, held);
        process.updates.insert(about, 0);
    }
}

fn overrides(said: Held, known: Held) -> bool {
    match (said.status, known.status) {
        (_, Status::Failed) => false,
        (Status::Failed, _) => true,
        (Status::Suspect { .. }, Status::Alive) => said.incarnation >= known.incarnation,
        _ => said.incarnation > known.incarnation,
    }
}

impl Process {
    fn live(&self) -> impl Iterator<Item = usize> + '_ {
        self.held.iter().filter(|(_, h)| h.status != Status::Failed).map(|(&id, _)| id)
    }

    /// `3 * ceil(ln(N + 1))`: how often an update is sent, and how many periods a suspicion lasts.
    fn spread_periods(&self) -> usize {
        3 * ((self.live().count() + 1) as f64).ln().ceil() as usize
    }

    /// The updates sent least often, each counted as sent once more.
    fn piggyback(&mut self) -> Vec<(usize, Held)> {
        let limit = self.spread_periods() as u32;
        let mut queued: Vec<(u32, usize)> = self.updates.iter().map(|(&id, &n)| (n, id)).collect();
        queued.sort_unstable();
        queued.truncate(PIGGYBACK);
        for &(sends, id) in &queued {
            if sends + 1 >= limit {
                self.updates.remove(&id);
            } else {
                self.updates.insert(id, sends + 1);
            }
        }
        queued.into_iter().map(|(_, id)| (id, self.held[&id])).collect()
    }

    fn next_target(&mut self, me: usize, rng: &mut Rng) -> Option<usize> {
        for _ in 0..2 {
            while let Some(target) = self.order.pop() {
                if self.held[&target].status != Status::Failed {
                    return Some(target);
                }
            }
            let mut order: Vec<usize> = self.live().filter(|&p| p != me).collect();
            rng.shuffle(&mut order);
            self.order = order;
        }
        None
    }
}

// Ours.

fn ours(work: &Work<'_>, table: &mut Table, series: &mut Vec<Series>) {
    let seeds: Vec<u64> = (0..if work.quick { 2 } else { 20 }).map(|i| work.seed + i).collect();
    let found = work.map("the core", &seeds, |&seed| core_sizes(seed));
    let curves: Vec<Vec<(f64, f64)>> = found.into_iter().flatten().collect();
    let Some(first) = curves.first() else { return };
    let last = |c: &Vec<(f64, f64)>| c.last().map_or(0.0, |p| p.1);
    let smallest = curves.iter().map(last).fold(f64::INFINITY, f64::min);
    table.rows.push(Row {
        what: format!("the core: smallest list in {} runs", curves.len()),
        paper: Some(12.0),
        ours: smallest,
        se: 0.0,
        bar: Bar::AtLeast(PROCESSES as f64),
    });
    let shown = (PROCESSES + AFTER) as f64 * PERIOD_SECONDS;
    let points = first.iter().copied().filter(|p| p.0 <= shown).collect();
    series.push(Series::new("the core of Tidings", Style::Line, points));
}

/// (seconds, smallest list of any node); a node joins every two seconds.
fn core_sizes(seed: u64) -> Vec<(f64, f64)> {
    let conditions = Conditions { loss: LOSS, ..Conditions::lan() };
    let mut world = World::new(seed, WorldConfig { conditions, ..WorldConfig::default() });
    let period = Duration::from_secs_f64(PERIOD_SECONDS);
    let mut sizes = Vec::new();
    for step in 0..300 {
        if step < PROCESSES {
            let host = world.add_node(&format!("n{step}"), Config::lan());
            if host > 0 {
                world.join(host, &[0]);
            }
        }
        world.run_for(period);
        let smallest = world.up().map(|h| world.view(h).counts().0).min().unwrap_or(0);
        sizes.push((world.now().as_secs_f64(), smallest as f64));
    }
    sizes
}
