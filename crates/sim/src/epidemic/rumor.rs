//! Decides how a rumour spreads and goes cold: the variants of Demers et al. 1987, section 1.4,
//! by the rules that reproduce their tables (PAPERS 1.1).
//!
//! A site is susceptible, infective (it has the update and spreads it) or removed (it has lost
//! interest). Cycles are synchronous: who knew is judged at the start of the cycle.

use tidings_proto::base::rng::Rng;

use super::draw::below;
use super::{Mode, each_run};
use crate::statistics::Summary;
use crate::work::Work;

pub const NODES_MAX: u64 = 1_000_000;
pub const K_MAX: u32 = 1_000;
/// No run goes on for longer; with [`K_MAX`] none comes near.
const CYCLES_MAX: u32 = 10_000_000;

/// Whether a site loses interest by what it hears back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Only contacts with sites that knew already count.
    Feedback,
    /// All contacts count.
    Blind,
}

/// When a site that has cause to loses interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// After k cycles in a row with cause.
    Counter,
    /// With probability 1/k each time.
    Coin,
}

impl std::str::FromStr for Interest {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Interest, &'static str> {
        match text {
            "feedback" => Ok(Interest::Feedback),
            "blind" => Ok(Interest::Blind),
            _ => Err("expected feedback or blind"),
        }
    }
}

impl std::str::FromStr for Stop {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Stop, &'static str> {
        match text {
            "counter" => Ok(Stop::Counter),
            "coin" => Ok(Stop::Coin),
            _ => Err("expected counter or coin"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rumor {
    pub mode: Mode,
    pub interest: Interest,
    pub stop: Stop,
    pub k: u32,
    pub nodes: u64,
    /// Where two infective sites meet they compare counters: one update passes, and only the site
    /// with the smaller counter counts the contact; both, if they are equal.
    pub minimize: bool,
    /// The two tell each other first which updates they have; the update itself goes only to who asks
    /// for it, and a site asks the first that has it.
    pub announce: bool,
    /// Contacts that a site takes in a cycle; those beyond are refused and have no effect.
    pub connection_limit: Option<u32>,
    /// Other partners that a refused caller tries in the same cycle.
    pub hunt: u32,
}

impl Rumor {
    /// Names the value that cannot be, and what was expected.
    pub fn check(&self) -> Result<(), String> {
        let Rumor { nodes, k, connection_limit, .. } = *self;
        if !(2..=NODES_MAX).contains(&nodes) {
            return Err(format!("nodes {nodes}: expected 2 to {NODES_MAX}"));
        }
        if !(1..=K_MAX).contains(&k) {
            return Err(format!("k {k}: expected 1 to {K_MAX}"));
        }
        if connection_limit == Some(0) {
            return Err("connection limit 0: expected at least 1".to_owned());
        }
        let counts = (self.interest, self.stop) == (Interest::Feedback, Stop::Counter);
        if self.minimize && !(counts && self.mode == Mode::PushPull) {
            return Err(
                "minimize: expected mode push-pull, interest feedback, stop counter".to_owned()
            );
        }
        Ok(())
    }
}

/// What one run left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Share of sites that never get the update.
    pub residue: f64,
    /// Updates sent, or announced, over the number of sites.
    pub traffic: f64,
    /// Whole updates sent, over the number of sites: (n - 1)/n where all are reached and each asks once.
    pub copies: f64,
    /// Mean cycle of the first receipt, over the sites that got it; the origin's is 0.
    pub t_ave: f64,
    /// Cycle of the last first receipt.
    pub t_last: f64,
}

/// What a sample of runs left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcomes {
    pub residue: Summary,
    pub traffic: Summary,
    pub copies: Summary,
    pub t_ave: Summary,
    pub t_last: Summary,
    /// Share of runs that reached every site.
    pub complete: f64,
}

/// Independent runs of a checked variant; None if the work was stopped before any was done.
pub fn sample(rumor: &Rumor, runs: usize, work: &Work<'_>) -> Option<Outcomes> {
    let what = format!("{} rumours, k {}", rumor.mode.as_str(), rumor.k);
    let all = each_run(&what, runs, work, |rng| run(rumor, rng));
    if all.is_empty() {
        return None;
    }
    let sum = |of: fn(&Outcome) -> f64| Summary::of(&mut all.iter().map(of).collect::<Vec<_>>());
    let complete = all.iter().filter(|o| o.residue == 0.0).count();
    Some(Outcomes {
        residue: sum(|o| o.residue),
        traffic: sum(|o| o.traffic),
        copies: sum(|o| o.copies),
        t_ave: sum(|o| o.t_ave),
        t_last: sum(|o| o.t_last),
        complete: complete as f64 / all.len() as f64,
    })
}

/// One run of a checked variant, until no site is infective.
pub fn run(rumor: &Rumor, rng: &mut Rng) -> Outcome {
    let mut sites = Sites::new(rumor);
    sites.learn(below(rng, rumor.nodes as u32), 0);
    sites.heat();
    let mut cycle = 0;
    while !sites.hot.is_empty() && cycle < CYCLES_MAX {
        cycle += 1;
        sites.contacts(rng, cycle);
        sites.cool(rng);
        sites.heat();
    }
    sites.outcome()
}

/// The cycle of the first receipt of a site that has none.
const NEVER: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Site {
    /// Cycle of the first receipt.
    since: u32,
    infective: bool,
    counter: u32,
    /// In this cycle: it told a site that did not know; it told one that did.
    useful: bool,
    useless: bool,
    /// Contacts taken in this cycle.
    taken: u32,
}

struct Sites<'a> {
    rumor: &'a Rumor,
    sites: Vec<Site>,
    /// The infective ones.
    hot: Vec<u32>,
    /// First receipts of this cycle.
    fresh: Vec<u32>,
    sent: u64,
    /// Sites that asked for the update that was announced to them.
    asked: u64,
    reached: u64,
    since_sum: u64,
    since_last: u32,
}

impl Sites<'_> {
    fn new(rumor: &Rumor) -> Sites<'_> {
        let site = Site {
            since: NEVER,
            infective: false,
            counter: 0,
            useful: false,
            useless: false,
            taken: 0,
        };
        Sites {
            rumor,
            sites: vec![site; rumor.nodes as usize],
            hot: Vec::new(),
            fresh: Vec::new(),
            sent: 0,
            asked: 0,
            reached: 0,
            since_sum: 0,
            since_last: 0,
        }
    }

    fn at(&mut self, site: u32) -> &mut Site {
        &mut self.sites[site as usize]
    }

    /// Every site that has something to ask or to tell calls one other.
    fn contacts(&mut self, rng: &mut Rng, cycle: u32) {
        if self.rumor.connection_limit.is_some() {
            self.contacts_limited(rng, cycle);
        } else if self.rumor.mode.pulls() {
            for caller in 0..self.rumor.nodes as u32 {
                let partner = self.partner(rng, caller);
                self.contact(caller, partner, cycle);
            }
        } else {
            for at in 0..self.hot.len() {
                let caller = self.hot[at];
                let partner = self.partner(rng, caller);
                self.contact(caller, partner, cycle);
            }
        }
    }

    /// Callers come in random order; a site takes the first.
    fn contacts_limited(&mut self, rng: &mut Rng, cycle: u32) {
        let Rumor { nodes, mode, connection_limit, hunt, .. } = *self.rumor;
        let limit = connection_limit.unwrap_or(u32::MAX);
        self.sites.iter_mut().for_each(|site| site.taken = 0);
        let mut callers = if mode.pulls() { (0..nodes as u32).collect() } else { self.hot.clone() };
        rng.shuffle(&mut callers);
        for caller in callers {
            for _ in 0..=hunt {
                let partner = self.partner(rng, caller);
                if self.at(partner).taken < limit {
                    self.at(partner).taken += 1;
                    self.contact(caller, partner, cycle);
                    break;
                }
            }
        }
    }

    fn partner(&self, rng: &mut Rng, caller: u32) -> u32 {
        let drawn = below(rng, self.rumor.nodes as u32 - 1);
        drawn + u32::from(drawn >= caller)
    }

    fn contact(&mut self, caller: u32, partner: u32, cycle: u32) {
        let mode = self.rumor.mode;
        if mode.pushes() && self.at(caller).infective {
            self.tell(caller, partner, cycle);
        }
        if mode.pulls() && self.at(partner).infective {
            self.tell(partner, caller, cycle);
        }
        if self.rumor.minimize && self.at(caller).infective && self.at(partner).infective {
            self.sent -= 1; // the second answers with its counter
        }
    }

    fn tell(&mut self, from: u32, to: u32, cycle: u32) {
        self.sent += 1;
        let (teller, told) = (self.sites[from as usize], self.sites[to as usize]);
        if told.since >= cycle {
            self.at(from).useful = true;
            if told.since == NEVER {
                self.asked += 1;
                self.learn(to, cycle);
            }
        } else if !(self.rumor.minimize && told.infective && teller.counter > told.counter) {
            self.at(from).useless = true;
        }
    }

    fn learn(&mut self, site: u32, cycle: u32) {
        self.at(site).since = cycle;
        self.fresh.push(site);
        self.reached += 1;
        self.since_sum += u64::from(cycle);
        self.since_last = cycle;
    }

    /// Infective sites weigh the cycle; some lose interest.
    fn cool(&mut self, rng: &mut Rng) {
        let Rumor { interest, stop, k, .. } = *self.rumor;
        let sites = &mut self.sites;
        self.hot.retain(|&at| {
            let site = &mut sites[at as usize];
            let cause = match interest {
                Interest::Feedback => site.useless && !site.useful,
                Interest::Blind => site.useless || site.useful,
            };
            if site.useful && interest == Interest::Feedback {
                site.counter = 0;
            }
            site.counter += u32::from(cause);
            (site.useful, site.useless) = (false, false);
            site.infective = match stop {
                Stop::Counter => site.counter < k,
                Stop::Coin => !cause || below(rng, k) != 0,
            };
            site.infective
        });
    }

    /// Who got the update in this cycle spreads it from the next on.
    fn heat(&mut self) {
        for at in 0..self.fresh.len() {
            let site = self.fresh[at];
            self.at(site).infective = true;
        }
        self.hot.append(&mut self.fresh);
    }

    fn outcome(&self) -> Outcome {
        let nodes = self.rumor.nodes as f64;
        Outcome {
            residue: 1.0 - self.reached as f64 / nodes,
            traffic: self.sent as f64 / nodes,
            copies: if self.rumor.announce { self.asked } else { self.sent } as f64 / nodes,
            t_ave: self.since_sum as f64 / self.reached as f64,
            t_last: f64::from(self.since_last),
        }
    }
}
