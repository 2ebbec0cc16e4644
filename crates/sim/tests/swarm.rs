//! Decides how many random scenarios a test run takes, and which seeds always run.
//!
//! A failure prints one line; `SEED=n GENERATION=g cargo test -p tidings-sim --test swarm -- --exact
//! replay --nocapture` shows that run with its options and its text. `TEXT=1` adds every input and
//! output. `SEEDS=n` sets how many scenarios are drawn.

use tidings_sim::setup::soak;
use tidings_sim::swarm::{NEWEST, Options, Tally, hunt, run};
use tidings_sim::trace::Text;
use tidings_sim::work::Work;

/// Every seed that ever failed, with its generation and the fix that it showed.
const SEEDS_THAT_FAILED: &[(u32, &[u64], &str)] = &[
    (1, &[1, 6, 27, 38], "a new life in a name conflict with its former self"),
    (1, &[2933], "an older remote write overwrote a newer own one on disk"),
    (1, &[4320], "alone with a bad local health, seeds were hardly ever asked"),
    (1, &[1285], "a former life listed by one node, retired by the others"),
    (1, &[3655, 7924], "a durable node forgot its seeds while it started"),
    (2, &[556], "a verdict at a higher incarnation, met in a session, was ignored"),
    (2, &[1880], "six accusers were needed and never doubted at one time"),
    (2, &[12841], "a write was stamped below an own one that waited for the disk"),
    (2, &[247], "no fingerprint showed a delete beyond a hole"),
    (2, &[3567], "a node withdrew from a name while all became equal"),
    (3, &[769], "each of two left it to the other to pull what only vectors show"),
    (2, &[467, 690], "a peer that refused was told again at once, for ever"),
    (2, &[7101], "part of a group came alone by sums and waited for a delete"),
    (2, &[122], "a walk of equal trees did not go on to the vectors"),
    (2, &[246, 293, 545, 591, 786, 820], "both sides of a long split forgot deletes"),
    (2, &[1117, 2334, 2411, 2498, 2578, 2674], "both sides of a long split forgot deletes"),
    (2, &[3598, 4186, 4259, 5189, 5313], "both sides of a long split forgot deletes"),
    (
        2,
        &[2752, 3319, 9686],
        "an event was told twice as its sender was forgotten; an old delete came late",
    ),
    (3, &[3319], "a writer that came back in the middle of a pass was forgotten all the same"),
];

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|s| s.parse().ok())
}

fn hunted(generation: u32, seeds: std::ops::Range<u64>) -> Tally {
    let work = Work::quiet(0);
    let tally = hunt(&work, generation, seeds, Text::Off, &|broken| eprintln!("{broken}"));
    let rules = tally.by_rule();
    assert!(rules.is_empty(), "broken in {} scenarios: {rules:?}, see above", tally.run);
    tally
}

#[test]
fn random_scenarios_break_no_rule_and_become_equal_within_the_bound() {
    let seeds = asked("SEEDS").unwrap_or(if soak() { 20_000 } else { 1000 });
    let tally = hunted(NEWEST, 0..seeds);
    let (served, stale) = (tally.served, tally.stale);
    println!("{served} acts of clients with sessions served, {stale} refused as stale");
    assert!(served > seeds && stale > seeds / 10, "{served} served, {stale} stale");
}

#[test]
fn seeds_of_the_first_generation_hold() {
    hunted(1, 0..if soak() { 20_000 } else { 100 });
}

#[test]
fn seeds_that_failed_once_do_not_fail_again() {
    for &(generation, seeds, fix) in SEEDS_THAT_FAILED {
        for &seed in seeds {
            if let Err(broken) = run(generation, seed, Text::Off) {
                panic!("{fix}: {broken}");
            }
        }
    }
}

#[test]
fn replay() {
    let Some(seed) = asked("SEED") else { return };
    let generation = asked("GENERATION").unwrap_or(NEWEST.into()) as u32;
    let text = if std::env::var_os("TEXT").is_some() { Text::All } else { Text::Events };
    println!("{:#?}", Options::draw(generation, seed));
    match run(generation, seed, text) {
        Ok(passed) => println!("seed {seed} breaks no rule: {passed:?}"),
        Err(broken) => {
            println!("{}", broken.lines.join("\n"));
            panic!("{broken}");
        }
    }
}

/// Rule 9, over scenarios with every kind of fault, whatever the number of threads.
#[test]
fn a_scenario_has_one_trace_on_any_number_of_threads() {
    let seeds: Vec<u64> = (0..12).collect();
    let traces = |jobs| {
        let work = Work { jobs, ..Work::quiet(0) };
        work.map("traces", &seeds, |&seed| run(2, seed, Text::Off).map(|p| p.trace).ok())
    };
    assert_eq!(traces(1), traces(5));
}
