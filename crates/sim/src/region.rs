//! Decides what distance adds to a packet's way: named places, each host in one of them, and a
//! delay between any two, given or worked out from coordinates at the speed of light in fibre.

use std::time::Duration;

use crate::network::Latency;

/// Light in fibre: 200 km in a millisecond, two thirds of its speed in the void.
const KM_PER_MS: f64 = 200.0;
const EARTH_RADIUS_KM: f64 = 6371.0;

/// Places and the hosts in them.
#[derive(Clone, Debug)]
pub struct Regions {
    /// The place of each host; hosts beyond the list are in place 0.
    of: Vec<u16>,
    /// One way from place to place, a row for each sender.
    ways: Vec<Latency>,
    places: usize,
}

impl Regions {
    /// `way` tells the delay between two different places; within one there is none.
    pub fn new(places: usize, of: Vec<u16>, way: impl Fn(usize, usize) -> Latency) -> Regions {
        assert!(of.iter().all(|&p| usize::from(p) < places), "every host is in a place");
        let here = Latency::Constant(Duration::ZERO);
        let ways = (0..places * places)
            .map(|i| (i / places, i % places))
            .map(|(a, b)| if a == b { here } else { way(a, b) })
            .collect();
        Regions { of, ways, places }
    }

    pub(crate) fn way(&self, from: usize, to: usize) -> Latency {
        self.ways[self.place(from) * self.places + self.place(to)]
    }

    pub fn place(&self, host: usize) -> usize {
        self.of.get(host).copied().map_or(0, usize::from)
    }
}

/// One way between two points given as (latitude, longitude) in degrees: the great circle at
/// fibre speed, times how much longer real routes are. To 10 microseconds, so that all systems
/// agree on it.
pub fn fibre_delay(a: (f64, f64), b: (f64, f64), stretch: f64) -> Duration {
    let km = great_circle_km(a, b);
    let hundredths = (km * stretch / KM_PER_MS * 100.0).round();
    Duration::from_micros(hundredths as u64 * 10)
}

/// By the haversine formula, on a sphere.
fn great_circle_km(a: (f64, f64), b: (f64, f64)) -> f64 {
    let half = |x: f64, y: f64| ((y - x).to_radians() / 2.0).sin().powi(2);
    let h = half(a.0, b.0) + a.0.to_radians().cos() * b.0.to_radians().cos() * half(a.1, b.1);
    2.0 * EARTH_RADIUS_KM * h.sqrt().min(1.0).asin()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frankfurt_to_virginia_is_33_ms_of_light_and_real_routes_are_longer() {
        let (frankfurt, ashburn) = ((50.11, 8.68), (39.04, -77.49));
        let light = fibre_delay(frankfurt, ashburn, 1.0).as_secs_f64() * 1e3;
        assert!((light - 32.8).abs() < 0.5, "{light} ms");
        let real = fibre_delay(ashburn, frankfurt, 1.4).as_secs_f64() * 1e3;
        assert!((real / light - 1.4).abs() < 0.01);
        assert_eq!(fibre_delay(frankfurt, frankfurt, 2.0), Duration::ZERO);
    }

    #[test]
    fn within_a_place_nothing_is_added() {
        let far = Latency::Constant(Duration::from_millis(40));
        let regions = Regions::new(2, vec![0, 0, 1], |_, _| far);
        assert_eq!(regions.way(0, 1), Latency::Constant(Duration::ZERO));
        assert_eq!(regions.way(0, 2), far);
        assert_eq!(regions.way(2, 7), far);
    }
}
