//! Decides how question 17 is answered: read-your-writes by routing to the writer, by the dot, and
//! after its death.

use tidings_proto::Config;
use tidings_proto::base::clocks::Dot;
use tidings_proto::io::Reply;

use super::cluster::{ms, rested, secs, until};
use super::{Question, exactly, row, table};
use crate::network::{Conditions, Latency};
use crate::paper::{Bar, Table};
use crate::work::Work;
use crate::world::{World, WorldConfig};

pub(super) const QUESTION: Question = Question {
    number: 17,
    asked: "How would you implement read-your-writes in a gossip-based system?",
    article_says: "Route reads back to the node that handled the write. The writer becomes a \
                   bottleneck for all reads; if it fails, reads may not see your write \
                   immediately.",
    true_answer: "Routing to the writer works: 0 stale reads there, while most others are stale \
                  just after the acknowledgement. It need not be a bottleneck: a token with the \
                  write's dot lets any member that covers it answer, and within 1 s all 40 do. If \
                  the writer dies before anything left it, the write is on 0 of the 39 others: not \
                  late but gone, unless a disk brings it back. The core sends its news with the \
                  acknowledgement, so a writer that dies just after it leaves the write with all \
                  39.",
    run,
};

const NODES: usize = 40;
const WRITER: usize = 5;

fn run(work: &Work<'_>) -> Table {
    let mut world = cluster(work.seed, false);
    let dot = write(&mut world);
    let (at_once, at_writer) = (lacking(&world, dot), usize::from(!world.view(WRITER).covers(dot)));
    let seconds = until(&mut world, secs(10), |w| lacking(w, dot) == 0);
    let died = after_death(work.seed, Death { cable: true, ..DEATH });
    let sent = after_death(work.seed, DEATH);
    let returned = after_death(work.seed, Death { cable: true, disk: true });
    let others = (NODES - 1) as f64;
    let rows = vec![
        row("stale members of 40 at the acknowledgement", at_once as f64, exactly(others)),
        row("stale reads at the writer", at_writer as f64, exactly(0.0)),
        row("seconds until every member covers the dot", seconds, Bar::AtMost(1.0)),
        row("writer dies, cable cut before: others that have its write", died.others, exactly(0.0)),
        row("the same, but a disk returns: others that have it", returned.others, exactly(others)),
        row("writer dies just after its answer: others that have it", sent.others, exactly(others)),
        row("stale answers that a reader with the dot accepts", died.accepted, exactly(0.0)),
    ];
    table(
        "Reading what one wrote",
        &["The core, 40 members, 5 to 20 ms one way. The token of a write is its dot; a member \
             may answer a session if its version vector covers it, and else says that it is stale \
             instead of answering. After the writer's death the others are read for 15 s."],
        rows,
    )
}

fn cluster(seed: u64, durable: bool) -> World {
    let conditions = Conditions { latency: Latency::Uniform(ms(5), ms(20)), ..Conditions::lan() };
    let weather = WorldConfig { conditions, ..WorldConfig::default() };
    let config = Config { durable, ..Config::lan() };
    let mut world = rested(seed, weather, NODES, &config);
    for host in 0..NODES {
        world.set_join(host, &[(host + 1) % NODES]);
    }
    world
}

/// Writes at the writer and waits for the acknowledgement, not longer.
fn write(world: &mut World) -> Dot {
    let command = world.set(WRITER, "profile", "mine");
    loop {
        if let Some(Ok(Reply::Written { dots, .. })) = world.reply_to(command) {
            return dots[0];
        }
        assert!(world.step(), "a write is answered");
    }
}

/// Running members that do not cover the write.
fn lacking(world: &World, dot: Dot) -> usize {
    world.up().filter(|&h| !world.view(h).covers(dot)).count()
}

struct AfterDeath {
    others: f64,
    /// Members that covered the dot and yet had no value.
    accepted: f64,
}

/// How the writer dies: just after its acknowledgement.
#[derive(Clone, Copy)]
struct Death {
    /// No packet left it any more.
    cable: bool,
    /// It has a disk, and returns after 5 s.
    disk: bool,
}

const DEATH: Death = Death { cable: false, disk: false };

fn after_death(seed: u64, death: Death) -> AfterDeath {
    let mut world = cluster(seed, death.disk);
    if death.cable {
        world.split_off([WRITER]);
    }
    let dot = write(&mut world);
    world.crash(WRITER);
    world.net.heal();
    world.run_for(secs(5));
    if death.disk {
        world.restart(WRITER);
    }
    world.run_for(secs(10));
    let others =
        |has: &dyn Fn(usize) -> bool| world.up().filter(|&h| h != WRITER && has(h)).count();
    AfterDeath {
        others: others(&|h| world.get(h, "profile").is_some()) as f64,
        accepted: others(&|h| world.view(h).covers(dot) && world.get(h, "profile").is_none())
            as f64,
    }
}
