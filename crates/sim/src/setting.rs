//! Decides how the protocol's settings are written in files and on command lines: by name, each
//! as text of its kind.

use std::time::Duration;

use tidings_proto::Config;
use tidings_proto::config::{
    Broadcast, Damping, Detector, PeerChoice, Reconciliation, SplitPolicy, Zones,
};

use crate::duration;

/// One setting of [`Config`].
pub struct Setting {
    pub name: &'static str,
    /// In an agent's file, with its section.
    pub key: &'static str,
    pub expected: &'static str,
    pub read: fn(&mut Config, &str) -> Option<()>,
    pub show: fn(&Config) -> String,
}

/// A kind of value.
trait Written: Sized {
    const EXPECTED: &'static str;
    fn read(text: &str) -> Option<Self>;
    fn show(&self) -> String;
}

macro_rules! settings {
    ($($name:ident: $kind:ty),* $(,)?) => {
        &[$(Setting {
            name: stringify!($name),
            key: concat!("gossip.", stringify!($name)),
            expected: <$kind as Written>::EXPECTED,
            read: |config, text| { config.$name = Written::read(text)?; Some(()) },
            show: |config| Written::show(&config.$name),
        }),*]
    };
}

/// All settings but the cluster's name, and `durable`, which a data directory decides.
pub const SETTINGS: &[Setting] = settings! {
    probe_period: Duration, probe_timeout: Duration, indirect_probes: usize,
    stream_probe: bool, pause_tolerated: Duration, suspicion_alpha: f64,
    suspicion_beta: f64, suspicion_confirmations: usize, accusers_required: usize,
    witnesses: usize, refused_wait: Duration, local_health_max: u32,
    detector: Detector, heartbeat_rounds: u32, heartbeat_fanout: usize, phi_threshold: f64,
    phi_window: usize, phi_min_deviation: Duration, phi_pause: Duration, tick: Duration,
    fanout: usize, eager_fanout: usize, batch: Duration, transmit_factor: f64,
    damping: Damping, damping_threshold: u32, pull_interval: Duration,
    datagram_bytes: usize, changes_bytes: usize, burst_packets: usize, rumours_max: usize, spread_target: Duration, bytes_per_second: usize, aggregate_interval: Duration, seed_every: u32,
    recontacts: usize, cut_quiet: Duration, split_policy: SplitPolicy, split_quorum: usize, forget_after: Duration, anti_entropy: bool, rumours: bool,
    flap_half_life: Duration, peer_allowance: u32, peer_writes: u32,
    sessions_max: usize, reconciliation: Reconciliation, scrub_cycle: Duration, event_window: Duration, events_per_origin: usize,
    clock_bound: Duration, forget_every: Duration, peer_choice: PeerChoice, broadcast: Broadcast,
    hot_threshold: u32, hot_window: Duration, hot_bias: f64, hot_shed: usize,
    zone_crossing: f64, zones: Zones,
};

pub fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|s| s.name == name)
}

/// The named set of defaults.
pub fn profile(name: &str) -> Option<Config> {
    match name {
        "local" => Some(Config::local()),
        "lan" => Some(Config::lan()),
        "wan" => Some(Config::wan()),
        _ => None,
    }
}

impl Written for Duration {
    const EXPECTED: &'static str = "a duration such as 500ms or 5s";
    fn read(text: &str) -> Option<Duration> {
        duration::parse(text)
    }
    fn show(&self) -> String {
        duration::show(*self)
    }
}

macro_rules! parsed {
    ($($kind:ty: $expected:literal),*) => {
        $(impl Written for $kind {
            const EXPECTED: &'static str = $expected;
            fn read(text: &str) -> Option<$kind> {
                text.parse().ok()
            }
            fn show(&self) -> String {
                self.to_string()
            }
        })*
    };
}

parsed! {
    usize: "a whole number", u32: "a whole number", f64: "a number", bool: "true or false",
    Detector: "swim, heartbeat, phi, phi-normal, phi-akka or phi-exponential",
    Reconciliation: "auto, sketch, merkle or digest", Damping: "sends, counter, coin or age", PeerChoice: "uniform, shuffled or zoned", Broadcast: "rumours or tree",
    Zones: "names of zones with commas between, none empty, none twice",
    SplitPolicy: "none, keep-majority, static-quorum, keep-oldest or lease"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_reads_what_it_shows() {
        let mut config = Config::wan();
        for setting in SETTINGS {
            let text = (setting.show)(&config);
            assert_eq!((setting.read)(&mut config, &text), Some(()), "{} {text:?}", setting.name);
            assert!((setting.read)(&mut config, "non,,sense").is_none(), "{}", setting.name);
        }
        assert_eq!(config, Config::wan());
    }
}
