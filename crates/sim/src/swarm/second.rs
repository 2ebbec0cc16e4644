//! Decides what seeds of the second generation mean: two to two hundred nodes of any profile, any
//! setting within its bounds, a second cluster beside them, sometimes a liar among them, and every
//! kind of action. Times follow the probe period, so that slow clusters cost no more to run.

use std::collections::BTreeMap;

use tidings_proto::base::rng::Rng;

use super::action::{Action, NEWCOMERS, STRANGERS};
use super::options::{Delay, Disks, Ground, Options, Profile, Step, Weather};
use super::run::Run;
use super::settings;
use crate::setting::SETTINGS;

/// What can happen in the safety phase, and the least weight of each.
const KINDS: [(&str, u64); 28] = [
    ("set", 4), // there is always something to lose
    ("hot", 0),
    ("delete", 0),
    ("group", 0),
    ("emit", 0),
    ("tag", 0),
    ("crash", 1), // or a restart, where it is down already
    ("destroy", 0),
    ("replace", 0),
    ("newcomer", 0),
    ("swap", 0),
    ("pause", 1),
    ("suspend", 0),
    ("slow", 0),
    ("clock", 0),
    ("drift", 0),
    ("disk", 0),
    ("split", 0),
    ("cut", 0),
    ("one way", 0),
    ("block", 0),
    ("lossy", 0),
    ("link", 0),
    ("heal", 1),
    ("join", 0),
    ("leave", 0),
    ("force leave", 0),
    ("packet", 0),
];

pub(super) fn draw(seed: u64) -> Options {
    let mut rng = Rng::fork(&Rng::from_u64(seed).bytes32(), "swarm options 2");
    let nodes = match rng.below(4000) {
        0 => 200,
        1..=40 => 20 + rng.index(41),
        41..=500 => 10 + rng.index(10),
        _ => 2 + rng.index(8),
    };
    let profile = [Profile::Local, Profile::Lan, Profile::Wan][rng.index(3)];
    let mut options = Options {
        generation: 2,
        seed,
        nodes,
        strangers: if nodes < 20 && rng.chance(0.15) { 1 + rng.index(3) } else { 0 },
        liar: rng.chance(0.05).then(|| rng.index(nodes)),
        profile,
        settings: BTreeMap::new(),
        disks: [Disks::None, Disks::All, Disks::All, Disks::Half][rng.index(4)],
        weather: draw_weather(1, &mut rng), // known when the settings are
        world: Ground {
            unreachable: rng.chance(0.7),
            disk_latency_ms: if rng.chance(0.7) { 2 } else { rng.below(100) },
            socket_buffer_bytes: if rng.chance(0.8) { 212_992 } else { 20_000 },
        },
        mixed: rng.chance(0.1),
        calm_start: rng.chance(0.8),
        keys: 1 + rng.below(12),
        safety_ms: 0,
        weights: Vec::new(),
        clients: 0,
    };
    draw_settings(&mut options, &mut rng);
    let config = options.config(0).expect("drawn settings are valid");
    options.weather = draw_weather(config.probe_timeout.as_micros() as u64, &mut rng);
    let periods = if nodes < 20 { 40 + rng.below(120) } else { 30 + rng.below(30) };
    options.safety_ms = periods * config.probe_period.as_millis() as u64;
    let weight =
        |(_, least): &(&str, u64)| least + if rng.chance(0.5) { 0 } else { 1 + rng.below(10) };
    options.weights = KINDS.iter().map(weight).collect();
    options
}

/// Mostly the profile as it is; else about one in six settings differs. What does not fit what was
/// drawn before is left out.
fn draw_settings(options: &mut Options, rng: &mut Rng) {
    if rng.chance(0.4) {
        return;
    }
    let seed = Rng::from_u64(options.seed).bytes32();
    for setting in SETTINGS {
        let mut own = Rng::fork(&seed, setting.name);
        let rng = if settings::is_later(setting.name) { &mut own } else { &mut *rng };
        if !rng.chance(0.16) {
            continue;
        }
        let so_far = options.config(0).expect("drawn settings are valid");
        let value = settings::draw(setting.name, rng, &so_far);
        options.settings.insert(setting.name.to_owned(), value);
        if options.config(0).is_err() {
            options.settings.remove(setting.name);
        }
    }
    // With neither path nothing ever spreads.
    if options.config(0).is_ok_and(|c| !c.anti_entropy && !c.rumours) {
        options.settings.remove("rumours");
    }
}

/// Round trips fit the probe timeout; what is lost, repeated or flipped is drawn in thousandths.
fn draw_weather(timeout_us: u64, rng: &mut Rng) -> Weather {
    let most = 1 + rng.below(timeout_us / 4 + 1);
    let latency = match rng.below(3) {
        0 => Delay::Constant(most / 4),
        1 => Delay::Uniform(most / 10, most),
        _ => Delay::Exponential { floor: most / 20, mean: most / 8 },
    };
    let thousandths = |rng: &mut Rng, most: u64| {
        if rng.chance(0.5) { 0.0 } else { rng.below(most) as f64 / 1000.0 }
    };
    Weather {
        latency,
        loss: thousandths(rng, 300),
        duplication: thousandths(rng, 200),
        corruption: thousandths(rng, 50),
        reordering: thousandths(rng, 300),
        reordered_by_us: rng.below(timeout_us + 1),
        places: if rng.chance(0.8) { 1 } else { 2 + rng.index(3) },
        between_places_us: rng.below(timeout_us / 8 + 1),
        stream_bytes_per_second: if rng.chance(0.8) { 100_000_000 } else { 200_000 },
    }
}

pub(super) fn draw_step(run: &Run<'_>, rng: &mut Rng) -> Step {
    let mut draw = rng.below(run.options.weights.iter().sum());
    let mut at = 0;
    while draw >= run.options.weights[at] {
        draw -= run.options.weights[at];
        at += 1;
    }
    let action = draw_action(KINDS[at].0, run, rng);
    let period_ms = run.period().as_millis() as u64;
    let then_ms = match rng.below(100) {
        0..50 => rng.below(period_ms / 25 + 1),
        50..98 => rng.below(period_ms * 3),
        _ => rng.below(period_ms * 20), // long enough for doubts and memories to end
    };
    Step { action, then_ms }
}

fn draw_action(kind: &str, run: &Run<'_>, rng: &mut Rng) -> Action {
    let known = run.known();
    let host = known[rng.index(known.len())];
    let other = known[rng.index(known.len())];
    let period_ms = run.period().as_millis() as u64;
    match kind {
        "set" | "hot" | "delete" | "group" | "emit" | "tag" | "join" | "leave" | "force leave" => {
            draw_user(kind, host, other, run, rng)
        }
        "split" | "cut" | "one way" | "block" | "lossy" | "link" | "heal" => {
            draw_network(kind, host, other, run, rng)
        }
        "packet" => draw_packet(host, other, run, rng),
        "crash" if !run.runs(host) => Action::Restart { host },
        "crash" => Action::Crash { host },
        "destroy" if !run.runs(host) => Action::Restart { host },
        "destroy" => Action::Destroy { host },
        "replace" if run.may_come() && host < NEWCOMERS => {
            Action::Replace { host, other, new: run.next_newcomer() }
        }
        "newcomer" if run.may_come() => {
            let for_ms = rng.chance(0.5).then(|| rng.below(period_ms));
            let durable = rng.chance(0.5);
            Action::Newcomer { new: run.next_newcomer(), other, durable, for_ms }
        }
        "swap" => Action::Swap { host, other },
        "pause" | "suspend" | "replace" | "newcomer" if run.is_stopped(host) => {
            Action::Resume { host }
        }
        "suspend" => Action::Suspend { host },
        "pause" | "replace" | "newcomer" => Action::Pause { host },
        "slow" if run.is_slow(host) => Action::Slow { host, micros: 0 },
        "slow" => Action::Slow { host, micros: 1 + rng.below(period_ms * 200) },
        "clock" if rng.chance(0.1) => {
            let years = 2 * 365 * 86_400_000;
            Action::Step { host, ms: if rng.chance(0.5) { years } else { -years } }
        }
        "clock" => Action::Step { host, ms: rng.below(1_200_000) as i64 - 600_000 },
        "drift" => Action::Drift { host, ppm: rng.below(200_000) as i64 - 100_000 },
        _ if run.disk_is_bad(host) => Action::DiskFails { host, failing: false },
        _ if rng.chance(0.5) => Action::DiskFails { host, failing: true },
        _ => Action::DiskSlow { host, ms: 1 + rng.below(period_ms * 3) },
    }
}

fn draw_user(kind: &str, host: usize, other: usize, run: &Run<'_>, rng: &mut Rng) -> Action {
    let key = rng.below(run.options.keys);
    match kind {
        "hot" => Action::Set { host, key: 0, times: 1 },
        "set" => {
            let times = match rng.below(300) {
                0 => 60_000, // near the limit of a value
                1..=6 => 1000,
                _ => 1,
            };
            Action::Set { host, key, times }
        }
        "delete" => Action::Delete { host, key },
        "group" => {
            let some = |rng: &mut Rng| (0..run.options.keys).filter(|_| rng.chance(0.3)).collect();
            let (set, deleted): (Vec<u64>, Vec<u64>) = (some(rng), some(rng));
            Action::Group { host, keyspace: rng.below(3), set, deleted }
        }
        "emit" => Action::Emit { host, key, times: 1 + rng.index(100) },
        "tag" => Action::Tag { host, key, unset: rng.chance(0.3) },
        "join" => Action::Join { host, other },
        "leave" if run.has_left(host) => Action::Return { host },
        "leave" => Action::Leave { host },
        _ => Action::ForceLeave { host, other, prune: rng.chance(0.3) },
    }
}

fn draw_network(kind: &str, host: usize, other: usize, run: &Run<'_>, rng: &mut Rng) -> Action {
    let period_ms = run.period().as_millis() as u64;
    match kind {
        "split" => {
            let share = rng.unit();
            Action::Split { side: run.known().into_iter().filter(|_| rng.chance(share)).collect() }
        }
        "cut" => Action::Cut { host, other },
        "one way" => Action::CutOneWay { host, other },
        "block" if rng.chance(0.5) => Action::BlockDatagrams { host, other },
        "block" => Action::BlockStreams { host, other },
        "lossy" => {
            let percent = |rng: &mut Rng| if rng.chance(0.3) { 0 } else { rng.below(101) as u8 };
            Action::Lossy { host, sent: percent(rng), received: percent(rng) }
        }
        "link" => Action::Link { host, other, ms: rng.below(period_ms), loss: rng.below(60) as u8 },
        _ => Action::Heal,
    }
}

fn draw_packet(host: usize, other: usize, run: &Run<'_>, rng: &mut Rng) -> Action {
    let (packet, seed) = (rng.index(256), rng.u32().into());
    match rng.below(5) {
        0 => Action::Replay { host, other, packet },
        1 => {
            let bits = (0..1 + rng.below(8)).map(|_| rng.u32()).collect();
            Action::Garble { host, other, packet, bits }
        }
        2 => Action::Noise { host, other, bytes: rng.index(2000), seed },
        3 if run.options.strangers > 0 => {
            let stranger = STRANGERS + rng.index(run.options.strangers);
            if rng.chance(0.5) {
                Action::Foreign { host, other: stranger, packet }
            } else {
                Action::Foreign { host: stranger, other: host, packet }
            }
        }
        _ => match run.options.liar {
            Some(liar) => Action::Lie { host, other: liar, packet, seed },
            None => Action::Replay { host, other, packet },
        },
    }
}
