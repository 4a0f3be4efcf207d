//! Rows that look as though nothing were wrong with them.

use calls::refusal::RefusalCode;
use calls::translator::Dropped;

use crate::support::File;

#[test]
fn ids_are_trimmed_and_nothing_else_is() {
    for (name, text, expected) in [
        (
            "group_1.csv",
            "userId,anonymousId,groupId,messageId,traits.a\n 42,\t7 ,\" g \", m , x \n",
            &[r#""userId":"42""#, r#""anonymousId":"7""#, r#""groupId":"g""#, r#""messageId":"m""#, r#""a":" x ""#][..],
        ),
        ("alias_1.csv", "userId,previousId\n42 , 41\n", &[r#""userId":"42""#, r#""previousId":"41""#]),
        ("track_1.csv", "userId,event\n4 2, e \n", &[r#""userId":"4 2""#, r#""event":" e ""#]),
        ("object_rooms_1.csv", "id,a\n 1 , b\n", &[r#"{"id":"1","#, r#""a":" b""#]),
        // What spreadsheets and web pages have for blanks.
        ("object_rooms_1.csv", "id,a\n\u{a0}1 \u{3000},\u{a0}b\n", &[r#"{"id":"1","#, "\"a\":\"\u{a0}b\""]),
        (
            "track_1.csv",
            "userId,event,messageId\n \u{a0}ü\u{a0},e,\u{2003}m\n",
            &[r#""userId":"ü""#, r#""messageId":"m""#],
        ),
        ("track_1.csv", "userId,event\n\u{b}4\u{a0}2\u{85},e\n", &["\"userId\":\"4\u{a0}2\""]),
    ] {
        let read = File::new(name, text).read(&[usize::MAX]);
        for expected in expected {
            assert!(read.calls()[0].contains(expected), "{name}: {}", read.calls()[0]);
        }
    }
    for blank in [" ", "\u{a0}"] {
        let text = format!("id,a\n{blank}{}{blank},b\n", "x".repeat(100));
        assert!(File::new("object_rooms_1.csv", text).read(&[usize::MAX]).refusals().is_empty(), "counted trimmed");
    }
}

#[test]
fn control_characters_are_no_id() {
    for end in ["\u{1a}", "\0\0\0", " \0 \t"] {
        let read = File::new("track_1.csv", format!("userId,event\nu,e\n{end}")).read(&[usize::MAX]);
        assert_eq!((read.calls().len(), read.refusals().len()), (1, 0), "{end:?}");
        assert_eq!(read.dropped(Dropped::Blank), 1, "{end:?}");
        let read = File::new("track_1.csv", format!("userId,event\nu,e\n{end},e")).read(&[usize::MAX]);
        let codes: Vec<RefusalCode> = read.refusals().iter().map(|refusal| refusal.code).collect();
        assert_eq!((read.calls().len(), codes), (1, vec![RefusalCode::MissingUserId]), "{end:?}");
    }
}

#[test]
fn an_empty_element_of_an_array_by_index_keeps_its_place() {
    let header = "userId,event,properties.i.0,properties.i.1,properties.i.2,properties.p.0.a,properties.p.1.a";
    for (cells, expected) in [
        ("a,,c,,x", r#""properties":{"i":["a",null,"c"],"p":[null,{"a":"x"}]}"#),
        (",,c,y,", r#""properties":{"i":[null,null,"c"],"p":[{"a":"y"}]}"#),
        ("a,,,,", r#""properties":{"i":["a"]}"#),
        (",b", r#""properties":{"i":[null,"b"]}"#),
    ] {
        let read = File::new("track_1.csv", format!("{header}\nu,e,{cells}\n")).read(&[usize::MAX]);
        assert!(read.calls()[0].contains(expected), "{cells}: {}", read.calls()[0]);
    }
    let read = File::new("track_1.csv", format!("{header}\nu,e,,,,,\n")).read(&[usize::MAX]);
    assert!(!read.calls()[0].contains("properties"), "{}", read.calls()[0]);
    let read = File::new("track_1.csv", "userId,event,properties.t[],properties.t[]\nu,e,,b\n").read(&[usize::MAX]);
    assert!(read.calls()[0].contains(r#""t":["b"]"#), "{}", read.calls()[0]);
}

#[test]
fn a_lost_quote_does_not_swallow_rows_in_silence() {
    for (text, calls, codes) in [
        ("1,\"Signed Up,\n2,\"Left\",\n3,e,\n", 1, vec![RefusalCode::StrayQuote]),
        ("1,\"a\nb\"c,\n", 0, vec![RefusalCode::StrayQuote]),
        ("1,\"a\"b,\n2,c,\n", 1, vec![RefusalCode::StrayQuote]),
        ("1,\"a\nb\"\"c\",\n", 1, vec![]),
    ] {
        let file = File::new("track_1.csv", format!("userId,event,properties.name\n{text}"));
        let read = file.read(&[usize::MAX]);
        assert_eq!(read.calls().len(), calls, "{text}");
        assert_eq!(read.refusals().iter().map(|refusal| refusal.code).collect::<Vec<_>>(), codes, "{text}");
        assert_eq!(file.read(&[1]), read);
    }
}
