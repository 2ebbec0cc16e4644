//! Decides how question 9 is answered: a split, work on both sides, and what is left of it after
//! the heal.

use tidings_proto::Config;
use tidings_proto::io::MemberChange;

use super::cluster::{rested, secs, total, until};
use super::{Question, exactly, row, table};
use crate::paper::{Bar, Table};
use crate::work::Work;
use crate::world::{World, WorldConfig};

pub(super) const QUESTION: Question = Question {
    number: 9,
    asked: "How does gossip handle network partitions, and what happens when one heals?",
    article_says: "Each side continues with its own state; when the partition heals, nodes gossip \
                   and merge, and eventually converge.",
    true_answer: "Only if somebody still contacts the other side: by then each of 40 members holds \
                  the 20 others failed. Recontact of failed members makes all views equal within 5 \
                  s of the heal; with nobody contacted, a split stays for ever. Writes of both \
                  sides survive, except that 1 value of the key that both wrote is left; the other \
                  is counted.",
    run,
};

const NODES: usize = 40;
const SIDE: usize = 20;
const KEYS: usize = 30;
const SPLIT_SECONDS: u64 = 60;

fn run(work: &Work<'_>) -> Table {
    let mut world = split_and_write(work.seed, &Config::lan());
    let lost = world.view(0).counts().1;
    world.net.heal();
    let views = until(&mut world, secs(60), |w| w.all_see_alive(NODES));
    let equal = until(&mut world, secs(60), |w| w.check_quiet().is_ok());
    let key = |side: &str, i: usize| format!("{side} {i}");
    let kept = |w: &World, side: &str| {
        let here = |host: usize| (0..KEYS).filter(|&i| w.get(host, key(side, i)).is_some()).count();
        w.up().map(here).min().unwrap_or(0)
    };
    let (left, right) = (kept(&world, "left"), kept(&world, "right"));
    let reported = world.up().filter(|&h| world.node(h).stats().conflicts_discarded > 0).count();
    let joins = world.seen().counts.of(MemberChange::Join) as f64;
    let alone = Config { recontacts: 0, seed_every: 10_000, ..Config::lan() };
    let mut abandoned = split_and_write(work.seed, &alone);
    abandoned.net.heal();
    let never = until(&mut abandoned, secs(120), |w| w.all_see_alive(NODES));
    let rows = vec![
        row(
            "others held failed after 60 s of a split of 20 and 20",
            lost as f64,
            exactly(SIDE as f64),
        ),
        row("seconds from the heal until all see all", views, Bar::AtMost(5.0)),
        row("seconds more until all state is equal", equal, Bar::AtMost(5.0)),
        row("of 30 keys of the one side, kept by every member", left as f64, exactly(KEYS as f64)),
        row(
            "of 30 keys of the other side, kept by every member",
            right as f64,
            exactly(KEYS as f64),
        ),
        row("different values of the key that both sides wrote", values(&world), exactly(1.0)),
        row("members that counted the discarded write", reported as f64, Bar::AtLeast(1.0)),
        row("members that came back, as each of the others saw it", joins, Bar::AtLeast(800.0)),
        row("without recontact: healed within 120 s (1: yes)", healed(never), exactly(0.0)),
        row("without recontact: messages to failed members", contacts(&abandoned), exactly(0.0)),
    ];
    table(
        "A split of 60 s, work on both sides, and the heal",
        &["The core, 40 members on a LAN. Each side writes 30 keys of its own and both write one \
             more. Last writer wins by default; the loser is counted where it was discarded. \
             Without recontact (recontacts = 0, no seeds) the two sides never hear of each other \
             again."],
        rows,
    )
}

fn split_and_write(seed: u64, config: &Config) -> World {
    let mut world = rested(seed, WorldConfig::default(), NODES, config);
    world.split_off(0..SIDE);
    world.run_for(secs(SPLIT_SECONDS / 2));
    for i in 0..KEYS {
        world.set(i % SIDE, format!("left {i}"), "v");
        world.set(SIDE + i % SIDE, format!("right {i}"), "v");
    }
    world.set(0, "both", "left");
    world.set(NODES - 1, "both", "right");
    world.run_for(secs(SPLIT_SECONDS / 2));
    world
}

fn values(world: &World) -> f64 {
    let values: std::collections::BTreeSet<_> = world.up().map(|h| world.get(h, "both")).collect();
    values.len() as f64
}

fn healed(seconds: f64) -> f64 {
    f64::from(u8::from(seconds.is_finite()))
}

fn contacts(world: &World) -> f64 {
    total(world, |s| s.recontacts + s.seed_contacts)
}
