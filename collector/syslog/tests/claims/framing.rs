//! Where messages begin and end on a stream.

use logboom_syslog::Framer;
use logboom_syslog::HELD_ALWAYS_BYTES;
use proptest::prelude::*;

/// What came out: bytes and original length.
type Framed = (Vec<u8>, u32);

fn frames_of(reads: &[&[u8]], message_bytes_max: usize) -> (Vec<Framed>, Option<Framed>) {
    let mut framer = Framer::new(message_bytes_max);
    let mut frames = Vec::new();
    for read in reads {
        let mut input = *read;
        while let Some(frame) = framer.next(&mut input) {
            frames.push((frame.bytes.to_vec(), frame.original_length));
        }
        assert!(input.is_empty(), "input left behind");
        assert!(framer.memory_bytes() <= 2 * message_bytes_max.max(4096), "{} B", framer.memory_bytes());
    }
    let rest = framer.finish().map(|frame| (frame.bytes.to_vec(), frame.original_length));
    (frames, rest)
}

fn texts(stream: &str) -> (Vec<String>, Option<String>) {
    let (frames, rest) = frames_of(&[stream.as_bytes()], 1000);
    let text = |(bytes, _): Framed| String::from_utf8(bytes).unwrap();
    (frames.into_iter().map(text).collect(), rest.map(text))
}

#[test]
fn lines_are_messages() {
    let (frames, rest) = texts("<1>one\n\ntwo\r\n34 not a count\nlast");
    assert_eq!(frames, ["<1>one", "", "two\r", "34 not a count"]);
    assert_eq!(rest.as_deref(), Some("last"));
}

#[test]
fn counted_octets_are_messages_whatever_they_hold() {
    let (frames, rest) = texts("6 <1>one8 <2>t\nw\no3 abc");
    assert_eq!(frames, ["<1>one", "<2>t\nw\no", "abc"]);
    assert_eq!(rest, None);
}

#[test]
fn digits_alone_do_not_make_a_count() {
    for stream in ["6 hello\n", "06 <1>one\n", "12345678 <1>one\n", " <1>one\n", "6<1>one\n", "6\t<1>on\n"] {
        assert_eq!(texts(stream).0, [stream.trim_end_matches('\n')], "{stream:?}");
    }
}

#[test]
fn a_line_feed_after_a_counted_message_is_passed_over() {
    assert_eq!(texts("6 <1>one\n6 <1>two\n\n6 <1>six").0, ["<1>one", "<1>two", "<1>six"]);
}

#[test]
fn a_broken_count_costs_nothing() {
    let (frames, rest) = texts("6 <1>oneoops, no count\n6 <1>two99999999 too many digits\n6 <1>six");
    assert_eq!(frames, ["<1>one", "oops, no count", "<1>two", "99999999 too many digits", "<1>six"]);
    assert_eq!(rest, None);
}

#[test]
fn an_unfinished_message_is_given_at_the_end() {
    assert_eq!(texts("9 <1>one").1.as_deref(), Some("<1>one"));
    assert_eq!(texts("12").1.as_deref(), Some("12"));
    assert_eq!(texts("").1, None);
    assert_eq!(texts("6 <1>one").1, None);
}

#[test]
fn a_long_message_is_cut_and_its_length_kept() {
    let line = [vec![b'x'; 25], b"\nshort\n".to_vec()].concat();
    let expected = vec![(vec![b'x'; 10], 25), (b"short".to_vec(), 5)];
    assert_eq!(frames_of(&[&line], 10).0, expected);
    let counted = [b"25 <".to_vec(), vec![b'x'; 24], b"5 short".to_vec()].concat();
    let expected = vec![([b"<".to_vec(), vec![b'x'; 9]].concat(), 25), (b"short".to_vec(), 5)];
    assert_eq!(frames_of(&[&counted], 10).0, expected);
}

#[test]
fn a_count_of_ten_million_and_an_endless_line_ask_for_no_memory() {
    let mut counted = b"9999999 <".to_vec();
    counted.resize(100_000, b'x');
    let reads: Vec<&[u8]> = counted.chunks(7).collect();
    let (frames, rest) = frames_of(&reads, 5000);
    assert_eq!((frames.len(), rest.unwrap().0.len()), (0, 5000));
    let endless = vec![b'x'; 100_000];
    let reads: Vec<&[u8]> = endless.chunks(7).collect();
    assert_eq!(frames_of(&reads, 5000).1.unwrap(), (vec![b'x'; 5000], 100_000));
}

#[test]
fn a_nul_ends_a_message_too_and_stays_with_it() {
    let (frames, rest) = texts("<1>one\0<1>two\0\n<1>three\n\0\0\n\n<1>last");
    assert_eq!(frames, ["<1>one\0", "<1>two\0", "<1>three", "\0", "\0", ""]);
    assert_eq!(rest.as_deref(), Some("<1>last"));
    let (frames, _) = texts("5 <1>a\0 5 <1>b\0");
    assert_eq!(frames[0], "<1>a\0", "what is counted may hold one");
}

#[test]
fn what_may_not_be_held_is_cut_and_a_message_that_comes_whole_is_not() {
    let mut framer = Framer::new(5_000);
    framer.set_may_hold(false);
    let long = [&[b'x'; 1_000][..], &[b'y'; 1_000], b"\n"].concat();
    let mut whole = &long[..];
    assert_eq!(framer.next(&mut whole).map(|frame| (frame.bytes.len(), frame.original_length)), Some((2_000, 2_000)));
    let (mut begun, mut ended) = (&long[..1_000], &long[1_000..]);
    assert!(framer.next(&mut begun).is_none() && framer.is_within_message());
    assert!(framer.memory_bytes() <= 2 * HELD_ALWAYS_BYTES, "{} B", framer.memory_bytes());
    // Nothing is put behind the gap, also when more may be held again.
    framer.set_may_hold(true);
    let cut = framer.next(&mut ended).unwrap();
    assert_eq!((cut.bytes, cut.original_length), (&[b'x'; HELD_ALWAYS_BYTES][..], 2_000));
    assert!(!framer.is_within_message());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_split_into_reads_gives_the_same_messages(
        stream in proptest::collection::vec(
            prop_oneof![
                Just(b"6 <1>one".to_vec()), Just(b"3 abc".to_vec()), Just(b"\n".to_vec()), Just(b"line\n".to_vec()),
                Just(b"123".to_vec()), Just(b" ".to_vec()), Just(b"<".to_vec()), Just(vec![0]), Just(b"<2>nul\0".to_vec()),
                proptest::collection::vec(any::<u8>(), 0..5),
            ],
            0..12,
        ),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
        message_bytes_max in 9usize..30,
    ) {
        let stream = stream.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.push(stream.len());
        cuts.sort_unstable();
        let mut begin = 0;
        let reads: Vec<&[u8]> = cuts.iter().map(|end| &stream[std::mem::replace(&mut begin, *end)..*end]).collect();
        let bytewise: Vec<&[u8]> = stream.chunks(1).collect();
        let whole = frames_of(&[&stream], message_bytes_max);
        prop_assert_eq!(&frames_of(&reads, message_bytes_max), &whole);
        prop_assert_eq!(&frames_of(&bytewise, message_bytes_max), &whole);
    }

    #[test]
    fn every_message_sent_in_either_framing_comes_back(
        messages in proptest::collection::vec("<[0-9]{1,3}>[ -~]{0,40}", 1..20),
    ) {
        let lines: String = messages.iter().map(|message| format!("{message}\n")).collect();
        prop_assert_eq!(&texts(&lines).0, &messages);
        let counted: String = messages.iter().map(|message| format!("{} {message}", message.len())).collect();
        prop_assert_eq!(&texts(&counted).0, &messages);
    }
}
