//! Decides how long a dead member stays unnoticed (SWIM 2002, section 3): the law e/(e-1) of whole
//! periods, what it means for members whose periods do not start together, and what the core does.

use std::time::Duration;

use tidings_proto::base::rng::Rng;
use tidings_proto::{Config, NodeId, Time};

use super::{Bar, Row, Table};
use crate::report::chart::{Axis, Chart, Series, Style};
use crate::statistics::Summary;
use crate::work::Work;
use crate::world::{World, WorldConfig};

/// e/(e-1): whole periods until the first detection in a large group.
pub(super) const LAW: f64 = 1.581_976_706_869_326_5;

/// How a member chooses whom it probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Anybody, every period.
    Uniform,
    /// Everybody in turn, the order drawn anew after each pass (SWIM 4.3).
    RoundRobin,
}

pub(super) fn run(work: &Work<'_>) -> Table {
    let mut table = Table {
        title: "SWIM: time until a dead member is noticed, in probe periods".to_owned(),
        notes: vec![
            "The law e/(e-1) counts whole periods of members that probe in step. Periods of real \
             members do not start together: the first probe of the dead one then starts after 1.0 \
             periods on average (0.94 among 16, where each of the few has its turn soon). The verdict needs that probe to run out, one period more."
                .to_owned(),
            "Core: the unmodified core, LAN profile (period 1 s), in the packet simulator. Kill: \
             the port refuses. Silence: nothing is heard, which takes the tolerated pause of 5 s \
             or 2 log10 n periods. Seconds equal periods."
                .to_owned(),
        ],
        ..Table::default()
    };
    synchronous(work, &mut table);
    unsynchronised(work, &mut table);
    core(work, &mut table);
    table
}

// The law.

fn synchronous(work: &Work<'_>, table: &mut Table) {
    let runs = if work.quick { 20_000 } else { 200_000 };
    let sizes = [8, 32, 128, 1024];
    let found = work.map("synchronous periods", &sizes, |&n| {
        let mut rng = Rng::from_u64(work.seed ^ n as u64);
        let mut periods: Vec<f64> =
            (0..runs).map(|_| periods_until_probed(n, &mut rng) as f64).collect();
        Summary::of(&mut periods)
    });
    for (n, summary) in sizes.into_iter().zip(found) {
        let Some(s) = summary else { continue };
        let law = law(n);
        table.rows.push(Row {
            what: format!("in step, n={n}: mean whole periods until detection"),
            paper: Some(law),
            ours: s.mean,
            se: s.se,
            bar: Bar::Near { of: law, tolerance: 3.0 * s.se },
        });
    }
}

/// Expected whole periods until one of the `n - 1` others picks the dead member:
/// `1 / (1 - (1 - 1/(n-1))^(n-1))`, SWIM 3.1 with one failure.
pub fn law(n: usize) -> f64 {
    let others = (n - 1) as f64;
    1.0 / (1.0 - (1.0 - 1.0 / others).powf(others))
}

fn periods_until_probed(n: usize, rng: &mut Rng) -> u32 {
    let mut periods = 1;
    while !(1..n).any(|_| rng.index(n - 1) == 0) {
        periods += 1;
    }
    periods
}

// Members out of step.

/// When the first probe of the dead member starts, and when the last of the members sends its
/// first one; periods since the death.
#[derive(Clone, Copy, Debug)]
pub struct Noticed {
    pub first: f64,
    pub last: f64,
}

fn unsynchronised(work: &Work<'_>, table: &mut Table) {
    let runs = if work.quick { 10_000 } else { 200_000 };
    let mut items = Vec::new();
    for n in [16, 128, 1024] {
        items.extend([(n, Choice::Uniform), (n, Choice::RoundRobin)]);
    }
    let found = work.map("periods out of step", &items, |&(n, choice)| {
        let mut rng = Rng::from_u64(work.seed ^ (n as u64) << 8 ^ choice as u64);
        let noticed: Vec<Noticed> = (0..runs).map(|_| notice(n, choice, &mut rng)).collect();
        let mut first: Vec<f64> = noticed.iter().map(|d| d.first).collect();
        let worst = noticed.iter().map(|d| d.last).fold(0.0, f64::max);
        (Summary::of(&mut first), worst, first)
    });
    let mut curves = Vec::new();
    for (&(n, choice), result) in items.iter().zip(found) {
        let Some((s, worst, ascending)) = result else { continue };
        let how = if choice == Choice::Uniform { "uniform" } else { "round robin" };
        let what = |what: &str| format!("{how}, n={n}: first probe of the dead, {what}");
        let near = Bar::Near { of: expected_first(n, choice), tolerance: 0.05 };
        table.rows.push(row(what("mean"), Some(1.0), s.mean, s.se, near));
        // Density at the p99 of an exponential of mean 1 is 0.01: ln 100 = 4.605, and its error.
        let se = (0.99 * 0.01 / runs as f64).sqrt() / 0.01;
        let noise = if work.quick { 3.0 * se } else { 0.0 };
        table.rows.push(row(what("p99"), Some(4.6), s.p99, se, Bar::AtMost(4.7 + noise)));
        if choice == Choice::RoundRobin {
            let bound = (2 * n) as f64;
            let what = format!("{how}, n={n}: worst prober's first probe of the dead");
            table.rows.push(row(what, Some(bound - 1.0), worst, 0.0, Bar::AtMost(bound)));
            curves.push(curve(&format!("round robin, n = {n}"), Style::Line, &ascending));
        }
    }
    let theory = (0..50).map(|t| f64::from(t) / 10.0).map(|t| (t, 1.0 - (-t).exp())).collect();
    curves.push(Series::new("1 - e^-t", Style::Dashed, theory));
    table.charts.push(Chart {
        name: "swim-detection".to_owned(),
        title: "First probe of a dead member".to_owned(),
        x: Axis::linear("periods since the death"),
        y: Axis::linear("share of deaths noticed"),
        series: curves,
    });
}

/// One death among `n` members whose periods start at independent phases.
pub fn notice(n: usize, choice: Choice, rng: &mut Rng) -> Noticed {
    let mut noticed = Noticed { first: f64::INFINITY, last: 0.0 };
    for _ in 1..n {
        let phase = rng.unit();
        let at = match choice {
            Choice::Uniform => f64::INFINITY,
            Choice::RoundRobin => phase + turns_until_probed(n - 1, rng) as f64,
        };
        noticed.first = noticed.first.min(at);
        noticed.last = noticed.last.max(at);
    }
    if choice == Choice::Uniform {
        noticed.first = first_by_chance(n - 1, rng);
    }
    noticed
}

/// Each period, at phases that stay the same, each of `others` picks one of `others`.
fn first_by_chance(others: usize, rng: &mut Rng) -> f64 {
    let phases: Vec<f64> = (0..others).map(|_| rng.unit()).collect();
    for period in 0_u32.. {
        let hits = phases.iter().filter(|_| rng.index(others) == 0);
        let first = hits.copied().fold(f64::INFINITY, f64::min);
        if first.is_finite() {
            return f64::from(period) + first;
        }
    }
    unreachable!("each period finds it with probability 0.63")
}

/// A member is somewhere in its pass over `others`; the dead one is somewhere in this pass, and
/// somewhere else in the next.
fn turns_until_probed(others: usize, rng: &mut Rng) -> usize {
    let (at, place) = (rng.index(others), rng.index(others));
    if place >= at { place - at } else { others - at + rng.index(others) }
}

/// Expected periods until the first probe starts, exactly: each of the others survives period `m`
/// with probability `s_m`, falling by `p_m` over the period, and all must. Tends to 1 from below:
/// 0.97 and 0.94 at n = 16.
pub fn expected_first(n: usize, choice: Choice) -> f64 {
    let others = (n - 1) as f64;
    let (mut expected, mut survives) = (0.0, 1.0_f64);
    for p in (0..2 * n).map(|m| turn_probability(m, n - 1, choice)).filter(|p| *p > 0.0) {
        let after = (survives - p).max(0.0);
        let fall = survives.powf(others + 1.0) - after.powf(others + 1.0);
        expected += fall / ((others + 1.0) * p);
        survives = after;
    }
    expected
}

/// Probability that a member's next probe of the dead one is `turns` of its periods away.
fn turn_probability(turns: usize, others: usize, choice: Choice) -> f64 {
    let n = others as f64;
    if choice == Choice::Uniform {
        return (1.0 - 1.0 / n).powi(turns as i32) / n;
    }
    let this_pass = others.saturating_sub(turns) as f64 / (n * n);
    // Passed already at place `at` of this pass, and then at `turns - (others - at)` of the next.
    let at = (1..others).filter(|at| (others - at..2 * others - at).contains(&turns));
    this_pass + at.map(|at| at as f64).sum::<f64>() / (n * n * n)
}

// The core.

struct Found {
    first_probe: f64,
    first_verdict: f64,
    all_know: f64,
}

fn core(work: &Work<'_>, table: &mut Table) {
    let sizes: &[(usize, u64)] = match work.quick {
        true => &[(16, 40), (128, 10)],
        false => &[(16, 600), (128, 60), (1024, 6)],
    };
    for &(n, worlds) in sizes {
        for silent in [false, true] {
            let seeds: Vec<u64> = (0..worlds).map(|i| work.seed ^ i << 16 ^ n as u64).collect();
            let what = format!("core, n={n}, {}", if silent { "silence" } else { "kill" });
            let found = work.map(&what, &seeds, |&seed| deaths(seed, n, silent));
            let found: Vec<Found> = found.into_iter().flatten().flatten().collect();
            if !found.is_empty() {
                core_rows(&what, n, silent, &found, table);
            }
        }
    }
}

fn core_rows(what: &str, n: usize, silent: bool, found: &[Found], table: &mut Table) {
    let of = |value: fn(&Found) -> f64| {
        let mut values: Vec<f64> = found.iter().map(value).collect();
        (Summary::of(&mut values), values)
    };
    let (probe, ascending) = of(|f| f.first_probe);
    let (verdict, _) = of(|f| f.first_verdict);
    let (all, _) = of(|f| f.all_know);
    let of = expected_first(n, Choice::RoundRobin);
    let near = Bar::Near { of, tolerance: (3.0 * probe.se).max(0.05) };
    let mut put = |name: &str, paper, ours, se, bar| {
        table.rows.push(row(format!("{what}: {name}"), paper, ours, se, bar));
    };
    put("first probe, mean", Some(1.0), probe.mean, probe.se, near);
    put("first probe, p99", Some(4.6), probe.p99, 0.0, Bar::None);
    put("first probe, worst", Some(2.0 * n as f64), probe.max, 0.0, Bar::AtMost(2.0 * n as f64));
    // The law, the probe's own period, and what the verdict waits for.
    let config = Config::lan();
    let waits = match silent {
        true => 1.0 + suspicion(&config, n),
        false => config.refused_wait.as_secs_f64() + 0.5,
    };
    let bound = LAW + waits;
    put("first verdict, mean", Some(LAW), verdict.mean, verdict.se, Bar::AtMost(bound));
    let bound = bound + (n as f64).ln();
    put("all know, mean", Some(LAW + (n as f64).ln()), all.mean, all.se, Bar::AtMost(bound));
    put("all know, worst", None, all.max, 0.0, Bar::None);
    if !silent {
        let label = format!("core, n = {n}");
        table.charts[0].series.push(curve(&label, Style::Points, &ascending));
    }
}

/// Seconds that silence is doubted before it is convicted.
fn suspicion(config: &Config, n: usize) -> f64 {
    let scaled = config.suspicion_alpha * (n as f64).log10() * config.probe_period.as_secs_f64();
    scaled.max(config.pause_tolerated.as_secs_f64())
}

/// Several deaths in one cluster, one after the other, at random moments.
fn deaths(seed: u64, n: usize, silent: bool) -> Vec<Found> {
    let unwatched = WorldConfig { checks: false, ..WorldConfig::default() };
    let mut world = World::converged(seed, unwatched, n, &Config::lan());
    let mut rng = Rng::from_u64(seed);
    let mut found = Vec::new();
    let mut gone = Vec::new();
    for _ in 0..(n / 32).max(1) {
        world.run_for(Duration::from_secs(4) + Duration::from_secs(1).mul_f64(rng.unit()));
        let victim = rng.index(n);
        if gone.contains(&victim) {
            continue;
        }
        gone.push(victim);
        if silent {
            world.split_off(gone.iter().copied());
        } else {
            world.crash(victim);
        }
        found.push(follow(&mut world, victim, n - gone.len()));
    }
    found
}

/// Runs until all that are left hold the victim failed.
fn follow(world: &mut World, victim: usize, left: usize) -> Found {
    let (id, died) = (world.id(victim), world.now());
    world.await_send_to(victim);
    let know = |world: &World| verdicts(world, victim, id).count();
    let every = Duration::from_millis(100);
    world.run_while(Duration::from_secs(120), every, |w| know(w) < left);
    let since = |at: Time| at.since(died).as_secs_f64();
    let times: Vec<f64> = verdicts(world, victim, id).map(since).collect();
    assert!(times.len() >= left, "{} of {left} know of a death after two minutes", times.len());
    Found {
        first_probe: world.first_sent_to(victim).map_or(f64::INFINITY, since),
        first_verdict: times.iter().copied().fold(f64::INFINITY, f64::min),
        all_know: times.iter().copied().fold(0.0, f64::max),
    }
}

fn verdicts(world: &World, victim: usize, id: NodeId) -> impl Iterator<Item = Time> + '_ {
    let by_others = move |((observer, subject), at): (&(usize, NodeId), &Time)| {
        (*observer != victim && *subject == id).then_some(*at)
    };
    world.seen().first_failed.iter().filter_map(by_others)
}

// What both have in common.

fn row(what: String, paper: Option<f64>, ours: f64, se: f64, bar: Bar) -> Row {
    Row { what, paper, ours, se, bar }
}

/// A distribution in a hundred points.
fn curve(label: &str, style: Style, ascending: &[f64]) -> Series {
    let n = ascending.len();
    let at = |i: usize| (ascending[(i * n / 100).min(n - 1)], i as f64 / 100.0);
    Series::new(label, style, (0..=100).map(at).collect())
}
