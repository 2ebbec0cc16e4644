//! Decides who takes part: how many nodes, in groups with profiles, settings, tags, regions and
//! versions of their own, and how they find each other.

use std::path::Path;

use tidings_proto::Config;

use super::document::{Item, Refusal, Section, Value};
use super::selection::Roster;
use super::value;
use super::weather::Map;
use crate::dialect::Dialect;
use crate::setting;

/// Reads an agent's file; the path is as in the scenario, from its folder. The error is one line.
pub type Loader<'a> = dyn Fn(&Path) -> Result<Config, String> + 'a;

/// One node, before it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    pub name: String,
    pub config: Config,
    pub tags: Vec<(String, String)>,
    pub dialect: Option<Dialect>,
    /// Not there until an action lets it join.
    pub later: bool,
}

/// All nodes.
#[derive(Clone, Debug)]
pub struct Cast {
    pub members: Vec<Member>,
    pub roster: Roster,
}

/// More would not fit the memory of most machines: each knows all others.
pub const NODES_MAX: u64 = 20_000;

pub(super) const GROUP_KEYS: [&str; 10] = [
    "name", "count", "profile", "config", "settings", "tags", "region", "version", "durable",
    "later",
];

const NODES: &str = "a number of nodes from 1 to 20000, or [[nodes]] groups";

/// Reads the nodes of a scenario.
pub fn cast(top: &Section<'_>, map: Option<&Map>, load: &Loader<'_>) -> Result<Cast, Refusal> {
    let base = config(top, None, load)?;
    let regions = map.map_or_else(Vec::new, |m| m.names.clone());
    let mut cast = Cast { members: Vec::new(), roster: Roster { regions, ..Roster::default() } };
    let Some(item) = top.item("nodes") else {
        return Err(top.required::<()>("nodes", NODES, |_| None).expect_err("no such key"));
    };
    if let Value::List(_) = &item.value {
        for group in top.tables("nodes", "nodes.", &GROUP_KEYS)? {
            read_group(&group, &base, load, &mut cast)?;
        }
    } else {
        let count = value::whole(1, NODES_MAX)(&item.value)
            .ok_or_else(|| top.refuse_value("nodes", item, NODES))?;
        let plain = |n: u64| Member {
            name: format!("n{n}"),
            config: base.clone(),
            tags: Vec::new(),
            dialect: None,
            later: false,
        };
        cast.roster.groups.push("n".to_owned());
        for member in (0..count).map(plain) {
            cast.add(member, None);
        }
    }
    let refuse = |what: String| Err(top.document.refuse(item.line, what));
    let count = cast.members.len();
    if count == 0 || count as u64 > NODES_MAX {
        return refuse(format!("nodes = {count} in all groups: expected {NODES}"));
    }
    if cast.members[0].later {
        return refuse("the first node joins later: expected one to join".to_owned());
    }
    let mut names: Vec<&String> = cast.roster.names.iter().collect();
    names.sort();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return refuse(format!("two nodes are named {:?}: expected a name for each", twice[0]));
    }
    Ok(cast)
}

impl Cast {
    /// Nodes without a region of their own are dealt out over all.
    fn add(&mut self, member: Member, region: Option<usize>) {
        let number = self.members.len();
        self.roster.names.push(member.name.clone());
        self.roster.group_of.push(self.roster.groups.len() - 1);
        self.roster.region_of.push(region.unwrap_or(number % self.roster.regions.len().max(1)));
        self.members.push(member);
    }
}

fn read_group(
    group: &Section<'_>,
    base: &Config,
    load: &Loader<'_>,
    cast: &mut Cast,
) -> Result<(), Refusal> {
    const NAME: &str = "letters, digits, dashes and underscores";
    let name = group.required("name", NAME, |v| value::text(v).filter(|n| is_name(n)))?;
    let count = group.optional("count", "1 to 20000", value::whole(1, NODES_MAX))?;
    let tags = read_tags(group)?;
    let region = match group.item("region") {
        None => None,
        Some(item) => {
            let known = cast.roster.regions.join(", ");
            let expected = format!("a [[network.region]]; there are: {known}");
            let found = value::text(&item.value)
                .and_then(|name| cast.roster.regions.iter().position(|r| *r == name));
            Some(found.ok_or_else(|| group.refuse_value("region", item, &expected))?)
        }
    };
    let dialect = group.optional("version", "1, 2 to 255, or \"newer\"", dialect)?.flatten();
    let later = group.optional("later", "true or false", value::flag)?.unwrap_or(false);
    let member = Member {
        name: name.clone(),
        config: config(group, Some(base), load)?,
        tags,
        dialect,
        later,
    };
    cast.roster.groups.push(name.clone());
    match count {
        None => cast.add(member, region),
        Some(count) => {
            for n in 0..count {
                cast.add(Member { name: format!("{name}{n}"), ..member.clone() }, region);
            }
        }
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    (1..=64).contains(&name.len()) && letters && name != "all"
}

fn dialect(value: &Value) -> Option<Option<Dialect>> {
    match value {
        Value::Text(text) if text == "newer" => Some(Some(Dialect::Newer)),
        Value::Whole(1) => Some(None),
        Value::Whole(n @ 2..=255) => Some(Some(Dialect::Version(*n as u8))),
        _ => None,
    }
}

fn read_tags(group: &Section<'_>) -> Result<Vec<(String, String)>, Refusal> {
    let Some(item) = group.item("tags") else { return Ok(Vec::new()) };
    let expected = "a table of texts, as in { role = \"web\" }";
    let Value::Table(entries) = &item.value else {
        return Err(group.refuse_value("tags", item, expected));
    };
    let pair = |e: &super::document::Entry| Some((e.key.clone(), value::text(&e.item.value)?));
    let tags: Option<Vec<(String, String)>> = entries.iter().map(pair).collect();
    tags.ok_or_else(|| group.refuse_value("tags", item, expected))
}

/// `profile` or `config`, then `[settings]` and `durable`, over what the file says for all.
fn config(
    section: &Section<'_>,
    base: Option<&Config>,
    load: &Loader<'_>,
) -> Result<Config, Refusal> {
    const PROFILE: &str = "\"local\", \"lan\" or \"wan\"";
    const FILE: &str = "the path of an agent's configuration file";
    let profile = section.optional("profile", PROFILE, |v| setting::profile(&value::text(v)?))?;
    let file = section.optional("config", FILE, value::text)?;
    let mut config = match (profile, file) {
        (Some(_), Some(_)) => {
            let what = "profile and config: expected one of them".to_owned();
            return Err(section.document.refuse(section.line, what));
        }
        (Some(profile), None) => profile,
        (None, Some(path)) => load(Path::new(&path)).map_err(|why| {
            let line = section.item("config").map_or(section.line, |item| item.line);
            section.document.refuse(line, format!("config = {path:?}: {why}"))
        })?,
        (None, None) => base.cloned().unwrap_or_else(Config::lan),
    };
    if let Some(durable) = section.optional("durable", "true or false", value::flag)? {
        config.durable = durable;
    }
    let Some(item) = section.item("settings") else { return Ok(config) };
    override_settings(section, item, &mut config)?;
    Ok(config)
}

fn override_settings(
    section: &Section<'_>,
    item: &Item,
    config: &mut Config,
) -> Result<(), Refusal> {
    let Value::Table(entries) = &item.value else {
        return Err(section.refuse_value("settings", item, "a table of settings"));
    };
    let refuse = |line: usize, what: String| Err(section.document.refuse(line, what));
    for entry in entries {
        let (key, found) = (&entry.key, &entry.item.value);
        let Some(setting) = setting::find(key) else {
            let known: Vec<&str> = setting::SETTINGS.iter().map(|s| s.name).collect();
            let known = known.join(", ");
            return refuse(
                entry.line,
                format!("unknown key {key:?} in [settings]: expected one of {known}"),
            );
        };
        let read = value::plain(found).and_then(|text| (setting.read)(config, &text));
        if read.is_none() {
            let what = format!("settings.{key} = {found}: expected {}", setting.expected);
            return refuse(entry.item.line, what);
        }
    }
    let Err(error) = config.check() else { return Ok(()) };
    let culprit = entries.iter().find(|e| e.key == error.setting);
    let line = culprit.map_or(item.line, |e| e.item.line);
    refuse(line, format!("settings.{error}"))
}
