//! Decides which rows are measured, in which order, and where they go: one JSON line each to
//! standard output, and with `--page` the results page.

mod heap;
mod join;
mod measure;
mod ours;
mod page;
mod peer;
mod rows;

use std::process::ExitCode;

use measure::What;

const USAGE: &str = "usage: bench/core/run [quick|full] [--only PART] [--page FILE]";

fn main() -> ExitCode {
    let (mut quick, mut page, mut parts) = (false, None, rows::PARTS.to_vec());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "quick" => quick = true,
            "full" => quick = false,
            "--page" => match args.next() {
                Some(file) => page = Some(file),
                None => return misuse("--page: expected a file"),
            },
            "--only" => match args.next().and_then(|name| parts.iter().find(|p| **p == name)) {
                Some(&part) => parts = vec![part],
                None => return misuse(&format!("--only: expected one of {:?}", rows::PARTS)),
            },
            "--spin" => {
                let what = args.next().and_then(|a| What::ALL.into_iter().find(|w| w.name() == a));
                let mut number = || args.next().and_then(|a| a.parse().ok());
                let (Some(what), Some(members), Some(runs)) = (what, number(), number()) else {
                    return misuse("--spin: expected known, fresh, fill or ping, members, runs");
                };
                println!("{}", rows::spin(what, members, runs));
                return ExitCode::SUCCESS;
            }
            "-h" | "--help" => {
                println!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            other => return misuse(&format!("{other:?}: expected quick, full, --only or --page")),
        }
    }
    let scale = if quick { rows::QUICK } else { rows::FULL };
    let mut done = Vec::new();
    for part in parts {
        rows::measure(part, &scale, &mut |row| {
            println!("{}", row.json());
            done.push(row);
        });
    }
    if let Some(file) = page
        && let Err(error) = std::fs::write(&file, page::page(&done))
    {
        eprintln!("{file}: {error}");
        return ExitCode::FAILURE;
    }
    let missed = done.iter().filter(|row| row.passes() == Some(false)).count();
    eprintln!("{} rows, {missed} bars missed", done.len());
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn misuse(what: &str) -> ExitCode {
    eprintln!("{what}\n{USAGE}");
    ExitCode::from(2)
}
