//! Decides what false alarms cost and what prevents them (row I8): how often a live member is doubted
//! and declared dead, and how soon a dead one is, by helpers, by loss, and by which of the core's
//! protections are on.

use std::time::Duration;

use tidings_proto::base::rng::Rng;
use tidings_proto::io::{MemberChange, Status};
use tidings_proto::{Config, Time};

use super::{Bar, Row, Table};
use crate::network::Conditions;
use crate::report::chart::{Axis, Chart, Series, Style};
use crate::statistics::{deviation, mean};
use crate::work::Work;
use crate::world::{World, WorldConfig};

const NODES: usize = 50;
const HELPERS_MAX: usize = 6;
/// Pings that the core sends to a member that does not answer: at the start of the period and half
/// way, or each fifth of it where the round trip to this member has been measured.
const PINGS: (i32, i32) = (2, 5);
/// A death that nobody has found after this long is a fault of the core.
const FOUND_WITHIN: Duration = Duration::from_secs(300);

/// What is on, each with all that stand before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Step {
    /// Pings and helpers; a doubt becomes a verdict as soon as the settings allow, by one accuser.
    Helpers,
    /// Doubt waits: the pause tolerated or alpha periods per log10 n. The suspect can refute.
    Suspicion,
    /// Two accusers, found among witnesses; a doubt that is not confirmed waits longer.
    Confirmations,
    /// Missing nacks and refutations make a sick member slower (Lifeguard).
    LocalHealth,
    /// A stream asks as well. These are the defaults.
    Stream,
}

const STEPS: [Step; 5] =
    [Step::Helpers, Step::Suspicion, Step::Confirmations, Step::LocalHealth, Step::Stream];

impl Step {
    fn label(self) -> &'static str {
        match self {
            Step::Helpers => "helpers alone",
            Step::Suspicion => "+ suspicion",
            Step::Confirmations => "+ confirmations",
            Step::LocalHealth => "+ local health",
            Step::Stream => "+ stream (defaults)",
        }
    }

    fn config(self, helpers: usize) -> Config {
        let mut config = Config { indirect_probes: helpers, ..Config::lan() };
        if self < Step::Stream {
            config.stream_probe = false;
        }
        if self < Step::LocalHealth {
            config.local_health_max = 0;
        }
        if self < Step::Confirmations {
            (config.accusers_required, config.witnesses) = (1, 0);
            (config.suspicion_confirmations, config.suspicion_beta) = (0, 1.0);
        }
        if self < Step::Suspicion {
            (config.pause_tolerated, config.suspicion_alpha) = (Duration::ZERO, 0.1);
        }
        config
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Cell {
    step: Step,
    helpers: usize,
    loss: f64,
}

/// What one cluster did.
#[derive(Clone, Debug)]
struct Found {
    /// Probes of live members that failed,
    doubts: u64,
    /// and verdicts about them, each member's counted,
    deaths: u64,
    /// in so many member-periods.
    periods: f64,
    /// Seconds from a silent death to the first verdict, and until all hold it.
    first: Vec<f64>,
    all: Vec<f64>,
}

pub(super) fn run(work: &Work<'_>) -> Table {
    let mut table = Table {
        title: "False alarms and detection, by helpers, loss and protections".to_owned(),
        notes: notes(),
        ..Table::default()
    };
    rounds(work, &mut table);
    let cells = cells(work.quick);
    let found = work.map("clusters", &cells, |cell| play(cell, work.seed, work.quick));
    let found: Vec<(Cell, Found)> =
        cells.iter().copied().zip(found).filter_map(|(cell, f)| Some((cell, f?))).collect();
    if found.len() < cells.len() {
        return table; // stopped
    }
    doubt_rows(&found, &mut table);
    step_rows(&found, &mut table);
    delay_rows(&found, &mut table);
    table.charts = vec![by_helpers(&found), by_step(&found), delay_chart(&found)];
    table
}

fn notes() -> Vec<String> {
    vec![
        "Probe round: a ping and its ack, and k helpers with four messages each; it fails with \
         probability (1-q^2)(1-q^4)^k, q being the share of messages that arrive (Das et al. 2002). \
         Their PM multiplies this by e/(e-1) for the periods until a detection."
            .to_owned(),
        format!(
            "Core: {NODES} members, LAN profile, unmodified; nobody dies while false alarms are \
             counted, then members fall silent one by one. It repeats an unanswered ping: {} in a \
             period, or {} to a member whose round trip it knows: (1-q^2)^2(1-q^4)^k at most. Repeats \
             are worth more than helpers against loss; helpers find ways around a broken link, which \
             repeats do not.",
            PINGS.0, PINGS.1
        ),
        "A false death is a member that declares a live one dead: each that does so counts. \
         Protections are added one after the other; `helpers alone` still waits a sixth of a \
         period, the least that the settings allow."
            .to_owned(),
        "Streams lose nothing here: a driver's TCP repeats what is lost. With them a doubt needs a \
         member that can not be reached at all."
            .to_owned(),
    ]
}

fn losses(quick: bool) -> &'static [f64] {
    if quick { &[0.1, 0.3] } else { &[0.01, 0.1, 0.3] }
}

fn helpers(quick: bool) -> Vec<usize> {
    if quick { vec![0, 3] } else { (0..=HELPERS_MAX).collect() }
}

fn cells(quick: bool) -> Vec<Cell> {
    let mut cells = Vec::new();
    for step in STEPS {
        for &loss in losses(quick) {
            cells.extend(helpers(quick).into_iter().map(|helpers| Cell { step, helpers, loss }));
        }
    }
    cells
}

/// How often a probe round of a live member fails that sends so many pings.
fn fails(pings: i32, helpers: usize, loss: f64) -> f64 {
    let q = 1.0 - loss;
    (1.0 - q.powi(2)).powi(pings) * (1.0 - q.powi(4)).powi(helpers as i32)
}

// The bare round.

fn rounds(work: &Work<'_>, table: &mut Table) {
    let runs: u64 = if work.quick { 100_000 } else { 2_000_000 };
    let mut items = Vec::new();
    for &loss in losses(work.quick) {
        items.extend(helpers(work.quick).into_iter().map(|k| (k, loss)));
    }
    let found = work.map("probe rounds", &items, |&(k, loss)| {
        let mut rng = Rng::from_u64(work.seed ^ (k as u64) << 32 ^ (loss * 100.0) as u64);
        let failed = (0..runs).filter(|_| round_fails(k, loss, &mut rng)).count();
        failed as f64 / runs as f64
    });
    for (&(k, loss), share) in items.iter().zip(found) {
        let Some(share) = share else { continue };
        let exact = fails(1, k, loss);
        let se = (exact / runs as f64).sqrt();
        table.rows.push(Row {
            what: format!("probe round, {}, k={k}: failures per 1,000", percent(loss)),
            paper: Some(1000.0 * exact),
            ours: 1000.0 * share,
            se: 1000.0 * se,
            bar: Bar::Near { of: 1000.0 * exact, tolerance: 4000.0 * se },
        });
    }
}

fn round_fails(helpers: usize, loss: f64, rng: &mut Rng) -> bool {
    let mut arrive = |messages: usize| (0..messages).all(|_| !rng.chance(loss));
    !arrive(2) && (0..helpers).all(|_| !arrive(4))
}

fn percent(loss: f64) -> String {
    format!("{:.0} % loss", loss * 100.0)
}

// The core.

fn play(cell: &Cell, seed: u64, quick: bool) -> Found {
    let (alive_for, deaths) = if quick { (40, 1) } else { (240, 8) };
    let conditions = Conditions { loss: cell.loss, ..Conditions::lan() };
    let unwatched = WorldConfig { conditions, checks: false, ..WorldConfig::default() };
    let config = cell.step.config(cell.helpers);
    let mut world = World::converged(seed, unwatched, NODES, &config);
    // Timeouts follow measured round trips: everybody probes everybody once.
    world.run_for(config.probe_period * NODES as u32);
    let doubted =
        |world: &World| -> u64 { (0..NODES).map(|h| world.node(h).stats().probes_failed).sum() };
    let declared = |world: &World| world.seen().counts.of(MemberChange::Failed);
    let before = (doubted(&world), declared(&world));
    world.run_for(Duration::from_secs(alive_for));
    let mut found = Found {
        doubts: doubted(&world) - before.0,
        deaths: declared(&world) - before.1,
        periods: NODES as f64 * alive_for as f64,
        first: Vec::new(),
        all: Vec::new(),
    };
    let mut rng = Rng::from_u64(seed);
    for victim in NODES - deaths..NODES {
        world.run_for(Duration::from_secs(4) + Duration::from_secs(1).mul_f64(rng.unit()));
        die_silently(&mut world, victim, &mut found);
    }
    found
}

fn die_silently(world: &mut World, victim: usize, found: &mut Found) {
    let died = world.now();
    world.crash(victim);
    world.split_off([victim]);
    let since = |at: Time| at.since(died).as_secs_f64();
    let step = Duration::from_millis(20);
    world.run_while(FOUND_WITHIN, step, |w| w.up().all(|h| !holds_dead(w, h, victim)));
    found.first.push(since(world.now()));
    world.run_while(FOUND_WITHIN, step, |w| w.up().any(|h| !holds_dead(w, h, victim)));
    found.all.push(since(world.now()));
}

fn holds_dead(world: &World, host: usize, victim: usize) -> bool {
    let member = world.view(host).member_by_id(world.id(victim));
    member.is_none_or(|m| !matches!(m.status, Status::Alive | Status::Suspect))
}

// Rows.

fn of(found: &[(Cell, Found)], step: Step) -> impl Iterator<Item = &(Cell, Found)> {
    found.iter().filter(move |(cell, _)| cell.step == step)
}

/// The bare core against the formula of its fewest pings.
fn doubt_rows(found: &[(Cell, Found)], table: &mut Table) {
    for (cell, f) in of(found, Step::Helpers) {
        let most = 1000.0 * fails(PINGS.0, cell.helpers, cell.loss);
        let se = 1000.0 * (f.doubts.max(1) as f64).sqrt() / f.periods;
        table.rows.push(Row {
            what: format!(
                "core, helpers alone, {}, k={}: failed probes per 1,000",
                percent(cell.loss),
                cell.helpers
            ),
            paper: Some(1000.0 * fails(1, cell.helpers, cell.loss)),
            ours: f.doubts_per_thousand(),
            se,
            bar: Bar::AtMost(most + 4.0 * se),
        });
    }
}

/// What each protection does, at the default number of helpers.
fn step_rows(found: &[(Cell, Found)], table: &mut Table) {
    let standard = Config::lan().indirect_probes;
    for (cell, f) in found.iter().filter(|(cell, _)| cell.helpers == standard) {
        let what = |what: &str| {
            format!("core, {}, {}, k={standard}: {what}", cell.step.label(), percent(cell.loss))
        };
        let se = 1000.0 * (f.deaths as f64).sqrt() / f.periods;
        let bar = if cell.step >= Step::Confirmations { Bar::AtMost(0.0) } else { Bar::None };
        let deaths = 1000.0 * f.deaths as f64 / f.periods;
        let of_nobody = what("false deaths per 1,000 member-periods");
        table.rows.push(Row { what: of_nobody, paper: None, ours: deaths, se, bar });
        table.rows.push(delay(what("silent death to the first verdict, s"), &f.first, Bar::None));
    }
}

/// Helpers do not delay: a member that is gone answers none of them.
fn delay_rows(found: &[(Cell, Found)], table: &mut Table) {
    for (cell, f) in of(found, Step::Stream) {
        let what = |what: &str| {
            format!("core, defaults, {}, k={}: {what}", percent(cell.loss), cell.helpers)
        };
        // The law, the probe's own period, and the longest suspicion of two accusers; loss takes
        // an accusation's tick or two more.
        let config = Config::lan();
        let bound = super::swim_detection::LAW
            + 1.0
            + config.pause_tolerated.as_secs_f64() * (1.0 + 4.0 * cell.loss);
        let first = what("first verdict, s");
        table.rows.push(delay(first, &f.first, Bar::AtMost(bound)));
        let all = what("all hold it, s");
        table.rows.push(delay(all, &f.all, Bar::AtMost(bound + (NODES as f64).ln())));
        let ours = 1000.0 * f.deaths as f64 / f.periods;
        let deaths = what("false deaths per 1,000 member-periods");
        table.rows.push(Row { what: deaths, paper: None, ours, se: 0.0, bar: Bar::AtMost(0.0) });
    }
}

fn delay(what: String, seconds: &[f64], bar: Bar) -> Row {
    let se = deviation(seconds) / (seconds.len() as f64).sqrt();
    Row { what, paper: None, ours: mean(seconds), se, bar }
}

impl Found {
    fn doubts_per_thousand(&self) -> f64 {
        1000.0 * self.doubts as f64 / self.periods
    }
}

// Charts.

/// Where nothing happened, a logarithmic axis shows this instead, per thousand.
const NOTHING: f64 = 0.01;

fn by_helpers(found: &[(Cell, Found)]) -> Chart {
    let mut series = Vec::new();
    for loss in [0.1, 0.3] {
        let formula = |pings| {
            let point = |k| (k as f64, (1000.0 * fails(pings, k, loss)).max(NOTHING));
            (0..=HELPERS_MAX).map(point).collect()
        };
        let label = |what: &str| format!("{what}, {}", percent(loss));
        series.push(Series::new(label("one ping (SWIM)"), Style::Dashed, formula(1)));
        series.push(Series::new(label("two pings"), Style::Line, formula(PINGS.0)));
        series.push(Series::new(label("five pings"), Style::Line, formula(PINGS.1)));
        let cells = of(found, Step::Helpers).filter(|(cell, _)| cell.loss == loss);
        let core = cells.map(|(c, f)| (c.helpers as f64, f.doubts_per_thousand().max(NOTHING)));
        series.push(Series::new(label("core"), Style::Points, core.collect()));
    }
    Chart {
        name: "false-alarms-helpers".to_owned(),
        title: "Failed probes of a live member; none is drawn as 0.01".to_owned(),
        x: Axis::linear("helpers, k"),
        y: Axis::logarithmic("failed probes per 1,000"),
        series,
    }
}

fn by_step(found: &[(Cell, Found)]) -> Chart {
    let standard = Config::lan().indirect_probes;
    let series = [0.01, 0.1, 0.3].into_iter().map(|loss| {
        let cells = found.iter().filter(|(c, _)| c.helpers == standard && c.loss == loss);
        let points = cells.map(|(cell, f)| {
            let deaths = 1000.0 * f.deaths as f64 / f.periods;
            (cell.step as usize as f64, deaths.max(NOTHING))
        });
        Series::new(percent(loss), Style::Line, points.collect())
    });
    Chart {
        name: "false-alarms-protections".to_owned(),
        title: "False deaths, k = 3; none is drawn as 0.01".to_owned(),
        x: Axis::linear("0 helpers, 1 suspicion, 2 confirmations, 3 local health, 4 stream"),
        y: Axis::logarithmic("false deaths per 1,000 member-periods"),
        series: series.filter(|s| !s.points.is_empty()).collect(),
    }
}

fn delay_chart(found: &[(Cell, Found)]) -> Chart {
    let mut series = Vec::new();
    for step in [Step::Helpers, Step::Suspicion, Step::Stream] {
        for loss in [0.1, 0.3] {
            let cells = of(found, step).filter(|(cell, _)| cell.loss == loss);
            let points = cells.map(|(c, f)| (c.helpers as f64, mean(&f.first))).collect();
            let label = format!("{}, {}", step.label(), percent(loss));
            series.push(Series::new(label, Style::Line, points));
        }
    }
    Chart {
        name: "false-alarms-delay".to_owned(),
        title: "First verdict about a member that fell silent".to_owned(),
        x: Axis::linear("helpers, k"),
        y: Axis::linear("seconds after the death"),
        series,
    }
}
