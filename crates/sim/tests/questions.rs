//! Decides that every question of the article has an experiment, that each meets its bars, and
//! that each answer's numbers stand in its rows (row T6).

use tidings_sim::question::{QUESTIONS, find};
use tidings_sim::work::Work;

#[test]
fn all_twenty_are_there() {
    let numbers: Vec<u8> = QUESTIONS.iter().map(|q| q.number).collect();
    assert_eq!(numbers, (1..=20).collect::<Vec<u8>>());
    assert!(find(21).is_none());
}

#[test]
fn each_experiment_meets_its_bars() {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let work = Work::quiet(number("SEED").unwrap_or(1));
    let only = number("QUESTION");
    let mut missed = Vec::new();
    for question in QUESTIONS.iter().filter(|q| only.is_none_or(|n| n == u64::from(q.number))) {
        let begun = std::time::Instant::now();
        let table = (question.run)(&work);
        println!("{}. {} ({:.1} s)", question.number, table.title, begun.elapsed().as_secs_f64());
        assert!(!table.rows.is_empty() && !table.notes.is_empty());
        for row in &table.rows {
            println!("  {:?} {}: {:.4} {:?}", row.pass(), row.what, row.ours, row.bar);
            if row.pass() == Some(false) {
                missed.push(format!("{}: {row:?}", question.number));
            }
        }
        assert!(table.rows.iter().any(|r| r.pass().is_some()), "{} has no bar", question.number);
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
