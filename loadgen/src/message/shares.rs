//! Things chosen by share, as `debug:98,err:2`.

use std::fmt;

use fastrand::Rng;

/// Most things in one mix.
const PARTS_MAX: usize = 100;

/// Largest share.
const SHARE_MAX: u32 = 1_000_000;

/// At least one thing, each with its share of the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shares<T>(Vec<(T, u32)>);

impl<T: Copy> Shares<T> {
    /// Reads `THING:SHARE,...`, a thing alone having a share of 1; `None` when `read` does not know a thing, a share is not
    /// 1 to [`SHARE_MAX`], or there are more than [`PARTS_MAX`].
    pub(super) fn parse(text: &str, read: impl Fn(&str) -> Option<T>) -> Option<Self> {
        let part = |part: &str| {
            let (thing, share) = part.split_once(':').unwrap_or((part, "1"));
            let share = share.parse().ok().filter(|share| (1..=SHARE_MAX).contains(share))?;
            Some((read(thing)?, share))
        };
        let parts = text.split(',').map(part).collect::<Option<Vec<_>>>()?;
        (parts.len() <= PARTS_MAX).then_some(Self(parts))
    }

    /// Of parts that are as [`parse`](Self::parse) would have them.
    pub(super) fn of(parts: &[(T, u32)]) -> Self {
        Self(parts.to_vec())
    }

    /// One of them, by chance.
    pub(super) fn choose(&self, rng: &mut Rng) -> T {
        let all: u32 = self.0.iter().map(|(_, share)| share).sum();
        let mut chosen = rng.u32(..all);
        for (thing, share) in &self.0[1..] {
            match chosen.checked_sub(*share) {
                Some(rest) => chosen = rest,
                None => return *thing,
            }
        }
        self.0[0].0 // What is left is the share of the first.
    }

    /// All of them.
    pub(super) fn things(&self) -> impl Iterator<Item = T> {
        self.0.iter().map(|(thing, _)| *thing)
    }

    /// Writes it as [`parse`](Self::parse) reads it.
    pub(super) fn write<N: fmt::Display>(&self, f: &mut fmt::Formatter<'_>, name: impl Fn(T) -> N) -> fmt::Result {
        for (number, (thing, share)) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{}:{share}", name(*thing))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Shares<u8>> {
        Shares::parse(text, |thing| thing.parse().ok())
    }

    #[test]
    fn each_is_chosen_as_often_as_its_share_says() {
        let shares = parse("1:90,2,3:9").unwrap();
        let (mut rng, mut counts) = (Rng::with_seed(1), [0u32; 4]);
        (0..100_000).for_each(|_| counts[usize::from(shares.choose(&mut rng))] += 1);
        for (thing, expected) in [(1, 90_000), (2, 1_000), (3, 9_000)] {
            // Four standard deviations of a binomial distribution are at most 4 * sqrt(expected).
            assert!(f64::from(counts[thing].abs_diff(expected)) < 4.0 * f64::from(expected).sqrt(), "{counts:?}");
        }
    }

    #[test]
    fn what_is_no_mix_is_refused() {
        let at_most = vec!["1:1000000"; PARTS_MAX].join(",");
        let most = parse(&at_most).unwrap();
        assert_eq!(most.choose(&mut Rng::with_seed(1)), 1, "the shares together overflow nothing");
        for text in ["", "1:", "x:1", "1:0", "1,", "1:1:1", "1:1000001", "1:-1", &format!("{at_most},1")] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
