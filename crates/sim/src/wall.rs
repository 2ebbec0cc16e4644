//! Decides which packets a split, a cut or a block stops: two tests of a bit per packet, however
//! many hosts stand on either side.

use crate::network::Shape;

/// Names a raised wall.
pub type WallId = u64;

/// Something that does not let packets through.
#[derive(Clone, Debug)]
pub enum Wall {
    /// Nothing passes between hosts of different sides; hosts beyond the list are on side 0.
    Sides(Vec<u16>),
    /// Nothing of these shapes passes from one set of hosts to the other.
    OneWay { from: Hosts, to: Hosts, datagrams: bool, streams: bool },
}

/// A set of hosts, by number.
#[derive(Clone, Debug, Default)]
pub struct Hosts(Vec<u64>);

impl Hosts {
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|&bits| bits == 0)
    }

    pub fn contains(&self, host: usize) -> bool {
        self.0.get(host / 64).is_some_and(|bits| bits >> (host % 64) & 1 == 1)
    }
}

impl FromIterator<usize> for Hosts {
    fn from_iter<I: IntoIterator<Item = usize>>(hosts: I) -> Hosts {
        let mut bits = Vec::new();
        for host in hosts {
            if bits.len() <= host / 64 {
                bits.resize(host / 64 + 1, 0);
            }
            bits[host / 64] |= 1 << (host % 64);
        }
        Hosts(bits)
    }
}

impl Wall {
    pub(crate) fn stops(&self, sender: usize, receiver: usize, shape: Shape) -> bool {
        match self {
            Wall::Sides(sides) => {
                let side = |host: usize| sides.get(host).copied().unwrap_or(0);
                side(sender) != side(receiver)
            }
            Wall::OneWay { from, to, datagrams, streams } => {
                let shape = if shape == Shape::Datagram { *datagrams } else { *streams };
                shape && from.contains(sender) && to.contains(receiver)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_stops_one_direction_one_shape_or_all_between_sides() {
        let (from, to) = (Hosts::from_iter([1, 200]), Hosts::from_iter([3]));
        let wall = Wall::OneWay { from, to, datagrams: true, streams: false };
        assert!(wall.stops(200, 3, Shape::Datagram) && !wall.stops(3, 200, Shape::Datagram));
        assert!(!wall.stops(200, 3, Shape::Stream) && !wall.stops(2, 3, Shape::Datagram));
        let split = Wall::Sides(vec![0, 1, 2]);
        assert!(split.stops(1, 2, Shape::Stream) && !split.stops(0, 9, Shape::Stream));
    }
}
