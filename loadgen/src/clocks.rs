//! The clock by which messages are sent, and the one whose time they tell.

use std::time::{Instant, SystemTime};

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// Goes on evenly.
    pub monotonic: Instant,
    /// May be set.
    pub wall: SystemTime,
}

impl Clocks {
    /// Of some readings the closest pair: whoever is interrupted between the two would find the interruption in every latency.
    #[must_use]
    pub fn read() -> Self {
        let readings = (0..10).map(|_| {
            let monotonic = Instant::now();
            let wall = SystemTime::now();
            (monotonic.elapsed(), Self { monotonic, wall })
        });
        readings.min_by_key(|(took, _)| *took).map_or_else(|| unreachable!("ten readings"), |(_, clocks)| clocks)
    }

    /// How far the wall clock was set since `before`, ms, for both go at the same speed (adjtimex(2) slews both); or how long this
    /// machine was suspended, which the other clock does not count.
    #[must_use]
    pub fn set_by_ms(&self, before: &Self) -> f64 {
        let expected = before.wall + (self.monotonic - before.monotonic);
        match self.wall.duration_since(expected) {
            Ok(ahead) => ahead.as_secs_f64() * 1e3,
            Err(behind) => -behind.duration().as_secs_f64() * 1e3,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_was_set_is_noticed_and_time_that_went_by_is_not() {
        let before = Clocks::read();
        let later = |monotonic_ms, wall_ms| Clocks {
            monotonic: before.monotonic + Duration::from_millis(monotonic_ms),
            wall: before.wall + Duration::from_millis(wall_ms),
        };
        for (monotonic_ms, wall_ms, set_by_ms) in
            [(0, 0, 0.0), (60_000, 60_000, 0.0), (100, 350, 250.0), (350, 100, -250.0)]
        {
            assert_eq!(later(monotonic_ms, wall_ms).set_by_ms(&before), set_by_ms);
        }
    }
}
