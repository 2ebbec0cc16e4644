//! Decides what can happen in a scenario, and how `[[at]]` says it.

use std::time::Duration;

use super::document::{Entry, Item, Refusal, Section, Value};
use super::selection::{self, Roster, Selection};
use super::value::{self, DURATION, PROBABILITY};
use super::weather;
use crate::network::Conditions;

/// One `[[at]]`.
#[derive(Clone, Debug)]
pub struct Action {
    pub line: usize,
    pub verb: &'static str,
    /// Of the first time, from the start.
    pub at: Duration,
    /// After this it is undone.
    pub lasts: Option<Duration>,
    /// Comes again at this interval, up to and including `until`.
    pub every: Option<Duration>,
    pub until: Duration,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    Write {
        by: By,
        keyspace: String,
        key: String,
        value: Fill,
    },
    Delete {
        by: By,
        keyspace: String,
        key: String,
    },
    Event {
        by: By,
        name: String,
        payload: String,
    },
    Tag {
        by: By,
        set: Vec<(String, String)>,
    },
    /// The process dies; its disk stays.
    Crash(Selection),
    /// The machine is lost with its disk.
    Destroy(Selection),
    Restart(Selection),
    Leave(Selection),
    /// Nodes that are there `later` start and join.
    Join(Selection),
    /// SIGSTOP.
    Pause(Selection),
    /// The machine stands still, its monotonic clock too.
    Suspend(Selection),
    Resume(Selection),
    /// Each input takes this long.
    Slow {
        who: Selection,
        service: Duration,
    },
    Clock {
        who: Selection,
        change: Clock,
    },
    /// Writes to disk fail.
    Disk(Selection),
    /// Nothing passes between the sides; nodes of none are one more side.
    Split(Vec<Selection>),
    Cut {
        from: Selection,
        to: Selection,
        both: bool,
        datagrams: bool,
        streams: bool,
    },
    Lossy {
        who: Selection,
        sent: f64,
        received: f64,
    },
    /// Other conditions for all.
    Network(Conditions),
    /// Ends all splits and cuts.
    Heal,
    /// So many of them a second crash, and come back after a while.
    Churn {
        who: Selection,
        rate: f64,
        down: Duration,
    },
    Lie {
        who: Selection,
        lie: Lie,
        rate: f64,
        victims: Selection,
    },
}

/// Who acts: any node that runs, where nobody is named.
pub type By = Option<Selection>;

#[derive(Clone, Debug, PartialEq)]
pub enum Fill {
    Text(String),
    Bytes(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clock {
    /// The wall clock moves by this many milliseconds.
    Step(i64),
    /// Each by its own amount within so many milliseconds either way.
    Skew(i64),
    /// Milliseconds gained per million.
    Drift(i64),
}

/// What a member that follows nobody's rules does besides its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Random bytes, some of them sealed for the cluster.
    Garbage,
    /// Packets that it received, again and to anybody.
    Replay,
    /// Pings, and requests to ping what does not exist.
    Flood,
    /// Says that victims do not answer, in its own name and in that of others.
    Accuse,
    /// States victims at incarnations that they never had.
    Incarnations,
}

const COMMON: [&str; 4] = ["t", "for", "every", "until"];

/// Each verb with its further keys, and whether it can be undone after a while.
const VERBS: [(&str, &[&str], bool); 21] = [
    ("write", &["value", "bytes", "by", "keyspace"], false),
    ("delete", &["by", "keyspace"], false),
    ("event", &["payload", "by"], false),
    ("tag", &["by"], false),
    ("crash", &[], true),
    ("destroy", &[], true),
    ("restart", &[], false),
    ("leave", &[], true),
    ("join", &[], false),
    ("pause", &[], true),
    ("suspend", &[], true),
    ("resume", &[], false),
    ("slow", &["service"], true),
    ("clock", &["step", "skew", "drift_ppm"], true),
    ("disk_fails", &[], true),
    ("split", &[], true),
    ("cut", &["to", "both", "only"], true),
    ("lossy", &["sent", "received"], true),
    ("network", &[], true),
    ("heal", &[], false),
    ("churn", &["rate", "down"], true),
];
/// Apart, for its name is a noun.
const LIAR: (&str, &[&str], bool) = ("liar", &["does", "rate", "victims"], true);

/// Every key of `[[at]]`: the common ones, the verbs, and the options of each.
pub(super) fn keys() -> Vec<&'static str> {
    let verbs = || VERBS.iter().chain([&LIAR]);
    let mut keys = COMMON.to_vec();
    keys.extend(verbs().map(|verb| verb.0));
    for option in verbs().flat_map(|verb| verb.1) {
        if !keys.contains(option) {
            keys.push(option);
        }
    }
    keys
}

/// Firings of one action: more is a slip of the unit.
const FIRINGS_MAX: u128 = 100_000;

/// What actions are read against.
pub struct Stage<'a> {
    pub roster: &'a Roster,
    pub duration: Duration,
    pub conditions: Conditions,
}

/// Reads one table of `[[at]]`.
pub fn read(top: &Section<'_>, item: &Item, stage: &Stage<'_>) -> Result<Action, Refusal> {
    let refuse = |line: usize, what: String| Err(top.document.refuse(line, what));
    let Value::Table(entries) = &item.value else {
        return refuse(item.line, "at: expected [[at]] tables".to_owned());
    };
    let verbs = || VERBS.iter().chain([&LIAR]);
    let mut said = entries.iter().filter_map(|e| verbs().find(|v| v.0 == e.key));
    let Some(&(verb, options, undone)) = said.next() else {
        let known: Vec<&str> = verbs().map(|v| v.0).collect();
        let known = known.join(", ");
        let found = entries.iter().find(|e| !COMMON.contains(&e.key.as_str()));
        let (line, found) = match found {
            Some(e) => (e.line, format!("unknown key {:?} in [[at]]", e.key)),
            None => (item.line, "[[at]] does nothing".to_owned()),
        };
        return refuse(line, format!("{found}: expected t and one of {known}"));
    };
    if let Some((second, _, _)) = said.next() {
        return refuse(
            item.line,
            format!("{verb} and {second} in one [[at]]: expected one of them"),
        );
    }
    let keys: Vec<&str> = COMMON.into_iter().chain([verb]).chain(options.iter().copied()).collect();
    let section = Section::new(top.document, item, "at.", &keys)?;
    let action = Action {
        line: item.line,
        verb,
        at: section.required("t", DURATION, value::duration)?,
        lasts: section.optional("for", DURATION, value::span)?,
        every: section.optional("every", DURATION, value::span)?,
        until: section.optional("until", DURATION, value::duration)?.unwrap_or(stage.duration),
        what: what(&section, verb, stage)?,
    };
    check_times(&section, &action, undone, stage.duration)?;
    Ok(action)
}

impl Action {
    /// When it comes for the last time.
    pub fn last(&self) -> Duration {
        match self.every {
            None => self.at,
            Some(every) => {
                let times = self.until.saturating_sub(self.at).as_nanos() / every.as_nanos();
                self.at + Duration::from_nanos((times * every.as_nanos()) as u64)
            }
        }
    }

    /// When the world is as without it.
    pub fn over(&self) -> Duration {
        self.last() + self.lasts.unwrap_or_default()
    }
}

fn check_times(
    section: &Section<'_>,
    action: &Action,
    undone: bool,
    duration: Duration,
) -> Result<(), Refusal> {
    let line = |key: &str| section.item(key).map_or(section.line, |item| item.line);
    let show = crate::duration::show;
    let refuse = |key: &str, what: String| Err(section.document.refuse(line(key), what));
    let end = show(duration);
    if action.at > duration {
        let at = show(action.at);
        return refuse("t", format!("at.t = \"{at}\": expected at most the duration of {end}"));
    }
    if action.lasts.is_some() && !undone {
        let verb = action.verb;
        return refuse("for", format!("at.for with {verb}: expected no `for`: it does not end"));
    }
    if section.item("until").is_some() && action.every.is_none() {
        return refuse("until", "at.until without every: expected both".to_owned());
    }
    if action.until < action.at || action.until > duration {
        let (until, at) = (show(action.until), show(action.at));
        return refuse(
            "until",
            format!("at.until = \"{until}\": expected {at} (t) to {end} (the duration)"),
        );
    }
    if action.over() > duration {
        let (over, last) = (show(action.over()), show(action.last()));
        let what = format!(
            "at.for: what begins at {last} ends at {over}: expected at most the duration of {end}"
        );
        return refuse("for", what);
    }
    if let Some(every) = action.every {
        if (action.until - action.at).as_nanos() / every.as_nanos() > FIRINGS_MAX {
            let every = show(every);
            return refuse(
                "every",
                format!("at.every = \"{every}\": expected at most {FIRINGS_MAX} times"),
            );
        }
        if action.lasts.is_some_and(|lasts| lasts > every) {
            let every = show(every);
            return refuse("for", format!("at.for: expected at most every = {every}"));
        }
    }
    Ok(())
}

fn what(section: &Section<'_>, verb: &str, stage: &Stage<'_>) -> Result<What, Refusal> {
    let who = || Selection::read(section, verb, stage.roster);
    Ok(match verb {
        "write" | "delete" | "event" | "tag" => return by_user(section, verb, stage),
        "crash" => What::Crash(who()?),
        "destroy" => What::Destroy(who()?),
        "restart" => What::Restart(who()?),
        "leave" => What::Leave(who()?),
        "join" => What::Join(who()?),
        "pause" => What::Pause(who()?),
        "suspend" => What::Suspend(who()?),
        "resume" => What::Resume(who()?),
        "slow" => {
            What::Slow { who: who()?, service: section.required("service", DURATION, value::span)? }
        }
        "clock" => What::Clock { who: who()?, change: clock(section)? },
        "disk_fails" => What::Disk(who()?),
        "split" => What::Split(split(section, stage)?),
        "cut" => cut(section, stage)?,
        "lossy" => {
            let p = |key| section.optional(key, PROBABILITY, value::probability);
            let (sent, received) = (p("sent")?.unwrap_or(0.0), p("received")?.unwrap_or(0.0));
            What::Lossy { who: who()?, sent, received }
        }
        "network" => {
            let inner = section.table("network", "at.network.", &weather::CONDITIONS)?;
            let inner = inner.expect("the verb was found");
            What::Network(weather::conditions(&inner, stage.conditions)?)
        }
        "heal" => {
            section.required("heal", "true", |v| value::flag(v).filter(|f| *f))?;
            What::Heal
        }
        "churn" => What::Churn {
            who: who()?,
            rate: section.required("rate", "crashes a second, above 0 to 1000", |v| {
                value::positive(v).filter(|r| *r <= 1000.0)
            })?,
            down: section.required("down", DURATION, value::span)?,
        },
        _ => lie(section, stage)?,
    })
}

fn by_user(section: &Section<'_>, verb: &str, stage: &Stage<'_>) -> Result<What, Refusal> {
    let by = match section.item("by") {
        Some(_) => Some(Selection::read(section, "by", stage.roster)?),
        None => None,
    };
    let named = |what| section.required(verb, what, |v| value::text(v).filter(|t| !t.is_empty()));
    if verb == "tag" {
        let item = section.item("tag").expect("the verb was found");
        let expected = "a table of texts, as in { role = \"web\" }";
        let Value::Table(entries) = &item.value else {
            return Err(section.refuse_value("tag", item, expected));
        };
        let pair = |e: &Entry| Some((e.key.clone(), value::text(&e.item.value)?));
        let set: Option<Vec<(String, String)>> = entries.iter().map(pair).collect();
        let set = set.filter(|s| !s.is_empty());
        return Ok(What::Tag {
            by,
            set: set.ok_or_else(|| section.refuse_value("tag", item, expected))?,
        });
    }
    if verb == "event" {
        let payload = section.optional("payload", "a text", value::text)?.unwrap_or_default();
        return Ok(What::Event { by, name: named("the name of an event")?, payload });
    }
    let key = named("a key")?;
    let keyspace = section.optional("keyspace", "the name of a keyspace", value::text)?;
    let keyspace = keyspace.unwrap_or_else(|| "kv".to_owned());
    if verb == "delete" {
        return Ok(What::Delete { by, keyspace, key });
    }
    let text = section.optional("value", "a text", value::text)?;
    let most = tidings_proto::limits::VALUE_BYTES_MAX as u64;
    let bytes = section.optional("bytes", &format!("0 to {most}"), value::whole(0, most))?;
    let value = match (text, bytes) {
        (Some(_), Some(_)) => {
            let what = "at.value and at.bytes: expected one of them".to_owned();
            return Err(section.document.refuse(section.line, what));
        }
        (Some(text), None) => Fill::Text(text),
        (None, bytes) => Fill::Bytes(bytes.unwrap_or(16) as usize),
    };
    Ok(What::Write { by, keyspace, key, value })
}

fn clock(section: &Section<'_>) -> Result<Clock, Refusal> {
    const SIGNED: &str = "a duration such as \"5s\" or \"-10m\"";
    const PPM: &str = "a whole number from -100000 to 100000";
    let ppm = |v: &Value| match v {
        Value::Whole(n) => Some(*n).filter(|n| n.abs() <= 100_000),
        _ => None,
    };
    let step = section.optional("step", SIGNED, value::signed_ms)?;
    let skew = section.optional("skew", DURATION, value::signed_ms)?;
    let drift = section.optional("drift_ppm", PPM, ppm)?;
    match (step, skew, drift) {
        (Some(ms), None, None) => Ok(Clock::Step(ms)),
        (None, Some(ms), None) => Ok(Clock::Skew(ms.abs())),
        (None, None, Some(ppm)) => Ok(Clock::Drift(ppm)),
        _ => {
            let what = "at.clock: expected one of step, skew, drift_ppm".to_owned();
            Err(section.document.refuse(section.line, what))
        }
    }
}

/// A list of sides; a single text is one side against the rest.
fn split(section: &Section<'_>, stage: &Stage<'_>) -> Result<Vec<Selection>, Refusal> {
    let item = section.item("split").expect("the verb was found");
    let refuse = |line, why: String| section.document.refuse(line, format!("at.split: {why}"));
    match &item.value {
        Value::List(sides) if sides.len() <= 1000 => sides
            .iter()
            .map(|side| {
                Selection::of_item(side, stage.roster).map_err(|why| refuse(side.line, why))
            })
            .collect(),
        Value::List(_) => Err(refuse(item.line, "expected at most 1000 sides".to_owned())),
        _ => Ok(vec![Selection::read(section, "split", stage.roster)?]),
    }
}

fn cut(section: &Section<'_>, stage: &Stage<'_>) -> Result<What, Refusal> {
    const ONLY: &str = "\"datagrams\" or \"streams\"";
    let shapes = |v: &Value| match value::text(v)?.as_str() {
        "datagrams" => Some((true, false)),
        "streams" => Some((false, true)),
        _ => None,
    };
    let (datagrams, streams) = section.optional("only", ONLY, shapes)?.unwrap_or((true, true));
    let to = match section.item("to") {
        Some(_) => Selection::read(section, "to", stage.roster)?,
        None => Selection::all(stage.roster),
    };
    let both = section.optional("both", "true or false", value::flag)?.unwrap_or(false);
    let from = Selection::read(section, "cut", stage.roster)?;
    Ok(What::Cut { from, to, both, datagrams, streams })
}

fn lie(section: &Section<'_>, stage: &Stage<'_>) -> Result<What, Refusal> {
    const DOES: &str = "\"garbage\", \"replay\", \"flood\", \"accuse\" or \"incarnations\"";
    let kind = |v: &Value| match value::text(v)?.as_str() {
        "garbage" => Some(Lie::Garbage),
        "replay" => Some(Lie::Replay),
        "flood" => Some(Lie::Flood),
        "accuse" => Some(Lie::Accuse),
        "incarnations" => Some(Lie::Incarnations),
        _ => None,
    };
    let rate = section.optional("rate", "packets a second, above 0 to 100000", |v| {
        value::positive(v).filter(|r| *r <= 100_000.0)
    })?;
    let victims = match section.item("victims") {
        Some(_) => Selection::read(section, "victims", stage.roster)?,
        None => Selection::all(stage.roster),
    };
    Ok(What::Lie {
        who: Selection::read(section, "liar", stage.roster)?,
        lie: section.required("does", DOES, kind)?,
        rate: rate.unwrap_or(10.0),
        victims,
    })
}

/// Refuses a scenario in which more nodes die, one after the other, than there are.
pub fn check_deaths(top: &Section<'_>, actions: &[Action], nodes: usize) -> Result<(), Refusal> {
    let mut dead = 0;
    for action in actions {
        match &action.what {
            What::Crash(who) | What::Destroy(who) | What::Leave(who) if action.lasts.is_none() => {
                let times = action.every.map_or(1, |every| {
                    ((action.until - action.at).as_nanos() / every.as_nanos()) as usize + 1
                });
                dead += who.most() * times;
                if dead > nodes {
                    let what = format!(
                        "at.{}: {dead} nodes are dead by then: expected at most the {nodes} there are",
                        action.verb
                    );
                    return Err(top.document.refuse(action.line, what));
                }
            }
            What::Restart(who) | What::Join(who) => dead = dead.saturating_sub(who.most()),
            _ => {}
        }
    }
    Ok(())
}

/// The text of what selections take, for documentation.
pub const NODES_EXPECTED: &str = selection::EXPECTED;
