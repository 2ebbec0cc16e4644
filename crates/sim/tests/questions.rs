//! Decides that every question of the article has an experiment, that each meets its bars, and
//! that each answer's numbers stand in its rows (row T6).

use tidings_sim::paper::{Bar, Table};
use tidings_sim::question::{QUESTIONS, Question, find};
use tidings_sim::work::Work;

#[test]
fn all_twenty_are_there() {
    let numbers: Vec<u8> = QUESTIONS.iter().map(|q| q.number).collect();
    assert_eq!(numbers, (1..=20).collect::<Vec<u8>>());
    assert!(find(21).is_none());
}

#[test]
fn each_experiment_meets_its_bars() {
    let asked = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let work = Work::quiet(asked("SEED").unwrap_or(1));
    let only = asked("QUESTION");
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
        for number in numbers(question.true_answer).filter(|n| !stands(n, question, &table)) {
            missed.push(format!("{}: no row shows the {number} of the answer", question.number));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// The figures of a text, as written but without commas.
fn numbers(text: &str) -> impl Iterator<Item = String> + '_ {
    let words =
        text.split(|c: char| !(c.is_ascii_digit() || c == '.' || c == ',' || c.is_alphabetic()));
    let words = words.map(|w| w.replace(',', "")).map(|w| w.trim_end_matches('.').to_owned());
    words.filter(|w| w.parse::<f64>().is_ok())
}

/// Whether a figure is measured, is a bar or a figure of the article, or says what is measured.
fn stands(number: &str, question: &Question, table: &Table) -> bool {
    let decimals = number.split_once('.').map_or(0, |(_, d)| d.len());
    let value: f64 = number.parse().expect("is a number");
    let close = |v: f64| (v - value).abs() <= 0.5f64.mul_add(10f64.powi(-(decimals as i32)), 1e-9);
    let bars = |bar: Bar| match bar {
        Bar::Near { of, tolerance } => close(of) || close(of - tolerance) || close(of + tolerance),
        Bar::AtMost(bound) | Bar::AtLeast(bound) => close(bound),
        Bar::None => false,
    };
    let said = |text: &str| numbers(text).any(|n| n == number);
    let described = table.notes.iter().any(|n| said(n)) || said(question.asked);
    let measured = |r: &tidings_sim::paper::Row| {
        close(r.ours) || r.paper.is_some_and(close) || bars(r.bar) || said(&r.what)
    };
    described || said(question.article_says) || table.rows.iter().any(measured)
}
