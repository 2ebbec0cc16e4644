//! Decides what agents do on a bad network: split, lossy, one-way, full of garbage. Each test has
//! a network namespace of its own, so nothing else on the host is touched; they need root, `ip`,
//! `nft` and `unshare`, and say so where they are skipped.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;
use tidings_proto::NodeId;
use tidings_proto::base::hash::HashKey;
use tidings_proto::wire::packet;

use crate::support::{Agent, Dice, PATIENCE, eventually, say};

/// A network namespace that lives as long as the process that holds it open, which ends when its
/// input does: at the latest with this test, however that ends.
struct Network {
    holder: Child,
}

impl Network {
    /// Or why there cannot be one.
    fn create() -> Result<Network, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("not root".to_owned());
        }
        for tool in [["ip", "-V"], ["nft", "--version"], ["unshare", "--version"]] {
            let mut command = Command::new(tool[0]);
            if command.arg(tool[1]).output().is_err() {
                return Err(format!("{} is missing", tool[0]));
            }
        }
        let script = "ip link set lo up && nft list ruleset && echo up && read end";
        let mut holder = Command::new("unshare")
            .args(["--net", "--", "sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut line = String::new();
        let _ = BufReader::new(holder.stdout.take().expect("piped")).read_line(&mut line);
        let network = Network { holder };
        if line == "up\n" { Ok(network) } else { Err("no right to make a namespace".to_owned()) }
    }

    /// This thread, and all that it starts, lives in the namespace from now on.
    fn enter(&self) {
        let link = File::open(format!("/proc/{}/ns/net", self.holder.id())).unwrap();
        move_into_link_name_space(link.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Runs a test inside a fresh network, on a thread of its own.
fn in_a_network(test: fn()) {
    let network = match Network::create() {
        Ok(network) => network,
        Err(reason) => return say(&format!("skipped, no network namespace: {reason}")),
    };
    let outcome = std::thread::scope(|scope| {
        let inside = || {
            network.enter();
            test();
        };
        scope.spawn(inside).join()
    });
    drop(network);
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// Replaces the rules of this network. Drops are at the receiver: the sender notices nothing.
fn rules(rules: &[&str]) {
    let chain = "chain input {\n type filter hook input priority 0; policy accept;\n }";
    let mut text = format!("table ip test {{\n {chain}\n}}\nflush table ip test\n");
    for rule in rules {
        text += &format!("add rule ip test input {rule}\n");
    }
    let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    nft.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success(), "{text}");
}

/// Agents of the LAN profile that know each other, and all that each tells about members.
struct Cluster {
    agents: Vec<Agent>,
    heard: Vec<Arc<Mutex<Vec<Value>>>>,
}

/// Even ones are at 127.10.x, odd ones at 127.20.x.
fn host(index: usize) -> String {
    format!("127.{}.0.{}", if index.is_multiple_of(2) { 10 } else { 20 }, index / 2 + 1)
}

impl Cluster {
    fn start(count: usize) -> Cluster {
        let seed = format!("{}:7946", host(0));
        let parent = std::process::id().to_string();
        let agents: Vec<Agent> = (0..count)
            .map(|index| {
                let bind = format!("{}:7946", host(index));
                let mut flags = vec!["--profile", "lan", "--bind", &bind];
                flags.extend(["--die-with-parent", &parent]);
                if index > 0 {
                    flags.extend(["--join", &seed]);
                }
                Agent::start(&format!("n{index}"), &flags)
            })
            .collect();
        let heard = agents.iter().map(follow).collect();
        let cluster = Cluster { agents, heard };
        eventually("all see all", || cluster.all_alive().then_some(()));
        for agent in &cluster.agents {
            eventually("writes are taken", || (agent.get("/readyz").status == 200).then_some(()));
        }
        cluster
    }

    /// Everybody lists everybody as alive.
    fn all_alive(&self) -> bool {
        self.agents.iter().all(|agent| {
            let statuses = agent.statuses();
            statuses.len() == self.agents.len() && statuses.iter().all(|(_, s)| s == "alive")
        })
    }

    /// (who says it, of whom) for each such change so far.
    fn changes(&self, change: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for (index, heard) in self.heard.iter().enumerate() {
            for event in heard.lock().unwrap().iter().filter(|e| e["change"] == change) {
                found.push((format!("n{index}"), event["name"].as_str().unwrap().to_owned()));
            }
        }
        found
    }

    fn nobody_failed(&self, during: &str) {
        let failed = self.changes("failed");
        if failed.is_empty() {
            return;
        }
        for (by, of) in &failed {
            let by: usize = by[1..].parse().unwrap();
            let why = self.agents[by].get(&format!("/v1/tidings/why/{of}")).text();
            say(&format!("n{by} on {of}: {why}"));
        }
        panic!("declared failed {during}: {failed:?}");
    }

    /// Writes through some of the agents; returns key and value.
    fn write(&self, through: &[usize], label: &str, each: usize) -> BTreeMap<String, String> {
        let mut written = BTreeMap::new();
        for index in through {
            for number in 0..each {
                let (key, value) = (format!("{label}/{index}/{number}"), format!("{number}"));
                let answer = self.agents[*index].put(&format!("/v1/kv/{key}"), value.as_bytes());
                assert_eq!(answer.text(), "true");
                written.insert(key, value);
            }
        }
        written
    }

    fn has(&self, index: usize, keys: &BTreeMap<String, String>) -> bool {
        let present = self.agents[index].get("/v1/kv/?keys");
        if present.status != 200 {
            return keys.is_empty();
        }
        let present = present.json();
        let present = present.as_array().unwrap();
        keys.keys().all(|key| present.iter().any(|p| p == key))
            && keys.iter().take(3).all(|(key, value)| {
                self.agents[index].get(&format!("/v1/kv/{key}?raw")).text() == *value
            })
    }

    fn all_have(&self, keys: &BTreeMap<String, String>) -> bool {
        (0..self.agents.len()).all(|index| self.has(index, keys))
    }

    fn metric(&self, index: usize, name: &str) -> u64 {
        metrics(&self.agents[index])[name] as u64
    }
}

/// Collects what an agent tells about members until it ends.
fn follow(agent: &Agent) -> Arc<Mutex<Vec<Value>>> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (mut watch, sink) = (agent.watch("?types=member"), Arc::clone(&heard));
    std::thread::spawn(move || {
        while let Ok(Some(line)) = watch.try_line() {
            let event: Value = serde_json::from_str(&line).expect("one object per line");
            assert_ne!(event["type"], "lagged");
            sink.lock().unwrap().push(event);
        }
    });
    heard
}

fn metrics(agent: &Agent) -> BTreeMap<String, f64> {
    let text = agent.get("/metrics").text();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

/// Waits for something since a moment; returns how long it took.
fn since(moment: Instant, what: &str, mut look: impl FnMut() -> bool) -> Duration {
    eventually(what, || look().then(|| moment.elapsed()))
}

#[test]
fn a_split_of_halves_heals_within_three_seconds_with_the_writes_of_both() {
    in_a_network(|| {
        let cluster = Cluster::start(8);
        let (tens, twenties) = ([0, 2, 4, 6], [1, 3, 5, 7]);
        let before = cluster.write(&[0, 1], "before", 5);
        eventually("the first writes are everywhere", || cluster.all_have(&before).then_some(()));
        let split = Instant::now();
        rules(&[
            "ip saddr 127.10.0.0/16 ip daddr 127.20.0.0/16 drop",
            "ip saddr 127.20.0.0/16 ip daddr 127.10.0.0/16 drop",
        ]);
        let left = cluster.write(&tens, "tens", 20);
        let right = cluster.write(&twenties, "twenties", 20);
        let noticed = since(split, "each half gives up the other", || {
            let failed = |agent: &Agent| {
                agent.statuses().iter().filter(|(_, status)| status == "failed").count()
            };
            cluster.agents.iter().all(|agent| failed(agent) == 4)
        });
        let of_own_half = |(by, of): &(String, String)| {
            let half = |name: &str| name[1..].parse::<usize>().unwrap() % 2;
            half(by) == half(of)
        };
        assert!(!cluster.changes("failed").iter().any(of_own_half), "only the other half");
        sleep(Duration::from_secs(20).saturating_sub(split.elapsed()));
        for index in tens {
            assert!(cluster.has(index, &left) && !cluster.has(index, &right), "n{index}");
        }
        let healed = Instant::now();
        rules(&[]);
        let together = since(healed, "all are alive again", || cluster.all_alive());
        let equal = since(healed, "all have the writes of both halves", || {
            cluster.all_have(&left) && cluster.all_have(&right) && cluster.all_have(&before)
        });
        say(&format!(
            "split: given up after {noticed:.1?}; healed: alive {together:.2?}, keys {equal:.2?}"
        ));
        assert!(together <= Duration::from_secs(3), "all alive again after {together:?}");
        assert!(equal <= Duration::from_secs(10), "all keys everywhere after {equal:?}");
    });
}

#[test]
fn an_agent_whose_datagrams_are_blocked_is_not_declared_failed() {
    in_a_network(|| {
        let cluster = Cluster::start(6);
        rules(&[&format!("ip daddr {} udp dport 7946 drop", host(3))]);
        let began = Instant::now();
        let written = cluster.write(&[0, 3, 5], "blocked", 3);
        sleep(Duration::from_secs(12).saturating_sub(began.elapsed()));
        cluster.nobody_failed("while datagrams to n3 were blocked");
        let others = [0, 1, 2, 4, 5];
        let counted: Vec<u64> = others
            .iter()
            .map(|index| cluster.metric(*index, "tidings_datagrams_blocked_total"))
            .collect();
        say(&format!("blocked: found by others {counted:?}"));
        assert!(counted.iter().sum::<u64>() > 0, "nobody counted blocked datagrams");
        let named = others.iter().any(|index| {
            let status = cluster.agents[*index].get("/v1/tidings/status").json();
            let alarms = status["alarms"].as_array().unwrap().clone();
            alarms.iter().any(|alarm| {
                alarm["alarm"] == "datagrams_blocked"
                    && alarm["text"].as_str().unwrap().contains("n3")
            })
        });
        assert!(named, "no status names n3");
        let spread = since(began, "keys reach all by streams alone", || cluster.all_have(&written));
        say(&format!("blocked: keys everywhere after at most {spread:.1?}"));
        rules(&[]);
        eventually("all are alive", || cluster.all_alive().then_some(()));
        cluster.nobody_failed("when the block was over");
    });
}

#[test]
fn one_packet_lost_in_five_kills_nobody() {
    in_a_network(|| {
        let cluster = Cluster::start(8);
        // Between agents only: HTTP is at 127.0.0.1.
        let lossy = "numgen random mod 100 < 20 drop";
        rules(&[
            &format!("ip daddr 127.10.0.0/16 {lossy}"),
            &format!("ip daddr 127.20.0.0/16 {lossy}"),
        ]);
        let began = Instant::now();
        let written = cluster.write(&[0, 1, 2, 3, 4, 5, 6, 7], "lossy", 4);
        let spread = since(began, "keys reach all under loss", || cluster.all_have(&written));
        sleep(Duration::from_secs(15).saturating_sub(began.elapsed()));
        cluster.nobody_failed("under 20 % loss");
        let suspects = cluster.changes("suspect").len();
        say(&format!("loss: keys everywhere after {spread:.1?}, {suspects} suspicions, 0 failed"));
        rules(&[]);
        eventually("all are alive", || cluster.all_alive().then_some(()));
        cluster.nobody_failed("when the loss was over");
    });
}

#[test]
fn a_process_that_stands_still_for_three_seconds_costs_nobody_its_life() {
    in_a_network(|| {
        let cluster = Cluster::start(8);
        cluster.agents[5].signal("STOP");
        sleep(Duration::from_secs(3));
        cluster.agents[5].signal("CONT");
        sleep(Duration::from_secs(8));
        cluster.nobody_failed("around a pause of 3 s");
        assert!(cluster.all_alive(), "all are alive 8 s later");
        let suspects = cluster.changes("suspect").len();
        let pauses = cluster.metric(5, "tidings_pauses_total");
        say(&format!("pause: {suspects} suspicions, {pauses} pauses noticed, 0 failed"));
        assert!(pauses > 0, "n5 knows that it stood still");
    });
}

const JUNK_DATAGRAMS: usize = 20_000;
const JUNK_CONNECTIONS: usize = 200;

#[test]
fn a_flood_of_garbage_is_counted_by_reason_and_harms_nobody() {
    in_a_network(|| {
        let cluster = Cluster::start(6);
        let target = format!("{}:7946", host(2));
        let before = metrics(&cluster.agents[2]);
        let of_target = cluster.agents[2].get("/v1/tidings/status").json();
        let own = NodeId::parse(of_target["id"].as_str().unwrap()).unwrap();
        let mut dice = Dice::new(7);
        flood_datagrams(&target, own, &mut dice);
        flood_connections(&target, &mut dice);
        let written = cluster.write(&[0, 2, 4], "flooded", 3);
        let began = Instant::now();
        let spread = since(began, "keys reach all after the flood", || cluster.all_have(&written));
        sleep(Duration::from_secs(8)); // what a flood could kill would be dead by now
        let after = metrics(&cluster.agents[2]);
        let risen = |name: &str| {
            let name = format!("tidings_{name}_total");
            after[&name] as u64 - before[&name] as u64
        };
        let reasons = [
            // How many of each come before the address has sent more than it may is chance: the rest is
            // not read.
            ("drop_truncated", 1),
            ("drop_version", 10),
            ("drop_foreign_cluster", 10),
            ("drop_checksum", 10),
            ("drop_malformed", 10),
            ("drop_own", 10),
            ("drop_oversized", 100),
            ("drop_limited", 15_000),
        ];
        let counted: Vec<(&str, u64)> = reasons.map(|(name, _)| (name, risen(name))).to_vec();
        let received = risen("datagrams_received");
        say(&format!("flood: {received} datagrams received, keys after {spread:.1?}: {counted:?}"));
        for (name, least) in reasons {
            assert!(risen(name) >= least, "{name} rose by {}: expected {least}", risen(name));
        }
        let dropped: u64 = counted.iter().map(|(_, n)| n).sum();
        assert!(dropped >= JUNK_DATAGRAMS as u64 * 9 / 10, "{dropped} drops counted");
        cluster.nobody_failed("during the flood");
        assert!(cluster.all_alive(), "all are alive, and nobody else is known");
        assert_eq!(cluster.changes("join").len(), 0, "no member came out of garbage");
    });
}

/// At a pace that a socket buffer takes: what the kernel drops nobody could count.
fn flood_datagrams(target: &str, own: NodeId, dice: &mut Dice) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let key = HashKey::for_cluster("tidings");
    for number in 0..JUNK_DATAGRAMS {
        let mut bytes = junk(number, own, &key, dice);
        if bytes.is_empty() {
            bytes.push(0);
        }
        socket.send_to(&bytes, target).unwrap();
        if number % 32 == 31 {
            sleep(Duration::from_millis(4));
        }
    }
}

/// Noise, and packets that are right up to some point.
fn junk(number: usize, own: NodeId, key: &HashKey, dice: &mut Dice) -> Vec<u8> {
    let size = match dice.below(20) {
        0 => dice.below(packet::HEADER_BYTES),
        1 => 1500 + dice.below(60_000),
        _ => packet::HEADER_BYTES + 8 + dice.below(1400),
    };
    let mut noise: Vec<u8> = Vec::with_capacity(size + 8);
    while noise.len() < size {
        noise.extend_from_slice(&dice.roll().to_le_bytes());
    }
    noise.truncate(size);
    let sender = if number % 6 == 4 { own } else { NodeId::from_u128(u128::from(dice.roll())) };
    let mut sealed = Vec::new();
    let start = packet::begin(&mut sealed, key, sender);
    match number % 6 {
        0 => noise,
        1 => {
            // Another cluster's.
            noise[..1.min(size)].fill(packet::VERSION);
            noise
        }
        2 => {
            // Ours, but not what was sent.
            sealed.extend_from_slice(&noise);
            packet::seal(&mut sealed, start, key);
            let bit = dice.below(noise.len().max(1) * 8);
            if let Some(byte) = sealed.get_mut(packet::HEADER_BYTES + bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
            sealed
        }
        // Sealed as ours, its frames nonsense; every second time in the target's own name.
        _ => {
            sealed.extend_from_slice(&[1, 0xff, 0xff, 0xff, 0x7f]);
            sealed.extend_from_slice(&noise);
            packet::seal(&mut sealed, start, key);
            sealed
        }
    }
}

/// Lengths that are lies, noise behind true lengths, halves, and silence.
fn flood_connections(target: &str, dice: &mut Dice) {
    let mut silent = Vec::new();
    for number in 0..JUNK_CONNECTIONS {
        let mut stream = TcpStream::connect(target).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut bytes: Vec<u8> = (0..64).flat_map(|_| dice.roll().to_le_bytes()).collect();
        match number % 4 {
            0 => bytes[..4].fill(0xff),
            1 => bytes.splice(..4, 508_u32.to_le_bytes()).for_each(drop),
            2 => bytes.splice(..4, 100_000_u32.to_le_bytes()).for_each(drop),
            _ => bytes.clear(),
        }
        let _ = stream.write_all(&bytes); // the agent may have closed it at the first bytes
        if number % 4 == 3 {
            silent.push(stream);
        }
    }
}
