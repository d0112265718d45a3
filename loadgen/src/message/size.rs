//! How long messages are: all alike, or by chance.

use std::fmt;
use std::str::FromStr;

use fastrand::Rng;

use super::MESSAGE_BYTES_MAX;
use super::shares::Shares;

/// Widest lognormal: at 4, one message in six is 55 times as long as the median, or longer.
const SIGMA_MAX: f64 = 4.0;

/// Sizes of messages, header and tag included, bytes: `200`, `100-500` (evenly spread), `lognormal:300,0.5` (median, and
/// standard deviation of the natural logarithm) or `mix:64:7,570:4,1400:1` (sizes, each with its share).
#[derive(Clone, Debug, PartialEq)]
pub struct Sizes(Distribution);

#[derive(Clone, Debug, PartialEq)]
enum Distribution {
    Fixed(usize),
    Uniform { min_bytes: usize, max_bytes: usize },
    Lognormal { median_bytes: usize, sigma: f64 },
    Mix(Shares<usize>),
}

impl Sizes {
    /// The size of the next message, 0 to [`MESSAGE_BYTES_MAX`].
    pub(super) fn draw(&self, rng: &mut Rng) -> usize {
        match &self.0 {
            Distribution::Fixed(bytes) => *bytes,
            Distribution::Uniform { min_bytes, max_bytes } => rng.usize(*min_bytes..=*max_bytes),
            // What is beyond the limit becomes the limit: to draw again would move the median.
            Distribution::Lognormal { median_bytes, sigma } => {
                let bytes = *median_bytes as f64 * (sigma * standard_normal(rng)).exp();
                (bytes.round() as usize).min(MESSAGE_BYTES_MAX)
            }
            Distribution::Mix(shares) => shares.choose(rng),
        }
    }

    /// The largest there may be.
    pub(super) fn largest(&self) -> usize {
        match &self.0 {
            Distribution::Fixed(bytes) => *bytes,
            Distribution::Uniform { max_bytes, .. } => *max_bytes,
            Distribution::Lognormal { median_bytes, sigma: 0.0 } => *median_bytes,
            Distribution::Lognormal { .. } => MESSAGE_BYTES_MAX,
            Distribution::Mix(shares) => shares.things().max().unwrap_or_default(),
        }
    }
}

/// A number from the normal distribution with mean 0 and standard deviation 1, from two that are evenly spread (Box and
/// Muller, "A Note on the Generation of Random Normal Deviates", Ann. Math. Statist. 29, 1958).
fn standard_normal(rng: &mut Rng) -> f64 {
    let above_zero = 1.0 - rng.f64(); // The logarithm of 0 is no number.
    (-2.0 * above_zero.ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos()
}

impl Default for Sizes {
    fn default() -> Self {
        Self(Distribution::Fixed(200))
    }
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            Some(if let Some(text) = text.strip_prefix("lognormal:") {
                let (median, sigma) = text.split_once(',')?;
                let sigma = sigma.parse().ok().filter(|sigma| (0.0..=SIGMA_MAX).contains(sigma))?;
                Distribution::Lognormal { median_bytes: median.parse().ok().filter(|bytes| *bytes > 0)?, sigma }
            } else if let Some(text) = text.strip_prefix("mix:") {
                Distribution::Mix(Shares::parse(text, |bytes| bytes.parse().ok())?)
            } else if let Some((min, max)) = text.split_once('-') {
                let (min_bytes, max_bytes) = (min.parse().ok()?, max.parse().ok()?);
                (min_bytes <= max_bytes).then_some(Distribution::Uniform { min_bytes, max_bytes })?
            } else {
                Distribution::Fixed(text.parse().ok()?)
            })
        };
        let sizes = read().map(Self).ok_or_else(|| {
            format!(
                "write bytes, such as 200; a range, 100-500; lognormal:300,0.5 (median, and sigma up to {SIGMA_MAX}); or \
                 mix:64:7,570:4,1400:1 (sizes with their shares)"
            )
        })?;
        let asked = match sizes.0 {
            Distribution::Lognormal { median_bytes, .. } => median_bytes,
            _ => sizes.largest(),
        };
        if asked > MESSAGE_BYTES_MAX {
            return Err(format!("{asked} B, but a datagram holds at most {MESSAGE_BYTES_MAX} B"));
        }
        Ok(sizes)
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Distribution::Fixed(bytes) => write!(f, "{bytes}"),
            Distribution::Uniform { min_bytes, max_bytes } => write!(f, "{min_bytes}-{max_bytes}"),
            Distribution::Lognormal { median_bytes, sigma } => write!(f, "lognormal:{median_bytes},{sigma}"),
            Distribution::Mix(shares) => {
                f.write_str("mix:")?;
                shares.write(f, |bytes| bytes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 4,096 sizes of `text`, the smallest first.
    fn drawn(text: &str) -> Vec<usize> {
        let (sizes, mut rng) = (text.parse::<Sizes>().unwrap(), Rng::with_seed(1));
        let mut drawn: Vec<usize> = (0..4096).map(|_| sizes.draw(&mut rng)).collect();
        assert!(drawn.iter().all(|bytes| *bytes <= sizes.largest()));
        drawn.sort_unstable();
        drawn
    }

    #[test]
    fn sizes_come_back() {
        for text in ["200", "0-500", "lognormal:300,0.5", "lognormal:65507,4", "mix:64:7,570:4,1400:1"] {
            assert_eq!(text.parse::<Sizes>().unwrap().to_string(), text);
        }
        assert_eq!(Sizes::default().to_string(), "200");
    }

    #[test]
    fn what_is_no_size_is_told_with_the_limit() {
        for text in [
            "",
            "x",
            "-1",
            "500-100",
            "1e3",
            "lognormal:300",
            "lognormal:0,1",
            "lognormal:300,-1",
            "lognormal:300,4.1",
            "lognormal:300,nan",
            "mix:",
            "mix:64:0",
            "mix:64:7;570:4",
        ] {
            let refused = text.parse::<Sizes>().unwrap_err();
            assert!(refused.starts_with("write bytes, such as 200"), "{text}: {refused}");
        }
        for text in ["65508", "100-65508", "mix:1:1,65508:1", "lognormal:65508,1"] {
            let refused = text.parse::<Sizes>().unwrap_err();
            assert_eq!(refused, "65508 B, but a datagram holds at most 65507 B", "{text}");
        }
    }

    #[test]
    fn a_range_is_spread_evenly_both_ends_included() {
        let sizes = drawn("150-153");
        for (bytes, count) in (150..=153).map(|bytes| (bytes, sizes.iter().filter(|drawn| **drawn == bytes).count())) {
            assert!((900..1150).contains(&count), "{count} of {bytes} B");
        }
    }

    #[test]
    fn lognormal_sizes_have_the_median_and_the_width_asked_for() {
        let sizes = drawn("lognormal:300,0.5");
        // One standard deviation to either side of the median are the quantiles 0.1587 and 0.8413.
        for (quantile, expected) in [(0.1587, 300.0 * (-0.5f64).exp()), (0.5, 300.0), (0.8413, 300.0 * 0.5f64.exp())] {
            let found = sizes[(quantile * 4096.0) as usize] as f64;
            assert!((found / expected - 1.0).abs() < 0.03, "quantile {quantile}: {found} instead of {expected}");
        }
        assert_eq!(drawn("lognormal:300,0"), [300; 4096]);
    }

    #[test]
    fn lognormal_sizes_end_at_the_longest_datagram_and_keep_their_median() {
        let sizes = drawn("lognormal:20000,2");
        assert!((sizes[2048] as f64 / 20_000.0 - 1.0).abs() < 0.1, "{}", sizes[2048]);
        // Of a normal distribution 0.2764 are above ln(65507 / 20000) / 2.
        let cut = sizes.iter().filter(|bytes| **bytes == MESSAGE_BYTES_MAX).count() as f64 / 4096.0;
        assert!((cut - 0.2764).abs() < 0.03, "{cut}");
    }

    #[test]
    fn a_mix_has_its_sizes_in_their_shares_and_no_others() {
        let sizes = drawn("mix:64:7,570:4,1400:1");
        let counts = [64, 570, 1400].map(|bytes| sizes.iter().filter(|drawn| **drawn == bytes).count());
        assert_eq!(counts.iter().sum::<usize>(), 4096);
        for (count, share) in counts.into_iter().zip([7.0, 4.0, 1.0]) {
            assert!((count as f64 / 4096.0 - share / 12.0).abs() < 0.02, "{counts:?}");
        }
    }
}
