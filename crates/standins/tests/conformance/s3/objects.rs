use crate::support::on_every_s3;

on_every_s3!(
    an_object_comes_back_as_it_was_put,
    a_range_gets_exactly_its_bytes,
    a_missing_bucket_is_no_such_bucket,
    deleting_a_missing_object_succeeds,
    one_request_deletes_many_keys_and_confirms_each,
    a_replaced_object_is_read_to_its_end,
    an_empty_object_is_kept_and_has_no_range,
    metadata_has_two_kilobytes_at_most,
);

mod checks {
    use aws_sdk_s3::types::{Delete, ObjectIdentifier};

    use crate::support::{Target, bytes, refusal, text};

    pub(super) async fn an_object_comes_back_as_it_was_put(s3: &Target) {
        let put = s3.client.put_object().bucket(&s3.bucket).key("k").body(bytes("hello"));
        let put = put
            .content_type("text/plain")
            .content_encoding("gzip")
            .cache_control("no-cache")
            .content_disposition("inline")
            .content_language("de")
            .metadata("segment-collection", "rooms")
            .send()
            .await
            .unwrap();
        let got = s3.client.get_object().bucket(&s3.bucket).key("k").send().await.unwrap();
        let head = s3.client.head_object().bucket(&s3.bucket).key("k").send().await.unwrap();
        assert_eq!(put.e_tag.as_deref(), Some("\"5d41402abc4b2a76b9719d911017c592\""), "{}", s3.name);
        assert_eq!(got.e_tag, put.e_tag);
        assert_eq!(head.e_tag, put.e_tag);
        assert_eq!(head.content_length, Some(5));
        assert_eq!(head.last_modified, got.last_modified);
        assert_eq!(got.content_type.as_deref(), Some("text/plain"));
        assert_eq!(got.content_encoding.as_deref(), Some("gzip"));
        assert_eq!(got.cache_control.as_deref(), Some("no-cache"));
        assert_eq!(got.content_disposition.as_deref(), Some("inline"));
        assert_eq!(got.content_language.as_deref(), Some("de"));
        assert_eq!(got.metadata.as_ref().unwrap()["segment-collection"], "rooms");
        assert_eq!(got.version_id, None, "{}", s3.name);
        assert_eq!(text(got.body).await, "hello");
    }

    pub(super) async fn a_range_gets_exactly_its_bytes(s3: &Target) {
        let body: String = ('a'..='z').collect();
        let etag = s3.put("k", &body).await;
        for (range, expected, content_range) in [
            ("bytes=0-0", "a", "bytes 0-0/26"),
            ("bytes=3-5", "def", "bytes 3-5/26"),
            ("bytes=24-", "yz", "bytes 24-25/26"),
            ("bytes=24-100", "yz", "bytes 24-25/26"),
            ("bytes=-2", "yz", "bytes 24-25/26"),
            ("bytes=-100", body.as_str(), "bytes 0-25/26"),
        ] {
            let get = s3.client.get_object().bucket(&s3.bucket).key("k").range(range);
            let got = get.if_match(&etag).send().await.unwrap();
            assert_eq!(got.content_range.as_deref(), Some(content_range), "{range} on {}", s3.name);
            assert_eq!(text(got.body).await, expected, "{range} on {}", s3.name);
        }
        let get = s3.client.get_object().bucket(&s3.bucket).key("k").range("bytes=26-");
        let error = get.send().await.unwrap_err();
        assert_eq!(refusal(error), (416, "InvalidRange".to_owned()), "{}", s3.name);
    }

    pub(super) async fn a_missing_bucket_is_no_such_bucket(s3: &Target) {
        let expected = (404, "NoSuchBucket".to_owned());
        let put = s3.client.put_object().bucket("not-a-bucket-here").key("k").body(bytes("x"));
        assert_eq!(refusal(put.send().await.unwrap_err()), expected, "{}", s3.name);
        let get = s3.client.get_object().bucket("not-a-bucket-here").key("k");
        assert_eq!(refusal(get.send().await.unwrap_err()), expected, "{}", s3.name);
        let list = s3.client.list_objects_v2().bucket("not-a-bucket-here");
        assert_eq!(refusal(list.send().await.unwrap_err()), expected, "{}", s3.name);
        let delete = s3.client.delete_object().bucket("not-a-bucket-here").key("k");
        assert_eq!(refusal(delete.send().await.unwrap_err()), expected, "{}", s3.name);
    }

    pub(super) async fn deleting_a_missing_object_succeeds(s3: &Target) {
        s3.client.delete_object().bucket(&s3.bucket).key("missing").send().await.unwrap();
    }

    pub(super) async fn one_request_deletes_many_keys_and_confirms_each(s3: &Target) {
        for key in ["a", "b c", "d/é", "stays"] {
            s3.put(key, key).await;
        }
        let one = |key: &str| ObjectIdentifier::builder().key(key).build().unwrap();
        let delete = Delete::builder().set_objects(Some(vec![one("a"), one("b c"), one("d/é"), one("missing")]));
        let delete = s3.client.delete_objects().bucket(&s3.bucket).delete(delete.build().unwrap());
        let done = delete.send().await.unwrap();
        let mut deleted: Vec<_> = done.deleted().iter().map(|one| one.key().unwrap()).collect();
        deleted.sort_unstable();
        assert_eq!(deleted, ["a", "b c", "d/é", "missing"], "{}", s3.name);
        assert_eq!(done.errors().len(), 0);
        assert!(s3.get("a").await.is_err());
        assert!(s3.get("stays").await.is_ok());
    }

    /// A GET that has begun is a snapshot.
    pub(super) async fn a_replaced_object_is_read_to_its_end(s3: &Target) {
        let body = "first ".repeat(500_000);
        s3.put("k", &body).await;
        let got = s3.client.get_object().bucket(&s3.bucket).key("k").send().await.unwrap();
        s3.put("k", "second").await;
        s3.client.delete_object().bucket(&s3.bucket).key("k").send().await.unwrap();
        assert_eq!(text(got.body).await.len(), body.len(), "{}", s3.name);
    }

    pub(super) async fn metadata_has_two_kilobytes_at_most(s3: &Target) {
        // The name counts too.
        for (size, taken) in [(2_047, true), (2_048, false)] {
            let put = s3.client.put_object().bucket(&s3.bucket).key(size.to_string()).body(bytes("x"));
            match put.metadata("a", "v".repeat(size)).send().await.map_err(refusal) {
                Ok(_) => assert!(taken, "{size} on {}", s3.name),
                Err(refused) => {
                    assert!(!taken, "{size} on {}", s3.name);
                    assert_eq!(refused, (400, "MetadataTooLarge".to_owned()), "{}", s3.name);
                }
            }
        }
    }

    pub(super) async fn an_empty_object_is_kept_and_has_no_range(s3: &Target) {
        s3.put("k", "").await;
        assert_eq!(s3.get("k").await.unwrap(), "", "{}", s3.name);
        let get = s3.client.get_object().bucket(&s3.bucket).key("k").range("bytes=0-");
        assert_eq!(refusal(get.send().await.unwrap_err()).0, 416, "{}", s3.name);
    }
}
