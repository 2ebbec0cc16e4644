//! Decides every setting of the protocol: unit, default, bound, and how to choose it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How a member comes to be doubted. All nodes of a cluster should agree; where they do not, who
/// sends no heartbeats is judged by probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detector {
    /// A probe that nothing answers. Costs the same at any size.
    Swim,
    /// A heartbeat counter that does not rise for `heartbeat_rounds`. Costs O(n) per node.
    Heartbeat,
    /// A heartbeat counter whose suspicion level phi reaches `phi_threshold`. Costs O(n) per node.
    Phi(PhiForm),
}

/// What phi takes the intervals between heartbeats for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhiForm {
    /// Sends at a fixed period with normal jitter, some of them lost: calibrated under loss.
    LossAware,
    /// Normal (Hayashibara et al. 2004). Wrong under loss: one lost heartbeat is a mistake.
    Normal,
    /// Akka's approximation of the normal.
    Akka,
    /// Exponential, as in Cassandra.
    Exponential,
}

const DETECTORS: [(&str, Detector); 6] = [
    ("swim", Detector::Swim),
    ("heartbeat", Detector::Heartbeat),
    ("phi", Detector::Phi(PhiForm::LossAware)),
    ("phi-normal", Detector::Phi(PhiForm::Normal)),
    ("phi-akka", Detector::Phi(PhiForm::Akka)),
    ("phi-exponential", Detector::Phi(PhiForm::Exponential)),
];

impl fmt::Display for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = DETECTORS.iter().find(|(_, detector)| detector == self);
        f.write_str(named.expect("every detector has a name").0)
    }
}

impl FromStr for Detector {
    type Err = ();

    fn from_str(text: &str) -> Result<Detector, ()> {
        DETECTORS.iter().find(|(name, _)| *name == text).map(|(_, detector)| *detector).ok_or(())
    }
}

/// How a session finds what differs in the state of two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconciliation {
    /// Whichever costs the fewest bytes, by the estimated difference.
    Auto,
    /// Coded symbols: bytes in proportion to what differs.
    Sketch,
    /// Trees of hashes over ranges: more bytes, no pass over the set, and proof against a peer that
    /// knows the cluster's key.
    Merkle,
    /// Version vectors: bytes in proportion to the writers.
    Digest,
}

const RECONCILIATIONS: [(&str, Reconciliation); 4] = [
    ("auto", Reconciliation::Auto),
    ("sketch", Reconciliation::Sketch),
    ("merkle", Reconciliation::Merkle),
    ("digest", Reconciliation::Digest),
];

impl fmt::Display for Reconciliation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = RECONCILIATIONS.iter().find(|(_, method)| method == self);
        f.write_str(named.expect("every method has a name").0)
    }
}

impl FromStr for Reconciliation {
    type Err = ();

    fn from_str(text: &str) -> Result<Reconciliation, ()> {
        RECONCILIATIONS.iter().find(|(name, _)| *name == text).map(|(_, m)| *m).ok_or(())
    }
}

/// Whom a node tells in a round of gossip, among all live members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerChoice {
    /// By chance alone.
    Uniform,
    /// By chance among those contacted least recently: nobody waits longer than 1.2 (n - 1) / k rounds.
    Shuffled,
    /// Mostly among those of the same zone (tag `zone`), sometimes elsewhere.
    Zoned,
}

const PEER_CHOICES: [(&str, PeerChoice); 3] = [
    ("uniform", PeerChoice::Uniform),
    ("shuffled", PeerChoice::Shuffled),
    ("zoned", PeerChoice::Zoned),
];

impl fmt::Display for PeerChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = PEER_CHOICES.iter().find(|(_, choice)| choice == self);
        f.write_str(named.expect("every choice has a name").0)
    }
}

impl FromStr for PeerChoice {
    type Err = ();

    fn from_str(text: &str) -> Result<PeerChoice, ()> {
        PEER_CHOICES.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice).ok_or(())
    }
}

/// Names of zones, each of 1 to 128 bytes, none twice.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Zones(Vec<String>);

impl Zones {
    /// Whether a member may be in this zone; where none are named it may be in any.
    pub fn allow(&self, zone: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|known| known == zone)
    }
}

impl fmt::Debug for Zones {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.join(","))
    }
}

impl fmt::Display for Zones {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

impl FromStr for Zones {
    type Err = ();

    fn from_str(text: &str) -> Result<Zones, ()> {
        if text.is_empty() {
            return Ok(Zones::default());
        }
        let names: Vec<String> = text.split(',').map(str::to_owned).collect();
        let fits = |at: usize| {
            let name = &names[at];
            (1..=128).contains(&name.len()) && name.trim() == name && !names[..at].contains(name)
        };
        if (0..names.len()).all(fits) { Ok(Zones(names)) } else { Err(()) }
    }
}

/// When a rumour goes cold, so that it is told no more (Demers et al. 1987, 1.4). Each ends at
/// `transmit_factor` at the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damping {
    /// Told so often, whoever knew it (blind counter).
    Sends,
    /// Heard again `damping_threshold` times from members who heard it again no less often than this
    /// node (feedback and counter, with minimization).
    Counter,
    /// Each time that it is heard again with probability 1 / `damping_threshold` (feedback and coin).
    Coin,
    /// Older than `damping_threshold` ticks.
    Age,
}

const DAMPINGS: [(&str, Damping); 4] = [
    ("sends", Damping::Sends),
    ("counter", Damping::Counter),
    ("coin", Damping::Coin),
    ("age", Damping::Age),
];

impl fmt::Display for Damping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = DAMPINGS.iter().find(|(_, damping)| damping == self);
        f.write_str(named.expect("every damping has a name").0)
    }
}

impl FromStr for Damping {
    type Err = ();

    fn from_str(text: &str) -> Result<Damping, ()> {
        DAMPINGS.iter().find(|(name, _)| *name == text).map(|(_, damping)| *damping).ok_or(())
    }
}

/// How user events reach all members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broadcast {
    /// Told to members by chance, several times each.
    Rumours,
    /// Handed down a tree, about one copy for each member.
    Tree,
}

const BROADCASTS: [(&str, Broadcast); 2] =
    [("rumours", Broadcast::Rumours), ("tree", Broadcast::Tree)];

impl fmt::Display for Broadcast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = BROADCASTS.iter().find(|(_, broadcast)| broadcast == self);
        f.write_str(named.expect("every way has a name").0)
    }
}

impl FromStr for Broadcast {
    type Err = ();

    fn from_str(text: &str) -> Result<Broadcast, ()> {
        BROADCASTS.iter().find(|(name, _)| *name == text).map(|(_, way)| *way).ok_or(())
    }
}

/// Which side of a split goes on owning what must have one owner. Membership does not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitPolicy {
    /// Every side.
    None,
    /// The side with more than half of the members; of two halves the one with the lowest id.
    KeepMajority,
    /// A side of at least `split_quorum` members.
    StaticQuorum,
    /// The side of the oldest member, unless it is alone.
    KeepOldest,
    /// The side of the one member whose tag `split-lease` is `held`: set while it holds a lease of an
    /// authority outside.
    Lease,
}

const SPLIT_POLICIES: [(&str, SplitPolicy); 5] = [
    ("none", SplitPolicy::None),
    ("keep-majority", SplitPolicy::KeepMajority),
    ("static-quorum", SplitPolicy::StaticQuorum),
    ("keep-oldest", SplitPolicy::KeepOldest),
    ("lease", SplitPolicy::Lease),
];

impl fmt::Display for SplitPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = SPLIT_POLICIES.iter().find(|(_, policy)| policy == self);
        f.write_str(named.expect("every policy has a name").0)
    }
}

impl FromStr for SplitPolicy {
    type Err = ();

    fn from_str(text: &str) -> Result<SplitPolicy, ()> {
        SPLIT_POLICIES.iter().find(|(name, _)| *name == text).map(|(_, policy)| *policy).ok_or(())
    }
}

/// Settings of one node. Start from [`Config::lan`], [`Config::wan`] or [`Config::local`] and
/// change what you must; [`Config::check`] names what does not fit.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Nodes of other clusters are refused. All nodes of a cluster must agree.
    pub cluster: String,
    /// How often one member is probed. Detection takes about two periods plus the verdict;
    /// idle traffic is four datagrams per period.
    pub probe_period: Duration,
    /// Longest wait for a direct ack before helpers are asked; shorter where round trips are
    /// measured. Must be shorter than `probe_period`.
    pub probe_timeout: Duration,
    /// Helpers asked in parallel when a direct probe times out. 0 turns indirect probing off.
    pub indirect_probes: usize,
    /// Also ask over a stream when a direct probe times out: finds refused ports and blocked
    /// datagrams.
    pub stream_probe: bool,
    /// How long a member may stand still without being declared failed: choose the longest
    /// garbage collection or migration pause that you want to ride out.
    pub pause_tolerated: Duration,
    /// Silence is convicted after `suspicion_alpha * log10 n` periods, but not before
    /// `pause_tolerated`.
    pub suspicion_alpha: f64,
    /// An unconfirmed suspicion waits this many times longer; confirmations shorten it.
    pub suspicion_beta: f64,
    /// Confirmations that bring the suspicion down to its minimum.
    pub suspicion_confirmations: usize,
    /// Distinct accusers that a verdict needs: 2 guards against one sick observer.
    pub accusers_required: usize,
    /// Members that probe a suspect at once, by a hash of the suspicion.
    pub witnesses: usize,
    /// Between the first refusal (port closed) and the verdict, for a refutation to arrive.
    pub refused_wait: Duration,
    /// Highest local health score (Lifeguard): a sick node slows itself down by at most this + 1.
    pub local_health_max: u32,
    /// What makes this node doubt a member. The other detectors send O(n) bytes per period.
    pub detector: Detector,
    /// [`Detector::Heartbeat`]: periods without a rise of the counter before doubt. Counters reach
    /// a member some `ln n` periods late and skip a period now and then.
    pub heartbeat_rounds: u32,
    /// Counters are told to so many peers per period, each rise so often by each node. More is
    /// steadier, and detects sooner, at a cost in proportion.
    pub heartbeat_fanout: usize,
    /// [`Detector::Phi`]: the level that is doubt; wrong about once in 10^threshold heartbeats.
    pub phi_threshold: f64,
    /// Arrivals of one member that its level is estimated from; 8 bytes each.
    pub phi_window: usize,
    /// Arrivals are never taken for steadier than this.
    pub phi_min_deviation: Duration,
    /// Silence that does not count at all: waited for in addition.
    pub phi_pause: Duration,

    /// Interval of gossip while there is something to tell. Nothing is sent when there is not.
    pub tick: Duration,
    /// Peers told per tick. 3 is a good default; more shortens the tail and costs duplicates.
    pub fanout: usize,
    /// Peers told at once when something new is learnt.
    pub eager_fanout: usize,
    /// Who they are, tick by tick and at once.
    pub peer_choice: PeerChoice,
    /// [`PeerChoice::Zoned`]: of the picks that chance would send to other zones, the share that goes there.
    /// A zone of fewer than 1 / this members sends more, as much as one member by chance. 1: by chance alone.
    pub zone_crossing: f64,
    /// The zones that there are, with commas between: a tag `zone` of this node that is none of them is refused.
    /// Empty: any.
    pub zones: Zones,
    /// How this node's events reach all. [`Broadcast::Tree`]: a copy for each member in `eager_fanout`
    /// ways at each step, near ones first; for large clusters and large events.
    pub broadcast: Broadcast,
    /// Longest wait to batch fresh news into one packet.
    pub batch: Duration,
    /// Sends of one rumour by one node: this times log2(n + 1), rounded up. With 1.8 rumours alone
    /// miss somebody among 100 once in 1,600 updates; 1.3 is cheaper and leaves one in 80 to repair.
    pub transmit_factor: f64,
    /// When a rumour goes cold before that: what this spares is left to sessions.
    pub damping: Damping,
    /// How much it takes to cool a rumour, by `damping`. More misses fewer members and sends more.
    pub damping_threshold: u32,
    /// How often one member is asked for news of the keyspaces that are pulled; while there are any
    /// this costs a datagram of some 40 bytes.
    pub pull_interval: Duration,
    /// Reads of one key in about [`Config::hot_window`] that make a node say that it reads it a lot, in
    /// keyspaces declared `hot`.
    pub hot_threshold: u32,
    /// Reads count half after so long. What is hot is said again twice in it, and forgotten after two.
    pub hot_window: Duration,
    /// Share of the peers of a round that are readers of the hot key that it is about; the others are
    /// drawn by chance as ever, so that they hear of it no later.
    pub hot_bias: f64,
    /// A reader with more rumours waiting than this is not told first.
    pub hot_shed: usize,
    /// Payload of one datagram; stay under the path's MTU less 28 bytes of headers.
    pub datagram_bytes: usize,
    /// State changes in one datagram.
    pub changes_bytes: usize,
    /// Packets to one peer in one go when there is a backlog.
    pub burst_packets: usize,
    /// Rumours of one class (doubts, members, state, events) that may wait to be told, some 60 bytes
    /// each. While half of it was never told, own writes and events are refused as overloaded; at all
    /// of it what was told most often is left to repair.
    pub rumours_max: usize,
    /// What one sender may send beyond what is of use and what this node itself tells a member, in bytes
    /// per second, a kilobyte for each packet on top; what it does not use is kept for 128 s. More of
    /// it is dropped unread.
    pub peer_allowance: u32,
    /// Entries and events of one member that rumours may bring in per second, and four times as many
    /// at once. More of them are left to sessions.
    pub peer_writes: u32,
    /// News shall be everywhere within this in 99 of 100 cases, as cheaply as can be: `tick`, `batch`,
    /// `fanout`, `eager_fanout` and the sends of a rumour follow from it, the size of the cluster, the
    /// changes per second and round trips, whatever they are set to. 0: they stay as set.
    pub spread_target: Duration,
    /// What this node may send in the mean: payload of datagrams and streams, without headers of UDP and
    /// IP. Probes always pass, then members before state before events; what waits for it is told as it
    /// is when its turn comes. Wins over `spread_target`. 0: no limit.
    pub bytes_per_second: usize,
    /// Interval of exchanges about aggregates, while anybody puts something in. An epoch, so the age
    /// of what is told, is 8 + 3 ln n of them.
    pub aggregate_interval: Duration,

    /// Contact a seed that is not a live member every so many periods.
    pub seed_every: u32,
    /// Contacts to each failed member per period, by the cluster as a whole, so that a healed
    /// partition is found at once and a dead address is not flooded.
    pub recontacts: usize,
    /// Members that are lost less than this apart are told as one cut, once none is doubted.
    pub cut_quiet: Duration,
    /// Which side of a split goes on owning. All nodes of a cluster must agree.
    pub split_policy: SplitPolicy,
    /// [`SplitPolicy::StaticQuorum`]: members of a side that goes on. More than half of all that there
    /// will ever be: with twice as many members nobody goes on.
    pub split_quorum: usize,
    /// What a member's coming and going counts for halves in so long; one that comes back three times
    /// in it is told of calmly, for one to two more of it after the last; 0: never.
    pub flap_half_life: Duration,
    /// Forget failed and left members after this long; failed ones only where most members are.
    pub forget_after: Duration,

    /// Deletes, and writers that are gone, are forgotten when all members know of them: asked for so
    /// long after the first, and so often while there are any; 0: never. A pass costs each member some
    /// hundred bytes.
    pub forget_every: Duration,

    /// Fingerprints on probes start reconciliation. Off: rumours alone have to do it.
    pub anti_entropy: bool,
    /// Rumours carry changes. Off: reconciliation alone has to do it.
    pub rumours: bool,
    /// Concurrent reconciliation sessions that this node starts.
    pub sessions_max: usize,
    /// How a session finds what differs in the state. `auto` takes what costs the fewest bytes.
    pub reconciliation: Reconciliation,
    /// Each entry in memory is checked once in so long; 0: never. A check takes about 0.2 us of CPU.
    pub scrub_cycle: Duration,
    /// Events are kept this long for late joiners,
    pub event_window: Duration,
    /// and at most this many per sender.
    pub events_per_origin: usize,
    /// The local clock follows remote stamps at most this far beyond wall time.
    pub clock_bound: Duration,
    /// Own writes are acknowledged and published only when durable. Set by the driver when there
    /// is a data directory.
    pub durable: bool,
}

impl Config {
    /// One machine or rack: quick detection, no tolerance for long pauses.
    pub fn local() -> Config {
        Config {
            probe_period: Duration::from_millis(500),
            probe_timeout: Duration::from_millis(250),
            pause_tolerated: Duration::from_secs(2),
            suspicion_alpha: 1.5,
            refused_wait: Duration::from_millis(250),
            phi_min_deviation: Duration::from_millis(50),
            tick: Duration::from_millis(100),
            aggregate_interval: Duration::from_millis(100),
            pull_interval: Duration::from_millis(500),
            forget_after: Duration::from_secs(3600),
            cut_quiet: Duration::from_millis(1500),
            forget_every: Duration::from_secs(20),
            ..Config::lan()
        }
    }

    /// One data centre.
    pub fn lan() -> Config {
        Config {
            cluster: "tidings".to_owned(),
            probe_period: Duration::from_secs(1),
            probe_timeout: Duration::from_millis(500),
            indirect_probes: 3,
            stream_probe: true,
            pause_tolerated: Duration::from_secs(5),
            suspicion_alpha: 2.0,
            suspicion_beta: 6.0,
            suspicion_confirmations: 3,
            accusers_required: 2,
            witnesses: 8,
            refused_wait: Duration::from_millis(500),
            local_health_max: 8,
            detector: Detector::Swim,
            heartbeat_rounds: 8,
            heartbeat_fanout: 3,
            phi_threshold: 8.0,
            phi_window: 200,
            phi_min_deviation: Duration::from_millis(100),
            phi_pause: Duration::ZERO,
            tick: Duration::from_millis(200),
            fanout: 3,
            eager_fanout: 6,
            peer_choice: PeerChoice::Uniform,
            zone_crossing: 0.08,
            zones: Zones::default(),
            broadcast: Broadcast::Rumours,
            batch: Duration::from_millis(10),
            transmit_factor: 1.8,
            damping: Damping::Sends,
            damping_threshold: 3,
            pull_interval: Duration::from_secs(1),
            hot_threshold: 100,
            hot_window: Duration::from_secs(10),
            hot_bias: 0.7,
            hot_shed: 1000,
            datagram_bytes: 1400,
            changes_bytes: 1024,
            burst_packets: 8,
            rumours_max: 32_768,
            peer_allowance: 4096,
            peer_writes: 10_000,
            spread_target: Duration::ZERO,
            bytes_per_second: 0,
            aggregate_interval: Duration::from_millis(200),
            seed_every: 10,
            recontacts: 3,
            flap_half_life: Duration::from_secs(1800),
            cut_quiet: Duration::from_secs(3),
            split_policy: SplitPolicy::None,
            split_quorum: 3,
            forget_after: Duration::from_secs(72 * 3600),
            forget_every: Duration::from_secs(60),
            anti_entropy: true,
            rumours: true,
            sessions_max: 2,
            reconciliation: Reconciliation::Auto,
            scrub_cycle: Duration::from_secs(3600),
            event_window: Duration::from_secs(300),
            events_per_origin: 512,
            clock_bound: Duration::from_secs(10),
            durable: false,
        }
    }

    /// Across data centres: slower, tolerant of loss and long pauses.
    pub fn wan() -> Config {
        Config {
            probe_period: Duration::from_secs(5),
            probe_timeout: Duration::from_secs(2),
            pause_tolerated: Duration::from_secs(30),
            suspicion_alpha: 6.0,
            refused_wait: Duration::from_millis(1500),
            phi_min_deviation: Duration::from_millis(500),
            tick: Duration::from_millis(500),
            aggregate_interval: Duration::from_millis(500),
            pull_interval: Duration::from_secs(5),
            fanout: 4,
            eager_fanout: 8,
            cut_quiet: Duration::from_secs(15),
            ..Config::lan()
        }
    }

    /// Checks every bound and relation; the error names the setting, its value and what was
    /// expected.
    pub fn check(&self) -> Checked {
        if self.cluster.is_empty() || self.cluster.len() > 128 {
            return Err(ConfigError {
                setting: "cluster",
                value: format!("{:?}", self.cluster),
                expected: "1 to 128 bytes".to_owned(),
            });
        }
        self.check_detection()?;
        self.check_gossip()
    }

    fn check_detection(&self) -> Checked {
        within("probe_period", self.probe_period, ms(20), secs(600))?;
        within("probe_timeout", self.probe_timeout, ms(5), self.probe_period.mul_f64(0.9))?;
        count("indirect_probes", self.indirect_probes, 0, 16)?;
        within("pause_tolerated", self.pause_tolerated, ms(0), secs(3600))?;
        number("suspicion_alpha", self.suspicion_alpha, 0.1, 100.0)?;
        number("suspicion_beta", self.suspicion_beta, 1.0, 100.0)?;
        count("suspicion_confirmations", self.suspicion_confirmations, 0, 7)?;
        count("accusers_required", self.accusers_required, 1, 7)?;
        count("witnesses", self.witnesses, 0, 64)?;
        within("refused_wait", self.refused_wait, ms(0), secs(600))?;
        count("local_health_max", self.local_health_max as usize, 0, 64)?;
        count("heartbeat_rounds", self.heartbeat_rounds as usize, 2, 1000)?;
        count("heartbeat_fanout", self.heartbeat_fanout, 1, 16)?;
        number("phi_threshold", self.phi_threshold, 0.1, 100.0)?;
        count("phi_window", self.phi_window, 8, 10_000)?;
        within("phi_min_deviation", self.phi_min_deviation, ms(1), secs(60))?;
        within("phi_pause", self.phi_pause, ms(0), secs(3600))
    }

    fn check_gossip(&self) -> Checked {
        within("tick", self.tick, ms(10), secs(60))?;
        count("fanout", self.fanout, 1, 64)?;
        count("eager_fanout", self.eager_fanout, 1, 64)?;
        number("zone_crossing", self.zone_crossing, 0.0, 1.0)?;
        within("batch", self.batch, ms(0), ms(1000))?;
        number("transmit_factor", self.transmit_factor, 0.1, 20.0)?;
        count("damping_threshold", self.damping_threshold as usize, 1, 64)?;
        within("pull_interval", self.pull_interval, ms(10), secs(600))?;
        count("hot_threshold", self.hot_threshold as usize, 1, 1_000_000)?;
        within("hot_window", self.hot_window, ms(100), secs(3600))?;
        number("hot_bias", self.hot_bias, 0.0, 0.95)?;
        count("hot_shed", self.hot_shed, 0, 1_000_000)?;
        count("datagram_bytes", self.datagram_bytes, 1200, 65_000)?;
        count("changes_bytes", self.changes_bytes, 1024, self.datagram_bytes - 100)?;
        count("burst_packets", self.burst_packets, 1, 64)?;
        count("rumours_max", self.rumours_max, 16, 10_000_000)?;
        count("peer_allowance", self.peer_allowance as usize, 1024, 1 << 30)?;
        count("peer_writes", self.peer_writes as usize, 1, 1 << 30)?;
        self.check_aim()?;
        within("aggregate_interval", self.aggregate_interval, ms(10), secs(60))?;
        count("seed_every", self.seed_every as usize, 1, 10_000)?;
        count("recontacts", self.recontacts, 0, 64)?;
        within("cut_quiet", self.cut_quiet, ms(0), secs(600))?;
        count("split_quorum", self.split_quorum, 1, 100_000)?;
        within("flap_half_life", self.flap_half_life, ms(0), secs(86_400))?;
        within("forget_after", self.forget_after, ms(100), secs(10 * 365 * 86_400))?;
        within("forget_every", self.forget_every, ms(0), secs(86_400))?;
        count("sessions_max", self.sessions_max, 1, 64)?;
        within("scrub_cycle", self.scrub_cycle, ms(0), secs(365 * 86_400))?;
        within("event_window", self.event_window, ms(100), secs(86_400))?;
        count("events_per_origin", self.events_per_origin, 1, 65_536)?;
        within("clock_bound", self.clock_bound, ms(1), secs(86_400))
    }

    fn check_aim(&self) -> Checked {
        if !self.spread_target.is_zero() {
            within("spread_target", self.spread_target, ms(50), secs(600)).map_err(|error| {
                ConfigError { expected: format!("0s (off), or {}", error.expected), ..error }
            })?;
        }
        let least = self.least_bytes_per_second();
        if self.bytes_per_second == 0
            || (least..=BYTES_PER_SECOND_MAX).contains(&self.bytes_per_second)
        {
            return Ok(());
        }
        let (period, helpers) = (self.probe_period, self.indirect_probes);
        Err(ConfigError {
            setting: "bytes_per_second",
            value: self.bytes_per_second.to_string(),
            expected: format!(
                "0 (no limit), or {least} to {BYTES_PER_SECOND_MAX}: probes alone may need {least} bytes/s \
                 at probe_period = {period:?} and indirect_probes = {helpers}"
            ),
        })
    }

    /// What finding the dead may cost a node in a second: each period a ping and an answer, one probe that
    /// fails and asks its helpers, and the same help given to another; heartbeats where they are sent.
    pub fn least_bytes_per_second(&self) -> usize {
        let probes = PROBE_BYTES * (3 + 3 * self.indirect_probes);
        let beats = match self.detector {
            Detector::Swim => 0,
            _ => self.heartbeat_fanout * self.changes_bytes,
        };
        ((probes + beats) as f64 / self.probe_period.as_secs_f64()).ceil() as usize
    }

    /// Whether interval, fanout and sends follow an aim instead of being as set.
    pub fn adapts(&self) -> bool {
        !self.spread_target.is_zero() || self.bytes_per_second > 0
    }
}

/// A ping, an ack, a request to a helper or its answer, at most, without news.
const PROBE_BYTES: usize = 48;
const BYTES_PER_SECOND_MAX: usize = 1_000_000_000;

/// When a changed setting counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// As soon as it is given to a running node.
    Live,
    /// At the next start only.
    Restart,
}

macro_rules! takes_effect {
    ($($name:ident: $when:ident),* $(,)?) => {
        /// Every setting, and when a change of it counts.
        pub const SETTINGS: &[(&str, Takes)] = &[$((stringify!($name), Takes::$when)),*];

        impl Config {
            /// The settings that `newer` has otherwise, in order.
            pub fn differing(&self, newer: &Config) -> Vec<(&'static str, Takes)> {
                // Names every field: a new setting has to say when it counts.
                let Config { $($name),* } = self;
                let differs = [$($name != &newer.$name),*];
                let all = SETTINGS.iter().zip(differs);
                all.filter(|(_, differs)| *differs).map(|(setting, _)| *setting).collect()
            }
        }
    };
}

// The cluster's name is part of every checksum; whether there is a data directory is found at the start.
takes_effect! {
    cluster: Restart, probe_period: Live, probe_timeout: Live, indirect_probes: Live, stream_probe: Live,
    pause_tolerated: Live, suspicion_alpha: Live, suspicion_beta: Live, suspicion_confirmations: Live,
    accusers_required: Live, witnesses: Live, refused_wait: Live, local_health_max: Live, detector: Live,
    heartbeat_rounds: Live, heartbeat_fanout: Live, phi_threshold: Live, phi_window: Live,
    phi_min_deviation: Live, phi_pause: Live, tick: Live, fanout: Live, eager_fanout: Live, peer_choice: Live,
    broadcast: Live, batch: Live, transmit_factor: Live, damping: Live, damping_threshold: Live,
    pull_interval: Live, hot_threshold: Live, hot_window: Live, hot_bias: Live, hot_shed: Live,
    datagram_bytes: Live, changes_bytes: Live, burst_packets: Live, rumours_max: Live, spread_target: Live,
    bytes_per_second: Live, aggregate_interval: Live, seed_every: Live, recontacts: Live, cut_quiet: Live, flap_half_life: Live,
    split_policy: Live, split_quorum: Live, zone_crossing: Live, zones: Live, peer_allowance: Live, peer_writes: Live, forget_after: Live, forget_every: Live, anti_entropy: Live,
    rumours: Live, sessions_max: Live, reconciliation: Live, scrub_cycle: Live, event_window: Live,
    events_per_origin: Live, clock_bound: Live, durable: Restart,
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

type Checked = Result<(), ConfigError>;

fn within(setting: &'static str, value: Duration, min: Duration, max: Duration) -> Checked {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    let (value, expected) = (format!("{value:?}"), format!("{min:?} to {max:?}"));
    Err(ConfigError { setting, value, expected })
}

fn count(setting: &'static str, value: usize, min: usize, max: usize) -> Checked {
    number(setting, value as f64, min as f64, max as f64)
}

fn number(setting: &'static str, value: f64, min: f64, max: f64) -> Checked {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(ConfigError { setting, value: value.to_string(), expected: format!("{min} to {max}") })
}

/// A setting that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub setting: &'static str,
    pub value: String,
    pub expected: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}: expected {}", self.setting, self.value, self.expected)
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_valid() {
        for config in [Config::local(), Config::lan(), Config::wan()] {
            assert_eq!(config.check(), Ok(()));
        }
    }

    #[test]
    fn a_bad_setting_names_itself_its_value_and_the_bound() {
        let config = Config { fanout: 0, ..Config::lan() };
        assert_eq!(config.check().unwrap_err().to_string(), "fanout = 0: expected 1 to 64");
    }

    #[test]
    fn a_budget_below_what_probes_need_is_refused_with_what_they_need() {
        let of = |bytes_per_second| Config { bytes_per_second, ..Config::lan() };
        assert_eq!(
            of(100).check().unwrap_err().to_string(),
            "bytes_per_second = 100: expected 0 (no limit), or 576 to 1000000000: probes alone may need 576 \
             bytes/s at probe_period = 1s and indirect_probes = 3"
        );
        assert_eq!((of(0).check(), of(576).check()), (Ok(()), Ok(())));
        assert!(of(575).check().is_err());
        let beating = Config { detector: Detector::Heartbeat, ..of(1000) };
        assert!(beating.check().is_err(), "counters of all members need more");
    }

    #[test]
    fn what_differs_is_named_with_when_it_counts() {
        let newer = Config { cluster: "b".to_owned(), fanout: 4, ..Config::lan() };
        let found = Config::lan().differing(&newer);
        assert_eq!(found, [("cluster", Takes::Restart), ("fanout", Takes::Live)]);
    }
}
