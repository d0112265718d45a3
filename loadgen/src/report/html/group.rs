//! Runs that belong side by side: those of one file to one target, of which one stands for all.

use super::drawn::Drawn;
use super::svg::STYLES;
use crate::report::Verdict;
use crate::target::Transport;

/// Groups that figures show, at most; tables show all.
pub(super) const SHOWN_MAX: usize = STYLES;

/// Runs of one plan to one target, at least one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Group {
    /// What stands beside its lines: the transport, where that tells groups apart, or else a letter.
    pub(super) name: String,
    /// Where they were sent, and which file they are in if that tells them apart.
    pub(super) words: String,
    /// Its look.
    pub(super) style: usize,
    pub(super) runs: Vec<Drawn>,
}

impl Group {
    /// The valid runs, or all if there is none.
    pub(super) fn telling(&self) -> Vec<&Drawn> {
        let valid: Vec<_> = self.runs.iter().filter(|run| run.judged.verdict != Verdict::Invalid).collect();
        if valid.is_empty() { self.runs.iter().collect() } else { valid }
    }

    /// The one in the middle by loss, and then by latency; of two in the middle the worse.
    pub(super) fn typical(&self) -> &Drawn {
        let mut runs = self.telling();
        let by = |run: &Drawn| (run.figure("loss_ratio").unwrap_or(0.0), run.figure("latency.p99").unwrap_or(0.0));
        runs.sort_by(|a, b| by(a).0.total_cmp(&by(b).0).then(by(a).1.total_cmp(&by(b).1)));
        runs[runs.len() / 2]
    }

    /// The median of a figure over the runs that measured it.
    pub(super) fn median(&self, name: &str) -> Option<f64> {
        let runs = self.telling().into_iter();
        crate::compare::spread(runs.filter_map(|run| run.figure(name)).collect()).map(|[_, median, _]| median)
    }
}

/// Names the groups of `runs`, each with the file it came from.
pub(super) fn named(groups: Vec<(String, Vec<Drawn>)>) -> Vec<Group> {
    let groups: Vec<_> = groups.into_iter().filter(|(_, runs)| !runs.is_empty()).collect();
    let targets: Vec<_> = groups.iter().map(|(_, runs)| runs[0].target.clone()).collect();
    let names = names(&targets);
    let is_repeated = |target: &String| targets.iter().filter(|other| *other == target).count() > 1;
    let group = |(at, (file, runs)): (usize, (String, Vec<Drawn>))| {
        let target = targets[at].clone();
        Group {
            name: names[at].clone(),
            words: if is_repeated(&target) { format!("{target} ({file})") } else { target },
            style: at % STYLES,
            runs,
        }
    };
    groups.into_iter().enumerate().map(group).collect()
}

/// What stands beside the lines of targets: their transports, if these tell them apart, or else letters.
pub(super) fn names(targets: &[String]) -> Vec<String> {
    let transports: Vec<_> = targets.iter().map(|target| transport(target)).collect();
    let is_told = |at: usize| transports[at].is_some() && !transports[..at].contains(&transports[at]);
    let by_transport = (0..targets.len()).all(is_told);
    let name = |at: usize| transports[at].clone().filter(|_| by_transport).unwrap_or_else(|| letter(at));
    (0..targets.len()).map(name).collect()
}

/// The name of a target's transport; another is nobody's.
fn transport(target: &str) -> Option<String> {
    let (scheme, _) = target.split_once("://")?;
    let known = Transport::ALL.into_iter().find(|known| known.name() == scheme)?;
    Some(if known.is_local() { known.name().to_owned() } else { known.name().to_uppercase() })
}

/// A to Z, then numbers from 27.
fn letter(at: usize) -> String {
    u8::try_from(at)
        .ok()
        .filter(|at| *at < 26)
        .map_or_else(|| (at + 1).to_string(), |at| char::from(b'A' + at).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::document::Member;
    use crate::report::judged::Judged;
    use serde_json::json;

    fn run(target: &str, verdict: &str, lost: f64) -> Drawn {
        let run = json!({"verdict": verdict, "target": target, "loss_ratio": lost});
        let judged = Judged::new("f", &run, &[], None).unwrap();
        Drawn::new(&Member { name: "f".into(), run: &run, target: 0, rate: None }, &judged)
    }

    fn told(targets: &[&str]) -> Vec<(String, String)> {
        let groups = targets.iter().map(|target| ("f".to_owned(), vec![run(target, "pass", 0.0)])).collect();
        named(groups).into_iter().map(|group| (group.name, group.words)).collect()
    }

    #[test]
    fn groups_are_told_apart_by_transport_or_by_letters() {
        let group = |name: &str, words: &str| (name.to_owned(), words.to_owned());
        assert_eq!(told(&["udp://h:1", "tcp://h:1"]), [group("UDP", "udp://h:1"), group("TCP", "tcp://h:1")]);
        assert_eq!(told(&["udp://h:1", "udp://h:1"]), [group("A", "udp://h:1 (f)"), group("B", "udp://h:1 (f)")]);
        assert_eq!(told(&["udp://h:1"]), [group("UDP", "udp://h:1")]);
        assert_eq!(told(&["x", "tcp://h:1"])[1].0, "B");
        assert_eq!([25, 26].map(letter), ["Z", "27"]);
    }

    #[test]
    fn the_typical_run_is_valid_and_in_the_middle_or_the_worse_of_two() {
        let of = |runs: Vec<Drawn>| named(vec![("f".into(), runs)]).remove(0).typical().figure("loss_ratio").unwrap();
        assert_eq!(of(vec![run("u", "fail", 0.3), run("u", "fail", 0.1), run("u", "fail", 0.2)]), 0.2);
        assert_eq!(of(vec![run("u", "fail", 0.3), run("u", "pass", 0.1)]), 0.3);
        assert_eq!(of(vec![run("u", "invalid", 0.3), run("u", "pass", 0.1)]), 0.1);
        assert_eq!(of(vec![run("u", "invalid", 0.3)]), 0.3);
    }
}
