//! Decides what one scenario is made of: every option in plain numbers, so that a scenario can be
//! written to a file, read back, and made smaller option by option.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings_proto::Config;

use super::action::Action;
use super::settings;
use crate::network::{Conditions, Latency};
use crate::region::Regions;
use crate::world::WorldConfig;

/// How scenarios were drawn. A seed means the same for ever within its generation.
///
/// The third is the second with clients that bring sessions to one node and then to another.
pub const GENERATIONS: [u32; 3] = [1, 2, 3];
pub const NEWEST: u32 = 3;

/// What a run is made of, besides what happens in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    pub generation: u32,
    pub seed: u64,
    pub nodes: usize,
    /// Nodes of a second cluster in the same network.
    pub strangers: usize,
    /// This node also sends packets that are sealed and wrong: only rule 8 is left.
    pub liar: Option<usize>,
    pub profile: Profile,
    /// Settings that differ from the profile, as files write them.
    pub settings: BTreeMap<String, String>,
    pub disks: Disks,
    pub weather: Weather,
    pub world: Ground,
    /// Nodes of odd numbers speak a later version, whose frames and fields the others skip.
    pub mixed: bool,
    /// Nodes join before anything fails.
    pub calm_start: bool,
    pub keys: u64,
    pub safety_ms: u64,
    /// Weight of each kind of action, in the order of the generation's list.
    pub weights: Vec<u64>,
    /// How likely a client with a session acts before a step, in percent.
    #[serde(default)]
    pub clients: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    Local,
    Lan,
    Wan,
}

/// Which nodes keep their state on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disks {
    None,
    All,
    /// Those with an even number.
    Half,
}

/// [`Conditions`] in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weather {
    pub latency: Delay,
    pub loss: f64,
    pub duplication: f64,
    pub corruption: f64,
    pub reordering: f64,
    pub reordered_by_us: u64,
    /// Hosts are in so many places in turn, and packets between two places take longer.
    pub places: usize,
    pub between_places_us: u64,
    pub stream_bytes_per_second: u64,
}

/// [`Latency`] in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delay {
    Constant(u64),
    Uniform(u64, u64),
    Exponential { floor: u64, mean: u64 },
}

/// What hosts and disks are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ground {
    pub unreachable: bool,
    pub disk_latency_ms: u64,
    pub socket_buffer_bytes: usize,
}

/// One thing that happens, and how long the world runs after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    #[serde(flatten)]
    pub action: Action,
    pub then_ms: u64,
}

/// A run: what happens is drawn from the seed, or listed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub options: Options,
    pub steps: Option<Vec<Step>>,
}

impl Options {
    /// What a seed stands for: the same for ever.
    pub fn draw(generation: u32, seed: u64) -> Options {
        match generation {
            1 => super::first::draw(seed),
            2 => super::second::draw(seed),
            3 => {
                let clients = super::clients::draw_share(seed);
                Options { generation: 3, clients, ..super::second::draw(seed) }
            }
            other => panic!("generation {other}: expected one of {GENERATIONS:?}"),
        }
    }

    /// The settings of a node; an error names the setting that does not fit.
    pub fn config(&self, host: usize) -> Result<Config, String> {
        let mut config = match self.profile {
            Profile::Local => Config::local(),
            Profile::Lan => Config::lan(),
            Profile::Wan => Config::wan(),
        };
        settings::set(&mut config, &self.settings)?;
        config.durable = match self.disks {
            Disks::None => false,
            Disks::All => true,
            Disks::Half => host.is_multiple_of(2),
        };
        config.check().map_err(|e| e.to_string())?;
        Ok(config)
    }

    pub fn safety(&self) -> Duration {
        Duration::from_millis(self.safety_ms)
    }

    pub(super) fn world(&self) -> WorldConfig {
        WorldConfig {
            unreachable: self.world.unreachable,
            disk_latency: Duration::from_millis(self.world.disk_latency_ms),
            socket_buffer_bytes: self.world.socket_buffer_bytes,
            packets_kept: if self.generation == 1 { 0 } else { 256 },
            ..WorldConfig::default()
        }
    }
}

impl Weather {
    pub fn conditions(&self) -> Conditions {
        let us = Duration::from_micros;
        let latency = match self.latency {
            Delay::Constant(d) => Latency::Constant(us(d)),
            Delay::Uniform(min, max) => Latency::Uniform(us(min), us(max)),
            Delay::Exponential { floor, mean } => {
                Latency::Exponential { floor: us(floor), mean: us(mean) }
            }
        };
        Conditions {
            latency,
            loss: self.loss,
            duplication: self.duplication,
            corruption: self.corruption,
            reordering: self.reordering,
            reordered_by: us(self.reordered_by_us),
            stream_bytes_per_second: self.stream_bytes_per_second,
        }
    }

    pub(super) fn regions(&self, hosts: usize) -> Regions {
        let way = Latency::Constant(Duration::from_micros(self.between_places_us));
        let of = (0..hosts).map(|host| (host % self.places) as u16).collect();
        Regions::new(self.places, of, |_, _| way)
    }
}

impl Scenario {
    pub fn drawn(generation: u32, seed: u64) -> Scenario {
        Scenario { options: Options::draw(generation, seed), steps: None }
    }

    /// As a file: the options, then one step a line.
    pub fn to_text(&self) -> String {
        let steps: Vec<String> = self.steps.iter().flatten().map(json).collect();
        let steps = match &self.steps {
            None => "null".to_owned(),
            Some(_) if steps.is_empty() => "[]".to_owned(),
            Some(_) => format!("[\n{}\n]", steps.join(",\n")),
        };
        format!("{{\"options\":{},\n\"steps\":{steps}}}\n", json(&self.options))
    }

    /// Reads what [`Self::to_text`] wrote; the error names line and expectation.
    pub fn parse(text: &str) -> Result<Scenario, String> {
        let scenario: Scenario = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let options = &scenario.options;
        if !GENERATIONS.contains(&options.generation) {
            return Err(format!(
                "generation = {}: expected one of {GENERATIONS:?}",
                options.generation
            ));
        }
        let counts = [
            ("nodes", options.nodes, 2, 1000),
            ("strangers", options.strangers, 0, 1000),
            ("places", options.weather.places, 1, 1000),
        ];
        for (what, count, min, max) in counts {
            if !(min..=max).contains(&count) {
                return Err(format!("{what} = {count}: expected {min} to {max}"));
            }
        }
        let shares = [
            ("loss", options.weather.loss),
            ("duplication", options.weather.duplication),
            ("corruption", options.weather.corruption),
            ("reordering", options.weather.reordering),
        ];
        for (what, share) in shares {
            if !(0.0..=1.0).contains(&share) {
                return Err(format!("{what} = {share}: expected 0 to 1"));
            }
        }
        if options.keys == 0 {
            return Err("keys = 0: expected at least 1".to_owned());
        }
        options.config(0)?;
        Ok(scenario)
    }
}

/// On one line.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data has a JSON form")
}
