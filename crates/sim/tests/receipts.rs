//! Decides that receipts, certificates and agreement say what is so, in time, at the promised cost
//! (rows G2, G4, G5, K2, T3).

use std::time::Duration;

use tidings_proto::base::clocks::{Dot, Run};
use tidings_proto::base::rng::Rng;
use tidings_proto::convergence::delay::{BOUNDS, HOPS_MAX, bound};
use tidings_proto::io::{
    Awaited, Command, CommandError, CommandId, Lack, Path, Receipt, Receipted, Reply,
};
use tidings_proto::{Config, NodeId};
use tidings_sim::epidemic::eager::Cluster;
use tidings_sim::epidemic::stream;
use tidings_sim::observe::Topic;
use tidings_sim::setup::{joined, settle, soak};
use tidings_sim::statistics::percentile;
use tidings_sim::{Conditions, Latency, World, WorldConfig};

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn write(world: &mut World, host: usize, key: &str) -> Dot {
    let id = world.set(host, key, "v");
    world.run_while(secs(5), ms(1), |w| w.reply_to(id).is_none());
    match world.reply_to(id) {
        Some(Ok(Reply::Written { dots, .. })) => dots[0],
        other => panic!("{other:?}"),
    }
}

fn wait_for(
    world: &mut World,
    host: usize,
    dot: Dot,
    need: Receipt,
    timeout: Duration,
) -> CommandId {
    let what = Awaited::Writes(Run::from(dot));
    let timeout = Some(timeout);
    world.command(host, Command::Await { what, need, durable: false, timeout })
}

/// Runs until the command is answered, looking every millisecond.
fn answer(world: &mut World, id: CommandId) -> Result<Receipted, CommandError> {
    world.run_while(secs(700), ms(1), |w| w.reply_to(id).is_none());
    match world.reply_to(id).expect("every wait ends").clone() {
        Ok(Reply::Receipted(receipt)) => Ok(*receipt),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    }
}

fn not_enough(result: Result<Receipted, CommandError>) -> Receipted {
    match result {
        Err(CommandError::NotEnough(receipt)) => *receipt,
        other => panic!("{other:?}"),
    }
}

fn covers(world: &World, host: usize, dot: Dot) -> bool {
    world.view(host).covers(dot)
}

fn receipt_datagrams(world: &World) -> u64 {
    world.up().map(|h| world.node(h).stats()).map(|s| s.asks_sent + s.answers_sent).sum()
}

/// G4: ready within twice the time that the write takes to reach all, for two datagrams a member.
#[test]
fn a_certificate_is_ready_within_twice_the_dissemination_time() {
    for (n, writes) in [(100, 40), (1000, 8)] {
        let mut world = World::converged(1, WorldConfig::default(), n, &Config::lan());
        world.run_for(secs(3));
        let before = receipt_datagrams(&world);
        let (mut reached, mut ready) = (Vec::new(), Vec::new());
        for i in 0..writes {
            let host = i * 7 % n;
            let dot = write(&mut world, host, &format!("k{i}"));
            let start = world.now();
            let id = wait_for(&mut world, host, dot, Receipt::Certified, secs(10));
            world.run_while(secs(10), ms(1), |w| !(0..n).all(|h| covers(w, h, dot)));
            reached.push(world.now().since(start).as_secs_f64());
            let receipt = answer(&mut world, id).unwrap();
            ready.push(receipt.elapsed.as_secs_f64());
            let certificate = receipt.certificate.expect("a certificate was asked for");
            assert_eq!((receipt.have.len(), certificate.members.len()), (n, n));
            world.run_for(secs(1));
        }
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        let each = (receipt_datagrams(&world) - before) as f64 / (writes * (n - 1)) as f64;
        println!(
            "{n} nodes: all have it after {:.0} ms (p90 {:.0}), certificate after {:.0} ms (p90 \
             {:.0}), {each:.3} datagrams a member",
            mean(&reached) * 1e3,
            percentile(&reached, 0.9) * 1e3,
            mean(&ready) * 1e3,
            percentile(&ready, 0.9) * 1e3,
        );
        assert!(mean(&ready) <= 2.0 * mean(&reached));
        assert!(each <= 2.0, "{each}");
    }
}

#[test]
fn a_deadline_names_who_is_missing_and_a_quorum_does_without_them() {
    let mut world = joined(2, WorldConfig::default(), 7, &Config::lan());
    world.run_for(secs(3));
    world.pause(3);
    world.pause(5);
    let dot = write(&mut world, 0, "k");
    let all = wait_for(&mut world, 0, dot, Receipt::All, secs(1));
    let quorum = wait_for(&mut world, 0, dot, Receipt::Quorum, secs(1));
    let four_fifths = wait_for(&mut world, 0, dot, Receipt::Fraction(0.8), secs(1));
    let three = wait_for(&mut world, 0, dot, Receipt::Count(3), secs(1));
    let receipt = answer(&mut world, quorum).unwrap();
    assert!(receipt.have.len() >= 4 && receipt.needed == 4, "{receipt:?}");
    assert_eq!(answer(&mut world, three).unwrap().needed, 3);
    let late = not_enough(answer(&mut world, all));
    let missing: Vec<_> = late.missing.iter().map(|m| (m.name.as_str(), m.why)).collect();
    assert_eq!(missing, [("n3", Lack::Silent), ("n5", Lack::Silent)]);
    assert_eq!((late.have.len(), late.needed), (5, 7));
    let late = not_enough(answer(&mut world, four_fifths));
    assert_eq!(late.needed, 6);
    let text = CommandError::NotEnough(Box::new(late)).to_string();
    assert!(text.contains("5 of 6") && text.contains("n3 (no answer), n5 (no answer)"), "{text}");
}

/// Who fails leaves the set; who joins enters it.
#[test]
fn the_set_follows_the_membership() {
    let mut world = joined(3, WorldConfig::default(), 6, &Config::lan());
    world.run_for(secs(3));
    world.crash(4);
    let dot = write(&mut world, 0, "k");
    let id = wait_for(&mut world, 0, dot, Receipt::All, secs(30));
    world.run_for(ms(300));
    assert!(world.reply_to(id).is_none(), "n4 is not known to be gone yet");
    let late = world.add_node_with("late", Config::lan(), &[], &[1]);
    let receipt = answer(&mut world, id).unwrap();
    let names: Vec<_> = receipt.have.iter().map(|h| h.name.as_str()).collect();
    assert_eq!(names, ["late", "n0", "n1", "n2", "n3", "n5"]);
    assert_eq!(receipt.unreachable, ["n4"]);
    assert!(covers(&world, late, dot));
}

#[test]
fn any_node_may_ask_and_loss_costs_time_only() {
    let config = WorldConfig {
        conditions: Conditions { loss: 0.3, ..Conditions::lan() },
        ..WorldConfig::default()
    };
    let mut world = World::converged(4, config, 60, &Config::lan());
    world.run_for(secs(3));
    for i in 0..10 {
        let before = receipt_datagrams(&world);
        let dot = write(&mut world, i, &format!("k{i}"));
        let id = wait_for(&mut world, 59 - i, dot, Receipt::All, secs(20));
        let receipt = answer(&mut world, id).unwrap();
        assert!((0..60).all(|h| covers(&world, h, dot)), "{receipt:?}");
        let each = (receipt_datagrams(&world) - before) as f64 / 59.0;
        // Both ways lose 30 %: each is repeated until it has come through.
        assert!(each < 2.0 / 0.49 + 1.0, "{each}");
    }
}

/// G5: whoever waits for a version hears of it with the round that brings it.
#[test]
fn a_version_is_waited_for_without_polling() {
    let config = Config::lan();
    let mut world = World::converged(5, WorldConfig::default(), 50, &config);
    world.run_for(secs(3));
    let mut late = Vec::new();
    for i in 0..20 {
        let key = format!("k{i}");
        let stamp = world.view(0).entry("kv", b"none").map_or_else(Default::default, |e| e.stamp);
        let what = Awaited::Version { keyspace: "kv".to_owned(), key: key.clone().into(), stamp };
        let (need, durable, timeout) = (Receipt::All, false, Some(secs(20)));
        let id = world.command(7, Command::Await { what, need, durable, timeout });
        world.run_for(ms(500));
        assert!(world.reply_to(id).is_none(), "nobody has written it yet");
        let dot = write(&mut world, 40, &key);
        world.run_while(secs(10), ms(1), |w| !(0..50).all(|h| covers(w, h, dot)));
        let everywhere = world.now();
        assert_eq!(answer(&mut world, id).unwrap().writes, Some(dot.into()));
        late.push(world.now().since(everywhere));
    }
    let worst = late.iter().max().unwrap();
    println!("a version is known to be everywhere {worst:?} later at most");
    assert!(*worst <= config.tick, "{late:?}");
}

#[test]
fn agreement_waits_for_equal_states_and_says_who_differs() {
    let mut world = joined(6, WorldConfig::default(), 8, &Config::lan());
    world.run_for(secs(5));
    let agree = |world: &mut World, timeout| {
        let (what, need, durable) = (Awaited::Agreement, Receipt::All, false);
        world.command(2, Command::Await { what, need, durable, timeout: Some(timeout) })
    };
    let id = agree(&mut world, secs(5));
    let receipt = answer(&mut world, id).unwrap();
    assert!(receipt.elapsed < ms(100) && receipt.certificate.is_some(), "{receipt:?}");
    world.split_off([6, 7]);
    write(&mut world, 6, "there");
    world.run_for(secs(1));
    world.net.heal();
    let id = agree(&mut world, ms(5));
    let late = not_enough(answer(&mut world, id));
    let differ = late.missing.iter().filter(|m| m.why == Lack::OtherState).count();
    assert!(differ == 2 || late.missing.iter().all(|m| m.why == Lack::Silent), "{late:?}");
    let id = agree(&mut world, secs(20));
    let receipt = answer(&mut world, id).unwrap();
    assert_eq!(receipt.have.len(), 8);
    // What the others said is compared with what the asker comes to hold, too.
    world.split_off([2]);
    write(&mut world, 6, "there again");
    world.run_for(ms(500));
    world.net.heal();
    let id = agree(&mut world, secs(20));
    assert_eq!(answer(&mut world, id).unwrap().have.len(), 8);
    let prints: Vec<_> = (0..8).map(|h| world.view(h).fingerprints()).collect();
    assert!(prints.windows(2).all(|w| w[0] == w[1]), "{prints:?}");
}

#[test]
fn what_is_durable_is_said_by_those_who_have_a_disk() {
    let durable = Config { durable: true, ..Config::lan() };
    let mut world = joined(7, WorldConfig::default(), 5, &durable);
    world.add_node_with("bare", Config::lan(), &[], &[0]);
    world.run_for(secs(5));
    let dot = write(&mut world, 0, "k");
    let ask = |world: &mut World, need| {
        let what = Awaited::Writes(Run::from(dot));
        world.command(0, Command::Await { what, need, durable: true, timeout: Some(secs(2)) })
    };
    let (all, five) = (ask(&mut world, Receipt::All), ask(&mut world, Receipt::Count(5)));
    let receipt = answer(&mut world, five).unwrap();
    assert!(receipt.have.iter().all(|h| h.durable) && receipt.have.len() == 5);
    let late = not_enough(answer(&mut world, all));
    let missing: Vec<_> = late.missing.iter().map(|m| (m.name.as_str(), m.why)).collect();
    assert_eq!(missing, [("bare", Lack::NoDisk)]);
}

#[test]
fn waiting_is_bounded_and_bad_needs_are_refused() {
    let mut world = joined(8, WorldConfig::default(), 3, &Config::lan());
    let dot = write(&mut world, 0, "k");
    for need in [
        Receipt::Count(0),
        Receipt::Fraction(0.0),
        Receipt::Fraction(1.5),
        Receipt::Fraction(f64::NAN),
    ] {
        let id = wait_for(&mut world, 0, dot, need, secs(1));
        assert!(matches!(answer(&mut world, id), Err(CommandError::NoReceipt { .. })), "{need:?}");
    }
    let never = Dot { origin: NodeId::from_u128(5), seq: 1 };
    let waits: Vec<_> =
        (0..256).map(|_| wait_for(&mut world, 0, never, Receipt::All, secs(1))).collect();
    let more = wait_for(&mut world, 0, dot, Receipt::All, secs(1));
    assert!(matches!(answer(&mut world, more), Err(CommandError::Full { what: "receipts", .. })));
    world.run_for(secs(2));
    for id in waits {
        assert_eq!(not_enough(answer(&mut world, id)).have.len(), 0);
    }
    let again = wait_for(&mut world, 0, dot, Receipt::All, secs(1));
    assert!(answer(&mut world, again).is_ok());
}

/// T3: every member says how the write came to it.
#[test]
fn a_trace_says_who_has_it_and_how_it_came() {
    let mut world = joined(9, WorldConfig::default(), 9, &Config::lan());
    world.run_for(secs(3));
    let dot = write(&mut world, 3, "k");
    settle(&mut world, secs(10));
    let command = Command::Trace { keyspace: "kv".to_owned(), key: b"k".to_vec(), timeout: None };
    let id = world.command(5, command);
    let receipt = answer(&mut world, id).unwrap();
    assert_eq!((receipt.writes, receipt.have.len()), (Some(dot.into()), 9));
    let own: Vec<_> = receipt.have.iter().filter(|h| h.path == Some(Path::Own)).collect();
    assert_eq!(own.len(), 1);
    assert_eq!((own[0].name.as_str(), own[0].hops), ("n3", Some(0)));
    for told in receipt.have.iter().filter(|h| h.path == Some(Path::Rumour)) {
        assert!(told.hops >= Some(1) && told.delay.is_some_and(|d| d < secs(2)), "{told:?}");
    }
    let unknown = receipt.have.iter().filter(|h| h.path.is_none()).count();
    assert_eq!(unknown, 0, "{receipt:?}");
    let none = Command::Trace { keyspace: "kv".to_owned(), key: b"no".to_vec(), timeout: None };
    let id = world.command(5, none);
    assert!(matches!(answer(&mut world, id), Err(CommandError::UnknownKey { .. })));
}

/// Delays of rumours are summed up on the way: clocks that are minutes apart change nothing.
#[test]
fn delays_are_measured_without_wall_clocks() {
    let mut world = joined(10, WorldConfig::default(), 20, &Config::lan());
    for host in 0..20 {
        world.clock_mut(host).step_wall(60_000 * (host as i64 - 10));
    }
    world.run_for(secs(10));
    for i in 0..10 {
        let topic = Topic::key("kv", format!("k{i}").as_bytes());
        world.track(topic.clone());
        let dot = write(&mut world, i, &format!("k{i}"));
        let id = wait_for(&mut world, i, dot, Receipt::All, secs(10));
        let receipt = answer(&mut world, id).unwrap();
        let spread = world.untrack(&topic);
        for told in receipt.have.iter().filter(|h| h.path == Some(Path::Rumour)) {
            let host = world.host_named(&told.name).unwrap();
            let truth = spread.reached[&host].since(spread.since).as_secs_f64();
            let delay = told.delay.unwrap().as_secs_f64();
            assert!((delay - truth).abs() < 0.002, "{}: {delay} for {truth}", told.name);
        }
    }
}

/// A3: the histograms of all nodes together are the infection curve; at no point is its height more
/// than 5 % off the model of the agent's timers.
#[test]
fn the_live_infection_curve_is_that_of_the_model() {
    let (n, writes) = (200, if soak() { 400 } else { 60 });
    let config = Config::lan();
    // Every way takes the same: what a single one took is not measured, only the mean of a pair.
    let latency = Latency::Constant(Duration::from_micros(700));
    let conditions = Conditions { latency, ..Conditions::lan() };
    let weather = WorldConfig { conditions, ..WorldConfig::default() };
    let mut world = World::converged(11, weather, n, &config);
    world.run_for(secs(3));
    for i in 0..writes {
        write(&mut world, i * 7 % n, &format!("k{i}"));
        world.run_for(ms(1700 + (i as u64 * 137) % 300));
    }
    let mut live = [0u64; BOUNDS + 1];
    let mut hops = [0u64; HOPS_MAX];
    for host in 0..n {
        let view = world.view(host);
        for (_, topic) in view.delays().keyspaces() {
            live.iter_mut().zip(&topic.rumours.buckets).for_each(|(sum, b)| *sum += b);
            hops.iter_mut().zip(&topic.hops).for_each(|(sum, h)| *sum += h);
        }
    }
    let told: u64 = live.iter().sum();
    let all = (writes * (n - 1)) as u64;
    assert!(told as f64 > 0.999 * all as f64, "{told} of {all} came by rumour");
    let cluster = Cluster { nodes: n as u32, config: &config, latency, loss: 0.0 };
    let mut curve: Vec<f64> =
        (0..400).flat_map(|run| cluster.infection(1, &mut stream(2, run)).split_off(1)).collect();
    curve.sort_by(f64::total_cmp);
    let (mut below, mut worst) = (0, 0.0f64);
    for (bucket, told_in) in live.iter().enumerate().take(BOUNDS) {
        below += told_in;
        let model = curve.partition_point(|&t| t <= bound(bucket).as_secs_f64());
        let off = below as f64 / told as f64 - model as f64 / curve.len() as f64;
        worst = worst.max(off.abs());
    }
    println!("{n} nodes, {writes} writes: at most {:.2} % off the model", worst * 100.0);
    println!("hops {:?}", &hops[..8]);
    assert!(worst <= 0.05, "{worst}");
    // The writer tells eager_fanout peers, each of those as many: hops grow by that factor.
    let first = hops[0] as f64 / writes as f64;
    assert!((first - config.eager_fanout as f64).abs() < 1.0, "{first} were told by the writer");
}

/// G4: whatever crashes, comes back without its state, joins, or is cut off, no certificate names a
/// life that has not applied the write, then or later.
#[test]
fn no_certificate_is_false_through_churn() {
    let runs = if soak() { 2000 } else { 100 };
    let (mut certified, mut late, mut restarts) = (0, 0, 0);
    for seed in 0..runs {
        let mut churn = Churn::new(seed);
        for _ in 0..40 {
            churn.step();
        }
        certified += churn.certificates;
        late += churn.late;
        restarts += churn.restarts;
    }
    println!(
        "{runs} runs: {certified} certificates, {late} not in time, {restarts} restarts, 0 false"
    );
    assert!(certified > 5 * runs as usize && restarts > runs as usize, "{certified} {restarts}");
}

/// A random life of a cluster in which certificates are asked for.
struct Churn {
    world: World,
    rng: Rng,
    asked: Vec<CommandId>,
    /// Lives that were said to have a write.
    claims: Vec<(NodeId, Run)>,
    certificates: usize,
    late: usize,
    restarts: usize,
}

impl Churn {
    fn new(seed: u64) -> Churn {
        let mut rng = Rng::from_u64(seed);
        let durable = rng.chance(0.5);
        let config = Config { durable, forget_after: secs(60), ..Config::local() };
        let n = 3 + rng.index(5);
        let mut world = joined(seed, WorldConfig::default(), n, &config);
        world.net.conditions.loss = if rng.chance(0.5) { 0.2 * rng.unit() } else { 0.0 };
        let (asked, claims) = (Vec::new(), Vec::new());
        Churn { world, rng, asked, claims, certificates: 0, late: 0, restarts: 0 }
    }

    fn step(&mut self) {
        let host = self.rng.index(self.world.len());
        match self.rng.below(10) {
            0 if self.world.is_up(host) && self.world.up().count() > 2 => {
                self.world.crash(host);
                if self.rng.chance(0.3) {
                    self.restart(host);
                }
            }
            0..=2 if !self.world.is_up(host) => self.restart(host),
            3 if self.rng.chance(0.3) => {
                self.world.split_off([host]);
            }
            4 => self.world.net.heal(),
            _ => self.write_and_ask(host),
        }
        for _ in 0..self.rng.below(60) {
            self.world.run_for(ms(5));
            self.hear();
        }
    }

    fn restart(&mut self, host: usize) {
        self.world.restart(host);
        self.restarts += 1;
    }

    fn write_and_ask(&mut self, host: usize) {
        if !self.world.is_up(host) {
            return;
        }
        let key = format!("k{}", self.rng.below(5));
        let written = self.world.set(host, key, "v");
        self.world.run_for(ms(4));
        if !self.world.is_up(host) {
            return;
        }
        let dot = match self.world.reply_to(written) {
            Some(Ok(Reply::Written { dots, .. })) => dots[0],
            _ => return,
        };
        let asker = self.rng.index(self.world.len());
        let asker = if self.world.is_up(asker) { asker } else { host };
        let id = wait_for(&mut self.world, asker, dot, Receipt::Certified, secs(3));
        self.asked.push(id);
    }

    fn hear(&mut self) {
        for id in std::mem::take(&mut self.asked) {
            match self.world.reply_to(id) {
                None => self.asked.push(id),
                Some(Ok(Reply::Receipted(receipt))) => {
                    let certificate = receipt.certificate.as_ref().expect("it was asked for");
                    let run = certificate.writes[0];
                    self.claims.extend(certificate.members.iter().map(|&id| (id, run)));
                    self.certificates += 1;
                }
                Some(_) => self.late += 1,
            }
        }
        for &(id, run) in &self.claims {
            let host = self.world.up().find(|&host| self.world.id(host) == id);
            if let Some(host) = host {
                let dot = Dot { origin: run.origin, seq: run.to };
                assert!(covers(&self.world, host, dot), "{id:?} on host {host} lacks {run:?}");
            }
        }
    }
}

/// G2: what a node shows of the others is what they hold, once it has heard of each.
#[test]
fn groups_of_states_are_those_of_the_members() {
    let mut world = joined(12, WorldConfig::default(), 8, &Config::local());
    world.run_for(secs(20));
    let groups = world.view(0).state_groups();
    assert_eq!((groups.groups.len(), groups.groups[0].1, groups.unheard), (1, 8, 0));
    world.split_off([5, 6, 7]);
    write(&mut world, 1, "here");
    world.run_for(ms(700));
    let groups = world.view(0).state_groups();
    assert_eq!(groups.groups.len(), 2, "those on the other side were heard before: {groups:?}");
    world.net.heal();
    world.run_for(secs(20));
    assert_eq!(world.view(0).state_groups().groups.len(), 1);
}

/// G3, live: a node that calls its quiet spell long enough is right more often than it says.
#[test]
fn a_quiet_spell_is_worth_what_a_node_says() {
    let (n, writes) = (30, if soak() { 2000 } else { 150 });
    let weather = WorldConfig {
        conditions: Conditions { loss: 0.1, ..Conditions::lan() },
        ..WorldConfig::default()
    };
    let config = Config::local();
    let mut world = World::converged(13, weather, n, &config);
    world.run_for(secs(5));
    let (mut claims, mut wrong) = (0, 0);
    for i in 0..writes {
        let dot = write(&mut world, i % n, &format!("k{}", i % 7));
        let watcher = (i * 11 + 3) % n;
        let start = world.now();
        // What it says is about what was written before the spell, or the end of it that suffices.
        let claimed = world.run_while(secs(20), ms(50), |w| {
            let quiet = w.view(watcher).quiet();
            !quiet.likely || w.now().since(start) < config.tick * quiet.rounds_needed
        });
        assert!(claimed.is_some_and(|t| t >= ms(300) && t < secs(5)), "{claimed:?}");
        claims += 1;
        wrong += usize::from(!(0..n).all(|h| covers(&world, h, dot)));
    }
    println!("{wrong} of {claims} claims of 99 % were wrong");
    assert!((wrong as f64) <= 0.01 * claims as f64 + 2.0, "{wrong} of {claims}");
}
