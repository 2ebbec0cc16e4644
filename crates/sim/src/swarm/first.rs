//! Decides what seeds of the first generation mean: up to nine nodes of the `local` profile, and
//! fifteen kinds of action. Kept so that the seeds that once failed mean what they meant.

use std::collections::BTreeMap;

use tidings_proto::base::rng::Rng;

use super::action::Action;
use super::options::{Delay, Disks, Ground, Options, Profile, Step, Weather};
use super::run::Run;

/// What can happen in the safety phase.
const ACTIONS: [&str; 15] = [
    "set", "delete", "emit", "tag", "crash", "destroy", "restart", "pause", "resume", "split",
    "cut", "block", "heal", "clock", "leave",
];

pub(super) fn draw(seed: u64) -> Options {
    let mut rng = Rng::fork(&Rng::from_u64(seed).bytes32(), "swarm options");
    let mut weights = [0; ACTIONS.len()];
    for weight in &mut weights {
        *weight = if rng.chance(0.4) { 0 } else { 1 + rng.below(10) };
    }
    weights[0] += 5; // there is always something to lose
    weights[6] += 2; // what crashed comes back
    weights[8] += 2;
    weights[12] += 1;
    let ms = 1000;
    let latency = match rng.below(3) {
        0 => Delay::Constant(ms),
        1 => Delay::Uniform(0, (1 + rng.below(30)) * ms),
        _ => Delay::Exponential { floor: ms, mean: (1 + rng.below(20)) * ms },
    };
    let some = |rng: &mut Rng, most: f64| if rng.chance(0.5) { 0.0 } else { rng.unit() * most };
    let weather = Weather {
        latency,
        loss: some(&mut rng, 0.3),
        duplication: some(&mut rng, 0.2),
        corruption: some(&mut rng, 0.05),
        reordering: 0.0,
        reordered_by_us: 0,
        places: 1,
        between_places_us: 0,
        stream_bytes_per_second: 100_000_000,
    };
    let one_path = rng.below(6);
    let nodes = 2 + rng.index(8);
    let disks = if rng.chance(0.6) { Disks::All } else { Disks::None };
    let unreachable = rng.chance(0.7);
    let mut settings = BTreeMap::new();
    if one_path == 0 {
        settings.insert("rumours".to_owned(), "false".to_owned());
    }
    Options {
        generation: 1,
        seed,
        nodes,
        strangers: 0,
        liar: None,
        profile: Profile::Local,
        settings,
        disks,
        weather,
        world: Ground { unreachable, disk_latency_ms: 2, socket_buffer_bytes: 212_992 },
        mixed: false,
        calm_start: true,
        keys: 1 + rng.below(12),
        safety_ms: (20 + rng.below(60)) * 1000,
        weights: weights.to_vec(),
        clients: 0,
    }
}

pub(super) fn draw_step(run: &Run<'_>, rng: &mut Rng) -> Step {
    let mut draw = rng.below(run.options.weights.iter().sum());
    let mut at = 0;
    while draw >= run.options.weights[at] {
        draw -= run.options.weights[at];
        at += 1;
    }
    let action = draw_action(ACTIONS[at], run, rng);
    let pause = if rng.chance(0.5) { 20 } else { 1500 };
    Step { action, then_ms: rng.below(pause) }
}

fn draw_action(kind: &str, run: &Run<'_>, rng: &mut Rng) -> Action {
    let nodes = run.options.nodes;
    let host = rng.index(nodes);
    let other = (host + 1 + rng.index(nodes - 1)) % nodes;
    let running = run.world.is_up(host) && !run.world.is_paused(host) && !run.left[host];
    match kind {
        // A user of a node that does not run draws nothing more, and nothing happens.
        "set" | "delete" | "emit" | "tag" if running => {
            let key = rng.below(run.options.keys);
            match kind {
                "set" => {
                    let times = if rng.chance(0.02) { 1000 } else { 1 };
                    Action::Set { host, key, times }
                }
                "delete" => Action::Delete { host, key },
                "emit" => Action::Emit { host, key, times: 1 },
                _ => Action::Tag { host, key, unset: false },
            }
        }
        "set" | "delete" | "emit" | "tag" => Action::Delete { host, key: 0 },
        "crash" => Action::Crash { host },
        "destroy" => Action::Destroy { host },
        "restart" => Action::Restart { host },
        "pause" => Action::Pause { host },
        "resume" => Action::Resume { host },
        "split" => Action::Split { side: (0..nodes).filter(|_| rng.chance(0.5)).collect() },
        "cut" if rng.chance(0.5) => Action::Cut { host, other },
        "cut" => Action::CutOneWay { host, other },
        "block" if rng.chance(0.5) => Action::BlockDatagrams { host, other },
        "block" => Action::BlockStreams { host, other },
        "heal" => Action::Heal,
        "clock" => Action::Step { host, ms: rng.below(1_200_000) as i64 - 600_000 },
        _ => Action::Leave { host },
    }
}
