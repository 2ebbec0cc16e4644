//! Decides how tests run the program and speak HTTP to it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Anything that should happen happens within this, on a busy machine too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The program, with nothing of the caller's environment that it would read.
pub(crate) fn tidings() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("TIDINGS_") {
            command.env_remove(variable);
        }
    }
    command
}

/// A line for who watches the tests, also where the test harness keeps back what a test prints.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Random numbers from a seed (SplitMix64): equal seeds, equal choices.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound as u64) as usize
    }

    pub(crate) fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    pub(crate) fn millis(&mut self, from: usize, to: usize) -> Duration {
        Duration::from_millis((from + self.below(to - from)) as u64)
    }
}

pub(crate) fn run(args: &[&str]) -> Output {
    tidings().args(args).stdin(Stdio::null()).output().expect("the program runs")
}

/// Checks for exit code and exactly one line on standard error, and returns it.
pub(crate) fn one_line_failure(output: &Output, code: i32) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "stderr: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "stderr: {stderr}");
    stderr.trim_end().to_owned()
}

/// Looks until there is something to see.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A running agent, killed when dropped.
pub(crate) struct Agent {
    pub(crate) process: Child,
    pub(crate) http: String,
    pub(crate) gossip: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl Agent {
    /// On ports that the system picks, with more flags.
    pub(crate) fn start(name: &str, flags: &[&str]) -> Agent {
        Agent::start_by(tidings(), name, flags)
    }

    /// `command` runs the program, possibly behind another one.
    pub(crate) fn start_by(mut command: Command, name: &str, flags: &[&str]) -> Agent {
        command.args(["agent", "--name", name]);
        if !flags.contains(&"--profile") {
            command.args(["--profile", "local"]);
        }
        if !flags.contains(&"--bind") {
            command.args(["--bind", "127.0.0.1:0"]);
        }
        if !flags.contains(&"--http") {
            command.args(["--http", "127.0.0.1:0"]);
        }
        command.args(flags).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("the agent starts");
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(process.stderr.take().expect("piped"));
        let shared = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                shared.lock().unwrap().push(line);
            }
        });
        let started = eventually("the agent says that it started", || {
            if let Some(status) = process.try_wait().expect("a child") {
                panic!("{name} ended: {status}: {:?}", log.lock().unwrap());
            }
            log.lock().unwrap().iter().find(|line| line.contains("started")).cloned()
        });
        let field = |name: &str| {
            let rest = started.split(name).nth(1).unwrap_or_else(|| panic!("{name} in {started}"));
            rest.split_whitespace().next().unwrap().to_owned()
        };
        Agent { http: field("http="), gossip: field("gossip="), process, log }
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits for the end; the exit code, or `None` for a signal.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        eventually("the agent ends", || self.process.try_wait().expect("a child")).code()
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    pub(crate) fn request(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        request(&self.http, method, path, body)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, b"")
    }

    pub(crate) fn put(&self, path: &str, body: &[u8]) -> Answer {
        self.request("PUT", path, body)
    }

    /// `{name: status}` as this agent sees the cluster.
    pub(crate) fn statuses(&self) -> Vec<(String, String)> {
        let members = self.get("/v1/tidings/members").json();
        let text = |m: &Value, name: &str| m[name].as_str().unwrap().to_owned();
        members.as_array().unwrap().iter().map(|m| (text(m, "name"), text(m, "status"))).collect()
    }

    pub(crate) fn sees(&self, name: &str, status: &str) -> bool {
        self.statuses().iter().any(|(n, s)| n == name && s == status)
    }

    pub(crate) fn watch(&self, query: &str) -> Watch {
        let mut stream = TcpStream::connect(&self.http).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let path = format!("/v1/tidings/watch{query}");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
        Watch(BufReader::new(stream))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A stream of events.
pub(crate) struct Watch(BufReader<TcpStream>);

impl Watch {
    /// The next `data:` line, as it came.
    pub(crate) fn line(&mut self) -> String {
        self.try_line().expect("an event in time").expect("the stream goes on")
    }

    /// `None`: the stream ended.
    pub(crate) fn try_line(&mut self) -> io::Result<Option<String>> {
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            if let Some(data) = line.strip_prefix("data:") {
                return Ok(Some(data.trim().to_owned()));
            }
        }
    }

    pub(crate) fn event(&mut self) -> Value {
        serde_json::from_str(&self.line()).expect("one object per line")
    }
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub(crate) fn index(&self) -> u64 {
        self.header("x-consul-index").expect("an index").parse().expect("a number")
    }
}

pub(crate) fn request(addr: &str, method: &str, path: &str, body: &[u8]) -> Answer {
    try_request(addr, method, path, body).expect("a whole answer in time")
}

/// For agents that may be killed meanwhile: half an answer is none.
pub(crate) fn try_request(addr: &str, method: &str, path: &str, body: &[u8]) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let cut = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").ok_or_else(cut)?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let answer = Answer { status, headers, body: bytes[end + 4..].to_vec() };
    let promised = answer.header("content-length").and_then(|length| length.parse().ok());
    if promised.is_some_and(|promised: usize| promised != answer.body.len()) {
        return Err(cut());
    }
    Ok(answer)
}
