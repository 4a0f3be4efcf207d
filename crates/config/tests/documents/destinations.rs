//! Destinations: their faults, their buckets, and the one destination of the settings.

use config::Single;
use config::environment::Reader;

use crate::{GOOD, faults, parse, with};

#[test]
fn a_wrong_value_of_a_destination_is_called_by_its_kind() {
    let their_role = "role_arn = \"arn:aws:iam::123456789012:role/SegmentAWSS3Role\"";
    for (before, line, words) in [
        ("bucket = \"their-logs/some/prefix/\"", "bucket = \"arn:aws:s3:::x\"", "`bucket` is an ARN"),
        ("bucket = \"their-logs/some/prefix/\"", "bucket = \"https://x.s3.amazonaws.com\"", "is a URL"),
        ("bucket = \"their-logs/some/prefix/\"", "bucket = \"Their_Logs\"", "is not a bucket's name"),
        ("bucket = \"their-logs/some/prefix/\"", "bucket = \"logs/segment-logs\"", "which is added to it"),
        (their_role, "role_arn = \"arn:aws:iam::123456789012:user/me\"", "`role_arn` is a user's ARN"),
        (their_role, "role_arn = \"arn:aws:sts::123456789012:assumed-role/L/s\"", "is the ARN of a role's session"),
        (their_role, "role_arn = \"arn:aws:iam::123456789012:policy/p\"", "is a policy's ARN"),
        (their_role, "role_arn = \"arn:aws:iam::123456789012:root\"", "is an account's ARN"),
        (their_role, "role_arn = \"arn:aws:iam::1234:role/Logs\"", "has no account of 12 digits"),
        (their_role, "role_arn = \"SegmentAWSS3Role\"", "is not an ARN"),
        ("region = \"eu-west-1\"", "region = \"Ireland\"", "`region` is not a region"),
        ("region = \"eu-west-1\"", "region = \"eu-west-1a\"", "is not a region"),
        ("name = \"prod\"", "name = \"prod\"\nkms_key_arn = \"alias/logs\"", "write the key's: arn:aws:kms:eu-west-1"),
        (
            "name = \"prod\"",
            "name = \"prod\"\nkms_key_arn = \"arn:aws:kms:us-east-1:123456789012:key/1\"",
            "another region",
        ),
        ("name = \"prod\"", "name = \"prod\"\nacl = \"public-read\"", "`acl` is not allowed; write one of private"),
        ("name = \"prod\"", "name = \"prod\"\nexpected_bucket_owner = \"me\"", "write its 12 digits, or any"),
        ("name = \"prod\"", "name = \"prod\"\nsse = \"aes256\"", "`sse` is not allowed; write one of AES256, aws:kms"),
        (
            "name = \"prod\"",
            "name = \"prod\"\nsse = \"AES256\"\nkms_key_arn = \"arn:aws:kms:eu-west-1:123456789012:key/1\"",
            "`sse` is not for KMS keys",
        ),
        (
            "name = \"prod\"",
            "name = \"prod\"\nlayout = \"delta\"",
            "`layout` is not allowed; write one of segment, hive",
        ),
        (
            "name = \"prod\"",
            "name = \"prod\"\nstorage_class = \"OUTPOSTS\"",
            "`storage_class` is not allowed; write one of STANDARD,",
        ),
        ("name = \"prod\"", "name = \"prod\"\nbatch_bytes_max = 10", "write a number from 1000000"),
        ("name = \"prod\"", "name = \"prod\"\nenabled = \"yes\"", "`enabled` is a text; write true or false"),
        ("sources = [\"crm\"]", "sources = [\"*\", \"crm\"]", "has \"*\" and other sources"),
        ("sources = [\"crm\"]", "sources = [\"no source\"]", "`sources[0]` is neither the id"),
        ("external_id = \"workspace-id\"", "external_id = \"x\"", "`external_id` is not an external id"),
        ("external_id = \"workspace-id\"", "external_id = \"workspace-id\"\nrolearn = \"x\"", "is `role_arn` meant?"),
    ] {
        let faults = faults(&with(before, line));
        assert!(faults.len() == 1 && faults[0].contains(words), "{line}: {words}: {faults:?}");
    }
}

#[test]
fn regions_of_every_partition_are_known() {
    for (region, partition) in [
        ("us-gov-east-1", "aws-us-gov"),
        ("cn-northwest-1", "aws-cn"),
        ("ap-southeast-4", "aws"),
        ("us-iso-east-1", "aws-iso"),
        ("us-isob-east-1", "aws-iso-b"),
        ("eu-isoe-west-1", "aws-iso-e"),
        ("us-isof-south-1", "aws-iso-f"),
        ("eusc-de-east-1", "aws-eusc"),
    ] {
        let there = with("region = \"eu-west-1\"", &format!("region = {region:?}"));
        parse(&there.replace("arn:aws:iam:", &format!("arn:{partition}:iam:")));
    }
}

#[test]
fn a_role_of_another_partition_than_the_bucket_is_refused() {
    for (region, role, expected) in [
        ("eu-west-1", "arn:aws-cn:iam:", "begin with arn:aws:iam::"),
        ("cn-north-1", "arn:aws:iam:", "begin with arn:aws-cn:iam::"),
        ("us-gov-west-1", "arn:aws-cn:iam:", "begin with arn:aws-us-gov:iam::"),
    ] {
        let faults = faults(&GOOD.replace("arn:aws:iam:", role).replace("\"eu-west-1\"", &format!("{region:?}")));
        let [fault] = &faults[..] else { panic!("{faults:?}") };
        assert!(fault.contains("`role_arn` is of another partition than the bucket's region"), "{fault}");
        assert!(fault.contains(expected), "{fault}");
    }
}

#[test]
fn the_bucket_belongs_to_the_account_of_the_role_unless_the_document_says_otherwise() {
    let owner = |line: &str| {
        let config = parse(&with("name = \"prod\"", &format!("name = \"prod\"\n{line}")));
        config.routes.destinations[0].expected_bucket_owner.clone()
    };
    assert_eq!(owner("").as_deref(), Some("123456789012"));
    assert_eq!(owner("expected_bucket_owner = \"999999999999\"").as_deref(), Some("999999999999"));
    assert_eq!(owner("expected_bucket_owner = \"any\""), None);
}

#[test]
fn a_kms_key_needs_no_word_about_encryption() {
    let sse = |lines: &str| {
        let config = parse(&with("name = \"prod\"", &format!("name = \"prod\"\n{lines}")));
        config.routes.destinations[0].sse.clone()
    };
    let key = "kms_key_arn = \"arn:aws:kms:eu-west-1:123456789012:key/1\"";
    assert_eq!(sse(""), None);
    assert_eq!(sse(key).as_deref(), Some("aws:kms"));
    assert_eq!(sse(&format!("{key}\nsse = \"aws:kms\"")).as_deref(), Some("aws:kms"));
    assert_eq!(sse("sse = \"AES256\"").as_deref(), Some("AES256"));
}

/// The good document with a second destination, which has these lines in place of those that begin alike.
fn with_second(lines: &str) -> String {
    let (_, table) = GOOD.split_once("[[destination]]").unwrap();
    let table = lines.lines().fold(table.replace("\"prod\"", "\"other\""), |table, line| {
        let (key, _) = line.split_once(" = ").unwrap();
        let kept = table.lines().filter(|kept| !kept.starts_with(key)).collect::<Vec<_>>().join("\n");
        format!("{kept}\n{line}\n")
    });
    format!("{GOOD}\n[[destination]]{table}")
}

#[test]
fn one_role_under_two_external_ids_is_warned_of() {
    let warnings = |lines: &str| {
        let config = parse(&with_second(&format!("bucket = \"other-logs\"\n{lines}")));
        config.warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let found = warnings("external_id = \"another-secret-id\"");
    let [warning] = &found[..] else { panic!("{found:?}") };
    assert!(
        warning.contains("`destination 2` (other) has the role of destination `prod` and another external id"),
        "{warning}"
    );
    assert!(warning.starts_with("line ") && !warning.contains("secret"), "{warning}");
    assert_eq!(warnings("enabled = true"), [""; 0]);
    let another_role = "role_arn = \"arn:aws:iam::123456789012:role/Another\"\nexternal_id = \"another\"";
    assert_eq!(warnings(another_role), [""; 0]);
}

#[test]
fn no_event_is_put_twice_into_one_place() {
    for sources in ["sources = [\"*\"]", "sources = [\"qv5iYYMxd94DahFpRzm58y\"]"] {
        let faults = faults(&with_second(sources));
        assert!(faults[0].contains("puts the same sources into the same bucket"), "{faults:?}");
        parse(&with_second(&format!("{sources}\nbucket = \"their-logs/other\"")));
    }
    parse(&with_second("sources = [\"shop\"]"));
    let twice = faults(&with_second("name = \"prod\"\nbucket = \"other-logs\""));
    assert!(twice[0].contains("has the name of another destination"), "{twice:?}");
}

#[test]
fn one_destination_comes_from_the_settings() {
    let set = [
        ("DESTINATION_BUCKET", "their-logs/some/prefix/"),
        ("DESTINATION_REGION", "eu-west-1"),
        ("DESTINATION_ROLE_ARN", "arn:aws:iam::123456789012:role/SegmentAWSS3Role"),
        ("DESTINATION_EXTERNAL_ID", "workspace-id"),
    ];
    let read = |set: &[(&str, &str)]| {
        let get = |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let mut reader = Reader::new(&get);
        let routes = Single::read(&mut reader);
        reader.finish(routes).map_err(|faults| faults.0)
    };
    let routes = read(&set).unwrap();
    let destination = routes.named(Single::NAME).unwrap();
    assert_eq!((destination.bucket.as_str(), destination.prefix.as_str()), ("their-logs", "some/prefix"));
    assert_eq!(destination.expected_bucket_owner.as_deref(), Some("123456789012"), "the account of the role");
    let more = [
        ("DESTINATION_SSE", "aws:kms"),
        ("DESTINATION_KMS_KEY_ARN", "arn:aws:kms:eu-west-1:123456789012:key/1"),
        ("DESTINATION_STORAGE_CLASS", "STANDARD_IA"),
        ("DESTINATION_ACL", "bucket-owner-full-control"),
        ("DESTINATION_EXPECTED_BUCKET_OWNER", "any"),
    ];
    let routes = read(&[&set[..], &more].concat()).unwrap();
    let destination = routes.named(Single::NAME).unwrap();
    let set_values = [&destination.sse, &destination.kms_key_arn, &destination.storage_class, &destination.acl];
    assert_eq!(set_values.map(|value| value.as_deref().unwrap()), [more[0].1, more[1].1, more[2].1, more[3].1]);
    assert_eq!(destination.expected_bucket_owner, None);
    let wrong = more.map(|(name, _)| (name, "x"));
    let faults = read(&[&set[..], &wrong].concat()).unwrap_err();
    for (name, _) in wrong {
        assert!(faults.iter().any(|fault| fault.starts_with(name)), "{name}: {faults:#?}");
    }
    let faults = read(&[
        ("DESTINATION_BUCKET", "s3://their-logs/prefix"),
        ("DESTINATION_ROLE_ARN", "arn:aws:iam::123456789012:user/me"),
        ("DESTINATION_EXTERNAL_ID", "x"),
    ])
    .unwrap_err();
    let [region, bucket, role, id] = &faults[..] else { panic!("{faults:#?}") };
    assert!(bucket.contains("DESTINATION_BUCKET is an s3:// URI"), "{bucket}");
    assert!(region.contains("DESTINATION_REGION is not set"), "{region}");
    assert!(role.contains("is a user's ARN"), "{role}");
    assert!(id.contains("DESTINATION_EXTERNAL_ID is not an external id"), "{id}");
}
