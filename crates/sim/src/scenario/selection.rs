//! Decides which nodes an action means: names, ranges, groups, regions, all, or some at random.
//!
//! ```text
//! "n3"    "n0..n9" (both ends)    "all"    "group web"    "region eu"
//! "random 5"    "random 10%"    "random 10% of region eu"    "n0, n4..n6, region us"
//! ```

use tidings_proto::base::rng::Rng;

use super::document::{Item, Refusal, Section, Value};

/// Who there is to choose from, by number.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    pub names: Vec<String>,
    pub groups: Vec<String>,
    /// The group of each node.
    pub group_of: Vec<usize>,
    pub regions: Vec<String>,
    /// The region of each node, if there are any.
    pub region_of: Vec<usize>,
}

/// Nodes, some of which may be drawn when the action comes.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq)]
enum Term {
    These(Vec<usize>),
    Random { count: usize, of: Vec<usize> },
}

pub const EXPECTED: &str =
    "nodes such as \"n3\", \"n0..n9\", \"random 10%\", \"group web\", \"region eu\" or \"all\"";

impl Selection {
    /// Reads the text, or list of texts, under a key.
    pub fn read(section: &Section<'_>, key: &str, roster: &Roster) -> Result<Selection, Refusal> {
        let Some(item) = section.item(key) else {
            return Err(section.required::<()>(key, EXPECTED, |_| None).expect_err("no such key"));
        };
        Selection::of_item(item, roster).map_err(|why| {
            section.document.refuse(item.line, format!("{key} = {}: {why}", item.value))
        })
    }

    pub fn of_item(item: &Item, roster: &Roster) -> Result<Selection, String> {
        let texts: Vec<&str> = match &item.value {
            Value::Text(text) => vec![text],
            Value::List(items) => {
                let text = |item: &'_ Item| matches!(item.value, Value::Text(_));
                if !items.iter().all(text) {
                    return Err(format!("expected {EXPECTED}"));
                }
                let texts = items.iter().filter_map(|item| match &item.value {
                    Value::Text(text) => Some(text.as_str()),
                    _ => None,
                });
                texts.collect()
            }
            _ => return Err(format!("expected {EXPECTED}")),
        };
        let terms = texts.iter().flat_map(|text| text.split(',')).map(str::trim);
        let terms: Result<Vec<Term>, String> = terms.map(|term| roster.term(term)).collect();
        Ok(Selection { terms: terms? })
    }

    pub fn all(roster: &Roster) -> Selection {
        Selection { terms: vec![Term::These((0..roster.names.len()).collect())] }
    }

    /// The most nodes that it can mean.
    pub fn most(&self) -> usize {
        let count = |term: &Term| match term {
            Term::These(nodes) => nodes.len(),
            Term::Random { count, .. } => *count,
        };
        self.terms.iter().map(count).sum()
    }

    /// The nodes for this time, in order, each once; random ones are drawn from those that fit.
    pub fn draw(&self, rng: &mut Rng, fits: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut nodes = Vec::new();
        for term in &self.terms {
            match term {
                Term::These(these) => nodes.extend(these.iter().copied().filter(|&n| fits(n))),
                Term::Random { count, of } => {
                    let mut rest: Vec<usize> =
                        of.iter().copied().filter(|&n| fits(n) && !nodes.contains(&n)).collect();
                    for _ in 0..(*count).min(rest.len()) {
                        nodes.push(rest.swap_remove(rng.index(rest.len())));
                    }
                }
            }
        }
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }
}

impl Roster {
    fn term(&self, text: &str) -> Result<Term, String> {
        let Some(rest) = text.strip_prefix("random ") else {
            return self.these(text).map(Term::These);
        };
        let (amount, of) = match rest.split_once(" of ") {
            Some((amount, of)) => (amount.trim(), self.these(of.trim())?),
            None => (rest.trim(), (0..self.names.len()).collect()),
        };
        let count = match amount.strip_suffix('%') {
            Some(percent) => {
                let percent: f64 = percent.trim().parse().unwrap_or(f64::NAN);
                if !(0.0..=100.0).contains(&percent) {
                    return Err(format!("{text:?}: expected 0% to 100%"));
                }
                (of.len() as f64 * percent / 100.0).round() as usize
            }
            None => amount
                .parse()
                .map_err(|_| format!("{text:?}: expected a number or a percentage"))?,
        };
        if count > of.len() {
            return Err(format!("{text:?}: expected at most the {} nodes there are", of.len()));
        }
        Ok(Term::Random { count, of })
    }

    fn these(&self, text: &str) -> Result<Vec<usize>, String> {
        let all = 0..self.names.len();
        if text == "all" {
            return Ok(all.collect());
        }
        if let Some(name) = text.strip_prefix("group ") {
            let group = position(&self.groups, name.trim(), "group")?;
            return Ok(all.filter(|&n| self.group_of[n] == group).collect());
        }
        if let Some(name) = text.strip_prefix("region ") {
            let region = position(&self.regions, name.trim(), "region")?;
            return Ok(all.filter(|&n| self.region_of[n] == region).collect());
        }
        if let Some((first, last)) = text.split_once("..") {
            let (first, last) = (self.node(first.trim())?, self.node(last.trim())?);
            if first > last {
                return Err(format!("{text:?}: expected the lower end first"));
            }
            return Ok((first..=last).collect());
        }
        self.node(text).map(|node| vec![node])
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> Result<usize, String> {
        self.names.iter().position(|n| n == name).ok_or_else(|| {
            let (first, last) = (&self.names[0], &self.names[self.names.len() - 1]);
            format!("no node is named {name:?}: expected one of {first} to {last}, or {EXPECTED}")
        })
    }
}

fn position(names: &[String], name: &str, what: &str) -> Result<usize, String> {
    names.iter().position(|n| n == name).ok_or_else(|| {
        let known = if names.is_empty() { "none is named".to_owned() } else { names.join(", ") };
        format!("no {what} is named {name:?}: expected one of: {known}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster() -> Roster {
        Roster {
            names: (0..10).map(|n| format!("n{n}")).collect(),
            groups: vec!["n".to_owned()],
            group_of: vec![0; 10],
            regions: vec!["eu".to_owned(), "us".to_owned()],
            region_of: (0..10).map(|n| n % 2).collect(),
        }
    }

    fn draw(text: &str) -> Result<Vec<usize>, String> {
        let item = Item { line: 1, value: Value::Text(text.to_owned()) };
        let selection = Selection::of_item(&item, &roster())?;
        Ok(selection.draw(&mut Rng::from_u64(1), |_| true))
    }

    #[test]
    fn each_form_means_its_nodes() {
        assert_eq!(draw("n3").unwrap(), [3]);
        assert_eq!(draw("n0, n4..n6, n5").unwrap(), [0, 4, 5, 6]);
        assert_eq!(draw("region us").unwrap(), [1, 3, 5, 7, 9]);
        assert_eq!(draw("group n").unwrap().len(), 10);
        assert_eq!(draw("random 30%").unwrap().len(), 3);
        let some = draw("random 2 of region eu").unwrap();
        assert!(some.len() == 2 && some.iter().all(|n| n % 2 == 0));
        assert_eq!(draw("n0, random 9").unwrap().len(), 10, "no node is drawn twice");
    }

    #[test]
    fn what_is_no_node_is_named() {
        for (text, expected) in [
            ("n10", "no node is named \"n10\": expected one of n0 to n9"),
            ("random 11", "expected at most the 10 nodes"),
            ("random 120%", "expected 0% to 100%"),
            ("random x", "expected a number or a percentage"),
            ("n5..n2", "expected the lower end first"),
            ("region mars", "no region is named \"mars\": expected one of: eu, us"),
            ("", "no node is named"),
        ] {
            let why = draw(text).unwrap_err();
            assert!(why.contains(expected), "{text:?}: {why}");
        }
    }
}
