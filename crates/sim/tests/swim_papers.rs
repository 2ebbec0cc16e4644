//! Decides that the published figures on failure detection are reproduced: SWIM (2002) and
//! Lifeguard (2017), in their quick forms.

use tidings_sim::paper::{Table, find};
use tidings_sim::work::Work;

/// Runs a paper in its quick form and prints its rows.
fn reproduce(name: &str) -> Table {
    let paper = find(name).unwrap_or_else(|| panic!("{name} is listed"));
    let table = (paper.run)(&Work::quiet(1));
    println!("{}", table.title);
    for row in &table.rows {
        let verdict = match row.pass() {
            Some(true) => "pass",
            Some(false) => "FAIL",
            None => "",
        };
        println!(
            "{:70} {:>10} {:10.4} ±{:.4} {:?} {verdict}",
            row.what,
            row.paper.map_or(String::new(), |p| format!("{p:.4}")),
            row.ours,
            row.se,
            row.bar
        );
    }
    table
}

#[test]
fn load_per_member_does_not_grow_with_the_group() {
    assert!(reproduce("swim-load").passed());
}

#[test]
fn a_dead_member_is_noticed_within_the_law() {
    assert!(reproduce("swim-detection").passed());
}

#[test]
fn false_alarms_empty_a_group_that_cannot_refute() {
    assert!(reproduce("swim-figure4").passed());
}

#[test]
fn members_that_stand_still_accuse_nobody_wrongly() {
    assert!(reproduce("lifeguard").passed());
}

/// Row I8.
#[test]
fn each_protection_is_worth_what_it_costs() {
    assert!(reproduce("false-alarms").passed());
}
