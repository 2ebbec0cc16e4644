//! Decides how tests run the program and speak HTTP to it.

use std::io::{BufRead, BufReader, Read, Write};
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
        let mut command = tidings();
        command.args(["agent", "--name", name, "--profile", "local"]);
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
        loop {
            let mut line = String::new();
            let read = self.0.read_line(&mut line).expect("an event in time");
            assert!(read > 0, "the stream ended");
            if let Some(data) = line.strip_prefix("data:") {
                return data.trim().to_owned();
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
    let mut stream = TcpStream::connect(addr).expect("the agent listens");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an answer in time");
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    Answer { status, headers, body: bytes[end + 4..].to_vec() }
}
