//! Decides that every setting changes behaviour (rule 11): one row per field of `Config`, with
//! two values, a measure, and which of the two measures more.

use std::time::Duration;

use tidings_proto::Config;
use tidings_proto::base::hash::HashKey;
use tidings_proto::base::policy::{Mode, Policy};
use tidings_proto::config::{
    Broadcast, Damping, Detector, PeerChoice, PhiForm, Reconciliation, SplitPolicy,
};
use tidings_proto::io::{Command, Contribution, Owning};
use tidings_proto::wire::packet::begin;
use tidings_sim::reconcile::{Difference, Lacks, Replicas};
use tidings_sim::region::Regions;
use tidings_sim::setup::{joined, spread};
use tidings_sim::{Conditions, Latency, Topic, World, WorldConfig};

struct Row {
    setting: &'static str,
    low: fn(&mut Config),
    high: fn(&mut Config),
    /// Measures more under `high` than under `low`.
    measure: fn(&Config) -> f64,
}

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const ROWS: &[Row] = &[
    Row {
        setting: "cluster",
        low: |c| c.cluster = "other".to_owned(),
        high: |_| {},
        measure: members_met,
    },
    Row {
        setting: "probe_period",
        low: |c| c.probe_period = secs(2),
        high: |_| {},
        measure: |c| idle(c, |w, h| w.traffic(h).datagrams_sent),
    },
    Row {
        setting: "probe_timeout",
        low: |c| c.probe_timeout = ms(800),
        high: |c| c.probe_timeout = ms(50),
        measure: indirect_probes_at_long_round_trips,
    },
    Row {
        setting: "indirect_probes",
        low: |c| c.indirect_probes = 0,
        high: |_| {},
        measure: |c| silence(c, |w, h| w.node(h).stats().indirect_sent),
    },
    Row {
        setting: "stream_probe",
        low: |c| c.stream_probe = false,
        high: |_| {},
        measure: |c| silence(c, |w, h| w.node(h).stats().stream_probes_sent),
    },
    Row {
        setting: "pause_tolerated",
        low: |_| {},
        high: |c| c.pause_tolerated = secs(15),
        measure: silence_until_verdict,
    },
    Row {
        setting: "suspicion_alpha",
        low: |_| {},
        high: |c| c.suspicion_alpha = 20.0,
        measure: silence_until_verdict,
    },
    Row {
        setting: "suspicion_beta",
        low: |c| unconfirmed(c, 1.0, 7),
        high: |c| unconfirmed(c, 10.0, 7),
        measure: silence_until_verdict,
    },
    Row {
        setting: "suspicion_confirmations",
        low: |c| unconfirmed(c, 10.0, 1),
        high: |c| unconfirmed(c, 10.0, 7),
        measure: silence_until_verdict,
    },
    Row {
        setting: "accusers_required",
        low: |c| {
            unconfirmed(c, 1.0, 0);
            c.accusers_required = 1;
        },
        high: |c| {
            unconfirmed(c, 1.0, 0);
            c.accusers_required = 7;
        },
        measure: |c| silence(c, |w, h| w.node(h).stats().verdicts_unconfirmed),
    },
    Row {
        setting: "witnesses",
        low: |c| c.witnesses = 0,
        high: |_| {},
        measure: |c| silence(c, |w, h| w.node(h).stats().witness_probes),
    },
    Row {
        setting: "refused_wait",
        low: |_| {},
        high: |c| c.refused_wait = secs(3),
        measure: kill_until_verdict,
    },
    Row {
        setting: "local_health_max",
        low: |c| c.local_health_max = 1,
        high: |_| {},
        measure: health_of_an_isolated_node,
    },
    Row {
        setting: "detector",
        low: |_| {},
        high: |c| c.detector = Detector::Heartbeat,
        measure: |c| idle(c, |w, h| w.node(h).stats().heartbeats_sent),
    },
    Row {
        setting: "heartbeat_rounds",
        low: |c| c.detector = Detector::Heartbeat,
        high: |c| (c.detector, c.heartbeat_rounds) = (Detector::Heartbeat, 20),
        measure: silence_until_doubt,
    },
    Row {
        setting: "heartbeat_fanout",
        low: |c| c.detector = Detector::Heartbeat,
        high: |c| (c.detector, c.heartbeat_fanout) = (Detector::Heartbeat, 9),
        measure: |c| idle(c, |w, h| w.traffic(h).bytes_sent),
    },
    Row {
        setting: "phi_threshold",
        low: phi,
        high: |c| {
            phi(c);
            c.phi_threshold = 14.0;
        },
        measure: silence_until_doubt,
    },
    Row {
        setting: "phi_window",
        low: |c| {
            phi(c);
            c.phi_window = 1000;
        },
        // Fewer arrivals, less sure that none is lost.
        high: |c| {
            phi(c);
            c.phi_window = 8;
        },
        measure: silence_until_doubt,
    },
    Row {
        setting: "phi_min_deviation",
        low: phi,
        high: |c| {
            phi(c);
            c.phi_min_deviation = secs(2);
        },
        measure: silence_until_doubt,
    },
    Row {
        setting: "phi_pause",
        low: phi,
        high: |c| {
            phi(c);
            c.phi_pause = secs(5);
        },
        measure: silence_until_doubt,
    },
    Row {
        setting: "tick",
        low: |c| slow_gossip(c, ms(200)),
        high: |c| slow_gossip(c, secs(2)),
        measure: key_to_all,
    },
    Row {
        setting: "fanout",
        low: |c| c.fanout = 12,
        high: |c| slow_gossip(c, ms(200)),
        measure: |c| key_to_all(&Config { eager_fanout: 1, ..c.clone() }),
    },
    Row {
        setting: "eager_fanout",
        low: |c| c.eager_fanout = 1,
        high: |c| c.eager_fanout = 10,
        measure: told_at_once,
    },
    Row {
        setting: "peer_choice",
        low: |c| c.peer_choice = PeerChoice::Shuffled,
        high: |_| {},
        measure: until_the_last_peer_is_told,
    },
    Row {
        setting: "zone_crossing",
        low: |c| zoned(c, 0.0),
        high: |c| zoned(c, 1.0),
        measure: told_elsewhere,
    },
    Row {
        setting: "zones",
        low: |_| {},
        high: |c| c.zones = "a,b".parse().expect("names"),
        measure: zones_refused,
    },
    Row {
        setting: "broadcast",
        low: |c| c.broadcast = Broadcast::Tree,
        high: |_| {},
        measure: copies_of_an_event,
    },
    Row {
        setting: "batch",
        low: |c| c.batch = ms(0),
        high: |c| c.batch = ms(150),
        measure: key_to_all,
    },
    Row {
        setting: "transmit_factor",
        low: |c| c.transmit_factor = 0.5,
        high: |c| c.transmit_factor = 6.0,
        measure: |c| one_key(c, |w, h| w.node(h).stats().rumours_state_sent),
    },
    Row {
        setting: "damping",
        low: |c| (c.damping, c.damping_threshold) = (Damping::Coin, 1),
        high: |_| {},
        measure: |c| one_key(c, |w, h| w.node(h).stats().rumours_state_sent),
    },
    Row {
        setting: "damping_threshold",
        low: |c| (c.damping, c.damping_threshold) = (Damping::Counter, 1),
        high: |c| (c.damping, c.damping_threshold) = (Damping::Counter, 20),
        measure: |c| one_key(c, |w, h| w.node(h).stats().rumours_state_sent),
    },
    Row {
        setting: "pull_interval",
        low: |c| c.pull_interval = secs(4),
        high: |_| {},
        measure: questions_about_a_pulled_keyspace,
    },
    Row {
        setting: "hot_threshold",
        low: |c| c.hot_threshold = 1000,
        high: |_| {},
        measure: readers_told_first,
    },
    Row {
        setting: "hot_window",
        low: |c| c.hot_window = ms(100),
        high: |_| {},
        measure: readers_told_first,
    },
    Row {
        setting: "hot_bias",
        low: |c| c.hot_bias = 0.0,
        high: |_| {},
        measure: readers_told_first,
    },
    Row { setting: "hot_shed", low: |c| c.hot_shed = 0, high: |_| {}, measure: readers_told_first },
    Row {
        setting: "datagram_bytes",
        low: |c| c.datagram_bytes = 1200,
        high: |c| (c.datagram_bytes, c.changes_bytes) = (1400, 1300),
        measure: largest_datagram,
    },
    Row {
        setting: "changes_bytes",
        low: |_| {},
        high: |c| c.changes_bytes = 1300,
        measure: largest_datagram,
    },
    Row {
        setting: "burst_packets",
        low: |c| c.burst_packets = 1,
        high: |c| c.burst_packets = 64,
        measure: packets_in_a_burst,
    },
    Row {
        setting: "rumours_max",
        low: |_| {},
        high: |c| c.rumours_max = 64,
        measure: writes_refused_of_a_hundred,
    },
    Row {
        setting: "peer_allowance",
        low: |_| {},
        high: |c| c.peer_allowance = 1 << 20,
        measure: garbage_looked_at,
    },
    Row {
        setting: "peer_writes",
        low: |c| c.peer_writes = 5,
        high: |_| {},
        measure: writes_by_rumour_of_a_hundred,
    },
    Row {
        setting: "spread_target",
        low: |c| c.spread_target = ms(200),
        high: |c| c.spread_target = secs(5),
        measure: interval_after_a_minute,
    },
    Row {
        setting: "bytes_per_second",
        low: |c| c.bytes_per_second = 1000,
        high: |c| c.bytes_per_second = 100_000,
        measure: bytes_of_a_busy_minute,
    },
    Row {
        setting: "aggregate_interval",
        low: |c| c.aggregate_interval = secs(1),
        high: |c| c.aggregate_interval = ms(100),
        measure: exchanges,
    },
    Row {
        setting: "seed_every",
        low: |c| c.seed_every = 50,
        high: |c| c.seed_every = 5,
        measure: seed_contacts,
    },
    Row {
        setting: "recontacts",
        low: |c| c.recontacts = 0,
        high: |_| {},
        measure: |c| silence(c, |w, h| w.node(h).stats().recontacts),
    },
    Row {
        setting: "cut_quiet",
        low: |c| c.cut_quiet = secs(10),
        high: |c| c.cut_quiet = ms(100),
        measure: cuts_of_two_losses,
    },
    Row {
        setting: "split_policy",
        low: |c| c.split_policy = SplitPolicy::KeepMajority,
        high: |_| {},
        measure: owners_of_a_split,
    },
    Row {
        setting: "split_quorum",
        low: |c| (c.split_policy, c.split_quorum) = (SplitPolicy::StaticQuorum, 6),
        high: |c| (c.split_policy, c.split_quorum) = (SplitPolicy::StaticQuorum, 4),
        measure: owners_of_a_split,
    },
    Row {
        setting: "flap_half_life",
        low: |_| {},
        high: |c| c.flap_half_life = Duration::ZERO,
        measure: joins_told_of_one_that_returns,
    },
    Row {
        setting: "forget_after",
        low: |_| {},
        high: |c| c.forget_after = secs(10),
        measure: |c| silence(c, |w, h| w.node(h).stats().members_reaped),
    },
    Row {
        setting: "forget_every",
        low: |_| {},
        high: |c| c.forget_every = secs(1),
        measure: deletes_forgotten,
    },
    Row {
        setting: "anti_entropy",
        low: |c| c.anti_entropy = false,
        high: |_| {},
        measure: sessions_after_a_split,
    },
    Row {
        setting: "rumours",
        low: |c| c.rumours = false,
        high: |_| {},
        measure: |c| one_key(c, |w, h| w.node(h).stats().rumours_state_sent),
    },
    Row {
        setting: "sessions_max",
        low: |c| c.sessions_max = 1,
        high: |c| c.sessions_max = 8,
        measure: sessions_at_once,
    },
    Row {
        setting: "reconciliation",
        low: |c| c.reconciliation = Reconciliation::Sketch,
        high: |c| c.reconciliation = Reconciliation::Digest,
        measure: bytes_to_find_ten_keys,
    },
    Row {
        setting: "scrub_cycle",
        low: |c| c.scrub_cycle = Duration::ZERO,
        high: |_| {},
        measure: |c| one_key(c, |w, h| w.node(h).stats().scrub_checked),
    },
    Row {
        setting: "event_window",
        low: |c| c.event_window = secs(5),
        high: |_| {},
        measure: events_replayed,
    },
    Row {
        setting: "events_per_origin",
        low: |c| c.events_per_origin = 3,
        high: |_| {},
        measure: events_replayed,
    },
    Row {
        setting: "clock_bound",
        low: |c| c.clock_bound = secs(3600),
        high: |c| c.clock_bound = secs(5),
        measure: clock_alarms,
    },
    Row {
        setting: "durable",
        low: |c| c.durable = false,
        high: |c| c.durable = true,
        measure: keys_after_all_crashed,
    },
];

#[test]
fn every_setting_changes_behaviour() {
    let mut dead = Vec::new();
    for row in ROWS {
        let measure = |change: fn(&mut Config)| {
            let mut config = Config::lan();
            change(&mut config);
            config.check().unwrap_or_else(|e| panic!("{}: {e}", row.setting));
            (row.measure)(&config)
        };
        let (low, high) = (measure(row.low), measure(row.high));
        println!("{:24} {low:10.3} {high:10.3}", row.setting);
        if low >= high {
            dead.push(format!("{}: {low} against {high}", row.setting));
        }
    }
    assert!(dead.is_empty(), "settings that change nothing:\n{}", dead.join("\n"));
}

/// The rows name every field: a new setting without a row does not pass.
#[test]
fn every_setting_has_a_row() {
    let shown = format!("{:#?}", Config::lan());
    let fields = shown.lines().filter(|l| l.starts_with("    ") && !l.starts_with("     "));
    let fields: Vec<&str> = fields.filter_map(|l| l.trim().split(':').next()).collect();
    let named: Vec<&str> = ROWS.iter().map(|r| r.setting).collect();
    assert!(fields.len() > 20, "{fields:?}");
    assert_eq!(fields, named);
}

fn unconfirmed(config: &mut Config, beta: f64, confirmations: usize) {
    config.witnesses = 0;
    config.pause_tolerated = secs(1);
    config.suspicion_alpha = 0.5;
    config.suspicion_beta = beta;
    config.suspicion_confirmations = confirmations;
}

fn phi(config: &mut Config) {
    config.detector = Detector::Phi(PhiForm::LossAware);
}

fn slow_gossip(config: &mut Config, tick: Duration) {
    config.tick = tick;
    config.fanout = 1;
    config.eager_fanout = 1;
}

fn converged(n: usize, config: &Config) -> World {
    let mut world = World::converged(7, WorldConfig::default(), n, config);
    world.run_for(secs(3));
    world
}

fn total(world: &World, count: fn(&World, usize) -> u64) -> f64 {
    world.up().map(|h| count(world, h)).sum::<u64>() as f64
}

fn members_met(config: &Config) -> f64 {
    let mut world = joined(1, WorldConfig::default(), 2, &Config::lan());
    let third = world.add_node("third", config.clone());
    world.join(third, &[0]);
    world.run_for(secs(3));
    world.view(third).counts().0 as f64
}

fn idle(config: &Config, count: fn(&World, usize) -> u64) -> f64 {
    let mut world = converged(10, config);
    world.run_for(secs(30));
    total(&world, count)
}

/// One host of twelve falls silent for forty seconds.
fn silence(config: &Config, count: fn(&World, usize) -> u64) -> f64 {
    let mut world = converged(12, config);
    world.split_off([5]);
    world.run_for(secs(40));
    total(&world, count)
}

fn until_verdict(config: &Config, fail: fn(&mut World)) -> f64 {
    let mut world = converged(12, config);
    let (id, at) = (world.id(5), world.now());
    fail(&mut world);
    let declared = |w: &World| w.seen().first_failed.keys().any(|(o, s)| *o != 5 && *s == id);
    world.run_while(secs(120), ms(10), |w| !declared(w));
    world.now().since(at).as_secs_f64()
}

/// Few nodes and little jitter: what remains is the detector's own patience.
fn silence_until_doubt(config: &Config) -> f64 {
    let mut world = World::converged(7, WorldConfig::default(), 3, config);
    world.run_for(secs(60));
    let at = world.now();
    world.split_off([2]);
    let doubts = |w: &World| w.node(0).stats().doubts;
    let before = doubts(&world);
    world.run_while(secs(120), ms(10), |w| doubts(w) == before);
    world.now().since(at).as_secs_f64()
}

fn silence_until_verdict(config: &Config) -> f64 {
    until_verdict(config, |w| w.split_off([5]))
}

fn kill_until_verdict(config: &Config) -> f64 {
    until_verdict(config, |w| w.crash(5))
}

fn indirect_probes_at_long_round_trips(config: &Config) -> f64 {
    let conditions = Conditions { latency: Latency::Constant(ms(200)), ..Conditions::lan() };
    let world_config = WorldConfig { conditions, ..WorldConfig::default() };
    let mut world = World::converged(7, world_config, 10, config);
    world.run_for(secs(5));
    total(&world, |w, h| w.node(h).stats().indirect_sent)
}

fn health_of_an_isolated_node(config: &Config) -> f64 {
    let mut world = converged(12, config);
    world.split_off([5]);
    let mut worst = 0;
    for _ in 0..40 {
        world.run_for(ms(500));
        worst = worst.max(world.view(5).local_health());
    }
    f64::from(worst)
}

/// Exchanges about an aggregate in ten seconds.
fn exchanges(config: &Config) -> f64 {
    let mut world = joined(3, WorldConfig::default(), 5, config);
    let own = Some(Contribution { value: 1.0, quantiles: false });
    world.command(0, Command::Contribute { name: "load".to_owned(), own });
    world.run_for(secs(10));
    (0..5).map(|h| world.node(h).stats().aggregate_exchanges).sum::<u64>() as f64
}

fn key_to_all(config: &Config) -> f64 {
    let mut world = converged(30, config);
    let mut sum = 0.0;
    for i in 0..5 {
        let key = format!("k{i}");
        let topic = Topic::key("kv", key.as_bytes());
        world.track(topic.clone());
        world.set(i, &key, "v");
        sum += *spread(&mut world, &topic, 30, secs(60)).last().unwrap();
    }
    sum
}

fn zoned(config: &mut Config, crossing: f64) {
    config.peer_choice = PeerChoice::Zoned;
    config.zone_crossing = crossing;
}

/// Bytes between two halves of a cluster, about one key.
fn told_elsewhere(config: &Config) -> f64 {
    let mut world = converged(40, config);
    for host in 0..40 {
        let set = vec![("zone".to_owned(), format!("z{}", host % 2))];
        world.command(host, Command::SetTags { set, unset: Vec::new() });
    }
    world.run_for(secs(5));
    let halves = (0..40).map(|host| host % 2).collect();
    world.net.regions = Some(Regions::new(2, halves, |_, _| Latency::Constant(ms(0))));
    world.set(3, "k", "v");
    world.run_for(secs(2));
    total(&world, |w, h| w.traffic(h).bytes_far)
}

/// Of three names.
fn zones_refused(config: &Config) -> f64 {
    let mut world = converged(2, config);
    let refused = |zone: &&str| {
        let set = vec![("zone".to_owned(), (*zone).to_owned())];
        let id = world.command(0, Command::SetTags { set, unset: Vec::new() });
        matches!(world.reply_to(id), Some(Err(_)))
    };
    ["a", "b", "c"].into_iter().filter(refused).count() as f64
}

fn told_at_once(config: &Config) -> f64 {
    let mut world = converged(30, config);
    let before = world.node(3).stats().gossip_packets_sent;
    world.set(3, "k", "v");
    world.run_for(ms(50));
    (world.node(3).stats().gossip_packets_sent - before) as f64
}

fn one_key(config: &Config, count: fn(&World, usize) -> u64) -> f64 {
    let mut world = converged(30, config);
    world.set(3, "k", "v");
    world.run_for(secs(10));
    total(&world, count)
}

/// What 10 lacking keys among 1,000 of 10 writers cost two replicas.
fn bytes_to_find_ten_keys(config: &Config) -> f64 {
    let method = config.reconciliation;
    let lacks = Lacks::Both;
    let difference = Difference { keys: 1000, differing: 10, lacks, writers: 100, method, seed: 1 };
    Replicas::new(&difference).reconcile().expect("they become equal").bytes as f64
}

/// Many small keys at once fill packets to their limit.
fn backlog(config: &Config) -> World {
    let mut world = converged(4, config);
    for i in 0..300 {
        world.set(1, format!("key {i}"), [b'v'; 60]);
    }
    world
}

/// Seconds until the last of twenty peers is told something by a node that tells one per round.
fn until_the_last_peer_is_told(config: &Config) -> f64 {
    let mut config =
        Config { probe_period: secs(600), fanout: 1, eager_fanout: 1, ..config.clone() };
    config.transmit_factor = 0.1;
    let mut world = converged(21, &config);
    world.split_off([0]);
    (1..21).for_each(|host| world.await_send_to(host));
    let began = world.now();
    for i in 0..150 {
        world.set(0, format!("k{i}"), "v");
        world.run_for(ms(30));
    }
    let told = (1..21).map(|host| world.first_sent_to(host).map_or(secs(9), |at| at.since(began)));
    told.max().expect("there are twenty").as_secs_f64()
}

/// One node reads a key a hundred times a second, and has something to tell meanwhile.
fn readers_told_first(config: &Config) -> f64 {
    let mut world = converged(10, config);
    let policy = Policy { hot: true, ..Policy::default() };
    world.command(0, Command::Declare { keyspace: "kv".to_owned(), policy });
    world.set(1, "k", "v");
    world.run_for(secs(1));
    for i in 0..200 {
        world.set(3, format!("own {i}"), "v");
        world.command(3, Command::Read { keyspace: "kv".to_owned(), key: b"k".to_vec() });
        world.run_for(ms(10));
    }
    world.set(1, "k", "again");
    world.run_for(secs(1));
    total(&world, |w, h| w.node(h).stats().readers_told)
}

fn questions_about_a_pulled_keyspace(config: &Config) -> f64 {
    let mut world = converged(4, config);
    let policy = Policy { mode: Mode::Pull, ..Policy::default() };
    world.command(0, Command::Declare { keyspace: "kv".to_owned(), policy });
    world.run_for(secs(30));
    total(&world, |w, h| w.node(h).stats().pulls_sent)
}

fn largest_datagram(config: &Config) -> f64 {
    let mut world = backlog(config);
    world.run_for(secs(3));
    world.largest_datagram(1) as f64
}

fn packets_in_a_burst(config: &Config) -> f64 {
    let mut world = backlog(config);
    let before = world.traffic(1).datagrams_sent;
    world.run_for(ms(100));
    (world.traffic(1).datagrams_sent - before) as f64
}

fn writes_refused_of_a_hundred(config: &Config) -> f64 {
    let mut world = converged(4, config);
    for i in 0..100 {
        world.set(1, format!("k{i}"), "v");
    }
    world.node(1).stats().overloaded as f64
}

/// Rumours about members, told by the others of one that is stopped and started six times.
fn joins_told_of_one_that_returns(config: &Config) -> f64 {
    let mut world = converged(6, config);
    for _ in 0..6 {
        world.crash(5);
        world.run_for(secs(15));
        world.restart(5);
        world.join(5, &[0]);
        world.run_for(secs(5));
    }
    (0..5).map(|h| world.node(h).stats().rumours_member_sent as f64).sum()
}

/// Of ten thousand packets that say nothing, from a member.
fn garbage_looked_at(config: &Config) -> f64 {
    let mut world = converged(4, config);
    let mut bytes = Vec::new();
    begin(&mut bytes, &HashKey::for_cluster(&config.cluster), world.id(2));
    bytes.resize(300, 0);
    (0..10_000).for_each(|_| world.inject(1, 2, &bytes));
    world.run_for(ms(10));
    world.node(1).stats().drop_checksum as f64
}

fn writes_by_rumour_of_a_hundred(config: &Config) -> f64 {
    let config = Config { anti_entropy: false, ..config.clone() };
    let mut world = converged(4, &config);
    (0..100).for_each(|i| _ = world.set(1, format!("k{i}"), "v"));
    world.run_for(secs(3));
    world.node(2).stats().entries_applied as f64
}

fn cuts_of_two_losses(config: &Config) -> f64 {
    let mut world = converged(6, config);
    world.crash(4);
    world.run_for(secs(8));
    world.crash(5);
    world.run_for(secs(20));
    world.node(1).stats().cuts as f64
}

/// Of six nodes, two of which are cut off.
fn owners_of_a_split(config: &Config) -> f64 {
    let mut world = converged(6, config);
    world.run_for(secs(30));
    world.split_off([4, 5]);
    world.run_for(secs(60));
    (0..6).filter(|&h| world.view(h).owning() == Owning::Yes).count() as f64
}

fn seed_contacts(config: &Config) -> f64 {
    let mut world = converged(4, config);
    let away = world.place("away", config.clone());
    let addrs = vec![world.addr(away)];
    world.command(1, Command::SetSeeds { addrs });
    world.run_for(secs(120));
    world.node(1).stats().seed_contacts as f64
}

fn sessions_after_a_split(config: &Config) -> f64 {
    let mut world = converged(6, config);
    world.split_off([0, 1, 2]);
    world.set(0, "left", "v");
    world.set(5, "right", "v");
    world.run_for(secs(20));
    world.net.heal();
    world.run_for(secs(15));
    total(&world, |w, h| w.node(h).stats().state_sessions + w.node(h).stats().member_sessions)
}

/// A node returns that differs in members and in state: how many sessions it has open at once.
fn sessions_at_once(config: &Config) -> f64 {
    let conditions = Conditions { latency: Latency::Constant(ms(150)), ..Conditions::lan() };
    let world_config = WorldConfig { conditions, ..WorldConfig::default() };
    let config = Config { rumours: false, ..config.clone() };
    let mut world = World::converged(7, world_config, 10, &config);
    world.run_for(secs(3));
    world.split_off([5]);
    for i in 6..10 {
        world.set(i, format!("k{i}"), vec![1; 5_000]);
        let set = vec![("k".to_owned(), i.to_string())];
        world.command(i, Command::SetTags { set, unset: Vec::new() });
    }
    world.run_for(secs(4));
    world.net.heal();
    let mut most = 0;
    for _ in 0..600 {
        world.run_for(ms(20));
        most = most.max(world.calls_open(5));
    }
    most as f64
}

fn copies_of_an_event(config: &Config) -> f64 {
    let mut world = converged(40, config);
    world.emit(1, "e", b"1");
    world.run_for(secs(3));
    assert_eq!(world.seen().counts.user, 40);
    total(&world, |w, h| w.node(h).stats().rumours_event_sent)
}

fn events_replayed(config: &Config) -> f64 {
    let mut world = converged(4, config);
    for i in 0..8u8 {
        world.emit(1, "e", &[i]);
    }
    world.run_for(secs(15));
    let late = world.add_node("late", config.clone());
    world.join(late, &[2]);
    world.run_for(secs(8));
    world.view(late).events().len() as f64
}

fn interval_after_a_minute(config: &Config) -> f64 {
    let mut world = converged(10, config);
    world.run_for(secs(60));
    world.view(2).config().tick.as_secs_f64()
}

fn bytes_of_a_busy_minute(config: &Config) -> f64 {
    let mut world = converged(6, config);
    for i in 0..600 {
        world.set(i % 6, format!("k{}", i % 50), [b'v'; 50]);
        world.run_for(ms(100));
    }
    total(&world, |w, h| w.traffic(h).bytes_sent)
}

fn clock_alarms(config: &Config) -> f64 {
    let mut world = converged(4, config);
    world.clock_mut(2).step_wall(60_000);
    world.set(2, "k", "from the future");
    world.run_for(secs(5));
    total(&world, |w, h| w.node(h).stats().clock_alarms)
}

fn deletes_forgotten(config: &Config) -> f64 {
    let mut world = converged(4, config);
    world.set(1, "k", "v");
    world.run_for(secs(1));
    world.delete(2, "k");
    world.run_for(secs(10));
    total(&world, |w, h| w.node(h).stats().deletes_forgotten)
}

fn keys_after_all_crashed(config: &Config) -> f64 {
    let mut world = converged(3, config);
    world.set(1, "k", "v");
    world.run_for(secs(2));
    for host in 0..3 {
        world.crash(host);
    }
    for host in 0..3 {
        world.start(host);
    }
    world.run_for(secs(2));
    world.up().filter(|&h| world.get(h, "k").is_some()).count() as f64
}
