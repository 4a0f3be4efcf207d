//! Headers that look as though they would work.

use calls::reading::UnknownColumns;
use calls::refusal::FaultCode;

use crate::support::File;

#[test]
fn segments_own_fields_cannot_be_lists() {
    for column in [
        "userId[]",
        "anonymousId[]",
        "event[]",
        "messageId[]",
        "timestamp[]",
        "properties[]",
        "properties[]:json",
        "context[]",
        "integrations[]",
        "traits[]",
    ] {
        let read = File::new("track_1.csv", format!("userId,event,{column}\nu,e,x\n")).read(&[usize::MAX]);
        assert_eq!(read.fault.map(|fault| fault.code), Some(FaultCode::BadColumn), "{column}");
    }
    for column in ["type[]", "sentAt[]", "receivedAt[]", "originalTimestamp[]", "writeKey[]", "_metadata[]"] {
        let read = File::new("track_1.csv", format!("userId,event,{column}\nu,e,x\n")).read(&[usize::MAX]);
        assert_eq!(read.warnings.len(), 1, "{column}");
        assert_eq!(read.columns[2][1], "(not sent)", "{column}");
        assert_eq!(read.calls().len(), 1, "{column}");
    }
    let mut file = File::new("track_1.csv", "userId,event,labels[],labels[]\nu,e,x,y\n");
    file.reading.unknown_columns = UnknownColumns::Top;
    let read = file.read(&[usize::MAX]);
    assert!(read.calls()[0].contains(r#""labels":["x","y"]"#), "a list of nobody's field is one");
}

#[test]
fn a_missing_header_does_not_make_a_fault_repeat_a_person() {
    for row in [
        "user7,Signed Up,x@example.com",
        "userd4,Signed Up,x@example.com",
        "user@b,Signed Up,Lihue",
        "x@example.com,user7,Signed Up",
        "17,event5,x@example.com",
        "userId,Evert,Lihue",
        "userId,Even,Lihue",
        "userId,Ivent,Lihue",
    ] {
        let fault = File::new("track_1.csv", format!("{row}\n")).read(&[usize::MAX]).fault.unwrap();
        assert_eq!(fault.code, FaultCode::MissingColumn, "{row}");
        for cell in row.split(',').filter(|cell| *cell != "userId") {
            assert!(!fault.message.contains(cell), "{row}: {fault}");
        }
    }
    let fault = File::new("identify_1.csv", "Used,Lihue\n").read(&[usize::MAX]).fault.unwrap();
    assert!(fault.message.contains("column 1 may be meant as `userId`"), "{fault}");
    assert!(!fault.message.contains("Used"), "{fault}");
    // The same letters in another style are no person.
    let padded = format!("event{}", "-".repeat(100));
    for (header, advice) in [
        ("user_id,event", "rename the column `user_id` to `userId`"),
        ("userId,EVENT", "rename the column `EVENT` to `event`"),
        ("uesrId,event", "column 1 may be meant as `userId`"),
        ("userId,evnt", "column 2 may be meant as `event`"),
        (&format!("userId,{padded}"), &format!("rename the column `{padded}` to `event`")),
    ] {
        let fault = File::new("track_1.csv", format!("{header}\nu,e\n")).read(&[usize::MAX]).fault.unwrap();
        assert!(fault.message.contains(advice), "{fault}");
    }
    let fault = File::new("track_1.csv", format!("userId,{padded}Evert\n")).read(&[usize::MAX]).fault.unwrap();
    assert!(!fault.message.contains("Evert"), "{fault}");
}

#[test]
fn a_destination_with_a_dot_in_its_name_is_switched_off() {
    for (column, key) in [
        ("integrations.Customer.io", "Customer.io"),
        ("integrations.Segment.IO", "Segment.IO"),
        ("integrations.Customer.io:boolean", "Customer.io"),
    ] {
        let read =
            File::new("track_1.csv", format!("userId,event,{column}\nu,e,false\nu,e,perhaps\n")).read(&[usize::MAX]);
        assert!(read.warnings.is_empty(), "{column}: {:?}", read.warnings);
        assert!(read.calls()[0].contains(&format!(r#""integrations":{{"{key}":false}}"#)), "{}", read.calls()[0]);
        assert_eq!(read.refusals().len(), 1, "a switch is true or false");
    }
    let columns = "integrations.A.com,integrations.B.c.d,integrations.C.x:string,integrations.D.io.x";
    let read = File::new("track_1.csv", format!("userId,event,{columns}\nu,e,1,2,3,4\n")).read(&[usize::MAX]);
    assert_eq!(read.warnings.len(), 1, "said once: {:?}", read.warnings);
    assert!(read.warnings[0].contains("integrations.A.com") && read.warnings[0].contains("integrations:json"));
}

#[test]
fn a_header_that_repeats_in_other_words_is_warned_of_or_refused() {
    for (name, header, repeated) in [
        ("identify_1.csv", "userId,traits.email", "UserID,Email"),
        ("identify_1.csv", "userId,traits.email", "uid,Email"),
        ("identify_1.csv", "anonymousId,traits.email,traits.first_name", "visitor,E-Mail,First Name"),
        ("identify_1.csv", "userId,traits.email,timestamp", "uid,Email,Timestamp"),
        ("track_1.csv", "event,userId,properties.price:number", "Event,Customer,Price"),
        ("track_1.csv", "userId,event,properties.plan", "customer,EVENT,Plan"),
        ("page_1.csv", "userId,name", "customer,Name"),
        ("screen_1.csv", "userId,name", "customer,NAME"),
        ("group_1.csv", "groupId,userId,traits.name,traits.plan", "account,customer,Name,Plan"),
        ("alias_1.csv", "userId,previousId", "USER_ID,old"),
        ("object_rooms_1.csv", "id,name,price", "room,Name,Price"),
        ("object_rooms_1.csv", "name,id", "Name,Id"),
    ] {
        let read = File::new(name, format!("{header}\n{repeated}\n")).read(&[usize::MAX]);
        assert_eq!(read.fault, None, "{name}");
        let line = read.told().iter().any(|warning| warning.contains("line 2") && warning.contains("remove the row"));
        assert!(line || !read.refusals().is_empty(), "{name}: {repeated}: {:?}", read.told());
    }
}

#[test]
fn ids_that_are_words_make_no_header_of_a_row() {
    for row in ["nancy,nancy@example.com,gold", "nancy,,Plan B", "emailer,x,y", "nancy,Mail,plans"] {
        let read = File::new("identify_1.csv", format!("userId,traits.email,traits.plan\n{row}\n")).read(&[usize::MAX]);
        assert_eq!(read.told(), Vec::<String>::new(), "{row}");
    }
}
