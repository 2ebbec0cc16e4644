//! Decides how settings are drawn for a scenario: each within its bounds, and where a cluster can
//! still be expected to work.

use std::collections::BTreeMap;

use tidings_proto::Config;
use tidings_proto::base::rng::Rng;

use crate::setting::{self, SETTINGS};

/// Sets what is given by name; the error names what does not fit.
pub(super) fn set(config: &mut Config, values: &BTreeMap<String, String>) -> Result<(), String> {
    for name in values.keys() {
        setting::find(name).ok_or_else(|| format!("{name}: expected the name of a setting"))?;
    }
    for setting in SETTINGS {
        let Some(text) = values.get(setting.name) else { continue };
        (setting.read)(config, text)
            .ok_or_else(|| format!("{} = {text}: expected {}", setting.name, setting.expected))?;
    }
    // What is not given follows what is.
    if !values.contains_key("probe_timeout") {
        config.probe_timeout = config.probe_timeout.min(config.probe_period / 2);
    }
    Ok(())
}

/// Settings that came after the first seeds were recorded: each draws from a stream of its own, so that
/// those seeds go on to mean what they meant. Every new setting belongs here.
const LATER: &[&str] = &[
    "damping",
    "damping_threshold",
    "pull_interval",
    "peer_choice",
    "rumours_max",
    "cut_quiet",
    "split_policy",
    "split_quorum",
    "hot_threshold",
    "hot_window",
    "hot_bias",
    "hot_shed",
    "broadcast",
    "peer_allowance",
    "peer_writes",
    "flap_half_life",
    "zone_crossing",
    "zones",
    "spread_target",
    "bytes_per_second",
];

pub(super) fn is_later(name: &str) -> bool {
    LATER.contains(&name)
}

/// A value for a scenario, given the settings before it.
pub(super) fn draw(name: &str, rng: &mut Rng, so_far: &Config) -> String {
    let period = so_far.probe_period.as_millis() as u64;
    let ms = |value: u64| format!("{value}ms");
    match name {
        "probe_period" => ms(scaled(rng, 100, 10_000)),
        "probe_timeout" => ms(whole(rng, period / 5, period * 9 / 10)),
        "indirect_probes" | "recontacts" => whole(rng, 0, 8).to_string(),
        "stream_probe" | "anti_entropy" | "rumours" => "false".to_owned(),
        "pause_tolerated" => ms(whole(rng, 0, period * 10)),
        "suspicion_alpha" => hundredths(rng, 10, 1000),
        "suspicion_beta" => hundredths(rng, 100, 1000),
        "suspicion_confirmations" => whole(rng, 0, 7).to_string(),
        "accusers_required" => whole(rng, 1, 7).to_string(),
        "witnesses" | "local_health_max" => whole(rng, 0, 16).to_string(),
        "refused_wait" => ms(whole(rng, 0, period * 4)),
        "detector" => {
            let names = ["heartbeat", "phi", "phi-normal", "phi-akka", "phi-exponential"];
            names[rng.index(names.len())].to_owned()
        }
        "heartbeat_rounds" => whole(rng, 4, 20).to_string(),
        "heartbeat_fanout" => whole(rng, 2, 6).to_string(),
        "phi_threshold" => hundredths(rng, 300, 1600),
        "phi_window" => whole(rng, 8, 400).to_string(),
        "phi_min_deviation" => ms(whole(rng, 1 + period / 20, period)),
        "phi_pause" => ms(whole(rng, 0, period * 4)),
        "tick" => ms(scaled(rng, 10, period.max(20))),
        "fanout" | "sessions_max" => whole(rng, 1, 8).to_string(),
        "eager_fanout" => whole(rng, 1, 12).to_string(),
        "batch" => ms(whole(rng, 0, 100)),
        "transmit_factor" => hundredths(rng, 10, 500),
        "damping" => ["counter", "coin", "age"][rng.index(3)].to_owned(),
        "damping_threshold" => whole(rng, 1, 8).to_string(),
        "hot_threshold" => scaled(rng, 1, 1000).to_string(),
        "hot_window" => ms(scaled(rng, 100, 60_000)),
        "hot_bias" => hundredths(rng, 0, 95),
        "hot_shed" | "peer_writes" => scaled(rng, 1, 10_000).to_string(),
        "peer_choice" => ["shuffled", "zoned"][rng.index(2)].to_owned(),
        "zone_crossing" => hundredths(rng, 0, 100),
        "zones" => "a,b".to_owned(),
        "broadcast" => "tree".to_owned(),
        "pull_interval" => ms(scaled(rng, 100, 20_000)),
        "datagram_bytes" => whole(rng, 1200, 9000).to_string(),
        "changes_bytes" => whole(rng, 1024, so_far.datagram_bytes as u64 - 100).to_string(),
        "burst_packets" => whole(rng, 1, 16).to_string(),
        "rumours_max" => scaled(rng, 64, 100_000).to_string(),
        "peer_allowance" => scaled(rng, 1024, 1 << 20).to_string(),
        "flap_half_life" => ms(if rng.chance(0.2) { 0 } else { scaled(rng, period, 3_600_000) }),
        "spread_target" => ms(scaled(rng, 50, 10_000)),
        "bytes_per_second" => budget(rng, so_far).to_string(),
        "aggregate_interval" => ms(scaled(rng, 20, 5000)),
        "seed_every" => whole(rng, 1, 20).to_string(),
        "cut_quiet" => ms(whole(rng, 0, period * 5)),
        "split_policy" => {
            let names = ["keep-majority", "static-quorum", "keep-oldest", "lease"];
            names[rng.index(names.len())].to_owned()
        }
        "split_quorum" => whole(rng, 1, 10).to_string(),
        "forget_after" => ms(scaled(rng, 20 * period, 2000 * period)),
        "reconciliation" => {
            let names = ["sketch", "merkle", "digest"];
            names[rng.index(names.len())].to_owned()
        }
        "scrub_cycle" => ms(scaled(rng, 1000, 3_600_000)),
        "event_window" => ms(scaled(rng, 1000, 300_000)),
        "events_per_origin" => whole(rng, 1, 32).to_string(),
        "clock_bound" => ms(scaled(rng, 1, 600_000)),
        "forget_every" => ms(if rng.chance(0.3) { 0 } else { scaled(rng, period, 100 * period) }),
        other => panic!("{other} is a setting that nobody draws"),
    }
}

/// Never below what probes need.
fn budget(rng: &mut Rng, so_far: &Config) -> u64 {
    scaled(rng, so_far.least_bytes_per_second().max(4_000) as u64, 1_000_000)
}

fn whole(rng: &mut Rng, min: u64, max: u64) -> u64 {
    min + rng.below(max - min + 1)
}

fn hundredths(rng: &mut Rng, min: u64, max: u64) -> String {
    let value = whole(rng, min, max);
    format!("{}.{:02}", value / 100, value % 100)
}

/// Every doubling is as likely as any other.
fn scaled(rng: &mut Rng, min: u64, max: u64) -> u64 {
    let mut doublings = 0;
    while min << (doublings + 1) <= max {
        doublings += 1;
    }
    let low = min << rng.below(doublings + 1);
    whole(rng, low, (low * 2).min(max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::{NEWEST, Options};

    #[test]
    fn every_setting_varies_in_some_seeds_and_every_draw_is_valid() {
        let mut varied: BTreeMap<&str, u32> = BTreeMap::new();
        let mut durable = [0; 2];
        for seed in 0..2000 {
            let options = Options::draw(NEWEST, seed);
            let config = options.config(0).expect("a drawn configuration is valid");
            durable[usize::from(config.durable)] += 1;
            for setting in SETTINGS {
                let set = options.settings.contains_key(setting.name);
                *varied.entry(setting.name).or_default() += u32::from(set);
            }
        }
        for (name, seeds) in varied {
            assert!(seeds >= 20, "{name} differs in {seeds} of 2,000 seeds");
        }
        assert!(durable.iter().all(|&n| n > 400), "{durable:?}");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let mut config = Config::lan();
        let mut set_one = |name: &str, text: &str| {
            set(&mut config, &BTreeMap::from([(name.to_owned(), text.to_owned())]))
        };
        assert_eq!(set_one("fanout", "4"), Ok(()));
        let found = set_one("fanuot", "4").unwrap_err();
        assert_eq!(found, "fanuot: expected the name of a setting");
        let found = set_one("tick", "5 parsecs").unwrap_err();
        assert_eq!(found, "tick = 5 parsecs: expected a duration such as 500ms or 5s");
    }
}
