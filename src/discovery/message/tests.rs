use proptest::prelude::*;

use super::*;

/// `a.example SRV` with number 0x1234, as RFC 1035 writes it.
const QUESTION: &[u8] =
    b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x07example\x00\x00\x21\x00\x01";

/// The answer to it, with this second half of the flags and so many records behind it.
fn answer(flags: [u8; 2], count: u8, records: &[u8]) -> Vec<u8> {
    let mut bytes = QUESTION.to_vec();
    bytes[2..4].copy_from_slice(&flags);
    bytes[7] = count;
    bytes.extend(records);
    bytes
}

/// `a.example SRV 1 2 6060 b.example`, by pointers.
const RECORD: &[u8] =
    b"\xc0\x0c\x00\x21\x00\x01\x00\x00\x00\x3c\x00\x0a\x00\x01\x00\x02\x17\xac\x01b\xc0\x0e";

fn read(bytes: &[u8]) -> Option<Reply> {
    reply(bytes, 0x1234, "a.example", RecordType::Srv)
}

#[test]
fn a_question_is_as_the_standard_has_it() {
    assert_eq!(
        question(0x1234, "a.example", RecordType::Srv).as_deref(),
        Some(QUESTION)
    );
    assert_eq!(question(1, &"a".repeat(64), RecordType::A), None);
    assert_eq!(
        question(1, &["abcdefghi"; 26].join("."), RecordType::A),
        None
    );
}

#[test]
fn an_answer_answers_the_question() {
    let good = answer([0x81, 0x80], 1, RECORD);
    let record = Record::Service {
        target: "b.example".to_owned(),
        port: 6060,
    };
    assert_eq!(read(&good), Some(Reply::Records(vec![record])));
    let cut = good.len() - 1;
    assert_eq!(read(&good[..cut]), None);
    assert_eq!(reply(&good, 0x1235, "a.example", RecordType::Srv), None);
    assert_eq!(reply(&good, 0x1234, "b.example", RecordType::Srv), None);
    assert_eq!(reply(&good, 0x1234, "a.example", RecordType::A), None);
    assert!(reply(&good, 0x1234, "A.Example.", RecordType::Srv).is_some());
    assert_eq!(read(QUESTION), None, "a question is no answer");
    let none = || Some(Reply::Records(Vec::new()));
    assert_eq!(read(&answer([0x81, 0x80], 0, b"")), none());
    assert_eq!(
        read(&answer([0x81, 0x83], 0, b"")),
        none(),
        "a name that is nobody's"
    );
    assert_eq!(read(&answer([0x81, 0x82], 0, b"")), Some(Reply::Refused));
    assert_eq!(read(&answer([0x81, 0x85], 1, RECORD)), Some(Reply::Refused));
    assert_eq!(
        read(&answer([0x83, 0x80], 1, RECORD)),
        Some(Reply::Truncated)
    );
    // A lone dot says that there is no service; an address is not what was asked for.
    let dot = b"\xc0\x0c\x00\x21\x00\x01\x00\x00\x00\x3c\x00\x07\x00\x00\x00\x00\x00\x00\x00";
    assert_eq!(read(&answer([0x81, 0x80], 1, dot)), none());
    let address = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x00\x00\x01";
    assert_eq!(read(&answer([0x81, 0x80], 1, address)), none());
}

#[test]
fn names_that_lead_to_themselves_lead_nowhere() {
    for target in [
        &b"\xc0\x28"[..],
        b"\x01b\xc0\x2d",
        b"\xff\xff",
        b"\x3f",
        b"\x40a",
    ] {
        let mut record = RECORD[..18].to_vec();
        record[11] = 6 + u8::try_from(target.len()).unwrap();
        record.extend(target);
        assert_eq!(read(&answer([0x81, 0x80], 1, &record)), None, "{target:?}");
    }
    // As many pointers as fit, each to the one before it: in a time that nobody notices.
    let mut bytes = answer([0x81, 0x80], 1, RECORD);
    bytes[6..8].copy_from_slice(&5_000u16.to_be_bytes());
    while bytes.len() < 65_000 {
        bytes.extend(RECORD);
    }
    let begun = std::time::Instant::now();
    drop(read(&bytes));
    assert!(begun.elapsed() < std::time::Duration::from_secs(10));
}

proptest! {
    #[test]
    fn no_message_is_too_much(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        at in 0usize..60,
        to in any::<u8>(),
    ) {
        drop(read(&bytes));
        let mut changed = answer([0x81, 0x80], 1, RECORD);
        let place = at.min(changed.len() - 1);
        changed[place] = to;
        if let Some(Reply::Records(records)) = read(&changed) {
            prop_assert!(records.len() <= 1);
        }
        let behind = [answer([0x81, 0x80], 9, b""), bytes].concat();
        if let Some(Reply::Records(records)) = read(&behind) {
            prop_assert!(records.len() <= 9);
        }
    }
}
