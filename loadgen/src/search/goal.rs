//! What is searched for, and how thoroughly: the search goals of MLRsearch (draft-ietf-bmwg-mlrsearch-15, "Goal Terms").

use serde::Serialize;

/// Each stage of a search is so many times as long as the one before, at most.
const STAGE_GROWTH: f64 = 4.0;

/// Each stage may be so many times as wide as the one behind it.
const STAGE_WIDENING: f64 = 2.0;

/// A search goal. Times are of sending alone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Goal {
    /// As people call it.
    pub name: String,
    /// Goal Loss Ratio, 0 to 1: a trial that loses more is a high-loss trial.
    pub loss_ratio: f64,
    /// Goal Exceed Ratio, 0 to 1: so much of the time may be spent in high-loss trials at a load that is good enough.
    pub exceed_ratio: f64,
    /// Goal Width: the bounds may be so far apart, by the upper one.
    pub relative_width: f64,
    /// Goal Initial Trial Duration, s.
    pub initial_trial_seconds: f64,
    /// Goal Final Trial Duration, s.
    pub final_trial_seconds: f64,
    /// Goal Duration Sum, s.
    pub sum_seconds: f64,
}

/// What a goal demands at one stage: first short trials and wide bounds, at last those of the goal itself. What a short trial
/// shows is confirmed by longer ones near the bounds alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// See [`Goal`].
    pub loss_ratio: f64,
    /// See [`Goal`].
    pub exceed_ratio: f64,
    /// See [`Goal`].
    pub relative_width: f64,
    /// A trial shorter than this is a short trial.
    pub trial_seconds: f64,
    /// See [`Goal`].
    pub sum_seconds: f64,
}

impl Goal {
    /// The stages, the goal itself last. All but it are content with one trial at a load.
    #[must_use]
    pub fn stages(&self) -> Vec<Stage> {
        let growth = (self.final_trial_seconds / self.initial_trial_seconds).max(1.0);
        let before = growth.log(STAGE_GROWTH).ceil() as i32;
        let stage = |number: i32| {
            let seconds = self.initial_trial_seconds * growth.powf(f64::from(number) / f64::from(before));
            Stage {
                loss_ratio: self.loss_ratio,
                exceed_ratio: self.exceed_ratio,
                relative_width: self.relative_width * STAGE_WIDENING.powi(before - number),
                trial_seconds: seconds,
                sum_seconds: seconds,
            }
        };
        (0..before).map(stage).chain([self.last_stage()]).collect()
    }

    /// The goal itself.
    #[must_use]
    pub fn last_stage(&self) -> Stage {
        Stage {
            loss_ratio: self.loss_ratio,
            exceed_ratio: self.exceed_ratio,
            relative_width: self.relative_width,
            trial_seconds: self.final_trial_seconds,
            sum_seconds: self.sum_seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_trials_and_wide_bounds_come_first() {
        let goal = Goal {
            name: "lossless".into(),
            loss_ratio: 0.0,
            exceed_ratio: 0.5,
            relative_width: 0.01,
            initial_trial_seconds: 1.0,
            final_trial_seconds: 16.0,
            sum_seconds: 48.0,
        };
        let stages: Vec<_> =
            goal.stages().iter().map(|stage| (stage.trial_seconds, stage.sum_seconds, stage.relative_width)).collect();
        assert_eq!(stages, [(1.0, 1.0, 0.04), (4.0, 4.0, 0.02), (16.0, 48.0, 0.01)]);
        let same = Goal { initial_trial_seconds: 16.0, ..goal };
        assert_eq!(same.stages(), [same.last_stage()]);
    }
}
