//! Decides every setting of the agent: its name, what it accepts, and which source wins
//! (defaults < file < environment < flags).

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use tidings::{Policy, PolicyError};
use tidings_proto::Config;
use tidings_proto::config::{SETTINGS as SETTINGS_OF_CORE, Takes};
use tidings_proto::limits::NAME_BYTES_MAX;
use tidings_sim::duration;
use tidings_sim::setting::{SETTINGS, profile};
use toml::de::{DeTable, DeValue};
use tracing_subscriber::filter::LevelFilter;

use crate::args::Agent;
use crate::{Failure, os};

pub(crate) const GOSSIP_PORT_DEFAULT: u16 = 7946;

/// What an agent runs with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) bind: SocketAddr,
    pub(crate) advertise: Option<SocketAddr>,
    pub(crate) http: SocketAddr,
    pub(crate) join: Vec<String>,
    pub(crate) profile: String,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) log_level: LevelFilter,
    pub(crate) gossip: Config,
    /// What keyspaces shall be, unless the cluster has declared them already.
    pub(crate) keyspaces: BTreeMap<String, Policy>,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Origin {
    Default,
    Profile(String),
    File { path: PathBuf, line: usize },
    Environment(String),
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Profile(name) => write!(f, "profile {name}"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Environment(variable) => f.write_str(variable),
            Origin::Flag(flag) => f.write_str(flag),
        }
    }
}

/// Settings with the origin of each that is not a default.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) settings: Settings,
    origins: BTreeMap<String, Origin>,
}

/// One setting as text: how it is read and shown, whatever the source.
struct Setting {
    /// As in the file, with its section.
    key: &'static str,
    flag: Option<&'static str>,
    expected: &'static str,
    read: Read,
    show: Show,
}

/// A setting of the agent is read into its settings, one of the protocol into the part for it.
enum Read {
    Own(fn(&mut Settings, &str) -> Option<()>),
    Gossip(fn(&mut Config, &str) -> Option<()>),
}

enum Show {
    Own(fn(&Settings) -> String),
    Gossip(fn(&Config) -> String),
}

impl Setting {
    fn read(&self, settings: &mut Settings, text: &str) -> Option<()> {
        match self.read {
            Read::Own(read) => read(settings, text),
            Read::Gossip(read) => read(&mut settings.gossip, text),
        }
    }

    fn show(&self, settings: &Settings) -> String {
        match self.show {
            Show::Own(show) => show(settings),
            Show::Gossip(show) => show(&settings.gossip),
        }
    }
}

/// One value from one source.
struct Given {
    key: String,
    text: String,
    origin: Origin,
}

/// Reads all sources. Every error is one line: where, what, and what was expected.
pub(crate) fn load(flags: &Agent) -> Result<Loaded, Failure> {
    let mut given = Vec::new();
    if let Some(path) = &flags.config {
        given.extend(from_file(path)?);
    }
    given.extend(from_environment()?);
    given.extend(from_flags(flags));
    assemble(&given)
}

/// The protocol's settings of an agent that runs with this file and nothing else.
pub(crate) fn gossip_of_file(path: &Path) -> Result<Config, Failure> {
    let settings = assemble(&from_file(path)?)?.settings;
    Ok(Config { durable: settings.data_dir.is_some(), ..settings.gossip })
}

impl Loaded {
    /// Every setting: key, value, origin.
    pub(crate) fn rows(&self) -> Vec<(String, String, String)> {
        let mut rows = Vec::new();
        for setting in settings() {
            let value = setting.show(&self.settings);
            rows.push((setting.key.to_owned(), value, self.origin(setting.key).to_string()));
        }
        for (name, policy) in &self.settings.keyspaces {
            let key = format!("keyspace.{name}");
            let words = self.origins.range(format!("{key}.")..);
            let origin = words.map(|(_, origin)| origin.to_string()).next().unwrap_or_default();
            rows.push((key, policy.to_string(), origin));
        }
        for (key, value) in &self.settings.tags {
            let key = format!("tags.{key}");
            let origin = self.origin(&key).to_string();
            rows.push((key, value.clone(), origin));
        }
        rows
    }

    fn origin(&self, key: &str) -> Origin {
        match self.origins.get(key) {
            Some(origin) => origin.clone(),
            None if key.starts_with("gossip.") => Origin::Profile(self.settings.profile.clone()),
            None => Origin::Default,
        }
    }

    /// Names what differs in `newer`: what can change while the agent runs, and what cannot.
    pub(crate) fn differing(&self, newer: &Loaded) -> (Vec<String>, Vec<String>) {
        let (old, new) = (&self.settings, &newer.settings);
        let differs = |s: &&Setting| s.show(old) != s.show(new);
        let table = settings();
        let keys = table.iter().filter(differs).map(|s| s.key.to_owned());
        let (mut live, mut restart): (Vec<String>, Vec<String>) =
            keys.partition(|key| is_live(key));
        if old.tags != new.tags {
            live.push("tags".to_owned());
        }
        if old.keyspaces != new.keyspaces {
            restart.push("keyspace".to_owned());
        }
        (live, restart)
    }
}

impl Loaded {
    /// What counts without a restart becomes as in `newer`; the rest stays as it runs.
    pub(crate) fn take_live(&mut self, newer: Loaded) {
        let old = std::mem::replace(self, newer);
        self.settings.keyspaces = old.settings.keyspaces;
        (self.settings.name, self.settings.bind) = (old.settings.name, old.settings.bind);
        (self.settings.advertise, self.settings.http) = (old.settings.advertise, old.settings.http);
        self.settings.data_dir = old.settings.data_dir;
        self.settings.gossip.cluster = old.settings.gossip.cluster;
    }
}

/// Whether a setting of this key counts without a restart: the core says so of its own.
fn is_live(key: &str) -> bool {
    let name = key.strip_prefix("gossip.");
    let of_core =
        |name| SETTINGS_OF_CORE.iter().any(|&(n, takes)| n == name && takes == Takes::Live);
    ["join", "log_level", "profile"].contains(&key) || name.is_some_and(of_core)
}

impl Settings {
    fn defaults() -> Settings {
        Settings {
            name: os::host_name().unwrap_or_default(),
            bind: SocketAddr::from(([0, 0, 0, 0], GOSSIP_PORT_DEFAULT)),
            advertise: None,
            http: SocketAddr::from(([127, 0, 0, 1], 8500)),
            join: Vec::new(),
            profile: "lan".to_owned(),
            data_dir: None,
            tags: BTreeMap::new(),
            log_level: LevelFilter::INFO,
            gossip: Config::lan(),
            keyspaces: BTreeMap::new(),
        }
    }

    /// The address that others are told.
    pub(crate) fn advertised(&self) -> SocketAddr {
        match self.advertise {
            Some(addr) => addr,
            None if self.bind.ip().is_unspecified() => {
                SocketAddr::new(os::outward_address(self.bind.is_ipv6()), self.bind.port())
            }
            None => self.bind,
        }
    }
}

/// Lays the values over the defaults, the profile first because it moves the defaults.
fn assemble(given: &[Given]) -> Result<Loaded, Failure> {
    let table = settings();
    let mut loaded = Loaded { settings: Settings::defaults(), origins: BTreeMap::new() };
    let profile = given.iter().filter(|g| g.key == "profile");
    let rest = given.iter().filter(|g| g.key != "profile");
    for value in profile.chain(rest) {
        if let Some(tag) = value.key.strip_prefix("tags.") {
            if tag.is_empty() {
                return Err(refuse(&value.origin, "tags", "", "a KEY that is not empty"));
            }
            loaded.settings.tags.insert(tag.to_owned(), value.text.clone());
        } else if let Some(declared) = value.key.strip_prefix("keyspace.") {
            declare(&mut loaded.settings, declared, value)?;
        } else if value.key == "tags" {
            let (tag, text) =
                value.text.split_once('=').filter(|(k, _)| !k.is_empty()).ok_or_else(|| {
                    refuse(&value.origin, "tags", &value.text, "KEY=VALUE with a KEY")
                })?;
            loaded.settings.tags.insert(tag.to_owned(), text.to_owned());
            loaded.origins.insert(format!("tags.{tag}"), value.origin.clone());
            continue;
        } else {
            let Some(setting) = table.iter().find(|s| s.key == value.key) else { continue };
            setting
                .read(&mut loaded.settings, &value.text)
                .ok_or_else(|| refuse(&value.origin, setting.key, &value.text, setting.expected))?;
        }
        loaded.origins.insert(value.key.clone(), value.origin.clone());
    }
    check(&loaded)?;
    Ok(loaded)
}

/// One word of what a keyspace shall be.
fn declare(settings: &mut Settings, declared: &str, given: &Given) -> Result<(), Failure> {
    let (name, word) = declared.rsplit_once('.').unwrap_or((declared, ""));
    let policy = settings.keyspaces.entry(name.to_owned()).or_default();
    let refused =
        |error: PolicyError| Failure::Misuse(format!("{}: {}: {error}", given.origin, given.key));
    match word {
        "lifetime" => {
            let lifetime = duration::parse(&given.text).ok_or_else(|| {
                refuse(&given.origin, &given.key, &given.text, "a duration such as 60s")
            })?;
            policy.set("lifetime_ms", &lifetime.as_millis().to_string()).map_err(refused)
        }
        "kind" | "consistency" | "mode" | "hot" => policy.set(word, &given.text).map_err(refused),
        _ => {
            Err(refuse(&given.origin, &given.key, word, "kind, consistency, lifetime, mode or hot"))
        }
    }
}

/// The bounds and relations of the protocol's settings, and what only makes sense together.
fn check(loaded: &Loaded) -> Result<(), Failure> {
    if loaded.settings.name.is_empty() {
        return Err(Failure::Misuse(
            "name: this host has no name: expected --name NAME".to_owned(),
        ));
    }
    check_zone(loaded)?;
    loaded.settings.gossip.check().map_err(|error| {
        let key = match error.setting {
            "cluster" => "cluster".to_owned(),
            name => format!("gossip.{name}"),
        };
        refuse(&loaded.origin(&key), &key, error.value.trim_matches('"'), &error.expected)
    })
}

/// An agent that starts in a zone that nobody named would be cut off from its own.
fn check_zone(loaded: &Loaded) -> Result<(), Failure> {
    let Settings { tags, gossip, .. } = &loaded.settings;
    let Some(zone) = tags.get("zone") else { return Ok(()) };
    let expected = if zone.is_empty() || zone.len() > 128 {
        "1 to 128 bytes".to_owned()
    } else if !gossip.zones.allow(zone) {
        format!("one of {} (gossip.zones)", gossip.zones)
    } else {
        return Ok(());
    };
    Err(refuse(&loaded.origin("tags.zone"), "tags.zone", zone, &expected))
}

fn refuse(origin: &Origin, key: &str, value: &str, expected: &str) -> Failure {
    Failure::Misuse(match origin {
        Origin::Flag(flag) => format!("{flag} {value:?}: expected {expected}"),
        Origin::Environment(variable) => format!("{variable}={value:?}: expected {expected}"),
        origin => format!("{origin}: {key} = {value:?}: expected {expected}"),
    })
}

fn from_flags(flags: &Agent) -> Vec<Given> {
    let single = [
        ("name", &flags.name),
        ("bind", &flags.bind),
        ("advertise", &flags.advertise),
        ("http", &flags.http),
        ("dns", &flags.dns),
        ("profile", &flags.profile),
        ("data_dir", &flags.data_dir),
        ("cluster", &flags.cluster),
        ("log_level", &flags.log_level),
        ("keyring", &flags.keyring),
    ];
    let table = settings();
    let flag_of = |key: &str| table.iter().find(|s| s.key == key).and_then(|s| s.flag);
    let mut given = Vec::new();
    for (key, text) in single {
        if let (Some(text), Some(flag)) = (text, flag_of(key)) {
            let origin = Origin::Flag(flag);
            given.push(Given { key: key.to_owned(), text: text.clone(), origin });
        }
    }
    if !flags.join.is_empty() {
        let (key, text) = ("join".to_owned(), flags.join.join(","));
        given.push(Given { key, text, origin: Origin::Flag("--join") });
    }
    for text in &flags.tag {
        let (key, text) = ("tags".to_owned(), text.clone());
        given.push(Given { key, text, origin: Origin::Flag("--tag") });
    }
    given
}

/// `TIDINGS_NAME`, `TIDINGS_GOSSIP_FANOUT`, ... Variables of other meaning are left alone: some
/// systems set `TIDINGS_PORT` and the like for a service of this name.
fn from_environment() -> Result<Vec<Given>, Failure> {
    let mut given = Vec::new();
    for setting in settings() {
        let variable = format!("TIDINGS_{}", setting.key.replace('.', "_").to_uppercase());
        if let Some(text) = variable_text(&variable)? {
            let origin = Origin::Environment(variable);
            given.push(Given { key: setting.key.to_owned(), text, origin });
        }
    }
    if let Some(tags) = variable_text("TIDINGS_TAGS")? {
        for text in tags.split(',').filter(|t| !t.is_empty()) {
            let origin = Origin::Environment("TIDINGS_TAGS".to_owned());
            given.push(Given { key: "tags".to_owned(), text: text.to_owned(), origin });
        }
    }
    Ok(given)
}

/// A variable that is no text is refused: as if it were not there, it would be a surprise.
fn variable_text(variable: &str) -> Result<Option<String>, Failure> {
    let Some(value) = std::env::var_os(variable) else { return Ok(None) };
    value.into_string().map(Some).map_err(|value| {
        let origin = Origin::Environment(variable.to_owned());
        refuse(&origin, variable, &value.to_string_lossy(), "UTF-8")
    })
}

fn from_file(path: &Path) -> Result<Vec<Given>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let path = path.display().to_string();
        Failure::Misuse(format!("--config {path:?}: {error}: expected a readable TOML file"))
    })?;
    let line = |offset: usize| 1 + text[..offset.min(text.len())].matches('\n').count();
    let at = |offset: usize| Origin::File { path: path.to_owned(), line: line(offset) };
    let document = DeTable::parse(&text).map_err(|error| {
        let origin = at(error.span().map_or(0, |span| span.start));
        Failure::Misuse(format!("{origin}: {}: expected TOML", error.message()))
    })?;
    let mut given = Vec::new();
    for (key, value) in document.get_ref() {
        let (name, origin) = (key.get_ref().as_ref(), at(key.span().start));
        match (name, value.get_ref()) {
            ("gossip" | "tags", DeValue::Table(section)) => {
                for (key, value) in section {
                    let (inner, origin) = (key.get_ref().as_ref(), at(key.span().start));
                    let full = format!("{name}.{inner}");
                    if name == "gossip" {
                        known(&full, &origin)?;
                    }
                    let text = plain(value.get_ref(), &full, &origin)?;
                    given.push(Given { key: full, text, origin });
                }
            }
            ("keyspace", DeValue::Table(keyspaces)) => {
                for (key, value) in keyspaces {
                    let (inner, origin) = (key.get_ref().as_ref(), at(key.span().start));
                    let DeValue::Table(words) = value.get_ref() else {
                        let section = format!("keyspace.{inner}");
                        let expected = "a section of kind, consistency, lifetime, mode and hot";
                        return Err(refuse(
                            &origin,
                            &section,
                            value.get_ref().type_str(),
                            expected,
                        ));
                    };
                    for (word, value) in words {
                        let origin = at(word.span().start);
                        let full = format!("keyspace.{inner}.{}", word.get_ref());
                        let text = plain(value.get_ref(), &full, &origin)?;
                        given.push(Given { key: full, text, origin });
                    }
                }
            }
            ("gossip" | "tags" | "keyspace", other) => {
                return Err(refuse(&origin, name, other.type_str(), "a section of keys"));
            }
            _ => {
                known(name, &origin)?;
                let text = plain(value.get_ref(), name, &origin)?;
                given.push(Given { key: name.to_owned(), text, origin });
            }
        }
    }
    Ok(given)
}

/// Refuses a key that is no setting, and says which are.
fn known(key: &str, origin: &Origin) -> Result<(), Failure> {
    let table = settings();
    if table.iter().any(|s| s.key == key) {
        return Ok(());
    }
    let (section, place) = match key.starts_with("gossip.") {
        true => ("gossip.", " in [gossip]"),
        false => ("", ""),
    };
    let mut names: Vec<&str> = table
        .iter()
        .filter_map(|s| s.key.strip_prefix(section).filter(|rest| !rest.contains('.')))
        .collect();
    if section.is_empty() {
        names.extend(["tags", "gossip", "keyspace"]);
    }
    let name = key.strip_prefix(section).unwrap_or(key);
    let names = names.join(", ");
    Err(Failure::Misuse(format!("{origin}: unknown key {name:?}{place}: expected one of {names}")))
}

/// A value of the file as the text that a flag would have.
fn plain(value: &DeValue<'_>, key: &str, origin: &Origin) -> Result<String, Failure> {
    // Text is written as text: `data_dir = true` is a slip and not a directory of that name.
    let typed = |text: String| match settings().iter().find(|s| s.key == key) {
        Some(setting) if setting.flag.is_some() => {
            let expected = format!("{}, in quotes", setting.expected);
            Err(refuse(origin, key, &text, &expected))
        }
        _ => Ok(text),
    };
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => typed(number.to_string()),
        DeValue::Float(number) => typed(number.to_string()),
        DeValue::Boolean(flag) => typed(flag.to_string()),
        DeValue::Array(items) if key == "join" => {
            let items: Result<Vec<String>, Failure> =
                items.iter().map(|item| plain(item.get_ref(), "join item", origin)).collect();
            Ok(items?.join(","))
        }
        other => Err(refuse(origin, key, other.type_str(), "a string, a number or a boolean")),
    }
}

/// The table of settings. `Config::durable` is not one: the data directory decides it.
fn settings() -> Vec<Setting> {
    let mut table = own_settings();
    table.extend(SETTINGS.iter().map(|gossip| Setting {
        key: gossip.key,
        flag: None,
        expected: gossip.expected,
        read: Read::Gossip(gossip.read),
        show: Show::Gossip(gossip.show),
    }));
    table
}

fn own_settings() -> Vec<Setting> {
    let setting = |key, flag, expected, read, show| Setting {
        key,
        flag,
        expected,
        read: Read::Own(read),
        show: Show::Own(show),
    };
    vec![
        setting("name", Some("--name"), NAME_EXPECTED, read_name, |s| s.name.clone()),
        setting("bind", Some("--bind"), ADDRESS_EXPECTED, read_bind, |s| s.bind.to_string()),
        setting("advertise", Some("--advertise"), ADVERTISE_EXPECTED, read_advertise, |s| {
            s.advertised().to_string()
        }),
        setting("http", Some("--http"), ADDRESS_EXPECTED, read_http, |s| s.http.to_string()),
        setting(
            "dns",
            Some("--dns"),
            DNS_EXPECTED,
            |_, t| (t == "off").then_some(()),
            |_| "off".to_owned(),
        ),
        setting("join", Some("--join"), JOIN_EXPECTED, read_join, |s| s.join.join(",")),
        setting("profile", Some("--profile"), "local, lan or wan", read_profile, |s| {
            s.profile.clone()
        }),
        setting("data_dir", Some("--data-dir"), "the path of a directory", read_data_dir, |s| {
            s.data_dir.as_ref().map_or_else(String::new, |d| d.display().to_string())
        }),
        setting("cluster", Some("--cluster"), "1 to 128 bytes", read_cluster, |s| {
            s.gossip.cluster.clone()
        }),
        setting("log_level", Some("--log-level"), LEVEL_EXPECTED, read_log_level, |s| {
            s.log_level.to_string()
        }),
        setting("keyring", Some("--keyring"), KEYRING_EXPECTED, |_, _| None, |_| String::new()),
    ]
}

const NAME_EXPECTED: &str = "1 to 128 bytes without control characters";
const ADDRESS_EXPECTED: &str = "IP:PORT such as 127.0.0.1:7946";
const ADVERTISE_EXPECTED: &str = "IP:PORT that others can reach, such as 10.0.0.7:7946";
const DNS_EXPECTED: &str = "off (DNS is not part of this version)";
const JOIN_EXPECTED: &str = "HOST:PORT such as 10.0.0.7:7946";
const LEVEL_EXPECTED: &str = "off, error, warn, info, debug or trace";
const KEYRING_EXPECTED: &str = "no keyring (keys are not part of this version)";

fn read_name(settings: &mut Settings, text: &str) -> Option<()> {
    let fits = (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control);
    settings.name = fits.then(|| text.to_owned())?;
    Some(())
}

fn read_bind(settings: &mut Settings, text: &str) -> Option<()> {
    settings.bind = listens(text)?;
    Some(())
}

fn read_http(settings: &mut Settings, text: &str) -> Option<()> {
    settings.http = listens(text)?;
    Some(())
}

/// An address that one host can listen on.
fn listens(text: &str) -> Option<SocketAddr> {
    let addr: SocketAddr = text.parse().ok()?;
    let group = match addr.ip() {
        IpAddr::V4(ip) => ip.is_multicast() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_multicast(),
    };
    (!group).then_some(addr)
}

fn read_advertise(settings: &mut Settings, text: &str) -> Option<()> {
    let addr: SocketAddr = text.parse().ok()?;
    let reachable = !addr.ip().is_unspecified() && !addr.ip().is_multicast() && addr.port() != 0;
    settings.advertise = Some(reachable.then_some(addr)?);
    Some(())
}

fn read_join(settings: &mut Settings, text: &str) -> Option<()> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    settings.join = items.map(contact).collect::<Option<Vec<String>>>()?;
    Some(())
}

fn read_profile(settings: &mut Settings, text: &str) -> Option<()> {
    let cluster = settings.gossip.cluster.clone();
    settings.gossip = Config { cluster, ..profile(text)? };
    settings.profile = text.to_owned();
    Some(())
}

fn read_data_dir(settings: &mut Settings, text: &str) -> Option<()> {
    settings.data_dir = Some((!text.is_empty()).then(|| PathBuf::from(text))?);
    Some(())
}

fn read_cluster(settings: &mut Settings, text: &str) -> Option<()> {
    settings.gossip.cluster = text.to_owned();
    Some(())
}

fn read_log_level(settings: &mut Settings, text: &str) -> Option<()> {
    let names = ["off", "error", "warn", "info", "debug", "trace"];
    settings.log_level = names.contains(&text).then(|| text.parse().ok())??;
    Some(())
}

/// An address to contact, as `HOST:PORT`; the port may be left out.
pub(crate) fn contact(text: &str) -> Option<String> {
    if let Ok(addr) = text.parse::<SocketAddr>() {
        return (addr.port() != 0).then(|| text.to_owned());
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Ok(ip) = bare.unwrap_or(text).parse::<IpAddr>() {
        return Some(SocketAddr::new(ip, GOSSIP_PORT_DEFAULT).to_string());
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse::<u16>().ok().filter(|p| *p != 0)?),
        None => (text, GOSSIP_PORT_DEFAULT),
    };
    let letters = host.chars().all(|c| c.is_alphanumeric() || "-._".contains(c));
    // What looks like an IPv4 address is one, or a mistake.
    let numbers = host.chars().all(|c| c.is_ascii_digit() || c == '.');
    (!host.is_empty() && letters && (!numbers || host.parse::<IpAddr>().is_ok()))
        .then(|| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn given(key: &str, text: &str) -> Given {
        Given { key: key.to_owned(), text: text.to_owned(), origin: Origin::Flag("--x") }
    }

    #[test]
    fn a_profile_moves_the_defaults_and_not_what_is_set() {
        let loaded = assemble(&[given("gossip.tick", "50ms"), given("profile", "wan")]).unwrap();
        assert_eq!(loaded.settings.gossip.tick, Duration::from_millis(50));
        assert_eq!(loaded.settings.gossip.fanout, Config::wan().fanout);
        let rows = loaded.rows();
        let origin = |key: &str| rows.iter().find(|r| r.0 == key).unwrap().2.clone();
        assert_eq!(origin("gossip.fanout"), "profile wan");
        assert_eq!(origin("gossip.tick"), "--x");
    }

    #[test]
    fn every_setting_reads_what_it_shows() {
        let loaded = assemble(&[]).unwrap();
        for setting in settings() {
            let mut settings = loaded.settings.clone();
            let text = setting.show(&settings);
            if ["keyring", "data_dir", "advertise"].contains(&setting.key) {
                continue;
            }
            assert!(setting.read(&mut settings, &text).is_some(), "{} {text:?}", setting.key);
            assert_eq!(setting.show(&settings), text);
        }
    }

    #[test]
    fn a_detector_goes_by_its_name() {
        let names = ["swim", "heartbeat", "phi", "phi-normal", "phi-akka", "phi-exponential"];
        for name in names {
            let loaded = assemble(&[given("gossip.detector", name)]).unwrap();
            assert_eq!(loaded.settings.gossip.detector.to_string(), name);
        }
        let Err(Failure::Misuse(refused)) = assemble(&[given("gossip.detector", "psi")]) else {
            panic!("there is no such detector");
        };
        assert!(refused.contains("psi") && refused.contains("phi-akka"), "{refused}");
    }

    #[test]
    fn a_zone_that_nobody_named_is_refused() {
        let zones = given("gossip.zones", "eu,us");
        let refused = |zones: Given, zone: &str| match assemble(&[zones, given("tags.zone", zone)])
        {
            Err(Failure::Misuse(refused)) => refused,
            other => panic!("{zone:?}: {:?}", other.is_ok()),
        };
        assert_eq!(refused(zones, "usa"), "--x \"usa\": expected one of eu,us (gossip.zones)");
        let empty = refused(given("gossip.zones", "eu,,us"), "eu");
        assert!(empty.contains("\"eu,,us\": expected names of zones"), "{empty}");
        assert!(assemble(&[given("gossip.zones", "eu,us"), given("tags.zone", "us")]).is_ok());
    }

    #[test]
    fn contacts_take_the_default_port() {
        assert_eq!(contact("10.0.0.1").as_deref(), Some("10.0.0.1:7946"));
        assert_eq!(contact("seed").as_deref(), Some("seed:7946"));
        assert_eq!(contact("seed:1").as_deref(), Some("seed:1"));
        assert_eq!(contact("::1").as_deref(), Some("[::1]:7946"));
        assert_eq!(contact("[::1]").as_deref(), Some("[::1]:7946"));
        assert_eq!(contact("1.2.3.4:0"), None);
        for bad in [
            "",
            ":1",
            "seed:",
            "seed:x",
            "300.0.0.1:1",
            "a b:1",
            "seed:0",
            "1.2.3:5",
            "[::1",
            "::1]",
        ] {
            assert_eq!(contact(bad), None, "{bad:?}");
        }
    }
}
