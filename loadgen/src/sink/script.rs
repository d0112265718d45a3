//! A script of what a receiver does wrong: the truth that a verifier is tested against.
//!
//! `ACTION:FLOW/SEQUENCE` or `ACTION:FLOW/FIRST-LAST`, several with commas between:
//!
//! | action | what becomes of the message |
//! |---|---|
//! | `drop` | it is forgotten |
//! | `double` | it is written twice |
//! | `swap` | it is written behind the next message of its flow |
//! | `corrupt` | its last byte is changed |
//!
//! Messages are known by their tag, of whatever run; all others, and those whose tag is damaged already, pass.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::str::FromStr;

use serde::Serialize;

use crate::tag::{FLOWS_MAX, Found, SEQUENCE_MAX, find_any};

/// Most messages that a script names.
pub const ITEMS_MAX: usize = 1 << 16;

/// Longest script, bytes.
pub const SCRIPT_BYTES_MAX: u64 = 4 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Drop,
    Double,
    Swap,
    Corrupt,
}

impl Action {
    const ALL: [Self; 4] = [Self::Drop, Self::Double, Self::Swap, Self::Corrupt];

    const fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Double => "double",
            Self::Swap => "swap",
            Self::Corrupt => "corrupt",
        }
    }
}

/// Flow and sequence number.
type Number = (u32, u64);

/// Why a script is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// It cannot be read.
    #[error("{0}")]
    Unread(String),
    /// An item is none.
    #[error("`{0}`: write it as drop:FLOW/SEQUENCE or drop:FLOW/FIRST-LAST; there are drop, double, swap and corrupt")]
    Item(String),
    /// A message is beyond what a run can have.
    #[error("`{0}`: flows go to {flow}, sequence numbers to {sequence}", flow = FLOWS_MAX - 1, sequence = SEQUENCE_MAX - 1)]
    Beyond(String),
    /// One message has two parts to play.
    #[error("`{item}`: message {flow}/{sequence} is named before, or trades places with one that is")]
    Twice {
        /// The second item.
        item: String,
        /// The message's flow.
        flow: u32,
        /// The message's number.
        sequence: u64,
    },
    /// It names too many.
    #[error("`{0}`: a script names at most {ITEMS_MAX} messages")]
    TooMany(String),
}

/// What to do with which messages, and what was done so far. Empty, it lets everything pass.
#[derive(Clone, Debug, Default)]
pub struct Script {
    items: BTreeMap<Number, Item>,
    /// Messages that wait for the next of their flow.
    held: HashMap<u32, (Number, Vec<u8>)>,
    done: ScriptDone,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    action: Action,
    is_done: bool,
}

/// What was done as a script told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ScriptDone {
    /// Messages not written.
    pub dropped: u64,
    /// Messages written twice.
    pub doubled: u64,
    /// Messages written behind the next of their flow.
    pub swapped: u64,
    /// Messages changed.
    pub corrupted: u64,
    /// Items whose message never came, or for a swap no next one; in order, neighbours together.
    pub undone: Vec<String>,
}

impl FromStr for Script {
    type Err = ScriptError;

    fn from_str(text: &str) -> Result<Self, ScriptError> {
        let mut script = Self::default();
        text.split(',').try_for_each(|item| script.add(item.trim())).map(|()| script)
    }
}

impl Script {
    /// Reads a script with one item a line; empty lines are passed over.
    ///
    /// # Errors
    /// [`ScriptError`].
    pub fn read(path: &Path) -> Result<Self, ScriptError> {
        let unread = |why: &dyn fmt::Display| ScriptError::Unread(format!("cannot read {}: {why}", path.display()));
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(SCRIPT_BYTES_MAX + 1).read_to_string(&mut text));
        if read.map_err(|error| unread(&error))? as u64 > SCRIPT_BYTES_MAX {
            return Err(unread(&format_args!("a script has at most {SCRIPT_BYTES_MAX} B, but this has more")));
        }
        let mut script = Self::default();
        let mut items = text.lines().map(str::trim).filter(|line| !line.is_empty());
        items.try_for_each(|item| script.add(item)).map(|()| script)
    }

    fn add(&mut self, item: &str) -> Result<(), ScriptError> {
        let (action, flow, first, last) = parse_item(item).ok_or_else(|| ScriptError::Item(item.into()))?;
        if flow >= FLOWS_MAX || last >= SEQUENCE_MAX {
            return Err(ScriptError::Beyond(item.into()));
        }
        if (ITEMS_MAX - self.items.len()) as u64 <= last - first {
            return Err(ScriptError::TooMany(item.into()));
        }
        for sequence in first..=last {
            let is_swap = |number: Number| self.items.get(&number).is_some_and(|item| item.action == Action::Swap);
            let is_taken = self.items.contains_key(&(flow, sequence))
                || sequence.checked_sub(1).is_some_and(|before| is_swap((flow, before)))
                || action == Action::Swap && self.items.contains_key(&(flow, sequence + 1));
            if is_taken {
                return Err(ScriptError::Twice { item: item.into(), flow, sequence });
            }
            self.items.insert((flow, sequence), Item { action, is_done: false });
        }
        Ok(())
    }

    /// What to write when `message` comes, if anything.
    ///
    /// # Errors
    /// What `write` says.
    pub fn apply(&mut self, message: &[u8], mut write: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let found = if self.items.is_empty() { None } else { find_any(message) };
        let Some(Found::Intact(tag)) = found else { return write(message) };
        let number = (tag.flow, tag.sequence);
        let action = self.items.get_mut(&number).and_then(|item| {
            // What was held once, or comes while another is held, is the next of its flow and no more.
            let is_next = item.action == Action::Swap && (item.is_done || self.held.contains_key(&tag.flow));
            // A swap is done when the next one comes.
            item.is_done |= item.action != Action::Swap;
            (!is_next).then_some(item.action)
        });
        match action {
            None => write(message)?,
            Some(Action::Drop) => {
                self.done.dropped += 1;
                return Ok(());
            }
            Some(Action::Double) => {
                self.done.doubled += 1;
                write(message)?;
                write(message)?;
            }
            Some(Action::Swap) => {
                self.held.insert(tag.flow, (number, message.to_vec()));
                return Ok(());
            }
            Some(Action::Corrupt) => {
                self.done.corrupted += 1;
                write(&changed(message))?;
            }
        }
        if let Some((number, held)) = self.held.remove(&tag.flow) {
            self.done.swapped += 1;
            if let Some(item) = self.items.get_mut(&number) {
                item.is_done = true;
            }
            write(&held)?;
        }
        Ok(())
    }

    /// Writes what still waits for a next message, and tells what was done.
    ///
    /// # Errors
    /// What `write` says.
    pub fn finish(self, mut write: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<ScriptDone> {
        let mut held: Vec<_> = self.held.into_values().collect();
        held.sort_unstable();
        held.iter().try_for_each(|(_, message)| write(message))?;
        Ok(ScriptDone { undone: undone(&self.items), ..self.done })
    }
}

/// `ACTION:FLOW/FIRST-LAST`
fn parse_item(item: &str) -> Option<(Action, u32, u64, u64)> {
    let (name, messages) = item.split_once(':')?;
    let action = Action::ALL.into_iter().find(|action| action.name() == name)?;
    let (flow, sequences) = messages.split_once('/')?;
    let (first, last) = sequences.split_once('-').unwrap_or((sequences, sequences));
    // Of u64's own grammar, no sign.
    let number =
        |digits: &str| digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse::<u64>().ok())?;
    let (flow, first, last) = (number(flow)?, number(first)?, number(last)?);
    (first <= last).then_some((action, u32::try_from(flow).unwrap_or(u32::MAX), first, last))
}

/// A message with another last byte, which is no line end.
fn changed(message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    if let Some(last) = message.last_mut() {
        *last = if *last == b'?' { b'!' } else { b'?' };
    }
    message
}

fn undone(items: &BTreeMap<Number, Item>) -> Vec<String> {
    let mut runs: Vec<(Action, u32, u64, u64)> = Vec::new();
    for ((flow, sequence), Item { action, .. }) in items.iter().filter(|(_, item)| !item.is_done) {
        match runs.last_mut() {
            Some((of, on, _, last)) if (*of, *on, *last + 1) == (*action, *flow, *sequence) => *last = *sequence,
            _ => runs.push((*action, *flow, *sequence, *sequence)),
        }
    }
    let name = |(action, flow, first, last): (Action, u32, u64, u64)| match first == last {
        true => format!("{}:{flow}/{first}", action.name()),
        false => format!("{}:{flow}/{first}-{last}", action.name()),
    };
    runs.into_iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tag::{RunTag, Tag, blank, fill};

    fn message(flow: u32, sequence: u64) -> Vec<u8> {
        let mut message = [&blank(RunTag::new(flow * 7))[..], b"text"].concat();
        fill(&mut message, Tag { flow, sequence, send_ns: 0 });
        message
    }

    /// What is written of messages `numbers`: numbers again, with `None` for one that was changed.
    fn written(script: &str, numbers: &[Number]) -> (Vec<Option<Number>>, ScriptDone) {
        let mut script: Script = script.parse().unwrap();
        let mut lines = Vec::new();
        for (flow, sequence) in numbers {
            let write = |line: &[u8]| {
                lines.push(line.to_vec());
                Ok(())
            };
            script.apply(&message(*flow, *sequence), write).unwrap();
        }
        let done = script.finish(|line| {
            lines.push(line.to_vec());
            Ok(())
        });
        let number = |line: &Vec<u8>| match find_any(line) {
            Some(Found::Intact(tag)) => Some((tag.flow, tag.sequence)),
            _ => None,
        };
        (lines.iter().map(number).collect(), done.unwrap())
    }

    fn refused(script: &str) -> String {
        script.parse::<Script>().unwrap_err().to_string()
    }

    #[test]
    fn each_message_goes_as_told_and_the_others_pass() {
        let numbers: Vec<_> = (0..8).flat_map(|sequence| [(0, sequence), (1, sequence)]).collect();
        let (lines, done) = written("drop:0/0, drop:1/6-7,double:0/1,swap:1/2,corrupt:0/4,double:0/7", &numbers);
        let flow = |flow: u32| -> Vec<_> {
            lines.iter().flatten().filter(|(of, _)| *of == flow).map(|(_, sequence)| *sequence).collect()
        };
        assert_eq!(flow(0), [1, 1, 2, 3, 5, 6, 7, 7]);
        assert_eq!(flow(1), [0, 1, 3, 2, 4, 5]);
        assert_eq!(lines.iter().filter(|line| line.is_none()).count(), 1);
        assert_eq!(done, ScriptDone { dropped: 3, doubled: 2, swapped: 1, corrupted: 1, undone: vec![] });
    }

    #[test]
    fn what_could_not_be_done_is_told_and_nothing_held_is_lost() {
        let (lines, done) =
            written("swap:0/2,drop:0/10-12,drop:1/0,drop:0/13,corrupt:0/14", &[(0, 1), (0, 2), (0, 11)]);
        assert_eq!(lines, [Some((0, 1)), Some((0, 2))]);
        assert_eq!(done.undone, ["swap:0/2", "drop:0/10", "drop:0/12-13", "corrupt:0/14", "drop:1/0"]);
        assert_eq!((done.dropped, done.swapped), (1, 0));
    }

    #[test]
    fn a_held_message_goes_behind_whatever_comes_next_of_its_flow() {
        // The one between is missing, and the next but one would be held as well.
        let (lines, done) = written("swap:0/2,swap:0/4", &[(0, 2), (1, 0), (0, 4), (0, 2), (0, 5)]);
        assert_eq!(lines, [(1, 0), (0, 4), (0, 2), (0, 2), (0, 5)].map(Some));
        assert_eq!((done.swapped, done.undone), (1, vec!["swap:0/4".to_owned()]));
        // Not behind one that is forgotten.
        let (lines, _) = written("swap:0/2,drop:0/4", &[(0, 2), (0, 4), (0, 5)]);
        assert_eq!(lines, [(0, 5), (0, 2)].map(Some));
    }

    #[test]
    fn messages_without_an_intact_tag_pass() {
        let mut script: Script = "drop:0/0".parse().unwrap();
        let mut lines = Vec::new();
        let damaged = changed(&message(0, 0));
        for message in [&b"lg1 of another"[..], b"", &damaged] {
            let write = |line: &[u8]| {
                lines.push(line.to_vec());
                Ok(())
            };
            script.apply(message, write).unwrap();
        }
        assert_eq!(lines, [&b"lg1 of another"[..], b"", &damaged]);
    }

    #[test]
    fn a_script_that_is_none_is_refused_with_the_item() {
        for item in
            ["", "drop", "lose:0/1", "drop:0", "drop:0/", "drop:/1", "drop:0/2-1", "drop:0/-1", "drop:0/+1", "drop:a/1"]
        {
            assert!(refused(item).starts_with(&format!("`{item}`: write it as drop:FLOW/SEQUENCE")), "{item}");
            assert!(refused(&format!("drop:0/1,{item}")).starts_with(&format!("`{item}`: ")), "{item}");
        }
        assert_eq!(refused("drop:100000/0"), "`drop:100000/0`: flows go to 99999, sequence numbers to 9999999999");
        assert!(refused("drop:0/10000000000").contains("sequence numbers to"));
        assert!(refused("drop:99999999999/0").contains("flows go to"));
        assert_eq!(
            refused("drop:0/5,double:0/3-5"),
            "`double:0/3-5`: message 0/5 is named before, or trades places with one that is"
        );
        for twice in ["swap:0/5,drop:0/6", "drop:0/6,swap:0/5", "swap:0/5-6", "drop:0/5,drop:0/5"] {
            assert!(refused(twice).contains("is named before"), "{twice}");
        }
        assert!("swap:0/5,swap:0/7,drop:1/6".parse::<Script>().is_ok());
    }

    #[test]
    fn a_script_names_no_more_than_the_limit() {
        let mut full: Script = format!("drop:0/1-{ITEMS_MAX}").parse().unwrap();
        let refusal = full.add("drop:1/0").unwrap_err().to_string();
        assert_eq!(refusal, "`drop:1/0`: a script names at most 65536 messages");
        assert!(refused(&format!("drop:0/0-{ITEMS_MAX}")).contains("at most 65536"));
        assert!(refused("drop:0/0-9999999999").contains("at most 65536"));
    }

    #[test]
    fn a_script_file_has_one_item_a_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("script");
        std::fs::write(&path, "drop:0/0\n\n  swap:1/7 \n").unwrap();
        assert_eq!(Script::read(&path).unwrap().items.len(), 2);
        std::fs::write(&path, "drop:0/0,drop:0/1\n").unwrap();
        assert!(matches!(Script::read(&path), Err(ScriptError::Item(item)) if item == "drop:0/0,drop:0/1"));
        let unread = Script::read(&directory.path().join("none")).unwrap_err().to_string();
        assert!(unread.starts_with("cannot read ") && unread.contains("No such file"), "{unread}");
        File::create(&path).unwrap().set_len(SCRIPT_BYTES_MAX + 1).unwrap();
        assert!(Script::read(&path).unwrap_err().to_string().contains("a script has at most 4194304 B"));
    }
}
