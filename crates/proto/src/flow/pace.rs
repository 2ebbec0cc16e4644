//! Decides how often, to how many and how many times news is told, so that it is everywhere in the time
//! that is wanted for as few bytes as can be, and within the budget: from the size of the cluster, how
//! much changes, and round trips. All of it is seen by each node alone: nobody follows another's choice.

use std::time::Duration;

use super::forecast::Rounds;
use super::{spread_time, suspicion_min};
use crate::base::time::Time;
use crate::config::Config;

/// Rounds of gossip, while there is something to tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    pub interval: Duration,
    pub fanout: u32,
    /// Of each rumour, by each node.
    pub sends: u32,
}

/// What a node measures of its load.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Members known to be alive, this one included.
    pub nodes: usize,
    /// News in a second, and bytes of one as it is told.
    pub changes: f64,
    pub change_bytes: f64,
    /// Copies of one that are sent: fewer than all sends, where the next change of a key takes its place.
    pub told: f64,
    /// Sent in a second for other things: probes, sessions, what was asked for.
    pub other_bytes: f64,
    pub round_trip: Duration,
}

/// What a pace comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outlook {
    /// News is everywhere after this in 99 of 100 cases; `None`: more changes than the budget can tell.
    pub expected: Option<Duration>,
    /// Bytes in a second, all together.
    pub bytes: f64,
    /// Whether both are as wanted.
    pub meets: bool,
}

/// Loss that the choice allows for.
const LOSS: f64 = 0.05;
/// Nobody is missed with probability 1 - e^-6, that is 99.75 %: a member is missed with e^-sends
/// (Demers et al. 1987, blind counter), any of n with n times that.
const SURE: f64 = 6.0;
const FANOUTS: [u32; 8] = [1, 2, 3, 4, 6, 8, 12, 16];
const INTERVAL_MIN: Duration = Duration::from_millis(10);
const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// Of the time that is wanted and of the budget, what is planned with: both are noisy.
const PLANNED: f64 = 0.85;
/// Header of a packet.
const PACKET_BYTES: f64 = 24.0;
/// Of the budget, what headers may have where news would take it all.
const HEADERS_MOST: f64 = 0.1;
/// A budget that was too small is large enough again where news fits into so much of what it has.
const ROOMY: f64 = 0.8;

/// Rounds until all know, in 99 of 100 cases, by fanout: worked out anew when the cluster has grown or
/// shrunk by a twentieth.
#[derive(Clone, Debug, Default)]
struct RoundsTable {
    nodes: usize,
    rounds: [u32; FANOUTS.len()],
}

impl RoundsTable {
    fn renew(&mut self, nodes: usize) {
        if self.nodes.abs_diff(nodes) * 20 <= self.nodes && self.nodes > 0 {
            return;
        }
        self.nodes = nodes;
        let of =
            |fanout| Rounds { nodes: nodes as u64, fanout, loss: LOSS, pushes: true, pulls: false };
        // Who has told it often enough stops: one more for that.
        self.rounds = FANOUTS.map(|fanout| of(fanout).quantile(0.99) + 1);
    }

    /// Of a fanout that is no choice: as of the next smaller one.
    fn rounds_by(&self, fanout: u32) -> u32 {
        let at = FANOUTS.iter().rposition(|&f| f <= fanout).unwrap_or(0);
        self.rounds[at]
    }
}

/// What is wanted, and what bounds it.
#[derive(Clone, Copy, Debug)]
struct Aim {
    spread: Duration,
    is_target: bool,
    budget: f64,
    /// A doubt and its answer have to cross the cluster within half of the shortest suspicion.
    slowest: Duration,
}

impl Aim {
    /// Without a target: as fast as the settings would be.
    fn of(config: &Config, nodes: usize) -> Aim {
        let is_target = !config.spread_target.is_zero();
        let spread = if is_target { config.spread_target } else { spread_time(config, nodes) };
        let budget = match config.bytes_per_second {
            0 => f64::INFINITY,
            bytes => bytes as f64,
        };
        let slowest = suspicion_min(config, nodes) / 2;
        Aim { spread: spread.mul_f64(PLANNED), is_target, budget, slowest }
    }

    /// What is left for news.
    fn left(&self, load: &Load) -> f64 {
        self.budget * PLANNED - load.other_bytes.min(self.budget * 0.6)
    }
}

/// Sends that miss nobody.
fn sends(nodes: usize) -> u32 {
    let enough = (libm::log(nodes as f64) + SURE) / (1.0 - LOSS);
    (enough.ceil() as u32).min(2 * nodes as u32 - 1)
}

/// Bytes in a second that news costs at this pace: each change so many times, and the headers of the
/// packets, which it shares with others where rounds are rarer than changes.
fn news_bytes(pace: Pace, load: &Load) -> f64 {
    // Whoever is told is one of a round: the last round is not cut short.
    let all = f64::from(pace.sends.next_multiple_of(pace.fanout));
    let copies = load.changes * if load.told > 0.0 { all.min(load.told) } else { all };
    let most = f64::from(pace.fanout) / pace.interval.as_secs_f64();
    copies * load.change_bytes + copies.min(most) * PACKET_BYTES
}

/// All know after so many rounds, each an interval and one way through the network.
fn time_of(rounds: u32, interval: Duration, load: &Load) -> Duration {
    (interval + load.round_trip / 2) * rounds
}

/// The longest interval at which so many rounds take no longer than this.
fn interval_for(rounds: u32, within: Duration, load: &Load) -> Option<Duration> {
    let interval = (within / rounds).checked_sub(load.round_trip / 2)?;
    (interval >= INTERVAL_MIN).then(|| interval.min(INTERVAL_MAX))
}

/// The cheapest pace that is fast enough; `held` is the fanout at present: another one has to be cheaper
/// by a tenth.
fn cheapest(aim: Aim, table: &RoundsTable, load: &Load, held: u32) -> Option<Pace> {
    let sends = sends(load.nodes);
    let paces = FANOUTS.into_iter().zip(table.rounds).filter_map(|(fanout, rounds)| {
        let interval = interval_for(rounds, aim.spread.min(aim.slowest), load)?;
        Some(Pace { interval, fanout, sends })
    });
    least(paces, held, |pace| news_bytes(pace, load) + load.other_bytes + 1.0)
}

/// Where that is more than the budget: the fastest whose headers cost a tenth of it at most. More is not
/// gained by waiting longer; how much news there is does not matter, so that its noise does not either.
fn within_budget(aim: Aim, table: &RoundsTable, load: &Load, held: u32) -> Pace {
    let sends = sends(load.nodes);
    let headers = aim.budget * HEADERS_MOST;
    let rounds_of = |pace: &Pace| table.rounds_by(pace.fanout);
    let paces = FANOUTS.into_iter().zip(table.rounds).map(|(fanout, rounds)| {
        let needed =
            Duration::from_secs_f64((f64::from(fanout) * PACKET_BYTES / headers).min(60.0));
        let wanted = interval_for(rounds, aim.spread, load).unwrap_or(INTERVAL_MIN);
        let longest = interval_for(rounds, aim.slowest, load).unwrap_or(INTERVAL_MIN);
        Pace { interval: needed.max(wanted).clamp(INTERVAL_MIN, longest), fanout, sends }
    });
    let time = |pace: Pace| time_of(rounds_of(&pace), pace.interval, load).as_secs_f64();
    least(paces, held, time).expect("there are fanouts")
}

fn least(paces: impl Iterator<Item = Pace>, held: u32, cost: impl Fn(Pace) -> f64) -> Option<Pace> {
    let weighed =
        paces.map(|pace| (cost(pace) * if pace.fanout == held { 0.9 } else { 1.0 }, pace));
    weighed.min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, pace)| pace)
}

/// A change of the interval has to be worth it, and takes its time.
const DEAD_BAND: f64 = 1.25;
const STEP_MOST: f64 = 1.5;
/// Weight of the last second in what is measured.
const NEWEST: f64 = 0.15;

/// The pace that a node holds, second by second.
#[derive(Clone, Debug)]
pub struct Governor {
    pace: Pace,
    load: Load,
    table: RoundsTable,
    outlook: Outlook,
    measured: bool,
    /// The budget does not do for what is wanted.
    tight: bool,
    changed: u64,
    pub next: Time,
}

/// What a node counted since the last step, over so long.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    pub changes: u64,
    pub copies: u64,
    pub copy_bytes: u64,
    pub other_bytes: u64,
    /// Rounds that waited for the budget: then what is sent says nothing about what there is to send.
    pub waits: u64,
}

impl Governor {
    /// How often the pace is looked at.
    pub const STEP: Duration = Duration::from_secs(1);
    /// Whatever the load does, the pace stands still so long after it did.
    pub const SETTLES: Duration = Duration::from_secs(30);

    pub fn new(config: &Config, next: Time) -> Governor {
        let pace = Pace { interval: config.tick, fanout: config.fanout as u32, sends: 1 };
        Governor {
            pace,
            load: Load::default(),
            table: RoundsTable::default(),
            outlook: Outlook { expected: None, bytes: 0.0, meets: true },
            measured: false,
            tight: false,
            changed: 0,
            next,
        }
    }

    pub fn pace(&self) -> Pace {
        self.pace
    }

    pub fn load(&self) -> &Load {
        &self.load
    }

    pub fn outlook(&self) -> Outlook {
        self.outlook
    }

    /// How often the pace has changed.
    pub fn changed(&self) -> u64 {
        self.changed
    }

    /// One step. `config` is as the user wants it.
    pub fn step(
        &mut self,
        config: &Config,
        nodes: usize,
        rtt: Duration,
        counted: Counted,
        span: Duration,
    ) {
        self.measure(nodes, rtt, counted, span.max(Duration::from_millis(1)));
        self.table.renew(self.load.nodes);
        let aim = Aim::of(config, self.load.nodes);
        let (load, held) = (&self.load, self.pace.fanout);
        let cheapest = cheapest(aim, &self.table, load, held);
        let news = cheapest.map_or(f64::INFINITY, |pace| news_bytes(pace, load));
        self.tight = news > aim.left(load) * if self.tight { ROOMY } else { 1.0 };
        let fits = cheapest.filter(|_| !self.tight);
        let wanted = fits.unwrap_or_else(|| within_budget(aim, &self.table, load, held));
        let next = approach(self.pace, wanted);
        self.changed += u64::from(next != self.pace);
        self.pace = next;
        self.outlook = self.look_ahead(aim);
    }

    fn measure(&mut self, nodes: usize, rtt: Duration, counted: Counted, span: Duration) {
        let per_second = |count: u64| count as f64 / span.as_secs_f64();
        let weight = if self.measured { NEWEST } else { 1.0 };
        let blend = |old: f64, new: f64| old + (new - old) * weight;
        let load = &mut self.load;
        load.nodes = nodes.max(2);
        load.round_trip = rtt;
        load.changes = blend(load.changes, per_second(counted.changes));
        load.other_bytes = blend(load.other_bytes, per_second(counted.other_bytes));
        let told = match counted.waits {
            0 if counted.changes > 0 => counted.copies as f64 / counted.changes as f64,
            0 => load.told,
            _ => f64::from(sends(load.nodes)),
        };
        load.told = if load.told > 0.0 { blend(load.told, told) } else { told };
        if counted.copies > 0 {
            let bytes = counted.copy_bytes as f64 / counted.copies as f64;
            let known = load.change_bytes > 0.0;
            load.change_bytes = if known { blend(load.change_bytes, bytes) } else { bytes };
        }
        self.measured = true;
    }

    fn look_ahead(&self, aim: Aim) -> Outlook {
        let news = news_bytes(self.pace, &self.load);
        let rounds = self.table.rounds_by(self.pace.fanout);
        let fits = news + self.load.other_bytes <= aim.budget;
        let expected = fits.then(|| time_of(rounds, self.pace.interval, &self.load));
        let wanted = aim.spread.div_f64(PLANNED);
        let in_time = expected.is_some_and(|it| it <= wanted || !aim.is_target);
        Outlook { expected, bytes: news + self.load.other_bytes, meets: fits && in_time }
    }
}

/// One step towards what is wanted; none where it is near.
fn approach(held: Pace, wanted: Pace) -> Pace {
    let ratio = wanted.interval.as_secs_f64() / held.interval.as_secs_f64();
    if wanted.fanout == held.fanout && (1.0 / DEAD_BAND..=DEAD_BAND).contains(&ratio) {
        return Pace { sends: wanted.sends, ..held };
    }
    let step = ratio.clamp(1.0 / STEP_MOST, STEP_MOST);
    let interval = if step == ratio { wanted.interval } else { held.interval.mul_f64(step) };
    Pace { interval, ..wanted }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(1);

    fn config(target_ms: u64, budget: usize) -> Config {
        let spread_target = Duration::from_millis(target_ms);
        Config { spread_target, bytes_per_second: budget, ..Config::lan() }
    }

    /// A second in which so much changed, all of it told as often as it should be.
    fn second(governor: &Governor, changes: u64) -> Counted {
        let copies = changes * u64::from(governor.pace().sends);
        Counted { changes, copies, copy_bytes: copies * 100, other_bytes: 90, waits: 0 }
    }

    /// Steps under a load that varies by chance; the paces, second by second.
    fn run(
        governor: &mut Governor,
        config: &Config,
        nodes: usize,
        mean: f64,
        seconds: u64,
    ) -> Vec<Pace> {
        let mut rng = crate::base::rng::Rng::from_u64(mean.to_bits() ^ nodes as u64);
        (0..seconds)
            .map(|_| {
                let changes = (mean * (0.7 + 0.6 * rng.unit())).round() as u64;
                let counted = second(governor, changes);
                governor.step(config, nodes, RTT, counted, Governor::STEP);
                governor.pace()
            })
            .collect()
    }

    fn ratio(a: Pace, b: Pace) -> f64 {
        a.interval.as_secs_f64() / b.interval.as_secs_f64()
    }

    #[test]
    fn an_aim_that_can_be_met_is_met_at_every_size() {
        for nodes in [2, 3, 10, 100, 1000, 10_000, 100_000] {
            for changes in [0.0, 1.0, 10.0] {
                let config = config(2000, 60_000);
                let mut governor = Governor::new(&config, Time::ZERO);
                run(&mut governor, &config, nodes, changes, 60);
                let outlook = governor.outlook();
                assert!(outlook.meets, "{nodes} nodes, {changes}/s: {governor:?}");
                assert!(outlook.expected.is_some_and(|it| it <= Duration::from_secs(2)));
                assert!(outlook.bytes <= 60_000.0);
            }
        }
    }

    /// After each step of the load the pace goes to its new place without going beyond, and stays there.
    #[test]
    fn a_step_of_the_load_moves_the_pace_once_and_not_beyond() {
        for budget in [0, 3000, 10_000, 60_000] {
            let config = config(1000, budget);
            let mut governor = Governor::new(&config, Time::ZERO);
            for changes in [1.0, 40.0, 400.0, 4.0, 0.0, 30.0] {
                let paces = run(&mut governor, &config, 300, changes, 90);
                let (moving, still) = paces.split_at(Governor::SETTLES.as_secs() as usize);
                let settled = still[0];
                assert!(still.iter().all(|&pace| pace == settled), "{budget} {changes}: {still:?}");
                let (from, to) = (moving[0].interval, settled.interval);
                let (low, high) = (from.min(to), from.max(to));
                let beyond = |pace: &&Pace| pace.interval < low / 2 || pace.interval > high * 2;
                assert_eq!(moving.iter().find(beyond), None, "{budget} {changes}: {moving:?}");
                let turns = moving.windows(3).filter(|w| {
                    let (a, b) = (ratio(w[1], w[0]) - 1.0, ratio(w[2], w[1]) - 1.0);
                    a * b < 0.0
                });
                assert!(turns.count() <= 1, "{budget} {changes}: {moving:?}");
            }
        }
    }

    /// Nodes that see other sizes and loads, a fifth apart, choose alike and stand as still.
    #[test]
    fn views_that_differ_do_not_chase_each_other() {
        let config = config(1000, 20_000);
        let [mut one, mut other] = [0; 2].map(|_| Governor::new(&config, Time::ZERO));
        for changes in [5.0, 60.0] {
            let a = run(&mut one, &config, 270, changes * 0.9, 80);
            let b = run(&mut other, &config, 330, changes * 1.1, 80);
            for (a, b) in a.iter().zip(&b).skip(40) {
                assert!((0.6..1.7).contains(&ratio(*a, *b)), "{a:?} {b:?}");
            }
            assert_eq!((a[40], b[40]), (a[79], b[79]));
        }
    }

    #[test]
    fn where_both_cannot_be_had_the_budget_wins_and_that_is_said() {
        let patient = Duration::from_secs(60);
        let config = Config { pause_tolerated: patient, ..config(1000, 2000) };
        let mut governor = Governor::new(&config, Time::ZERO);
        run(&mut governor, &config, 300, 100.0, 60);
        assert_eq!((governor.outlook().expected, governor.outlook().meets), (None, false));
        let headers =
            24.0 * f64::from(governor.pace().fanout) / governor.pace().interval.as_secs_f64();
        assert!(headers <= 2000.0 * HEADERS_MOST * DEAD_BAND, "{:?}", governor.pace());
        // Too much for the time, not for the budget.
        let hasty = Config { spread_target: Duration::from_millis(50), ..config };
        let mut governor = Governor::new(&hasty, Time::ZERO);
        for _ in 0..60 {
            let counted = second(&governor, 1);
            governor.step(&hasty, 300, Duration::from_millis(80), counted, Governor::STEP);
        }
        let outlook = governor.outlook();
        assert!(!outlook.meets && outlook.expected.is_some(), "{outlook:?}");
    }

    #[test]
    fn whatever_is_measured_the_pace_stays_within_its_bounds() {
        let mut rng = crate::base::rng::Rng::from_u64(9);
        for _ in 0..3000 {
            let config = Config {
                probe_period: Duration::from_millis(20 + rng.below(600_000)),
                ..config(
                    rng.below(3) * 50 + rng.below(2) * rng.below(600_000),
                    rng.below(3) as usize * 30_000,
                )
            };
            let mut governor = Governor::new(&config, Time::ZERO);
            for _ in 0..20 {
                let counted = Counted {
                    changes: rng.u64() >> rng.below(64),
                    copies: rng.u64() >> rng.below(64),
                    copy_bytes: rng.u64() >> rng.below(64),
                    other_bytes: rng.u64() >> rng.below(64),
                    waits: rng.below(2),
                };
                let most = 1 << rng.below(20);
                let nodes = 1 + rng.below(most) as usize;
                let rtt = Duration::from_micros(rng.below(10_000_000));
                governor.step(&config, nodes, rtt, counted, Duration::from_millis(rng.below(3000)));
                let Pace { interval, fanout, sends } = governor.pace();
                assert!((INTERVAL_MIN..=INTERVAL_MAX).contains(&interval), "{governor:?}");
                assert!(FANOUTS.contains(&fanout) && (1..100).contains(&sends), "{governor:?}");
                assert!(governor.outlook().bytes.is_finite());
            }
        }
    }
}
