//! Decides what each action does to the world, and how it ends.

use std::fmt::Write as _;

use tidings_proto::Time;
use tidings_proto::io::{Command, Reply};

use super::action::{By, Clock, Fill, What};
use super::follow::News;
use super::liar::Liar;
use super::play::{About, Asked, Churning, Play, Step, Undo};
use super::selection::Selection;
use crate::wall::{Hosts, Wall};
use crate::world::World;

/// Nodes named in one line.
const NAMED_MAX: usize = 6;

impl Play<'_> {
    pub(super) fn act(&mut self, index: usize, n: u64) {
        let action = &self.scenario.actions[index];
        let now = self.world.now();
        if let Some(every) = action.every
            && now + every <= Time::ZERO + action.until
        {
            self.at(now + every, Step::Act(index, n + 1));
        }
        let undo = self.carry_out(index, n);
        if let (Some(lasts), Some(undo)) = (action.lasts, undo) {
            self.at(now + lasts, Step::Undo(undo));
        }
    }

    /// Does it; returns how it ends.
    fn carry_out(&mut self, index: usize, n: u64) -> Option<Undo> {
        let action = &self.scenario.actions[index];
        let line = action.line;
        match &action.what {
            What::Write { by, keyspace, key, value } => {
                let (key, value) = (numbered(key, n), fill(value, n));
                self.write(line, "write", by, keyspace, &key, Some(value));
            }
            What::Delete { by, keyspace, key } => {
                self.write(line, "delete", by, keyspace, &numbered(key, n), None);
            }
            What::Event { by, name, payload } => self.emit_event(line, by, name, payload),
            What::Tag { by, set } => self.tag(line, by, set),
            What::Crash(who) => return self.stop(line, "crash", who),
            What::Destroy(who) => return self.stop(line, "destroy", who),
            What::Leave(who) => return self.leave(line, who),
            What::Restart(who) => {
                let down = self.draw(who, |w, h| !w.is_up(h));
                self.restart(line, "restart", &down);
            }
            What::Join(who) => {
                let down = self.draw(who, |w, h| !w.is_up(h));
                self.restart(line, "join", &down);
            }
            What::Pause(who) | What::Suspend(who) => {
                let suspend = matches!(action.what, What::Suspend(_));
                let who = self.draw(who, runs);
                let stop = if suspend { World::suspend } else { World::pause };
                who.iter().for_each(|&h| stop(&mut self.world, h));
                self.say_who(line, action.verb, &who, "");
                return Some(Undo::Resume(who));
            }
            What::Resume(who) => {
                let who = self.draw(who, |_, _| true);
                self.undo(Undo::Resume(who.clone()));
                self.say_who(line, "resume", &who, "");
            }
            _ => return self.strain(index),
        }
        None
    }

    /// Faults of machines and of the network.
    fn strain(&mut self, index: usize) -> Option<Undo> {
        let action = &self.scenario.actions[index];
        let line = action.line;
        match &action.what {
            What::Slow { who, service } => {
                let who = self.draw(who, |_, _| true);
                who.iter().for_each(|&h| self.world.set_service_time(h, *service));
                self.say_who(line, "slow", &who, &format!(" {service:?} an input"));
                Some(Undo::Service(who))
            }
            What::Clock { who, change } => self.turn_clocks(line, who, *change),
            What::Disk(who) => {
                let who = self.draw(who, |_, _| true);
                who.iter().for_each(|&h| self.world.disk_mut(h).failing = true);
                self.say_who(line, "disk fails:", &who, "");
                Some(Undo::Disk(who))
            }
            What::Split(sides) => {
                let mut of = vec![0; self.world.len()];
                for (side, who) in sides.iter().enumerate() {
                    let who = self.draw(who, |_, _| true);
                    who.into_iter().for_each(|host| of[host] = side as u16 + 1);
                }
                let wall = self.world.net.raise(Wall::Sides(of));
                self.say(line, "split".to_owned());
                Some(Undo::Lower(vec![wall]))
            }
            What::Cut { from, to, both, datagrams, streams } => {
                self.cut(line, from, to, *both, *datagrams, *streams)
            }
            What::Lossy { who, sent, received } => {
                let who = self.draw(who, |_, _| true);
                who.iter().for_each(|&h| self.world.net.set_host_loss(h, *sent, *received));
                self.say_who(line, "lossy", &who, &format!(" {sent} sent, {received} received"));
                Some(Undo::Lossy(who))
            }
            What::Network(conditions) => {
                self.world.net.conditions = *conditions;
                self.say(line, "network changes".to_owned());
                Some(Undo::Network)
            }
            What::Churn { who, rate, down } => {
                let who = self.draw(who, |_, _| true);
                self.say_who(line, "churn", &who, &format!(" {rate} a second"));
                let index = self.churns.len();
                self.churns.push(Churning { who, rate: *rate, down: *down, line, on: true });
                self.at(self.world.now(), Step::Churn(index));
                Some(Undo::Churn(index))
            }
            What::Lie { who, lie, rate, victims } => {
                let who = self.draw(who, |_, _| true);
                let victims = self.draw(victims, |_, _| true);
                self.say_who(line, "lies:", &who, &format!(" {lie:?} {rate} a second"));
                let index = self.liars.len();
                self.liars.push(Liar::new(who, victims, *lie, *rate));
                self.listen();
                self.at(self.world.now(), Step::Lie(index));
                Some(Undo::Lie(index))
            }
            _ => {
                self.world.net.heal();
                self.say(line, "heal".to_owned());
                None
            }
        }
    }

    pub(super) fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Restart(who) => {
                let down: Vec<usize> = who.into_iter().filter(|&h| !self.world.is_up(h)).collect();
                self.restart(0, "restart", &down);
            }
            Undo::Resume(who) => {
                for host in who {
                    if self.world.is_up(host) && self.world.is_paused(host) {
                        self.world.resume(host);
                    }
                }
            }
            Undo::Service(who) => {
                who.iter().for_each(|&h| self.world.set_service_time(h, Default::default()));
            }
            Undo::StepBack(who, ms) => {
                who.iter().for_each(|&h| self.world.clock_mut(h).step_wall(-ms));
            }
            Undo::Drift(who) => {
                let now = self.world.now();
                who.iter().for_each(|&h| self.world.clock_mut(h).set_drift(now, 0));
            }
            Undo::Disk(who) => {
                who.iter().for_each(|&h| self.world.disk_mut(h).failing = false);
            }
            Undo::Lower(walls) => {
                walls.into_iter().for_each(|wall| self.world.net.lower(wall));
                self.say(0, "heal".to_owned());
            }
            Undo::Lossy(who) => {
                who.iter().for_each(|&h| self.world.net.set_host_loss(h, 0.0, 0.0));
            }
            Undo::Network => self.world.net.conditions = self.scenario.conditions,
            Undo::Churn(index) => self.churns[index].on = false,
            Undo::Lie(index) => {
                self.liars[index].on = false;
                self.listen();
            }
        }
    }

    // Users.

    /// Somebody who can act: one of those named, or of all that run.
    fn actor(&mut self, by: &By) -> Option<usize> {
        let candidates = match by {
            Some(who) => self.draw(who, runs),
            None => (0..self.world.len()).filter(|&h| runs(&self.world, h)).collect(),
        };
        (!candidates.is_empty()).then(|| candidates[self.rng.index(candidates.len())])
    }

    fn write(
        &mut self,
        line: usize,
        kind: &'static str,
        by: &By,
        keyspace: &str,
        key: &str,
        value: Option<Vec<u8>>,
    ) {
        let Some(host) = self.actor(by) else {
            return self.say(line, format!("{kind} {key}: nobody runs"));
        };
        let writes = vec![(key.as_bytes().to_vec(), value)];
        let command = Command::Write { keyspace: keyspace.to_owned(), writes };
        let (keyspace, key) = (keyspace.to_owned(), key.as_bytes().to_vec());
        self.ask(line, host, command, About::Write { kind, keyspace, key });
    }

    fn emit_event(&mut self, line: usize, by: &By, name: &str, payload: &str) {
        let Some(host) = self.actor(by) else {
            return self.say(line, format!("event {name}: nobody runs"));
        };
        let payload = payload.as_bytes().to_vec();
        let command = Command::Emit { name: name.to_owned(), payload };
        self.ask(line, host, command, About::Event { name: name.to_owned() });
    }

    fn tag(&mut self, line: usize, by: &By, set: &[(String, String)]) {
        let what: Vec<String> = set.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let what = what.join(" ");
        let Some(host) = self.actor(by) else {
            return self.say(line, format!("tag {what}: nobody runs"));
        };
        let command = Command::SetTags { set: set.to_vec(), unset: Vec::new() };
        self.ask(line, host, command, About::Tag { what });
    }

    fn ask(&mut self, line: usize, host: usize, command: Command, about: About) {
        let what = about.describe();
        self.say(line, format!("{what} by {}", self.world.name(host)));
        let at = self.world.now();
        let command = self.world.command(host, command);
        self.asked.push(Asked { command, host, at, about });
        self.take_answers();
    }

    /// Answers of commands say what is followed from now on.
    pub(super) fn take_answers(&mut self) {
        let mut waiting = Vec::new();
        for asked in std::mem::take(&mut self.asked) {
            let Some(answer) = self.world.reply_to(asked.command).cloned() else {
                waiting.push(asked);
                continue;
            };
            match answer {
                Ok(reply) => self.answered(asked, &reply),
                Err(why) => {
                    self.refused += 1;
                    let (what, name) = (asked.about.describe(), self.world.name(asked.host));
                    self.say(0, format!("{what} by {name} is refused: {why}"));
                }
            }
        }
        self.asked.append(&mut waiting);
    }

    fn answered(&mut self, asked: Asked, reply: &Reply) {
        let Asked { host, at, about, .. } = asked;
        let what = about.describe();
        match (about, reply) {
            (About::Write { kind, keyspace, key }, Reply::Written { dots, stamp }) => {
                let news = News::Key { keyspace, key, stamp: *stamp, dot: dots[0] };
                self.ledger.follow(&self.world, kind, what, host, at, news);
            }
            (About::Event { .. }, Reply::Sent { seq }) => {
                let news = News::User { origin: self.world.id(host), seq: *seq };
                self.ledger.follow(&self.world, "event", what, host, at, news);
            }
            (About::Tag { .. }, _) if self.world.is_up(host) => {
                let me = self.world.view(host).me();
                let news = News::Member { id: me.id, incarnation: me.incarnation };
                self.ledger.follow(&self.world, "tag", what, host, at, news);
            }
            (About::Leave, _) if self.world.is_up(host) => {
                // It was told to go: the process ends with the last word said.
                self.world.crash(host);
            }
            _ => {}
        }
    }

    // Processes.

    fn stop(&mut self, line: usize, how: &'static str, who: &Selection) -> Option<Undo> {
        let who = self.draw(who, World::is_up);
        let end = if how == "destroy" { World::destroy } else { World::crash };
        for &host in &who {
            self.ends(host, how, end);
        }
        self.say_who(line, how, &who, "");
        Some(Undo::Restart(who))
    }

    fn leave(&mut self, line: usize, who: &Selection) -> Option<Undo> {
        let who = self.draw(who, runs);
        for &host in &who {
            let at = self.world.now();
            self.ends(host, "leave", |_, _| {});
            let command = self.world.command(host, Command::Leave);
            self.asked.push(Asked { command, host, at, about: About::Leave });
        }
        self.say_who(line, "leave", &who, "");
        Some(Undo::Restart(who))
    }

    fn restart(&mut self, line: usize, what: &str, who: &[usize]) {
        for &host in who {
            let at = self.world.now();
            self.world.restart(host);
            let me = self.world.view(host).me();
            self.ledger.returns(me.id);
            let news = News::Member { id: me.id, incarnation: me.incarnation };
            let name = self.world.name(host).to_owned();
            self.ledger.follow(&self.world, "join", name, host, at, news);
        }
        if !who.is_empty() {
            self.say_who(line, what, who, "");
        }
    }

    /// One of the nodes that churn crashes, if it is not down already.
    pub(super) fn churn(&mut self, index: usize) {
        let churn = &self.churns[index];
        if !churn.on {
            return;
        }
        let (line, now) = (churn.line, self.world.now());
        let (back, next) =
            (now + churn.down, now + std::time::Duration::from_secs_f64(1.0 / churn.rate));
        let up: Vec<usize> = churn.who.iter().copied().filter(|&h| self.world.is_up(h)).collect();
        if !up.is_empty() {
            let host = up[self.rng.index(up.len())];
            self.ends(host, "crash", World::crash);
            self.say_who(line, "churn: crash", &[host], "");
            self.at(back, Step::Undo(Undo::Restart(vec![host])));
        }
        self.at(next, Step::Churn(index));
    }

    // Machines and wires.

    fn turn_clocks(&mut self, line: usize, who: &Selection, change: Clock) -> Option<Undo> {
        let who = self.draw(who, |_, _| true);
        self.say_who(line, "clock", &who, &format!(" {change:?}"));
        let now = self.world.now();
        match change {
            Clock::Step(ms) => {
                who.iter().for_each(|&h| self.world.clock_mut(h).step_wall(ms));
                Some(Undo::StepBack(who, ms))
            }
            Clock::Skew(ms) => {
                for host in who {
                    let by = self.rng.below(2 * ms as u64 + 1) as i64 - ms;
                    self.world.clock_mut(host).step_wall(by);
                }
                None
            }
            Clock::Drift(ppm) => {
                who.iter().for_each(|&h| self.world.clock_mut(h).set_drift(now, ppm));
                Some(Undo::Drift(who))
            }
        }
    }

    fn cut(
        &mut self,
        line: usize,
        from: &Selection,
        to: &Selection,
        both: bool,
        datagrams: bool,
        streams: bool,
    ) -> Option<Undo> {
        let (from, to) = (self.draw(from, |_, _| true), self.draw(to, |_, _| true));
        let ways = if both { 2 } else { 1 };
        let set = |hosts: &[usize]| Hosts::from_iter(hosts.iter().copied());
        let walls = [(&from, &to), (&to, &from)].into_iter().take(ways).map(|(a, b)| {
            self.world.net.raise(Wall::OneWay { from: set(a), to: set(b), datagrams, streams })
        });
        let walls = walls.collect();
        let shape = match (datagrams, streams) {
            (true, false) => " (datagrams)",
            (false, true) => " (streams)",
            _ => "",
        };
        let direction = if both { "and back" } else { "one way" };
        self.say_who(line, "cut", &from, &format!(" to {} nodes {direction}{shape}", to.len()));
        Some(Undo::Lower(walls))
    }

    fn draw(&mut self, who: &Selection, fits: fn(&World, usize) -> bool) -> Vec<usize> {
        let world = &self.world;
        who.draw(&mut self.rng, |host| fits(world, host))
    }

    fn say_who(&mut self, line: usize, what: &str, who: &[usize], more: &str) {
        let mut text = format!("{what} ");
        let names: Vec<&str> = who.iter().take(NAMED_MAX).map(|&h| self.world.name(h)).collect();
        text.push_str(if names.is_empty() { "nobody" } else { "" });
        text.push_str(&names.join(", "));
        if who.len() > NAMED_MAX {
            let _ = write!(text, " and {} more", who.len() - NAMED_MAX);
        }
        text.push_str(more);
        self.say(line, text);
    }
}

impl About {
    fn describe(&self) -> String {
        match self {
            About::Write { kind, keyspace, key } => {
                format!("{kind} {keyspace}/{}", String::from_utf8_lossy(key))
            }
            About::Event { name } => format!("event {name}"),
            About::Tag { what } => format!("tag {what}"),
            About::Leave => "leave".to_owned(),
        }
    }
}

/// Takes commands.
fn runs(world: &World, host: usize) -> bool {
    world.is_up(host) && !world.is_paused(host) && !world.view(host).left()
}

/// `{n}` stands for how often the action came before.
fn numbered(text: &str, n: u64) -> String {
    text.replace("{n}", &n.to_string())
}

fn fill(value: &Fill, n: u64) -> Vec<u8> {
    match value {
        Fill::Text(text) => numbered(text, n).into_bytes(),
        // The number comes first, so that no two writes are alike.
        Fill::Bytes(bytes) => n.to_le_bytes().into_iter().cycle().take(*bytes).collect(),
    }
}
