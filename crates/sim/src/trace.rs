//! Decides what "the same run" means: a running 128-bit hash over every input and output of
//! every node with its time, and on request the same as text.

use std::fmt::Write as _;
use std::hash::Hasher as _;
use std::net::SocketAddr;

use siphasher::sip128::{Hasher128 as _, SipHasher13};
use tidings_proto::Time;
use tidings_proto::io::{Event, Input, Outbox, Output};

/// How much of a run is written as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Text {
    #[default]
    Off,
    /// Events, replies, faults.
    Events,
    /// Every input and output too.
    All,
}

/// The record of a run.
#[derive(Debug)]
pub struct Trace {
    hasher: SipHasher13,
    pub text: Text,
    lines: Vec<String>,
}

/// Lines kept; later ones are dropped, the hash goes on.
const LINES_MAX: usize = 1_000_000;

impl Trace {
    pub fn new(text: Text) -> Trace {
        Trace { hasher: SipHasher13::new(), text, lines: Vec::new() }
    }

    /// Stands for everything that happened so far.
    pub fn hash(&self) -> u128 {
        self.hasher.finish128().as_u128()
    }

    /// Takes the lines collected since the last call.
    pub fn take_lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }

    pub(crate) fn note(&mut self, at: Time, line: std::fmt::Arguments<'_>) {
        if self.text >= Text::Events && self.lines.len() < LINES_MAX {
            self.lines.push(format!("{} {line}", seconds(at)));
        }
    }

    pub(crate) fn input(&mut self, at: Time, host: usize, name: &str, input: &Input<'_>) {
        self.head(at, host);
        match input {
            Input::Tick => self.hasher.write_u8(1),
            Input::Datagram { from, bytes, .. } => self.packet(2, from, bytes),
            Input::Request { from, id, bytes, .. } => {
                self.hasher.write_u64(id.0);
                self.packet(3, from, bytes);
            }
            Input::Response { id, result } => {
                self.hasher.write_u8(4);
                self.hasher.write_u64(id.0);
                match result {
                    Ok(bytes) => self.hasher.write(bytes),
                    Err(e) => self.hasher.write_u8(*e as u8),
                }
            }
            Input::Persisted { upto } => self.number(5, *upto),
            Input::PersistFailed { seq } => self.number(6, *seq),
            Input::Unreachable { to } => self.packet(7, to, &[]),
            Input::Command { id, .. } => self.number(8, id.0),
        }
        if self.text == Text::All {
            let line = describe_input(input);
            self.note(at, format_args!("{name} <- {line}"));
        }
    }

    pub(crate) fn outputs(&mut self, at: Time, host: usize, name: &str, out: &Outbox) {
        for item in &out.items {
            self.head(at, host);
            self.output(item, &out.bytes);
            if self.text == Text::All {
                let line = describe_output(item);
                self.note(at, format_args!("{name} -> {line}"));
            }
        }
    }

    fn output(&mut self, item: &Output, buffer: &[u8]) {
        match item {
            Output::Datagram { to, bytes } => self.packet(11, to, &buffer[bytes.clone()]),
            Output::Request { to, id, bytes, timeout } => {
                self.hasher.write_u64(id.0);
                self.hasher.write_u64(timeout.as_nanos() as u64);
                self.packet(12, to, &buffer[bytes.clone()]);
            }
            Output::Response { id, bytes } => {
                self.number(13, id.0);
                self.hasher.write(&buffer[bytes.clone()]);
            }
            Output::Persist(persist) => {
                self.number(14, persist.seq);
                for (key, value) in &persist.changes {
                    self.hasher.write(key);
                    self.hasher.write(value.as_deref().unwrap_or_default());
                }
            }
            Output::Reply { command, result } => {
                self.number(15, command.0);
                self.hasher.write_u8(u8::from(result.is_ok()));
            }
            Output::Event(event) => self.event(event),
        }
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Member { change, member } => {
                self.number(16, member.incarnation);
                self.hasher.write_u8(*change as u8);
                self.hasher.write(&member.id.0);
                self.hasher.write_u8(member.status as u8);
            }
            Event::Cut(cut) => {
                self.number(22, cut.alive as u64);
                cut.gone.iter().for_each(|member| self.hasher.write(&member.id.0));
            }
            Event::Owning(owning) => self.number(23, *owning as u64),
            Event::User(event) => {
                self.number(17, event.seq);
                self.hasher.write(&event.origin.0);
                self.hasher.write(&event.payload);
            }
            Event::Key { key, dot, stamp, .. } => {
                self.number(18, stamp.0);
                self.hasher.write(key);
                self.hasher.write(&dot.origin.0);
                self.hasher.write_u64(dot.seq);
            }
            Event::Flag { name, value, .. } => {
                self.hasher.write_u8(20);
                self.hasher.write(name.as_bytes());
                self.hasher.write(value.as_deref().unwrap_or_default().as_bytes());
            }
            Event::Conflict(lost) => {
                self.number(21, lost.discarded.1.0);
                self.hasher.write(&lost.key);
                self.hasher.write_u64(lost.discarded.0.seq);
            }
            Event::Alarm(alarm) => {
                self.hasher.write_u8(19);
                self.hasher.write(format!("{alarm:?}").as_bytes());
            }
        }
    }

    fn head(&mut self, at: Time, host: usize) {
        self.hasher.write_u64(at.0);
        self.hasher.write_u64(host as u64);
    }

    fn number(&mut self, kind: u8, n: u64) {
        self.hasher.write_u8(kind);
        self.hasher.write_u64(n);
    }

    fn packet(&mut self, kind: u8, addr: &SocketAddr, bytes: &[u8]) {
        self.hasher.write_u8(kind);
        if let SocketAddr::V4(v4) = addr {
            self.hasher.write(&v4.ip().octets());
        }
        self.hasher.write_u16(addr.port());
        self.hasher.write_u64(bytes.len() as u64);
        self.hasher.write(bytes);
    }
}

/// Seconds with milliseconds, as traces show time.
pub fn seconds(at: Time) -> String {
    format!("{}.{:03}", at.as_millis() / 1000, at.as_millis() % 1000)
}

/// One event in one line: what scripts compare.
pub fn describe_event(event: &Event) -> String {
    let mut line = String::new();
    let written = match event {
        Event::Member { change, member } => {
            let unconfirmed = if member.confirmed { "" } else { " (unconfirmed)" };
            let (what, name, inc) = (change.as_str(), &member.name, member.incarnation);
            write!(line, "{what} {name} inc={inc}{unconfirmed}")
        }
        Event::Cut(cut) => {
            let names: Vec<&str> = cut.gone.iter().map(|member| member.name.as_str()).collect();
            write!(line, "cut {} leaves {}", names.join(" "), cut.alive)
        }
        Event::Owning(owning) => write!(line, "owning {}", owning.as_str()),
        Event::User(e) => {
            write!(line, "event {} #{} from {}: {}", e.name, e.seq, e.from, show(&e.payload))
        }
        Event::Key { keyspace, key, value, .. } => match value {
            Some(value) => write!(line, "key {keyspace}/{} = {}", show(key), show(value)),
            None => write!(line, "key {keyspace}/{} deleted", show(key)),
        },
        Event::Flag { name, value: Some(value), .. } => write!(line, "flag {name} = {value}"),
        Event::Flag { name, value: None, .. } => write!(line, "flag {name} deleted"),
        Event::Conflict(lost) => {
            let value = lost.value.as_ref().map_or("a delete".to_owned(), |v| show(v));
            write!(line, "conflict {}/{} lost {value}", lost.keyspace, show(&lost.key))
        }
        Event::Alarm(alarm) => write!(line, "alarm {alarm:?}"),
    };
    written.expect("writing to a string succeeds");
    line
}

fn show(bytes: &[u8]) -> String {
    if bytes.len() > 40 {
        return format!("({} bytes)", bytes.len());
    }
    String::from_utf8_lossy(bytes).into_owned()
}

fn describe_input(input: &Input<'_>) -> String {
    match input {
        Input::Datagram { from, bytes, .. } => format!("datagram {} from {from}", bytes.len()),
        Input::Request { from, id, bytes, .. } => {
            format!("request {} of {} from {from}", id.0, bytes.len())
        }
        Input::Response { id, result: Ok(bytes) } => {
            format!("response {} of {}", id.0, bytes.len())
        }
        Input::Response { id, result: Err(e) } => format!("response {}: {e:?}", id.0),
        other => format!("{other:?}"),
    }
}

fn describe_output(item: &Output) -> String {
    match item {
        Output::Datagram { to, bytes } => format!("datagram {} to {to}", bytes.len()),
        Output::Request { to, id, bytes, .. } => {
            format!("request {} of {} to {to}", id.0, bytes.len())
        }
        Output::Response { id, bytes } => format!("response {} of {}", id.0, bytes.len()),
        Output::Persist(p) => format!("persist {} with {} changes", p.seq, p.changes.len()),
        Output::Reply { result, .. } => format!("reply {result:?}"),
        Output::Event(Event::Member { change, member }) => {
            let (id, status) = (member.id, member.status.as_str());
            format!(
                "{} {} {id:?} {status} inc={}",
                change.as_str(),
                member.name,
                member.incarnation
            )
        }
        Output::Event(event) => describe_event(event),
    }
}
