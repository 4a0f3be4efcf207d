use super::*;

fn destination(name: &str, bucket: &str, sources: Sources) -> Destination {
    Destination {
        name: name.to_owned(),
        region: "eu-west-1".to_owned(),
        bucket: bucket.to_owned(),
        prefix: String::new(),
        role_arn: String::new(),
        external_id: String::new(),
        sse: None,
        kms_key_arn: None,
        storage_class: None,
        acl: None,
        expected_bucket_owner: None,
        sources,
        batch_bytes_max: BATCH_BYTES_MAX,
        layout: Layout::Segment,
        manifest: false,
        enabled: true,
    }
}

fn these(ids: &[&str]) -> Sources {
    Sources::These(ids.iter().map(|id| id.parse().unwrap()).collect())
}

#[test]
fn a_source_goes_to_the_destinations_that_take_it() {
    let website: SourceId = "qv5iYYMxd94DahFpRzm58y".parse().unwrap();
    let other: SourceId = "mctPe02Qp3".parse().unwrap();
    let off = Destination { enabled: false, ..destination("c", "c", Sources::All) };
    let destinations =
        vec![destination("a", "a", these(&[website.as_str()])), destination("b", "b", Sources::All), off];
    let routes = Routes { destinations, sources: vec![Source { id: website.clone(), name: "Website".to_owned() }] };
    assert_eq!(routes.taking(&website), [0, 1]);
    assert_eq!(routes.taking(&other), [1]);
    assert_eq!((routes.source_name(&website), routes.source_name(&other)), ("Website", "mctPe02Qp3"));
}

#[test]
fn destinations_clash_if_they_have_one_name_or_would_get_an_event_twice() {
    let clashes = |one: Destination, other: Destination| {
        Routes { destinations: vec![one, other], sources: Vec::new() }.clashes().len()
    };
    let a = || destination("a", "logs", these(&["x", "y"]));
    assert_eq!(clashes(a(), destination("b", "logs", these(&["y", "z"]))), 1);
    assert_eq!(clashes(a(), destination("b", "logs", Sources::All)), 1);
    assert_eq!(clashes(a(), destination("b", "logs", these(&["z"]))), 0);
    assert_eq!(clashes(a(), destination("b", "others", Sources::All)), 0);
    assert_eq!(clashes(a(), Destination { prefix: "p".to_owned(), ..destination("b", "logs", Sources::All) }), 0);
    assert_eq!(clashes(a(), destination("a", "others", these(&["z"]))), 1);
}
