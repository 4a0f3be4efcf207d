//! Signatures, sessions, roles and policies; S3 and STS together.

use std::time::Duration;

use aws_sdk_sts::config::{BehaviorVersion, Region};
use aws_sdk_sts::error::ProvideErrorMetadata;
use standins::iam::{Credentials, Role};
use standins::s3::{Server, Setup};
use standins::{Clock, iam};

use crate::signed::{Request, signed_policy};
use crate::support::{bytes, client, client_in, direct, provider, refusal};

const CUSTOMER: &str = "210987654321";
const ROLE: &str = "arn:aws:iam::210987654321:role/SegmentAWSS3Role";

/// The documents that customers are told to write.
const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Sid":"","Effect":"Allow",
    "Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole",
    "Condition":{"StringEquals":{"sts:ExternalId":"workspace"}}}]}"#;
const PUT_ONLY: &str = r#"{"Version":"2012-10-17","Statement":[{"Sid":"PutObjectsInBucket","Effect":"Allow",
    "Action":["s3:PutObject","s3:PutObjectAcl"],"Resource":"arn:aws:s3:::logs/segment-logs/*"}]}"#;

fn setup() -> Setup {
    Server::memory()
        .with_bucket("state")
        .with_foreign_bucket("logs", CUSTOMER, "us-east-1")
        .with_role(Role::new(ROLE).trust_policy(TRUST).policy(PUT_ONLY))
}

fn sts(url: &str, credentials: &Credentials) -> aws_sdk_sts::Client {
    let config = aws_sdk_sts::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(url)
        .region(Region::new("us-west-2"))
        .credentials_provider(provider(credentials))
        .retry_config(aws_sdk_sts::config::retry::RetryConfig::disabled())
        .http_client(direct())
        .build();
    aws_sdk_sts::Client::from_conf(config)
}

async fn assume(server: &Server, role: &str, external_id: Option<&str>) -> Result<Credentials, (u16, String, String)> {
    let sts = sts(&server.url(), &server.credentials());
    let ask = sts.assume_role().role_arn(role).role_session_name("exporter");
    let answer = ask.set_external_id(external_id.map(str::to_owned)).send().await;
    let session = answer.map_err(|error| {
        let message = error.message().unwrap_or_default().to_owned();
        let (status, code) = refusal(error);
        (status, code, message)
    })?;
    let key = session.credentials.unwrap();
    Ok(Credentials {
        access_key_id: key.access_key_id,
        secret_access_key: key.secret_access_key,
        session_token: Some(key.session_token),
        expires_at_ms: Some(key.expiration.to_millis().unwrap()),
    })
}

#[tokio::test]
async fn a_role_is_assumed_only_with_its_external_id_and_refusals_give_no_reason() {
    let server = setup().start().await.unwrap();
    assume(&server, ROLE, Some("workspace")).await.unwrap();
    let missing = "arn:aws:iam::210987654321:role/NoSuchRole";
    for (role, external_id) in [(ROLE, None), (ROLE, Some("other")), (missing, Some("workspace"))] {
        let (status, code, message) = assume(&server, role, external_id).await.unwrap_err();
        assert_eq!((status, code.as_str()), (403, "AccessDenied"));
        assert_eq!(
            message,
            format!(
                "User: arn:aws:iam::123456789012:user/administrator is not authorized to perform: \
                 sts:AssumeRole on resource: {role}"
            )
        );
    }
}

#[tokio::test]
async fn a_session_only_puts_under_the_allowed_prefix() {
    let server = setup().start().await.unwrap();
    server.put("logs", "segment-logs/there", "x").unwrap();
    let session = assume(&server, ROLE, Some("workspace")).await.unwrap();
    let s3 = client(&server.url(), &session);
    let put = |key: &str| s3.put_object().bucket("logs").key(key).body(bytes("x"));
    put("segment-logs/source/1/x.gz").send().await.unwrap();
    let denied = (403, "AccessDenied".to_owned());
    assert_eq!(refusal(put("other/x.gz").send().await.unwrap_err()), denied);
    assert_eq!(refusal(put("prefix/segment-logs/x").send().await.unwrap_err()), denied);
    // To compare is to read.
    put("segment-logs/new").if_none_match("*").send().await.unwrap();
    let compared = put("segment-logs/new").if_match("*").send().await;
    assert_eq!(refusal(compared.unwrap_err()), denied);
    server.delete("logs", "segment-logs/new").unwrap();
    let state = s3.put_object().bucket("state").key("segment-logs/x").body(bytes("x"));
    assert_eq!(refusal(state.send().await.unwrap_err()), denied);
    let get = s3.get_object().bucket("logs").key("segment-logs/there");
    assert_eq!(refusal(get.send().await.unwrap_err()), denied);
    let list = s3.list_objects_v2().bucket("logs").prefix("segment-logs/");
    assert_eq!(refusal(list.send().await.unwrap_err()), denied);
    let delete = s3.delete_object().bucket("logs").key("segment-logs/there");
    assert_eq!(refusal(delete.send().await.unwrap_err()), denied);
    assert_eq!(server.keys("logs", ""), ["segment-logs/source/1/x.gz", "segment-logs/there"]);
}

#[tokio::test]
async fn a_requester_pays_bucket_wants_to_be_told_who_pays() {
    let server = Server::memory().with_requester_pays_bucket("paid").start().await.unwrap();
    server.put("paid", "k", "x").unwrap();
    let s3 = client(&server.url(), &server.credentials());
    let denied = (403, "AccessDenied".to_owned());
    assert_eq!(refusal(s3.get_object().bucket("paid").key("k").send().await.unwrap_err()), denied);
    assert_eq!(refusal(s3.list_objects_v2().bucket("paid").send().await.unwrap_err()), denied);
    let payer = aws_sdk_s3::types::RequestPayer::Requester;
    s3.get_object().bucket("paid").key("k").request_payer(payer.clone()).send().await.unwrap();
    s3.list_objects_v2().bucket("paid").request_payer(payer).send().await.unwrap();
}

#[tokio::test]
async fn a_session_policy_can_only_remove_permissions() {
    let server = setup().start().await.unwrap();
    let narrow =
        r#"{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::logs/segment-logs/one/*"}}"#;
    let wide = r#"{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#;
    for (policy, allowed) in [(narrow, [true, false, false]), (wide, [true, true, false])] {
        let sts = sts(&server.url(), &server.credentials());
        let ask = sts.assume_role().role_arn(ROLE).role_session_name("exporter").external_id("workspace");
        let key = ask.policy(policy).send().await.unwrap().credentials.unwrap();
        let session = Credentials {
            access_key_id: key.access_key_id,
            secret_access_key: key.secret_access_key,
            session_token: Some(key.session_token),
            expires_at_ms: None,
        };
        let s3 = client(&server.url(), &session);
        for (key, allowed) in ["segment-logs/one/x", "segment-logs/two/x", "other/x"].into_iter().zip(allowed) {
            let put = s3.put_object().bucket("logs").key(key).body(bytes("x")).send().await;
            assert_eq!(put.is_ok(), allowed, "{key} by {policy}");
        }
    }
}

#[tokio::test]
async fn an_acl_needs_its_own_permission_and_is_recorded() {
    let put_object = PUT_ONLY.replace(r#","s3:PutObjectAcl""#, "");
    let role = |policy: &str| Role::new(ROLE).trust_policy(TRUST).policy(policy);
    let server = setup().start().await.unwrap();
    for (policy, allowed) in [(PUT_ONLY, true), (put_object.as_str(), false)] {
        server.directory().add_role(role(policy));
        let session = assume(&server, ROLE, Some("workspace")).await.unwrap();
        let s3 = client(&server.url(), &session);
        let put = s3.put_object().bucket("logs").key("segment-logs/x").body(bytes("x"));
        let put = put.acl(aws_sdk_s3::types::ObjectCannedAcl::BucketOwnerFullControl);
        assert_eq!(put.send().await.is_ok(), allowed);
    }
    let object = server.object("logs", "segment-logs/x").unwrap();
    assert_eq!(object.acl.as_deref(), Some("bucket-owner-full-control"));
}

#[tokio::test]
async fn a_bucket_policy_that_demands_a_header_refuses_a_put_without_it() {
    let server = setup().start().await.unwrap();
    let demand = r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::logs/*",
        "Condition":{"StringNotEquals":{"s3:x-amz-server-side-encryption":"AES256"}}}}"#;
    server.set_bucket_policy("logs", demand).unwrap();
    let session = assume(&server, ROLE, Some("workspace")).await.unwrap();
    let s3 = client(&server.url(), &session);
    let put = || s3.put_object().bucket("logs").key("segment-logs/x").body(bytes("x"));
    let error = put().send().await.unwrap_err();
    assert_eq!(
        error.message(),
        Some(
            "User: arn:aws:sts::210987654321:assumed-role/SegmentAWSS3Role/exporter is not authorized to perform: \
             s3:PutObject on resource: \"arn:aws:s3:::logs/segment-logs/x\" with an explicit deny in a resource-based \
             policy"
        )
    );
    assert_eq!(refusal(error), (403, "AccessDenied".to_owned()));
    let another = put().server_side_encryption(aws_sdk_s3::types::ServerSideEncryption::AwsKms);
    assert_eq!(refusal(another.send().await.unwrap_err()), (403, "AccessDenied".to_owned()));
    assert_eq!(server.keys("logs", ""), [""; 0]);
    put().server_side_encryption(aws_sdk_s3::types::ServerSideEncryption::Aes256).send().await.unwrap();
    assert_eq!(server.keys("logs", ""), ["segment-logs/x"]);
}

#[tokio::test]
async fn in_another_accounts_bucket_both_policies_must_allow_it() {
    let server = setup().with_foreign_bucket("strangers", "999999999999", "us-east-1").start().await.unwrap();
    let put = async |bucket: &str| {
        let session = assume(&server, ROLE, Some("workspace")).await.unwrap();
        let s3 = client(&server.url(), &session);
        s3.put_object().bucket(bucket).key("segment-logs/x").body(bytes("x")).send().await
    };
    let allow = |principal: &str| {
        format!(
            r#"{{"Statement":{{"Effect":"Allow","Principal":{{"AWS":"{principal}"}},"Action":"s3:PutObject",
            "Resource":"arn:aws:s3:::strangers/*"}}}}"#
        )
    };
    let wide = PUT_ONLY.replace("arn:aws:s3:::logs", "arn:aws:s3:::*");
    for (principal, own, allowed) in [
        (None, &wide[..], false),
        (Some("555555555555"), &wide, false),
        (Some(CUSTOMER), PUT_ONLY, false),
        (Some(CUSTOMER), &wide, true),
    ] {
        server.directory().add_role(Role::new(ROLE).trust_policy(TRUST).policy(own));
        if let Some(principal) = principal {
            server.set_bucket_policy("strangers", &allow(principal)).unwrap();
        }
        let answer = put("strangers").await;
        assert_eq!(answer.is_ok(), allowed, "{principal:?} by {own}");
        if let Err(error) = answer {
            assert_eq!(error.message(), Some("Access Denied"), "a stranger learns no reason");
        }
    }
}

#[tokio::test]
async fn a_kms_key_needs_a_grant_and_is_answered() {
    let key = "arn:aws:kms:us-east-1:210987654321:key/1234";
    let grant = r#"{"Statement":{"Effect":"Allow","Action":["kms:GenerateDataKey","kms:Decrypt"],
        "Resource":"arn:aws:kms:us-east-1:210987654321:key/1234"}}"#;
    let server = setup().start().await.unwrap();
    for granted in [false, true] {
        let role = Role::new(ROLE).trust_policy(TRUST).policy(PUT_ONLY);
        let role = if granted { role.policy(grant) } else { role };
        server.directory().add_role(role);
        let session = assume(&server, ROLE, Some("workspace")).await.unwrap();
        let s3 = client(&server.url(), &session);
        let put = s3.put_object().bucket("logs").key("segment-logs/x").body(bytes("x"));
        let put = put.server_side_encryption(aws_sdk_s3::types::ServerSideEncryption::AwsKms).ssekms_key_id(key);
        match put.send().await {
            Ok(put) => {
                assert!(granted);
                assert_eq!(put.ssekms_key_id.as_deref(), Some(key));
                assert_eq!(put.server_side_encryption.unwrap().as_str(), "aws:kms");
            }
            Err(error) => {
                assert!(!granted);
                assert!(error.message().unwrap().contains("kms:GenerateDataKey"), "{error:?}");
            }
        }
    }
    let object = server.object("logs", "segment-logs/x").unwrap();
    assert_eq!(object.kms_key_id.as_deref(), Some(key));
}

#[tokio::test]
async fn a_wrong_secret_is_refused_by_s3_and_sts() {
    let server = setup().start().await.unwrap();
    let mut wrong = server.credentials();
    wrong.secret_access_key.push('x');
    let s3 = client(&server.url(), &wrong);
    let put = s3.put_object().bucket("state").key("k").body(bytes("x"));
    let error = put.send().await.unwrap_err();
    assert_eq!(refusal(error), (403, "SignatureDoesNotMatch".to_owned()));
    assert_eq!(server.object("state", "k").map(|_| ()), None);
    let error = sts(&server.url(), &wrong).get_caller_identity().send().await.unwrap_err();
    assert_eq!(refusal(error), (403, "SignatureDoesNotMatch".to_owned()));
}

#[tokio::test]
async fn an_unknown_key_is_refused_by_s3_and_sts() {
    let server = setup().start().await.unwrap();
    let mut unknown = server.credentials();
    unknown.access_key_id = String::from("AKIAIOSFODNN7EXAMPLE");
    let list = client(&server.url(), &unknown).list_objects_v2().bucket("logs").send().await.unwrap_err();
    assert_eq!(refusal(list), (403, "InvalidAccessKeyId".to_owned()));
    let error = sts(&server.url(), &unknown).get_caller_identity().send().await.unwrap_err();
    assert_eq!(refusal(error), (403, "InvalidClientTokenId".to_owned()));
}

#[tokio::test]
async fn a_session_without_its_token_or_past_its_end_is_refused() {
    let clock = Clock::real();
    let server = setup().with_clock(clock.clone()).start().await.unwrap();
    let session = assume(&server, ROLE, Some("workspace")).await.unwrap();
    let put = |key: &Credentials| {
        let s3 = client(&server.url(), key);
        s3.put_object().bucket("logs").key("segment-logs/x").body(bytes("x")).send()
    };
    put(&session).await.unwrap();
    let without = Credentials { session_token: None, ..session.clone() };
    assert_eq!(refusal(put(&without).await.unwrap_err()), (403, "InvalidAccessKeyId".to_owned()));
    let wrong = Credentials { session_token: Some(String::from("x")), ..session.clone() };
    assert_eq!(refusal(put(&wrong).await.unwrap_err()), (400, "InvalidToken".to_owned()));
    clock.advance(Duration::from_secs(3_601));
    assert_eq!(refusal(put(&session).await.unwrap_err()), (400, "ExpiredToken".to_owned()));
    let error = sts(&server.url(), &session).get_caller_identity().send().await.unwrap_err();
    assert_eq!(refusal(error), (403, "ExpiredToken".to_owned()));
}

#[tokio::test]
async fn get_caller_identity_names_the_caller() {
    let server = setup().start().await.unwrap();
    let me = sts(&server.url(), &server.credentials()).get_caller_identity().send().await.unwrap();
    assert_eq!(me.arn.as_deref(), Some("arn:aws:iam::123456789012:user/administrator"));
    assert_eq!(me.account.as_deref(), Some(iam::DEFAULT_ACCOUNT));
    let session = assume(&server, ROLE, Some("workspace")).await.unwrap();
    let me = sts(&server.url(), &session).get_caller_identity().send().await.unwrap();
    assert_eq!(me.arn.as_deref(), Some("arn:aws:sts::210987654321:assumed-role/SegmentAWSS3Role/exporter"));
    assert_eq!(me.account.as_deref(), Some(CUSTOMER));
}

#[tokio::test]
async fn an_execution_role_reaches_another_role_only_as_its_policy_says() {
    let lambda = "arn:aws:iam::123456789012:role/exporter";
    let may = |action: &str| format!(r#"{{"Statement":{{"Effect":"Allow","Action":"{action}","Resource":"{ROLE}"}}}}"#);
    let server = setup().start().await.unwrap();
    for (action, allowed) in [("sts:AssumeRole", true), ("sts:TagSession", false)] {
        server.directory().add_role(Role::new(lambda).policy(&may(action)));
        let key = server.directory().session_of(lambda, "exporter", Duration::from_secs(900)).unwrap();
        let ask = sts(&server.url(), &key)
            .assume_role()
            .role_arn(ROLE)
            .role_session_name("exporter")
            .external_id("workspace");
        assert_eq!(ask.send().await.is_ok(), allowed, "{action}");
    }
}

#[tokio::test]
async fn a_malformed_request_to_sts_is_refused_as_such() {
    let server = setup().start().await.unwrap();
    let sts = sts(&server.url(), &server.credentials());
    let ask = || sts.assume_role().role_arn(ROLE).role_session_name("exporter").external_id("workspace");
    for ask in [
        ask().duration_seconds(899),
        ask().duration_seconds(43_200),
        ask().role_session_name("no spaces"),
        ask().role_arn("arn:aws:iam"),
    ] {
        assert_eq!(refusal(ask.send().await.unwrap_err()), (400, "ValidationError".to_owned()));
    }
    let narrowed = ask().policy("{").send().await.unwrap_err();
    assert_eq!(refusal(narrowed), (400, "MalformedPolicyDocument".to_owned()));
}

#[tokio::test]
async fn a_signature_of_another_version_or_service_is_refused() {
    let server = setup().start().await.unwrap();
    let (url, key) = (server.url(), server.credentials());
    let put = || Request::new("PUT", "/state/k", "x");
    assert_eq!(put().send_v2(&url, &key).await, (400, "InvalidRequest".to_owned()));
    let malformed = (400, "AuthorizationHeaderMalformed".to_owned());
    assert_eq!(put().for_service("sts").send(&url, &key).await, malformed);
    assert_eq!(server.keys("state", ""), [""; 0]);
    assert_eq!(put().send(&url, &key).await, (200, String::new()));
}

#[tokio::test]
async fn a_header_that_was_added_after_signing_is_refused() {
    let server = setup().start().await.unwrap();
    let (url, key) = (server.url(), server.credentials());
    let put = || Request::new("PUT", "/state/k", "x");
    let denied = (403, "AccessDenied".to_owned());
    for (name, value) in [("x-amz-acl", "public-read"), ("x-amz-meta-a", "1"), ("x-amz-storage-class", "GLACIER")] {
        assert_eq!(put().unsigned_header(name, value).send(&url, &key).await, denied, "{name}");
    }
    assert_eq!(server.keys("state", ""), [""; 0]);
    assert_eq!(put().header("x-amz-meta-a", "1").send(&url, &key).await, (200, String::new()));
    assert_eq!(server.object("state", "k").unwrap().metadata["a"], "1");
}

#[tokio::test]
async fn an_old_signature_or_another_body_is_refused() {
    let server = setup().start().await.unwrap();
    let (url, key) = (server.url(), server.credentials());
    let put = || Request::new("PUT", "/state/k", "x");
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    let skewed = (403, "RequestTimeTooSkewed".to_owned());
    assert_eq!(put().aged(minutes(16)).send(&url, &key).await, skewed);
    let mismatch = (400, "XAmzContentSHA256Mismatch".to_owned());
    assert_eq!(put().with_body("y").send(&url, &key).await, mismatch);
    assert_eq!(server.keys("state", ""), [""; 0]);
    assert_eq!(put().aged(minutes(14)).send(&url, &key).await, (200, String::new()));
}

#[tokio::test]
async fn a_form_cannot_bypass_the_policies() {
    let server = setup().start().await.unwrap();
    let user = server.directory().add_user("arn:aws:iam::123456789012:user/nobody", Vec::new());
    let policy = r#"{"expiration":"2099-01-01T00:00:00.000Z","conditions":[{"bucket":"state"},{"key":"k"}]}"#;
    let (policy, signature) = signed_policy(policy, &user);
    let fields = [
        ("AWSAccessKeyId", user.access_key_id.as_str()),
        ("policy", policy.as_str()),
        ("signature", signature.as_str()),
        ("key", "k"),
        ("file\"; filename=\"f", "x"),
    ];
    let part = |(name, text)| format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n");
    let body: String = fields.into_iter().map(part).collect();
    let post = Request::new("POST", "/state", format!("{body}--b--\r\n"));
    let answer = post.header("content-type", "multipart/form-data; boundary=b").send(&server.url(), &user).await;
    assert_eq!(answer, (501, "NotImplemented".to_owned()));
    assert_eq!(server.keys("state", ""), [""; 0]);
}

#[tokio::test]
async fn a_missing_object_is_404_only_to_those_who_may_list() {
    let server = setup().start().await.unwrap();
    let policy = |statement: &str| iam::Policy::parse(&format!(r#"{{"Statement":[{statement}]}}"#)).unwrap();
    let get = policy(r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}"#);
    let list = policy(r#"{"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::state"}"#);
    for (policies, expected) in
        [(vec![get.clone()], (403, "AccessDenied".to_owned())), (vec![get, list], (404, "NoSuchKey".to_owned()))]
    {
        let user = server.directory().add_user("arn:aws:iam::123456789012:user/reader", policies);
        let got = client(&server.url(), &user).get_object().bucket("state").key("missing").send().await;
        assert_eq!(refusal(got.unwrap_err()), expected);
    }
}

#[tokio::test]
async fn listing_rights_may_be_bound_to_a_prefix() {
    let server = setup().start().await.unwrap();
    let policy = iam::Policy::parse(
        r#"{"Statement":[{"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::state",
            "Condition":{"StringLike":{"s3:prefix":"received/*"}}}]}"#,
    );
    let user = server.directory().add_user("arn:aws:iam::123456789012:user/x", vec![policy.unwrap()]);
    let s3 = client(&server.url(), &user);
    s3.list_objects_v2().bucket("state").prefix("received/a b").send().await.unwrap();
    s3.list_objects_v2().bucket("state").prefix("exports/").send().await.unwrap_err();
    s3.list_objects_v2().bucket("state").send().await.unwrap_err();
}

#[tokio::test]
async fn a_bucket_of_another_account_or_region_is_refused_as_such() {
    let server =
        Server::memory().with_foreign_bucket("logs", CUSTOMER, "eu-west-1").with_bucket("state").start().await.unwrap();
    let put = |region: &str| {
        let s3 = client_in(&server.url(), &server.credentials(), region);
        s3.put_object().bucket("logs").key("k").body(bytes("x")).send()
    };
    let elsewhere = put("us-east-1").await.unwrap_err();
    let region = elsewhere.raw_response().unwrap().headers().get("x-amz-bucket-region");
    assert_eq!(region, Some("eu-west-1"));
    assert_eq!(refusal(elsewhere), (301, "PermanentRedirect".to_owned()));
    assert_eq!(refusal(put("eu-west-1").await.unwrap_err()), (403, "AccessDenied".to_owned()));
    let s3 = client(&server.url(), &server.credentials());
    let put = |owner: &str| {
        let put = s3.put_object().bucket("state").key("k").body(bytes("x"));
        put.expected_bucket_owner(owner).send()
    };
    put(iam::DEFAULT_ACCOUNT).await.unwrap();
    assert_eq!(refusal(put(CUSTOMER).await.unwrap_err()), (403, "AccessDenied".to_owned()));
}

#[tokio::test]
async fn keys_of_a_delete_request_are_authorized_one_by_one() {
    let server = setup().start().await.unwrap();
    server.put("state", "mine/a", "x").unwrap();
    server.put("state", "theirs/a", "x").unwrap();
    let policy = iam::Policy::parse(
        r#"{"Statement":{"Effect":"Allow","Action":"s3:DeleteObject","Resource":"arn:aws:s3:::state/mine/*"}}"#,
    );
    let user = server.directory().add_user("arn:aws:iam::123456789012:user/x", vec![policy.unwrap()]);
    let one = |key: &str| aws_sdk_s3::types::ObjectIdentifier::builder().key(key).build().unwrap();
    let delete = aws_sdk_s3::types::Delete::builder().objects(one("mine/a")).objects(one("theirs/a"));
    let s3 = client(&server.url(), &user);
    let done = s3.delete_objects().bucket("state").delete(delete.build().unwrap()).send().await.unwrap();
    assert_eq!(done.deleted()[0].key(), Some("mine/a"));
    assert_eq!((done.errors()[0].key(), done.errors()[0].code()), (Some("theirs/a"), Some("AccessDenied")));
    assert_eq!(server.keys("state", ""), ["theirs/a"]);
}

#[tokio::test]
async fn a_presigned_url_works_until_it_is_tampered_with() {
    use aws_sdk_s3::presigning::PresigningConfig;

    let server = setup().start().await.unwrap();
    server.put("state", "k", "hello").unwrap();
    server.put("state", "other", "secret").unwrap();
    let s3 = client(&server.url(), &server.credentials());
    let config = PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
    let url = s3.get_object().bucket("state").key("k").presigned(config).await.unwrap();
    let url = url.uri().strip_prefix(&server.url()).unwrap().to_owned();
    let ok = plain_get(&server, &url).await;
    assert!(ok.starts_with("HTTP/1.1 200") && ok.ends_with("hello"), "{ok}");
    let tampered = plain_get(&server, &url.replacen("/state/k?", "/state/other?", 1)).await;
    assert!(tampered.starts_with("HTTP/1.1 403"), "{tampered}");
    let unsigned = plain_get(&server, "/state/k").await;
    assert!(unsigned.starts_with("HTTP/1.1 403"), "{unsigned}");
}

async fn plain_get(server: &Server, path: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let mut stream = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    let host = server.address();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
