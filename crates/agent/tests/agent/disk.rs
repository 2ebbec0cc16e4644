//! Decides what an agent does when its disk is full or its data directory cannot be used: it says
//! so, keeps its place in the cluster, and takes writes again when it can. Small file systems live
//! in mount namespaces of the tests' own; they need root, and say so where they are skipped.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{Agent, eventually, one_line_failure, run, say, tidings};

const BIN: &str = env!("CARGO_BIN_EXE_tidings");
const QUIET: [&str; 6] = ["--bind", "127.0.0.1:0", "--http", "127.0.0.1:0", "--log-level", "off"];

/// A file system of a few MiB that only processes started by [`SmallDisk::command`] see. It goes
/// with the process that holds its namespace, which ends when its input does.
struct SmallDisk {
    holder: Child,
    at: PathBuf,
}

impl SmallDisk {
    fn mount(at: &Path) -> Option<SmallDisk> {
        let script = "mount -t tmpfs -o size=6m tmpfs \"$0\" && echo up && read end";
        let mut holder = Command::new("unshare")
            .args(["--mount", "--", "sh", "-c", script])
            .arg(at)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut line = String::new();
        let _ = BufReader::new(holder.stdout.take()?).read_line(&mut line);
        let disk = SmallDisk { holder, at: at.to_owned() };
        (line == "up\n").then_some(disk)
    }

    /// The program, seeing the disk.
    fn command(&self) -> Command {
        let inside = tidings(); // for its clean environment
        let mut command = Command::new("nsenter");
        for (variable, _) in inside.get_envs() {
            command.env_remove(variable);
        }
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id())).args(["--", BIN]);
        command
    }

    /// The disk as this process reaches it.
    fn path(&self, name: &str) -> PathBuf {
        let inside = self.at.strip_prefix("/").expect("absolute");
        Path::new(&format!("/proc/{}/root", self.holder.id())).join(inside).join(name)
    }

    /// Fills it to the last page.
    fn fill(&self) {
        let mut file = fs::File::create(self.path("ballast")).unwrap();
        for _ in 0..10_000 {
            match file.write_all(&[0; 4096]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("{error}"),
            }
        }
        panic!("a small disk takes 40 MB");
    }

    fn free(&self) {
        fs::remove_file(self.path("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

#[test]
fn a_full_disk_is_named_writes_are_refused_and_taken_again() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(dir.path()) else {
        return say("skipped: no right to mount a small file system");
    };
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    let peer = Agent::start("peer", &[]);
    let flags = ["--data-dir", data, "--join", &peer.gossip];
    let mut agent = Agent::start_by(disk.command(), "a", &flags);
    eventually("writes are taken", || {
        (agent.put("/v1/kv/before", b"kept").status == 200).then_some(())
    });
    eventually("the peer sees it", || peer.sees("a", "alive").then_some(()));
    let id = agent.get("/v1/tidings/status").json()["id"].clone();

    disk.fill();
    let value = vec![b'x'; 200_000];
    let mut taken = Vec::new();
    let (key, refused) = (0..40)
        .find_map(|number| {
            let key = format!("/v1/kv/full/{number}");
            let answer = agent.put(&key, &value);
            if answer.status == 200 {
                taken.push(key);
                return None;
            }
            Some((key, answer))
        })
        .expect("a full disk refuses a write");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.text(), "the data directory does not accept writes");
    eventually("the log names directory and reason", || {
        agent.log().lines().any(|l| l.contains(data) && l.contains("disk full")).then_some(())
    });
    let ready = agent.get("/readyz");
    assert_eq!(
        (ready.status, ready.text().as_str()),
        (503, "the data directory does not accept writes")
    );
    assert_eq!(agent.get("/healthz").status, 200);
    assert_eq!(agent.get("/v1/tidings/status").json()["writes_refused"], true);

    // It stays a member, answers reads, and learns what others write.
    let probes = |agent: &Agent| {
        let text = agent.get("/metrics").text();
        let line = text.lines().find(|l| l.starts_with("tidings_probes_acked_total ")).unwrap();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let acked = probes(&agent);
    assert_eq!(peer.put("/v1/kv/meanwhile", b"v").status, 200);
    std::thread::sleep(Duration::from_secs(6)); // the local profile gives up a silent one sooner
    assert!(peer.sees("a", "alive"), "{:?}", peer.statuses());
    assert!(probes(&agent) >= acked + 5, "it keeps probing");
    assert_eq!(agent.get("/v1/kv/before?raw").body, b"kept");
    assert_eq!(agent.get("/v1/kv/meanwhile?raw").body, b"v");
    assert_eq!(agent.put("/v1/kv/still", b"full").status, 503);

    disk.free();
    eventually("writes are taken again", || {
        (agent.put("/v1/kv/after", b"kept").status == 200).then_some(())
    });
    eventually("it is ready again", || (agent.get("/readyz").status == 200).then_some(()));
    for missing in [&key[..], "/v1/kv/still"] {
        for agent in [&agent, &peer] {
            assert_eq!(agent.get(missing).status, 404, "{missing} was refused");
        }
    }
    eventually("the peer has the key", || {
        (peer.get("/v1/kv/after?raw").body == b"kept").then_some(())
    });

    agent.kill();
    let agent = Agent::start_by(disk.command(), "a", &flags);
    assert_eq!(agent.get("/v1/tidings/status").json()["id"], id);
    for key in ["/v1/kv/before", "/v1/kv/after"] {
        assert_eq!(agent.get(&format!("{key}?raw")).body, b"kept");
    }
    for key in &taken {
        assert_eq!(agent.get(&format!("{key}?raw")).body, value, "{key}");
    }
}

#[test]
fn a_start_on_a_full_disk_is_one_line_and_exit_1() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(dir.path()) else {
        return say("skipped: no right to mount a small file system");
    };
    disk.fill();
    let data = dir.path().join("data");
    let start = |data: &Path| {
        let mut command = disk.command();
        command.arg("agent").args(QUIET).arg("--data-dir").arg(data);
        one_line_failure(&command.stdin(Stdio::null()).output().unwrap(), 1)
    };
    let line = start(&data);
    assert!(line.contains(data.to_str().unwrap()) && line.contains("disk full"), "{line}");
    disk.free();
    let agent = Agent::start_by(disk.command(), "a", &["--data-dir", data.to_str().unwrap()]);
    assert_eq!(agent.put("/v1/kv/k", b"v").status, 200);
}

#[test]
fn an_unreadable_data_directory_is_one_line_and_exit_1() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let text = data.to_str().unwrap();
    let mut agent = Agent::start("a", &["--data-dir", text]);
    assert_eq!(agent.put("/v1/kv/k", b"v").status, 200);
    agent.kill();
    let file = data.join("tidings.redb");
    let whole = fs::read(&file).unwrap();

    fs::write(&file, b"not a database").unwrap();
    let flags = [&["agent", "--data-dir", text], &QUIET[..]].concat();
    let line = one_line_failure(&run(&flags), 1);
    assert!(line.contains(text) && line.contains("corrupt"), "{line}");
    assert_eq!(fs::read(&file).unwrap(), b"not a database", "left as it was");
    fs::write(&file, &whole).unwrap();

    // Somebody else's: root reads everything, so another user tries.
    let nobody = 65_534;
    let mut command = tidings();
    command.args(&flags).stdin(Stdio::null());
    if rustix::process::geteuid().is_root() {
        command.uid(nobody).gid(nobody);
    } else {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o0);
        fs::set_permissions(&data, mode).unwrap();
    }
    match command.output() {
        Ok(output) => {
            let line = one_line_failure(&output, 1);
            assert!(line.contains(text) && line.contains("unreadable"), "{line}");
        }
        Err(error) => say(&format!("skipped: another user cannot run the program: {error}")),
    }
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(&data, mode).unwrap();
    let agent = Agent::start("a", &["--data-dir", text]);
    assert_eq!(agent.get("/v1/kv/k?raw").body, b"v");
}
