use crate::support::on_every_s3;

on_every_s3!(
    parts_join_to_an_object,
    parts_too_small_or_unknown_or_out_of_order_are_refused,
    a_completion_meets_its_condition,
    an_aborted_upload_is_gone,
);

mod checks {
    use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};

    use crate::support::{Target, bytes, refusal};

    const PART_BYTES_MIN: usize = 5 * 1024 * 1024;

    async fn begin(s3: &Target, key: &str) -> String {
        let create = s3.client.create_multipart_upload().bucket(&s3.bucket).key(key);
        create.content_type("text/csv").send().await.unwrap().upload_id.unwrap()
    }

    async fn part(s3: &Target, key: &str, upload: &str, number: i32, body: &str) -> CompletedPart {
        let part = s3.client.upload_part().bucket(&s3.bucket).key(key).upload_id(upload);
        let done = part.part_number(number).body(bytes(body)).send().await.unwrap();
        CompletedPart::builder().part_number(number).e_tag(done.e_tag.unwrap()).build()
    }

    async fn complete(
        s3: &Target,
        key: &str,
        upload: &str,
        parts: Vec<CompletedPart>,
    ) -> Result<String, (u16, String)> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete = s3.client.complete_multipart_upload().bucket(&s3.bucket).key(key);
        let done = complete.upload_id(upload).multipart_upload(parts).send().await.map_err(refusal)?;
        Ok(done.e_tag.unwrap())
    }

    pub(super) async fn parts_join_to_an_object(s3: &Target) {
        let upload = begin(s3, "k").await;
        let first = "a".repeat(PART_BYTES_MIN);
        let parts = vec![part(s3, "k", &upload, 2, &first).await, part(s3, "k", &upload, 7, "the end").await];
        assert_eq!(s3.get("k").await.unwrap_err().0, 404, "{}", s3.name);
        let etag = complete(s3, "k", &upload, parts).await.unwrap();
        assert!(etag.ends_with("-2\""), "{etag} on {}", s3.name);
        assert_eq!(s3.get("k").await.unwrap(), format!("{first}the end"));
        let head = s3.client.head_object().bucket(&s3.bucket).key("k").send().await.unwrap();
        assert_eq!(head.content_type.as_deref(), Some("text/csv"), "{}", s3.name);
        assert_eq!(head.e_tag, Some(etag));
    }

    pub(super) async fn parts_too_small_or_unknown_or_out_of_order_are_refused(s3: &Target) {
        let upload = begin(s3, "k").await;
        let first = part(s3, "k", &upload, 1, "small").await;
        let second = part(s3, "k", &upload, 2, "small too").await;
        let unknown = CompletedPart::builder().part_number(3).e_tag("\"x\"").build();
        for (parts, code) in [
            (vec![first.clone(), second.clone()], "EntityTooSmall"),
            (vec![second.clone(), first.clone()], "InvalidPartOrder"),
            (vec![unknown], "InvalidPart"),
        ] {
            let error = complete(s3, "k", &upload, parts).await.unwrap_err();
            assert_eq!(error, (400, code.to_owned()), "{}", s3.name);
        }
        complete(s3, "k", &upload, vec![second]).await.unwrap();
        assert_eq!(s3.get("k").await.unwrap(), "small too");
    }

    pub(super) async fn a_completion_meets_its_condition(s3: &Target) {
        let upload = begin(s3, "k").await;
        let one = part(s3, "k", &upload, 1, "mine").await;
        s3.put("k", "theirs").await;
        let parts = CompletedMultipartUpload::builder().parts(one).build();
        let complete = s3.client.complete_multipart_upload().bucket(&s3.bucket).key("k");
        let complete = complete.upload_id(&upload).multipart_upload(parts).if_none_match("*");
        let error = complete.send().await.unwrap_err();
        assert_eq!(refusal(error), (412, "PreconditionFailed".to_owned()), "{}", s3.name);
        assert_eq!(s3.get("k").await.unwrap(), "theirs", "{}", s3.name);
    }

    pub(super) async fn an_aborted_upload_is_gone(s3: &Target) {
        let upload = begin(s3, "k").await;
        let one = part(s3, "k", &upload, 1, "mine").await;
        let abort = || s3.client.abort_multipart_upload().bucket(&s3.bucket).key("k").upload_id(&upload).send();
        abort().await.unwrap();
        let error = complete(s3, "k", &upload, vec![one]).await.unwrap_err();
        assert_eq!(error, (404, "NoSuchUpload".to_owned()), "{}", s3.name);
        assert_eq!(refusal(abort().await.unwrap_err()), error, "{}", s3.name);
        assert_eq!(s3.get("k").await.unwrap_err().0, 404, "{}", s3.name);
    }
}
