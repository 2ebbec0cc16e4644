//! Decides that a rack that dies is one event, and that of the sides of a split at most one owns
//! (rows I11, H11).

use std::collections::BTreeSet;
use std::time::Duration;

use tidings_proto::base::clocks::Hlc;
use tidings_proto::base::rng::Rng;
use tidings_proto::config::SplitPolicy;
use tidings_proto::io::{Event, Owning};
use tidings_proto::membership::split::{Voter, goes_on};
use tidings_proto::{Config, NodeId};
use tidings_sim::setup::soak;
use tidings_sim::{Record, World, WorldConfig};

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// I11: each survivor is told of a tenth of the cluster in at most two cuts, by the usual accusers.
#[test]
fn a_rack_that_dies_is_one_cut() {
    let (n, rack) = if soak() { (1000, 100) } else { (300, 30) };
    let config = WorldConfig { record: Record::Events, checks: n <= 300, ..WorldConfig::default() };
    let mut world = World::converged(1, config, n, &Config::lan());
    world.run_for(secs(5));
    let dead: BTreeSet<_> = (0..rack).map(|h| world.id(h)).collect();
    (0..rack).for_each(|host| world.crash(host));
    world.run_for(secs(30));
    let mut most = 0;
    for host in world.up().collect::<Vec<_>>() {
        let cuts = world.seen().events(host).iter().filter_map(|(_, event)| match event {
            Event::Cut(cut) => Some(cut),
            _ => None,
        });
        let cuts: Vec<_> = cuts.collect();
        let told: BTreeSet<_> = cuts.iter().flat_map(|cut| &cut.gone).map(|m| m.id).collect();
        assert_eq!(told, dead, "the rack, and nobody else");
        assert_eq!(cuts[cuts.len() - 1].alive, n - rack);
        most = most.max(cuts.len());
    }
    println!("a rack of {rack} of {n}: at most {most} cuts at a node");
    assert!(most <= 2, "{most} cuts");
    assert_eq!(world.seen().counts.false_failed, 0);
}

/// A member that is back before its cut is told is in none.
#[test]
fn who_comes_back_at_once_is_in_no_cut() {
    let config = WorldConfig { record: Record::Events, ..WorldConfig::default() };
    let gossip = Config { cut_quiet: secs(10), ..Config::lan() };
    let mut world = World::converged(2, config, 20, &gossip);
    world.run_for(secs(5));
    world.split_off([7]);
    let lost = world.run_while(secs(30), Duration::from_millis(50), |w| w.view(3).alive() == 20);
    assert!(lost.is_some());
    world.net.heal();
    world.run_for(secs(60));
    assert!(world.all_see_alive(20));
    let cut = |(_, event): &&(_, Event)| matches!(event, Event::Cut(cut) if cut.gone.len() == 1);
    assert_eq!(world.seen().events(3).iter().filter(cut).count(), 0);
}

const POLICIES: [SplitPolicy; 4] = [
    SplitPolicy::KeepMajority,
    SplitPolicy::StaticQuorum,
    SplitPolicy::KeepOldest,
    SplitPolicy::Lease,
];

/// H11: a hundred thousand random partitions (`SOAK=1`) into up to five sides, of up to sixty members.
#[test]
fn of_random_sides_at_most_one_goes_on() {
    let runs = if soak() { 100_000 } else { 10_000 };
    let mut rng = Rng::from_u64(11);
    let mut owned = [0; POLICIES.len()];
    for run in 0..runs {
        let n = 1 + rng.index(60);
        let holder = rng.index(n * 2); // half of the time nobody holds the lease
        let all: Vec<Voter> = (0..n)
            .map(|i| Voter {
                accepted: Hlc(rng.below(8)), // many of the same age
                id: NodeId(rng.bytes16()),
                holds_lease: i == holder,
            })
            .collect();
        let count = 1 + rng.index(5);
        let sides: Vec<usize> = all.iter().map(|_| rng.index(count)).collect();
        for (policy, owned) in POLICIES.into_iter().zip(&mut owned) {
            // From too small a quorum to one that nobody has.
            let quorum = 1 + rng.index(n + 1);
            let owners: Vec<usize> = (0..count)
                .filter(|&side| {
                    let of = |here: bool| -> Vec<Voter> {
                        let in_it = |(_, its): &(&Voter, &usize)| (**its == side) == here;
                        all.iter().zip(&sides).filter(in_it).map(|(&v, _)| v).collect()
                    };
                    let here = of(true);
                    !here.is_empty() && goes_on(policy, quorum, &here, &of(false))
                })
                .collect();
            assert!(owners.len() <= 1, "run {run}, {policy}: sides {owners:?} of {sides:?} own");
            *owned += owners.len();
        }
    }
    println!("sides that went on in {runs} splits: {owned:?}");
    assert!(owned.iter().all(|&owned| owned > runs / 20), "{owned:?}");
}

/// The larger side goes on, the smaller gives up before, and newcomers there do not make it larger.
#[test]
fn the_minority_gives_up_before_the_majority_takes_over() {
    let config = Config { split_policy: SplitPolicy::KeepMajority, ..Config::lan() };
    let (n, small) = (20, 8);
    let mut world = World::converged(3, WorldConfig::default(), n, &config);
    world.run_for(secs(30));
    assert!((0..n).all(|h| world.view(h).owning() == Owning::Yes));
    world.split_off(0..small);
    let every = Duration::from_millis(100);
    let gave_up =
        world.run_while(secs(60), every, |w| (0..small).any(|h| w.view(h).owning() != Owning::No));
    let early = (small..n).filter(|&h| world.view(h).owning() != Owning::Undecided).count();
    assert_eq!(early, 0, "took over when some had not given up");
    let sides: Vec<u16> = (0..n).map(|h| u16::from(h < small)).collect();
    for i in 0..10 {
        let host = world.add_node(&format!("late{i}"), config.clone());
        let mut sides = sides.clone();
        sides.resize(host + 1, 1);
        world.net.split(sides);
        world.join(host, &[0]);
    }
    let took_over =
        world.run_while(secs(60), every, |w| (small..n).any(|h| w.view(h).owning() != Owning::Yes));
    println!("the minority gave up after {gave_up:?}, the majority took over {took_over:?} later");
    assert!(gave_up.is_some() && took_over.is_some());
    world.run_for(secs(60));
    assert_eq!(world.view(0).alive(), small + 10);
    assert!((0..small).all(|h| world.view(h).owning() == Owning::No));
    world.net.heal();
    world.run_for(secs(60));
    assert!(world.up().all(|h| world.view(h).owning() == Owning::Yes));
}
