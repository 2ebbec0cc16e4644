//! Decides how all schedules of a small scenario are enumerated instead of sampled: a run asks
//! for choices, the odometer of all answers advances between runs (after TigerBeetle's
//! exhaustigen).

/// The answers of one run, and how many there were to each question.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    answers: Vec<(usize, usize)>,
    asked: usize,
    /// Questions beyond this many are answered with 0.
    pub points_max: usize,
}

impl Choices {
    pub fn new(points_max: usize) -> Choices {
        Choices { answers: Vec::new(), asked: 0, points_max }
    }

    /// One of `0..options`.
    pub fn choose(&mut self, options: usize) -> usize {
        assert!(options > 0, "there is always an option");
        if self.asked == self.answers.len() {
            if self.asked >= self.points_max {
                return 0;
            }
            self.answers.push((0, options));
        }
        let (answer, of) = self.answers[self.asked];
        assert_eq!(of, options, "equal answers lead to equal questions");
        self.asked += 1;
        answer
    }

    /// Asks again from the start, with the same answers.
    pub fn rewind(&mut self) {
        self.asked = 0;
    }

    /// Turns to the next schedule; false when all were run.
    pub fn advance(&mut self) -> bool {
        self.asked = 0;
        while let Some((answer, options)) = self.answers.pop() {
            if answer + 1 < options {
                self.answers.push((answer + 1, options));
                return true;
            }
        }
        false
    }

    /// The answers of this run: what a failure prints.
    pub fn path(&self) -> Vec<usize> {
        self.answers.iter().map(|&(answer, _)| answer).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_path_is_taken_once() {
        let mut choices = Choices::new(10);
        let mut seen = BTreeSet::new();
        loop {
            let first = choices.choose(3);
            let second = if first == 1 { choices.choose(4) } else { 9 };
            let third = choices.choose(2);
            assert!(seen.insert((first, second, third)));
            if !choices.advance() {
                break;
            }
        }
        assert_eq!(seen.len(), 2 + 8 + 2);
    }
}
