//! Decides that every known failure of gossip (rows F1 to F34) has its tests: what `docs/failures.md`
//! names exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn every_failure_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/failures.md")).expect("the page is there");
    let mut rows = BTreeSet::new();
    let mut named = 0;
    for row in page.lines().filter(|line| line.starts_with("| F")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [number, _, _, shown] = cells[..] else { panic!("four cells in {row}") };
        assert!(rows.insert(number.to_owned()), "{number} twice");
        let mut file = String::new();
        for name in shown.split('`').skip(1).step_by(2) {
            named += 1;
            if name.contains('/') {
                file = name.to_owned();
                assert!(root.join(name).exists(), "{number}: no {name}");
                continue;
            }
            assert!(!file.is_empty(), "{number}: {name} in no file");
            let text = fs::read_to_string(root.join(&file)).unwrap_or_default();
            assert!(text.contains(&format!("fn {name}(")), "{number}: no {name} in {file}");
        }
        assert!(shown.contains('`') || shown.contains("issue"), "{number} shows nothing: {shown}");
    }
    let all: BTreeSet<String> = (1..=34).map(|n| format!("F{n}")).collect();
    assert_eq!(rows, all);
    assert!(named >= 80, "{named} names were read");
}
