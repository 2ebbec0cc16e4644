//! Decides which news a packet of memberlist carries: least often sent first, the newest first
//! among those, each a bounded number of times, and none that is out of date.

use std::collections::VecDeque;

use super::rules::News;

/// News that one node still has to tell.
#[derive(Debug)]
pub struct Rumours {
    /// By number of sends, the newest in front.
    sent: Vec<VecDeque<(News, u32)>>,
    /// The number of the current news about each member; 0: none. Others in `sent` are stale.
    current: Vec<u32>,
    numbered: u32,
    waiting: usize,
}

impl Rumours {
    pub fn new(members: usize, limit: u32) -> Rumours {
        Rumours {
            sent: (0..limit).map(|_| VecDeque::new()).collect(),
            current: vec![0; members],
            numbered: 0,
            waiting: 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Takes the place of what was to be told about the same member.
    pub fn push(&mut self, news: News) {
        self.numbered += 1;
        let current = &mut self.current[usize::from(news.about)];
        self.waiting += usize::from(*current == 0);
        *current = self.numbered;
        self.sent[0].push_front((news, self.numbered));
    }

    /// Appends what fits into `room` bytes to one packet, and counts it as sent once more.
    pub fn fill(&mut self, mut room: usize, packet: &mut Vec<News>) {
        if self.waiting == 0 {
            return;
        }
        let first = packet.len();
        let mut taken: [usize; 64] = [0; 64];
        for (sends, queue) in self.sent.iter_mut().enumerate() {
            let mut at = 0;
            while at < queue.len() {
                let (news, number) = queue[at];
                if self.current[usize::from(news.about)] != number {
                    queue.remove(at);
                } else if news.bytes() <= room {
                    room -= news.bytes();
                    packet.push(news);
                    taken[sends] += 1;
                    queue.remove(at);
                } else {
                    at += 1;
                }
            }
        }
        self.count(&packet[first..], &taken);
    }

    /// What was taken moves on by one send; at the limit it is done with.
    fn count(&mut self, packet: &[News], taken: &[usize; 64]) {
        let mut news = packet.iter().rev();
        for (sends, &times) in taken.iter().enumerate().take(self.sent.len()).rev() {
            for &news in news.by_ref().take(times) {
                let about = usize::from(news.about);
                match self.sent.get_mut(sends + 1) {
                    Some(queue) => queue.push_front((news, self.current[about])),
                    None => {
                        self.current[about] = 0;
                        self.waiting -= 1;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::State;
    use super::*;

    fn suspect(about: u16, incarnation: u32) -> News {
        News { about, incarnation, state: State::Suspect, from: 0 }
    }

    #[test]
    fn news_is_told_so_often_and_no_more() {
        let mut rumours = Rumours::new(4, 3);
        rumours.push(suspect(1, 1));
        let mut packets = Vec::new();
        for _ in 0..5 {
            let mut packet = Vec::new();
            rumours.fill(1000, &mut packet);
            packets.push(packet.len());
        }
        assert_eq!(packets, [1, 1, 1, 0, 0]);
        assert!(rumours.is_empty());
    }

    #[test]
    fn the_least_told_goes_first_and_what_is_superseded_not_at_all() {
        let mut rumours = Rumours::new(4, 3);
        rumours.push(suspect(1, 1));
        rumours.fill(1000, &mut Vec::new());
        rumours.push(suspect(2, 1));
        rumours.push(suspect(3, 1));
        rumours.push(suspect(2, 2));
        let mut packet = Vec::new();
        rumours.fill(3 * 60 - 1, &mut packet);
        assert_eq!(packet, [suspect(2, 2), suspect(3, 1)]);
        packet.clear();
        rumours.fill(1000, &mut packet);
        assert_eq!(packet.len(), 3);
    }
}
