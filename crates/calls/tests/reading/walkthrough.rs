//! The files of the walkthrough, and what each must become.

use calls::call::MessageIds;
use calls::reading::Reading;
use calls::subject::Subject;
use calls::translator::{Translated, Translator};
use protocol::id::StreamId;

const IDENTITY: [u8; 16] = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128.to_be_bytes();

/// The calls of a file that has nothing to refuse.
fn calls(name: &str, csv: &str) -> Vec<String> {
    let subject = Subject::of(name, &[], None).unwrap();
    let mut translator = Translator::new(&subject, &Reading::default(), MessageIds::new(StreamId::new(IDENTITY)));
    translator.push(csv.as_bytes());
    translator.finish();
    let mut all = Vec::new();
    loop {
        let (mut call, mut record) = (Vec::new(), Vec::new());
        match translator.next(&mut call, &mut record).unwrap() {
            Translated::Call { len, .. } => {
                assert_eq!(len, call.len());
                all.push(String::from_utf8(call).unwrap());
            }
            Translated::End => return all,
            step => panic!("{step:?}"),
        }
    }
}

fn library() -> String {
    format!(r#"{{"name":"segment-s3","version":"{}"}}"#, env!("CARGO_PKG_VERSION"))
}

#[test]
fn a_track_file_becomes_track_calls() {
    let csv = "userId,name,event,properties.plan,properties.accountType,context.ip,context.device.id,timestamp\n\
               1,Tyler Ortiz,test event,bronze,Facebook,175.154.50.123,1,2019-05-11T20:32:27.940Z\n\
               2,Jacob Johnson,test event,silver,Twitter,40.110.228.56,2,2019-05-12T20:32:27.940Z\n";
    let all = calls("track_1.csv", csv);
    assert_eq!(all.len(), 2);
    let start = csv.find("\n1,").unwrap() + 1;
    let expected = format!(
        r#"{{"type":"track","messageId":"s3-0123456789abcdef0123456789abcdef-{start}","timestamp":"2019-05-11T20:32:27.940Z","userId":"1","name":"Tyler Ortiz","event":"test event","properties":{{"plan":"bronze","accountType":"Facebook"}},"context":{{"library":{},"ip":"175.154.50.123","device":{{"id":"1"}}}}}}"#,
        library()
    );
    assert_eq!(all[0], expected);
}

#[test]
fn an_identify_file_becomes_identify_calls() {
    let csv = "userId,traits.name,traits.plan,traits.accountType,traits.email\n\
               1,Tyler Ortiz,bronze,Facebook,TO@example.com\n";
    let all = calls("identify_1.csv", csv);
    let expected = format!(
        r#"{{"type":"identify","messageId":"s3-0123456789abcdef0123456789abcdef-63","userId":"1","traits":{{"name":"Tyler Ortiz","plan":"bronze","accountType":"Facebook","email":"TO@example.com"}},"context":{{"library":{}}}}}"#,
        library()
    );
    assert_eq!(all, [expected]);
}

#[test]
fn an_object_file_becomes_every_object_and_not_only_the_last() {
    let csv = "name,id,location,review_count\nCharming Room,2561341,Lihue,47\nSunny Room,2561342,Kapaa,3\n";
    assert_eq!(
        calls("object_rooms_1.csv", csv),
        [
            r#"{"id":"2561341","properties":{"name":"Charming Room","location":"Lihue","review_count":"47"}}"#,
            r#"{"id":"2561342","properties":{"name":"Sunny Room","location":"Kapaa","review_count":"3"}}"#,
        ]
    );
}

#[test]
fn the_range_of_a_timestamp_contains_exactly_the_timestamp() {
    let subject = Subject::of("track_1.csv", &[], None).unwrap();
    let mut translator = Translator::new(&subject, &Reading::default(), MessageIds::new(StreamId::new(IDENTITY)));
    translator.push(b"userId,event,timestamp\n1,e,1557606747\n");
    translator.finish();
    let mut out = b"before".to_vec();
    let step = translator.next(&mut out, &mut Vec::new()).unwrap();
    let Translated::Call { timestamp, .. } = step else {
        panic!("{step:?}");
    };
    let call = &out[b"before".len()..];
    assert_eq!(&call[timestamp.unwrap()], b"2019-05-11T20:32:27.000Z");
}
