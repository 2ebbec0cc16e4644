//! Decides what the demonstration shows: a cluster on loopback, step by step, each step asserted.
//!
//! Every agent is a child process that dies with this one, has a data directory below one
//! temporary directory, and logs there.

use std::fs::{self, File};
use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hyper::Method;
use hyper::body::Bytes;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use super::{block_on, print_line, read_json, why};
use crate::client::Client;
use crate::{Failure, args, os};

/// All steps together.
const STEPS_WAIT: Duration = Duration::from_secs(58);
/// Between two looks at what is waited for.
const LOOK_PERIOD: Duration = Duration::from_millis(5);
/// Below the ports that systems hand out by themselves, so that none is taken meanwhile.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

/// Runs the demonstration. Interrupted by a signal it cleans up and ends as failed, unless all
/// steps are done.
pub(crate) fn run(flags: &args::Demo) -> Result<(), Failure> {
    let stays = std::io::stdout().is_terminal() && !flags.exit;
    block_on(async {
        let failed = |error: std::io::Error| Failure::Failed(format!("signals: {error}"));
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
        let mut ended = async || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hangup.recv() => {}
            }
        };
        let mut cluster = Cluster::plan(usize::from(flags.nodes))?;
        let steps = tokio::time::timeout(STEPS_WAIT, show(&mut cluster));
        let result = tokio::select! {
            result = steps => result.unwrap_or_else(|_| {
                Err(Failure::Failed(format!("demo: not done within {STEPS_WAIT:?}")))
            }),
            () = ended() => Err(Failure::Failed("demo: interrupted".to_owned())),
        };
        if matches!(result, Err(Failure::Failed(_))) {
            cluster.print_logs();
        }
        result?;
        if stays {
            print_line("\nThe cluster keeps running. Ctrl-C ends it.")?;
            ended().await;
        }
        Ok(())
    })
}

/// The steps.
async fn show(cluster: &mut Cluster) -> Result<(), Failure> {
    let count = cluster.agents.len();
    print_line(&format!("Starting {count} agents, data in {}", cluster.dir.0.display()))?;
    let began = Instant::now();
    cluster.start(0)?;
    cluster.all_see(&[0], 1).await?; // there is a node to join
    for index in 1..count {
        cluster.start(index)?;
    }
    for agent in &cluster.agents {
        let line = format!("  {}  gossip {}  http://{}", agent.name, agent.gossip, agent.http);
        print_line(&line)?;
    }
    let first = cluster.agents[0].http;
    print_line(&format!("  try: tidings members --http-addr http://{first}"))?;
    print_line(&format!("       tidings monitor --http-addr http://{first}"))?;

    let everyone: Vec<usize> = (0..count).collect();
    cluster.all_see(&everyone, count).await?;
    done(&format!("all {count} see each other after {} ms", ms(began)))?;

    spread_key(cluster, &everyone, "demo/greeting", "hello").await?;
    let victim = count - 1;
    lose_one(cluster, victim).await?;
    let rest: Vec<usize> = (0..victim).collect();
    spread_key(cluster, &rest, "demo/news", "written while it was away").await?;
    bring_back(cluster, victim, "demo/news", "written while it was away").await?;
    print_line("All steps passed.")
}

/// A key written at the first of `readers`, read at the others.
async fn spread_key(
    cluster: &Cluster,
    readers: &[usize],
    key: &str,
    value: &str,
) -> Result<(), Failure> {
    let path = format!("/v1/kv/{key}");
    let writer = &cluster.agents[readers[0]];
    eventually(async || {
        let body = Bytes::copy_from_slice(value.as_bytes());
        writer.client.call(Method::PUT, &path, body).await.ok()
    })
    .await;
    let written = Instant::now();
    let mut times = Vec::new();
    for index in &readers[1..] {
        let agent = &cluster.agents[*index];
        agent.has(key, value).await;
        times.push(format!("{} {} ms", agent.name, ms(written)));
    }
    done(&format!("key {key} written at {}, read at {}", writer.name, times.join(", ")))
}

/// One agent killed without a word, and what the others make of it.
async fn lose_one(cluster: &mut Cluster, victim: usize) -> Result<(), Failure> {
    let name = cluster.agents[victim].name.clone();
    cluster.agents[victim].kill();
    let killed = Instant::now();
    print_line(&format!("  {name} killed with SIGKILL"))?;
    let mut times = Vec::new();
    for agent in &cluster.agents[..victim] {
        agent.sees(&name, "failed").await;
        times.push(format!("{} {} ms", agent.name, ms(killed)));
    }
    done(&format!("{name} found failed at {}", times.join(", ")))?;
    let answer = cluster.agents[0].client.get(&format!("/v1/tidings/why/{name}")).await?;
    print_line(&format!("  why: {}", why::tell(&read_json(&answer)?).replace('\n', "\n       ")))
}

/// The killed agent again, with the directory that it had.
async fn bring_back(
    cluster: &mut Cluster,
    victim: usize,
    key: &str,
    value: &str,
) -> Result<(), Failure> {
    let id_before = cluster.agents[victim].id.clone();
    cluster.start(victim)?;
    let started = Instant::now();
    let everyone: Vec<usize> = (0..cluster.agents.len()).collect();
    cluster.all_see(&everyone, everyone.len()).await?;
    let seen = ms(started);
    let agent = &cluster.agents[victim];
    agent.has(key, value).await;
    let name = &agent.name;
    if id_before.is_none() || agent.id != id_before {
        let (before, after) = (id_before.unwrap_or_default(), agent.id.clone().unwrap_or_default());
        return Err(Failure::Failed(format!(
            "demo: {name} came back as {after}: expected its identity {before}"
        )));
    }
    done(&format!(
        "{name} is back with its identity, seen by all after {seen} ms, has {key} after {} ms",
        ms(started)
    ))
}

fn done(text: &str) -> Result<(), Failure> {
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    print_line(&if colours { format!("\x1b[32mok\x1b[0m {text}") } else { format!("ok {text}") })
}

fn ms(since: Instant) -> u128 {
    since.elapsed().as_millis()
}

/// Looks until there is something to see; the deadline of all steps ends it.
async fn eventually<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(LOOK_PERIOD).await;
    }
}

/// A directory that goes with its owner.
struct ScratchDir(PathBuf);

impl Drop for ScratchDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The agents, stopped and removed with their directory when this is dropped.
struct Cluster {
    agents: Vec<DemoAgent>,
    dir: ScratchDir,
}

struct DemoAgent {
    name: String,
    gossip: SocketAddr,
    http: SocketAddr,
    client: Client,
    dir: PathBuf,
    id: Option<String>,
    process: Option<Child>,
}

impl Cluster {
    /// Chooses names, addresses and directories; starts nothing.
    fn plan(count: usize) -> Result<Cluster, Failure> {
        let name = format!("tidings-demo-{}-{}", std::process::id(), os::unix_ms());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).map_err(|error| failed_at(&path, &error))?;
        let dir = ScratchDir(path);
        let ports = free_ports(2 * count)?;
        let mut agents = Vec::new();
        for (index, ports) in ports.chunks(2).enumerate() {
            let name = format!("node-{}", index + 1);
            let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let (gossip, http) = (at(ports[0]), at(ports[1]));
            let client = Client::new(&http.to_string())?;
            let (dir, id, process) = (dir.0.join(&name), None, None);
            fs::create_dir_all(&dir).map_err(|error| failed_at(&dir, &error))?;
            agents.push(DemoAgent { name, gossip, http, client, dir, id, process });
        }
        Ok(Cluster { agents, dir })
    }

    fn start(&mut self, index: usize) -> Result<(), Failure> {
        let program = std::env::current_exe()
            .map_err(|error| Failure::Failed(format!("this program's own path: {error}")))?;
        let seed = self.agents[0].gossip.to_string();
        let agent = &mut self.agents[index];
        let log_path = agent.dir.join("log");
        let log = File::options().create(true).append(true).open(&log_path);
        let log = log.map_err(|error| failed_at(&log_path, &error))?;
        let mut command = Command::new(program);
        command.args(["agent", "--profile", "local", "--dns", "off", "--name", &agent.name]);
        command.args(["--bind", &agent.gossip.to_string(), "--http", &agent.http.to_string()]);
        command.args(["--cluster", "tidings-demo"]);
        if index > 0 {
            command.args(["--join", &seed]);
        }
        command.args(["--die-with-parent", &std::process::id().to_string()]);
        command.arg("--data-dir").arg(agent.dir.join("data"));
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("TIDINGS_") {
                command.env_remove(variable);
            }
        }
        // A group of its own: Ctrl-C is for the demonstration, which then ends its agents.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        agent.process =
            Some(command.spawn().map_err(|error| {
                Failure::Failed(format!("cannot start {}: {error}", agent.name))
            })?);
        Ok(())
    }

    /// Waits until each of `viewers` lists `alive` live members, and notes who each one is.
    async fn all_see(&mut self, viewers: &[usize], alive: usize) -> Result<(), Failure> {
        for index in viewers {
            let agent = &mut self.agents[*index];
            let status = loop {
                let status = agent.status().await;
                if let Some(code) = agent.ended() {
                    return Err(Failure::Failed(format!("demo: {} ended: {code}", agent.name)));
                }
                match status {
                    Some(status) if status["members"]["alive"] == alive => break status,
                    _ => tokio::time::sleep(LOOK_PERIOD).await,
                }
            };
            agent.id = status["id"].as_str().map(str::to_owned);
        }
        Ok(())
    }

    /// The last lines of every log, for a demonstration that failed.
    fn print_logs(&self) {
        for agent in &self.agents {
            let text = fs::read_to_string(agent.dir.join("log")).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            for line in &lines[lines.len().saturating_sub(5)..] {
                crate::complain(&format!("{}: {line}", agent.name));
            }
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for agent in &mut self.agents {
            agent.kill();
        }
    }
}

impl DemoAgent {
    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// How the process ended, if it did.
    fn ended(&mut self) -> Option<String> {
        let status = self.process.as_mut()?.try_wait().ok()??;
        Some(status.to_string())
    }

    async fn status(&self) -> Option<Value> {
        let answer = self.client.get("/v1/tidings/status").await.ok()?;
        serde_json::from_slice(&answer).ok()
    }

    async fn has(&self, key: &str, value: &str) {
        let path = format!("/v1/kv/{key}?raw");
        eventually(async || {
            let found = self.client.get(&path).await.ok()?;
            (found == value.as_bytes()).then_some(())
        })
        .await;
    }

    async fn sees(&self, name: &str, status: &str) {
        eventually(async || {
            let answer = self.client.get("/v1/tidings/members").await.ok()?;
            let members: Vec<Value> = serde_json::from_slice(&answer).ok()?;
            members.iter().any(|m| m["name"] == name && m["status"] == status).then_some(())
        })
        .await;
    }
}

/// Ports that are free for UDP and TCP on loopback now.
fn free_ports(count: usize) -> Result<Vec<u16>, Failure> {
    let span = usize::from(PORTS.end - PORTS.start);
    let from = std::process::id() as usize * 61 + os::unix_ms() as usize;
    let free = |port: &u16| {
        TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
            && UdpSocket::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
    };
    let ports: Vec<u16> = (0..span)
        .map(|step| PORTS.start + ((from + step) % span) as u16)
        .filter(free)
        .take(count)
        .collect();
    match ports.len() == count {
        true => Ok(ports),
        false => Err(Failure::Failed(format!("{count} free ports on loopback: found fewer"))),
    }
}

fn failed_at(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("{}: {error}", path.display()))
}
