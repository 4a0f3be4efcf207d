use super::*;

const GOOD: &str = r#"
[[source]]
id = "qv5iYYMxd94DahFpRzm58y"
name = "Website"

[[destination]]
name = "prod"
region = "eu-west-1"
bucket = "their-logs/some/prefix/"
role_arn = "arn:aws:iam::123456789012:role/SegmentAWSS3Role"
external_id = "workspace-id"
sources = ["qv5iYYMxd94DahFpRzm58y"]
"#;

/// The good document with lines replaced or added, by the setting's name.
fn with(changes: &[&str]) -> String {
    let name = |line: &str| line.split(" = ").next().unwrap_or_default().to_owned();
    let (head, table) = GOOD.split_once("[[destination]]").unwrap();
    let mut lines: Vec<String> = table.trim().lines().map(str::to_owned).collect();
    for change in changes {
        lines.retain(|line| name(line) != name(change));
        lines.push((*change).to_owned());
    }
    format!("{head}[[destination]]\n{}\n", lines.join("\n"))
}

fn check(changes: &[&str], expected: &[&str]) {
    let faults = Routes::parse(&with(changes)).unwrap_err();
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
    for words in expected {
        assert!(faults.iter().any(|fault| fault.contains(words)), "{words} is not in {faults:#?}");
    }
}

#[test]
fn a_document_becomes_routes() {
    let routes = Routes::parse(&with(&[
        r#"kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/1234""#,
        r#"acl = "bucket-owner-full-control""#,
        r#"expected_bucket_owner = "123456789012""#,
        "batch_bytes_max = 30000000",
    ]))
    .unwrap();
    let prod = routes.named("prod").unwrap();
    assert_eq!((prod.bucket.as_str(), prod.prefix.as_str()), ("their-logs", "some/prefix"));
    assert_eq!(prod.batch_bytes_max, 30_000_000);
    assert!(prod.enabled);
    let website = "qv5iYYMxd94DahFpRzm58y".parse().unwrap();
    assert_eq!(routes.taking(&website), [0]);
    assert_eq!(routes.source_name(&website), "Website");
    let other: SourceId = "mctPe02Qp3".parse().unwrap();
    assert_eq!(routes.taking(&other), [] as [usize; 0]);
    assert_eq!(routes.source_name(&other), "mctPe02Qp3");
}

/// What people write into such fields, each with the words that help.
#[test]
fn a_wrong_kind_of_name_is_said_in_those_words() {
    check(
        &[r#"bucket = "s3://their-logs/p/""#],
        &["bucket is an s3:// URI (s3://their-logs/p/); write the bucket's name, and a prefix if any: their-logs/p"],
    );
    check(&[r#"bucket = "arn:aws:s3:::their-logs""#], &["bucket is an ARN"]);
    check(&[r#"bucket = "https://their-logs.s3.amazonaws.com""#], &["bucket is a URL"]);
    check(&[r#"bucket = "Their_Logs""#], &["which is no bucket's name"]);
    check(&[r#"bucket = "their-logs/segment-logs""#], &["which is added to it; write their-logs"]);
    check(&[r#"role_arn = "arn:aws:iam::123456789012:user/me""#], &["role_arn is a user's ARN"]);
    check(
        &[r#"role_arn = "arn:aws:sts::123456789012:assumed-role/Logs/session""#],
        &["is the ARN of a role's session (arn:aws:sts::123456789012:assumed-role/Logs/session); write the role's: \
           arn:aws:iam::123456789012:role/Logs"],
    );
    check(&[r#"role_arn = "arn:aws:iam::123456789012:policy/p""#], &["is a policy's ARN"]);
    check(&[r#"role_arn = "arn:aws:iam::123456789012:root""#], &["is an account's ARN"]);
    check(&[r#"role_arn = "arn:aws:iam::1234:role/Logs""#], &["has no account of 12 digits"]);
    check(&[r#"role_arn = "SegmentAWSS3Role""#], &["which is no ARN; write the role's"]);
    check(&[r#"role_arn = "arn:aws:s3:::their-logs""#], &["is a bucket's ARN"]);
    check(&[r#"region = "Ireland""#], &["which is no region"]);
    check(&[r#"region = "eu-west-1a""#], &["which is no region"]);
    check(&[r#"kms_key_arn = "alias/logs""#], &["which is no ARN; write the key's: arn:aws:kms:eu-west-1"]);
    check(
        &[r#"kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/1""#],
        &["is a key in us-east-1, but the bucket is in eu-west-1"],
    );
    check(&[r#"kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:alias/x""#], &["is an alias's ARN"]);
    check(&[r#"acl = "public-read""#], &["acl is \"public-read\"; write one of private"]);
    check(&[r#"expected_bucket_owner = "me""#], &["the account's 12 digits"]);
    check(&[r#"sources = ["Website"]"#], &["which is a source's name; write its id: qv5iYYMxd94DahFpRzm58y"]);
    check(&[r#"sources = "*""#], &["sources is no list"]);
    check(&["sources = []"], &["sources is no list"]);
    check(&[r#"sources = ["*", "a"]"#], &["\"*\" is all of them"]);
    check(&["batch_bytes_max = 10"], &["write a number from 1000000"]);
    check(&[r#"enabled = "yes""#], &["enabled is neither true nor false"]);
    check(&["include_write_key = true"], &["belongs to the ingester's and the receiver's settings"]);
    check(&[r#"rolearn = "x""#], &["rolearn is not known; name, region"]);
}

#[test]
fn regions_of_every_partition_are_known() {
    for region in ["eu-west-1", "us-gov-east-1", "cn-northwest-1", "ap-southeast-4", "us-iso-east-1"] {
        let text = with(&[&format!("region = {region:?}")]);
        assert!(Routes::parse(&text).is_ok(), "{region}");
    }
}

#[test]
fn every_fault_is_told_by_name_and_at_once() {
    let faults = Routes::parse(
        r#"
        [[destination]]
        name = "prod"
        bucket = "s3://x-y-z"
        role_arn = 7

        [[destination]]
        name = "a b"

        [[source]]
        id = "a/b"

        [routes]
        "#,
    )
    .unwrap_err();
    let all = faults.join("\n");
    for words in [
        "destination `prod`: region is not set",
        "destination `prod`: bucket is an s3:// URI",
        "destination `prod`: role_arn is integer; write a text in quotes",
        "destination `prod`: external_id is not set",
        "destination `prod`: sources is no list",
        "destination `a b`: name may have letters",
        "destination `a b`: bucket is not set",
        "source 1: id is \"a/b\"",
        "source 1: name is not set",
        "`routes` is not known",
    ] {
        assert!(all.contains(words), "{words} is not in\n{all}");
    }
}

#[test]
fn a_document_that_is_none_is_said_to_be_none() {
    for (document, words) in [
        ("destination", "not TOML"),
        ("[destination]", "write [[destination]] with two brackets"),
        ("", "no [[destination]]"),
    ] {
        let faults = Routes::parse(document).unwrap_err();
        assert!(faults[0].contains(words), "{faults:?}");
    }
}

#[test]
fn no_event_is_put_twice_into_one_place() {
    let both = |bucket: &str, sources: &str| {
        let other = with(&[r#"name = "other""#, &format!("bucket = {bucket:?}"), &format!("sources = {sources}")]);
        let table = other.split_once("[[destination]]").unwrap().1;
        Routes::parse(&format!("{GOOD}\n[[destination]]{table}"))
    };
    for sources in [r#"["qv5iYYMxd94DahFpRzm58y"]"#, r#"["*"]"#] {
        let faults = both("their-logs/some/prefix", sources).unwrap_err();
        assert!(faults[0].contains("destinations `prod` and `other` put the same sources"), "{faults:?}");
        assert!(both("their-logs/other/prefix", sources).is_ok());
        assert!(both("other-logs/some/prefix", sources).is_ok());
    }
    assert!(both("their-logs/some/prefix", r#"["mctPe02Qp3"]"#).is_ok());

    let twice = format!("{GOOD}{}", GOOD.replace("their-logs", "other-logs"));
    let faults = Routes::parse(&twice).unwrap_err();
    assert!(faults[0].contains("two destinations have this name"), "{faults:?}");
    assert!(faults[1].contains("source `qv5iYYMxd94DahFpRzm58y`: described twice"), "{faults:?}");
}
