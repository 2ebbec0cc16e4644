//! Decides what a `kill -9` at any moment may cost: nothing that was acknowledged.
//!
//! Four agents with data directories take writes all the time while one after the other is killed
//! and comes back. `SEED=n` repeats the choices of a run, `SOAK=1` kills 100 times, not 10.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::support::{Agent, Dice, PATIENCE, eventually, request, say, tidings, try_request};

const AGENTS: usize = 4;
const SHARED_KEYS: usize = 5;
const LADDER: &str = "ladder";

/// One of the agents, through all its lives.
struct Seat {
    name: String,
    http: String,
    flags: Vec<String>,
    agent: Option<Agent>,
    id: String,
    incarnation: u64,
}

impl Seat {
    fn new(index: usize, home: &Path, first: Option<&Seat>) -> Seat {
        let (gossip, http) = (quiet_address(), quiet_address());
        let data = home.join(format!("n{index}"));
        let mut flags = vec!["--bind", &gossip, "--http", &http, "--data-dir"];
        flags.push(data.to_str().unwrap());
        if let Some(first) = first {
            flags.extend(["--join", &first.flags[1]]);
        }
        let flags = flags.into_iter().map(str::to_owned).collect();
        let name = format!("n{index}");
        Seat { name, http, flags, agent: None, id: String::new(), incarnation: 0 }
    }

    /// A new life: the same identity, a higher incarnation.
    fn start(&mut self) {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        self.agent = Some(Agent::start(&self.name, &flags));
        let before = self.incarnation;
        let id = self.look();
        if self.id.is_empty() {
            self.id.clone_from(&id);
        }
        assert_eq!(id, self.id, "{} has another identity after a kill", self.name);
        let now = self.incarnation;
        assert!(now > before, "{}: incarnation {now} after {before}", self.name);
    }

    /// Notes the incarnation; returns the identity.
    fn look(&mut self) -> String {
        let status = request(&self.http, "GET", "/v1/tidings/status", b"").json();
        self.incarnation = status["incarnation"].as_u64().unwrap();
        status["id"].as_str().unwrap().to_owned()
    }

    fn kill(&mut self) {
        self.look();
        self.agent = None; // SIGKILL
    }

    /// A life that is killed somewhere on its way up.
    fn start_and_kill(&self, after: Duration) {
        let mut command = tidings();
        command.args(["agent", "--name", &self.name, "--profile", "local"]).args(&self.flags);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = command.spawn().expect("the agent starts");
        std::thread::sleep(after);
        process.kill().expect("a child");
        process.wait().expect("a child");
    }
}

/// An address that stays free while its agent is down: below the ports that connections leave from.
fn quiet_address() -> String {
    let mut dice = Dice::new(random_seed());
    for _ in 0..1000 {
        let addr = format!("127.0.0.1:{}", 10_240 + dice.below(20_000));
        if TcpListener::bind(&addr).is_ok() && UdpSocket::bind(&addr).is_ok() {
            return addr;
        }
    }
    panic!("no free port");
}

fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(Instant::now())
}

/// What a writer asked for, and the answer if there was one.
#[derive(Debug)]
struct Written {
    key: String,
    /// `None`: a delete.
    value: Option<Vec<u8>>,
    acknowledged: Option<Token>,
}

/// Ordered as writes win: by stamp, then by writer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Token {
    stamp: u64,
    dot: (String, u64),
}

impl Token {
    fn read(answer: &Value) -> Token {
        Token { stamp: answer["stamp"].as_u64().unwrap(), dot: dot(&answer["dots"][0]) }
    }
}

fn dot(record: &Value) -> (String, u64) {
    (record["node"].as_str().unwrap().to_owned(), record["seq"].as_u64().unwrap())
}

/// What all writers share.
struct Desk {
    stop: AtomicBool,
    /// The last value of the key that all write in turn, each after the one before was answered.
    ladder: Mutex<u64>,
}

/// Keeps writing through one agent until told to stop; what is refused or unanswered is noted too.
fn write_through(index: usize, http: &str, seed: u64, desk: &Desk) -> Vec<Written> {
    let mut dice = Dice::new(seed ^ (index as u64 + 1));
    let (mut written, mut own): (Vec<Written>, Vec<String>) = Default::default();
    let mut number = 0;
    while !desk.stop.load(Ordering::Relaxed) {
        number += 1;
        let mut value = format!("{index}:{number}").into_bytes();
        let write = match dice.below(20) {
            0..12 => {
                let large = dice.one_in(50);
                value.resize(value.len() + dice.below(if large { 60_000 } else { 1500 }), b'.');
                let key = format!("own/{index}/{number}");
                let write = put(http, key.clone(), Some(value));
                if write.acknowledged.is_some() {
                    own.push(key);
                }
                write
            }
            12..15 => put(http, format!("count/{index}"), Some(value)),
            15..18 => put(http, format!("shared/{}", dice.below(SHARED_KEYS)), Some(value)),
            18 if !own.is_empty() => {
                let key = own.swap_remove(dice.below(own.len()));
                put(http, key, None)
            }
            _ => {
                let mut ladder = desk.ladder.lock().unwrap();
                *ladder += 1;
                let write = put(http, LADDER.to_owned(), Some(ladder.to_string().into_bytes()));
                std::thread::sleep(Duration::from_millis(2)); // the clock of the next is ahead
                write
            }
        };
        let pause = if write.acknowledged.is_some() { 2 } else { 20 };
        written.push(write);
        std::thread::sleep(dice.millis(pause, pause + 8));
    }
    written
}

fn put(http: &str, key: String, value: Option<Vec<u8>>) -> Written {
    let path = format!("/v1/tidings/kv/kv/{key}");
    let answer = match &value {
        Some(value) => try_request(http, "PUT", &path, value),
        None => try_request(http, "DELETE", &path, b""),
    };
    let answered = answer.ok().filter(|answer| answer.status == 200);
    Written { key, value, acknowledged: answered.map(|answer| Token::read(&answer.json())) }
}

#[test]
fn nothing_acknowledged_is_lost_when_agents_are_killed_at_random_moments() {
    let seed = std::env::var("SEED")
        .map_or_else(|_| random_seed(), |text| text.parse().expect("SEED is a number below 2^64"));
    let kills = if std::env::var_os("SOAK").is_some() { 100 } else { 10 };
    say(&format!("kill: {kills} kills, SEED={seed}"));
    let mut dice = Dice::new(seed);
    let home = tempfile::tempdir().unwrap();
    let mut seats: Vec<Seat> = Vec::new();
    for index in 0..AGENTS {
        let seat = Seat::new(index, home.path(), seats.first());
        seats.push(seat);
        seats[index].start();
    }
    all_alive(&seats);
    let desk = Desk { stop: AtomicBool::new(false), ladder: Mutex::new(0) };
    let written = std::thread::scope(|scope| {
        let stop = StopOnDrop(&desk); // also when a kill finds a fault
        let https: Vec<String> = seats.iter().map(|seat| seat.http.clone()).collect();
        let writers: Vec<_> = https
            .into_iter()
            .enumerate()
            .map(|(index, http)| (index, http, &desk))
            .map(|(i, http, desk)| scope.spawn(move || write_through(i, &http, seed, desk)))
            .collect();
        let mut done = 0;
        while done < kills {
            std::thread::sleep(dice.millis(50, 1200));
            let seat = &mut seats[dice.below(AGENTS)];
            seat.kill();
            done += 1;
            std::thread::sleep(dice.millis(0, 1500));
            if done < kills && dice.one_in(4) {
                seat.start_and_kill(dice.millis(0, 120));
                done += 1;
            }
            seat.start();
        }
        std::thread::sleep(Duration::from_secs(1));
        drop(stop);
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
    });
    let stopped = Instant::now();
    all_alive(&seats);
    let state = quiescent(&seats);
    let waited = stopped.elapsed();
    check(&seats, &written, &state);
    let acknowledged = written.iter().filter(|w| w.acknowledged.is_some()).count();
    say(&format!(
        "kill: {acknowledged} of {} writes acknowledged, {} keys, equal after {waited:.1?}",
        written.len(),
        state.len(),
    ));
}

struct StopOnDrop<'a>(&'a Desk);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

/// Everybody sees the four identities alive, and nobody else.
fn all_alive(seats: &[Seat]) {
    let wanted: BTreeSet<(String, String)> =
        seats.iter().map(|seat| (seat.id.clone(), "alive".to_owned())).collect();
    for seat in seats {
        eventually(&format!("{} sees all four alive", seat.name), || {
            let members = request(&seat.http, "GET", "/v1/tidings/members", b"").json();
            let field = |m: &Value, name: &str| m[name].as_str().unwrap().to_owned();
            let members = members.as_array().unwrap();
            let seen: Vec<_> =
                members.iter().map(|m| (field(m, "id"), field(m, "status"))).collect();
            (seen.len() == AGENTS && seen.into_iter().collect::<BTreeSet<_>>() == wanted)
                .then_some(())
        });
    }
}

/// An entry as it is read: value in base64, dot, wall time of the stamp.
#[derive(Debug, PartialEq)]
struct Kept {
    value: String,
    dot: (String, u64),
    stamp_ms: u64,
}

type State = BTreeMap<String, Kept>;

/// Waits until all agents hold the same, and returns it.
fn quiescent(seats: &[Seat]) -> State {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut states: Vec<State> = seats.iter().map(|seat| read_all(&seat.http)).collect();
        if states.iter().all(|state| *state == states[0]) {
            return states.swap_remove(0);
        }
        if Instant::now() > deadline {
            for (seat, state) in seats.iter().zip(&states).skip(1) {
                let keys = state.keys().chain(states[0].keys()).collect::<BTreeSet<_>>();
                let differ = keys.into_iter().filter(|key| state.get(*key) != states[0].get(*key));
                for key in differ.take(5) {
                    let (ours, theirs) = (states[0].get(key), state.get(key));
                    say(&format!("{key}: n0 {ours:?}, {} {theirs:?}", seat.name));
                }
            }
            panic!("the states differ {PATIENCE:?} after the last write");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn read_all(http: &str) -> State {
    let answer = request(http, "GET", "/v1/tidings/kv/kv/?recurse", b"");
    let entries = answer.json();
    let entries = entries.as_array().unwrap().iter();
    entries
        .map(|entry| {
            let kept = Kept {
                value: entry["Value"].as_str().unwrap_or("").to_owned(),
                dot: dot(&entry["Dot"]),
                stamp_ms: entry["StampMs"].as_u64().unwrap(),
            };
            (entry["Key"].as_str().unwrap().to_owned(), kept)
        })
        .collect()
}

fn check(seats: &[Seat], written: &[Written], state: &State) {
    let mut by_key: BTreeMap<&str, Vec<&Written>> = BTreeMap::new();
    for write in written {
        by_key.entry(&write.key).or_default().push(write);
    }
    for (key, writes) in &by_key {
        check_key(key, writes, state.get(*key));
    }
    for key in state.keys() {
        assert!(by_key.contains_key(&key[..]), "{key} was never written");
    }
    check_dots(seats, written, state);
}

/// The write that won is the last acknowledged one, or one whose answer got lost.
fn check_key(key: &str, writes: &[&Written], kept: Option<&Kept>) {
    let newest = writes.iter().filter(|w| w.acknowledged.is_some()).max_by_key(|w| &w.acknowledged);
    let unanswered = || writes.iter().filter(|w| w.acknowledged.is_none());
    let stands = match newest {
        None => kept.is_none(),
        Some(write) => kept.map(|k| &k.value) == encoded(write).as_ref(),
    };
    if !stands {
        let another = unanswered().any(|w| encoded(w).as_ref() == kept.map(|k| &k.value));
        assert!(another, "{key}: acknowledged {newest:?}, kept {kept:?}");
        // What won without an answer is newer than what had one.
        if let (Some(kept), Some(Token { stamp, .. })) =
            (kept, newest.and_then(|w| w.acknowledged.as_ref()))
        {
            assert!(kept.stamp_ms >= stamp >> 16, "{key}: {kept:?} won over stamp {stamp}");
        }
    }
    if key == LADDER || key.starts_with("count/") {
        // One after the other in real time: the last acknowledged one or a later one stands.
        let position =
            |kept: &Kept| writes.iter().position(|w| encoded(w).as_ref() == Some(&kept.value));
        let mut ordered: Vec<(u64, &&Written)> =
            writes.iter().map(|w| (rung(w.value.as_deref().unwrap()), w)).collect();
        ordered.sort_by_key(|(rung, _)| *rung);
        let last =
            ordered.iter().rev().find(|(_, w)| w.acknowledged.is_some()).map(|(rung, _)| *rung);
        let found = kept.and_then(position).map(|at| rung(writes[at].value.as_deref().unwrap()));
        assert!(found >= last, "{key}: {found:?} stands, {last:?} was acknowledged");
    }
}

/// The rising number in a value.
fn rung(value: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(value);
    text.rsplit(':').next().unwrap().parse().unwrap()
}

fn encoded(write: &Written) -> Option<String> {
    write.value.as_ref().map(|value| BASE64_STANDARD.encode(value))
}

/// A dot names one write, of one identity, and later writes have higher numbers.
fn check_dots(seats: &[Seat], written: &[Written], state: &State) {
    let mut named: BTreeMap<&(String, u64), &str> = BTreeMap::new();
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for (write, token) in written.iter().filter_map(|w| Some((w, w.acknowledged.as_ref()?))) {
        let (origin, seq) = &token.dot;
        assert!(seats.iter().any(|seat| seat.id == *origin), "{write:?}: of no member");
        let other = named.insert(&token.dot, &write.key);
        assert!(other.is_none(), "{:?} names {} and {other:?}", token.dot, write.key);
        // The list has one writer after the other, each through one agent.
        let before = last.insert(origin, *seq).unwrap_or(0);
        assert!(*seq > before, "{write:?}: after sequence {before}");
    }
    for (key, kept) in state {
        let other = named.insert(&kept.dot, key);
        assert!(other.is_none_or(|other| other == key), "{:?} names {key} and {other:?}", kept.dot);
    }
}
