//! Decides what the sources must look like, as a test: layers, banned calls, sizes, names, module
//! documentation, and which crate may depend on which. Each finding names its file and line.

use std::fs;
use std::path::{Path, PathBuf};

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 800;

/// The layers of `proto`, lowest first: lower never names higher.
const LAYERS: [&str; 11] = [
    "base",
    "wire",
    "membership",
    "peers",
    "detection",
    "dissemination",
    "state",
    "anti_entropy",
    "aggregation",
    "convergence",
    "node",
];

/// What stands beside `base`, with what each may name. Everything from `wire` up may name these.
const BESIDE: [(&str, &[&str]); 4] = [
    ("limits", &[]),
    ("config", &["base", "limits"]),
    ("flow", &["base", "limits", "config"]),
    ("io", &["base", "limits", "config"]),
];

/// What a pure machine and its virtual world never do, with the reason.
const BANNED: [(&str, &str); 7] = [
    ("Instant::now", "time is an argument"),
    ("SystemTime", "time is an argument"),
    ("thread::sleep", "nothing waits"),
    ("HashMap", "its order differs from run to run"),
    ("HashSet", "its order differs from run to run"),
    ("std::env", "settings are arguments"),
    ("println!", "output is the caller's"),
];

/// Where a banned call is right: how tests are run, not how the world behaves.
const ALLOWED: [(&str, &str); 2] =
    [("crates/sim/src/setup.rs", "std::env"), ("crates/sim/src/script.rs", "std::env")];

const PROTO_DEPENDENCIES: [&str; 5] = ["rand", "siphasher", "xxhash-rust", "blake3", "libm"];

/// Of our crates each may depend on these, in tests too.
const DIRECTION: [(&str, &[&str]); 4] = [
    ("proto", &[]),
    ("tidings", &["tidings-proto"]),
    ("sim", &["tidings-proto"]),
    ("agent", &["tidings-proto", "tidings", "tidings-sim"]),
];

/// Names that say nothing.
const EMPTY_NAMES: [&str; 7] = ["util", "utils", "common", "manager", "helper", "helpers", "misc"];

/// One source file.
struct Source {
    /// From the root of the repository.
    path: String,
    text: String,
}

impl Source {
    /// Numbered lines of code: without comments, and without the tests at the end of the file.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(n, line)| (n + 1, line));
        lines
            .take_while(|(_, line)| *line != "#[cfg(test)]")
            .map(|(n, line)| (n, uncommented(line)))
    }

    fn is_test(&self) -> bool {
        self.path.contains("/tests/")
    }

    fn at(&self, line: usize, finding: &str) -> String {
        format!("{}:{line}: {finding}", self.path)
    }
}

fn uncommented(line: &str) -> &str {
    if line.trim_start().starts_with("//") {
        return "";
    }
    line.split_once(" // ").map_or(line, |(code, _)| code)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The Rust files below a folder of the repository, sorted; none if there is no such folder.
fn sources(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).expect("a readable source");
                let relative = path.strip_prefix(root()).expect("below the root");
                found.push(Source { path: relative.to_string_lossy().replace('\\', "/"), text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn all_sources() -> Vec<Source> {
    ["crates", "fuzz/src", "fuzz/fuzz_targets", "bench/state/src"]
        .iter()
        .flat_map(|f| sources(f))
        .collect()
}

fn report(rule: &str, findings: Vec<String>) {
    assert!(findings.is_empty(), "{rule}:\n{}\n", findings.join("\n"));
}

#[test]
fn lower_layers_never_name_higher_ones() {
    let mut findings = Vec::new();
    for source in sources("crates/proto/src") {
        let place = source.path.trim_start_matches("crates/proto/src/");
        let layer = place.split(['/', '.']).next().expect("a name");
        if layer == "lib" {
            continue;
        }
        let allowed = may_name(layer);
        let allowed = allowed.unwrap_or_else(|| panic!("{place}: {layer} is no layer of DESIGN 3"));
        for (n, line) in source.code() {
            for named in named_modules(line) {
                if named != layer && !allowed.contains(&named) {
                    findings.push(source.at(n, &format!("`{layer}` names `{named}`")));
                }
            }
        }
    }
    report("imports run from higher layers to lower ones", findings);
}

fn may_name(layer: &str) -> Option<Vec<&'static str>> {
    if let Some((_, allowed)) = BESIDE.iter().find(|(name, _)| *name == layer) {
        return Some(allowed.to_vec());
    }
    let rank = LAYERS.iter().position(|&l| l == layer)?;
    let beside = BESIDE.iter().map(|&(name, _)| name).filter(|_| rank > 0);
    Some(LAYERS[..rank].iter().copied().chain(beside).collect())
}

/// Modules of this crate that a line names by `crate::`, also in a list.
fn named_modules(line: &str) -> Vec<&str> {
    let after = line.split("crate::").skip(1);
    after
        .flat_map(|rest| match rest.strip_prefix('{') {
            Some(list) => list.split(", ").map(first_word).collect(),
            None => vec![first_word(rest)],
        })
        .filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
        .collect()
}

fn first_word(text: &str) -> &str {
    text.split(|c: char| c != '_' && !c.is_ascii_alphanumeric()).next().unwrap_or_default()
}

#[test]
fn the_machine_and_its_world_call_nothing_that_varies() {
    let mut findings = Vec::new();
    for source in ["crates/proto/src", "crates/sim/src"].iter().flat_map(|f| sources(f)) {
        for (n, line) in source.code() {
            let allowed = |call: &str| ALLOWED.contains(&(source.path.as_str(), call));
            let banned = BANNED.iter().filter(|(call, _)| line.contains(call) && !allowed(call));
            findings.extend(banned.map(|(call, why)| source.at(n, &format!("`{call}`: {why}"))));
        }
    }
    report("banned calls", findings);
}

#[test]
fn every_module_says_what_it_decides() {
    let mut findings = Vec::new();
    for source in all_sources() {
        let head: Vec<&str> =
            source.text.lines().take_while(|line| line.starts_with("//!")).collect();
        if head.is_empty() {
            findings.push(source.at(1, "the first line is no `//!`"));
        } else if source.path.contains("/src/")
            && !head.iter().any(|line| line.contains("ecide") || line.contains("Rule "))
        {
            findings.push(source.at(1, "the `//!` lines do not say what the module decides"));
        }
    }
    report("a module starts with what it decides", findings);
}

#[test]
fn functions_fit_a_screen() {
    let mut findings = Vec::new();
    for source in all_sources().iter().filter(|s| !s.is_test()) {
        let mut open: Option<(usize, &str, String)> = None;
        for (n, line) in source.code() {
            let trimmed = line.trim_start();
            let indent = &line[..line.len() - trimmed.len()];
            if open.is_none() && is_function(trimmed) && !trimmed.ends_with([';', '}']) {
                open = Some((n, trimmed, format!("{indent}}}")));
            }
            if let Some((start, name, end)) = &open
                && line == end
            {
                let lines = n - start + 1;
                if lines > FUNCTION_LINES_MAX {
                    findings.push(source.at(*start, &format!("{lines} lines: {name}")));
                }
                open = None;
            }
        }
    }
    report("a function has at most 70 lines", findings);
}

fn is_function(line: &str) -> bool {
    let words = line.split_whitespace().take(6);
    let mut before = words.take_while(|word| *word != "fn");
    line.contains("fn ")
        && before.all(|w| {
            w.starts_with("pub") || ["const", "async", "in", "super)", "unsafe"].contains(&w)
        })
}

#[test]
fn files_are_not_too_long() {
    let long = |source: &Source| {
        let lines = source.code().count();
        (lines > FILE_LINES_MAX && !source.is_test())
            .then(|| source.at(1, &format!("{lines} lines")))
    };
    report("a file has at most 800 lines", all_sources().iter().filter_map(long).collect());
}

#[test]
fn nothing_is_left_undone() {
    let undone = ["todo", "unimplemented", "dbg"].map(|name| format!("{name}!("));
    let mut findings = Vec::new();
    for source in all_sources() {
        for (n, line) in source.text.lines().enumerate() {
            let found = undone.iter().filter(|mark| line.contains(mark.as_str()));
            findings.extend(found.map(|mark| source.at(n + 1, mark)));
        }
    }
    report("nothing is left undone", findings);
}

#[test]
fn names_say_something() {
    let mut findings = Vec::new();
    for source in all_sources() {
        let empty = |part: &str| EMPTY_NAMES.contains(&part);
        if source.path.trim_end_matches(".rs").split('/').any(empty) {
            findings.push(source.at(1, "a file or folder whose name says nothing"));
        }
        for (n, line) in source.code() {
            let mut words = line.split(|c: char| c != '_' && !c.is_ascii_alphanumeric());
            let declares =
                words.any(|word| ["mod", "struct", "enum", "trait", "type"].contains(&word));
            let name = words.next().unwrap_or_default();
            let suffix = ["Manager", "Utils", "Util", "Helper", "Helpers"];
            if declares && (empty(name) || suffix.iter().any(|s| name.ends_with(s))) {
                findings.push(source.at(n, &format!("`{name}` says nothing")));
            }
        }
    }
    report("a name is a noun of the domain", findings);
}

#[test]
fn this_test_finds_what_it_looks_for() {
    assert_eq!(named_modules("use crate::base::id::NodeId;"), ["base"]);
    assert_eq!(named_modules("use crate::{config::Config, node::Node};"), ["config", "node"]);
    assert_eq!(named_modules("    crate::state::store::Store, crate::io::Stats"), ["state", "io"]);
    assert_eq!(may_name("wire"), Some(vec!["base", "limits", "config", "flow", "io"]));
    assert_eq!(may_name("io"), Some(vec!["base", "limits", "config"]));
    assert_eq!(may_name("misc"), None);
    for line in ["fn a() {", "pub(super) fn a(", "pub async fn a() {", "const fn a() {"] {
        assert!(is_function(line), "{line}");
    }
    for line in ["let f = |x| x;", "type F = fn(u8);", "call(move |fn_| fn_);"] {
        assert!(!is_function(line), "{line}");
    }
    assert_eq!(uncommented("a(); // HashMap"), "a();");
    let manifest = "[dependencies]\na.workspace = true\n[dev-dependencies]\nb = \"1\"";
    assert_eq!(dependencies(manifest), [("a".to_owned(), false), ("b".to_owned(), true)]);
}

/// The names in the dependency sections of a manifest, with whether they are for tests only.
fn dependencies(manifest: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    let mut section = String::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']).to_owned();
        } else if section.ends_with("dependencies") && line.contains('=') && !line.starts_with('#')
        {
            let name = line.split(['.', '=', ' ']).next().expect("a name");
            found.push((name.to_owned(), section.ends_with("dev-dependencies")));
        }
    }
    found
}

#[test]
fn crates_depend_one_way() {
    let mut findings = Vec::new();
    let ours = ["tidings", "tidings-proto", "tidings-sim", "tidings-agent"];
    for (folder, allowed) in DIRECTION {
        let path = format!("crates/{folder}/Cargo.toml");
        let manifest = fs::read_to_string(root().join(&path)).expect("a manifest");
        for (name, tests_only) in dependencies(&manifest) {
            if ours.contains(&name.as_str()) && !allowed.contains(&name.as_str()) {
                findings.push(format!("{path}: {name} is above or beside it"));
            }
            if folder == "proto" && !tests_only && !PROTO_DEPENDENCIES.contains(&name.as_str()) {
                findings.push(format!("{path}: {name} is not among {PROTO_DEPENDENCIES:?}"));
            }
        }
    }
    report("proto <- tidings <- agent, proto <- sim <- agent", findings);
}
