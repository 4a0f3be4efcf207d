use crate::support::on_every_s3;

on_every_s3!(
    a_wrong_md5_leaves_no_object,
    a_wrong_checksum_leaves_no_object,
    an_invalid_checksum_is_refused,
    a_right_checksum_is_answered,
    a_streamed_body_has_its_checksum_verified,
    a_streamed_body_with_a_wrong_checksum_leaves_no_object,
    a_streamed_body_without_the_checksum_it_announced_leaves_no_object,
    a_streamed_body_shorter_than_it_says_leaves_no_object,
    two_checksums_at_once_are_refused,
    keys_to_delete_need_their_own_digest,
    a_put_that_breaks_off_leaves_no_object,
    a_wrong_checksum_leaves_the_object_that_was_there,
);

mod checks {
    use aws_sdk_s3::error::SdkError;
    use aws_sdk_s3::primitives::{ByteStream, SdkBody};
    use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode};

    use crate::signed::{Request, chunked};
    use crate::support::{Target, bytes, refusal};

    /// CRC32 of "hello".
    const HELLO: &str = "x-amz-checksum-crc32:NhCmhg==\r\n";

    /// A body as it travels, of so many bytes as it says itself, with a CRC32 announced for its end.
    fn streamed(s3: &Target, size: usize, body: String) -> Request {
        Request::new("PUT", &format!("/{}/k", s3.bucket), body)
            .header("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
            .header("x-amz-decoded-content-length", &size.to_string())
            .header("x-amz-trailer", "x-amz-checksum-crc32")
            .header("content-encoding", "aws-chunked")
    }

    pub(super) async fn a_wrong_md5_leaves_no_object(s3: &Target) {
        let put = s3.client.put_object().bucket(&s3.bucket).key("k").content_md5("1B2M2Y8AsgTpgAmY7PhCfg==");
        let error = put.body(bytes("not empty")).send().await.unwrap_err();
        assert_eq!(refusal(error), (400, "BadDigest".to_owned()), "{}", s3.name);
        assert_eq!(s3.get("k").await.unwrap_err(), (404, "NoSuchKey".to_owned()));
        let put = s3.client.put_object().bucket(&s3.bucket).key("k").content_md5("nonsense");
        let error = put.body(bytes("x")).send().await.unwrap_err();
        assert_eq!(refusal(error), (400, "InvalidDigest".to_owned()), "{}", s3.name);
    }

    pub(super) async fn a_wrong_checksum_leaves_no_object(s3: &Target) {
        // Each of "other" where the body is "body".
        let put = || s3.client.put_object().bucket(&s3.bucket).key("k").body(bytes("body"));
        for put in [
            put().checksum_crc32("2TAeaA=="),
            put().checksum_crc32_c("AAAAAA=="),
            put().checksum_crc64_nvme("AAAAAAAAAAA="),
            put().checksum_sha1("AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            put().checksum_sha256("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ] {
            let error = put.send().await.unwrap_err();
            assert_eq!(refusal(error), (400, "BadDigest".to_owned()), "{}", s3.name);
            assert_eq!(s3.get("k").await.unwrap_err(), (404, "NoSuchKey".to_owned()));
        }
    }

    pub(super) async fn an_invalid_checksum_is_refused(s3: &Target) {
        let put = s3.client.put_object().bucket(&s3.bucket).key("k").checksum_crc32("AAAA");
        let error = put.body(bytes("body")).send().await.unwrap_err();
        assert_eq!(refusal(error), (400, "InvalidRequest".to_owned()), "{}", s3.name);
    }

    pub(super) async fn a_right_checksum_is_answered(s3: &Target) {
        for algorithm in [
            ChecksumAlgorithm::Crc32,
            ChecksumAlgorithm::Crc32C,
            ChecksumAlgorithm::Crc64Nvme,
            ChecksumAlgorithm::Sha1,
            ChecksumAlgorithm::Sha256,
        ] {
            let put = s3.client.put_object().bucket(&s3.bucket).key("k").checksum_algorithm(algorithm.clone());
            let put = put.body(bytes("body")).send().await.unwrap();
            let get = s3.client.get_object().bucket(&s3.bucket).key("k").checksum_mode(ChecksumMode::Enabled);
            let got = get.send().await.unwrap();
            let (put, got) = match algorithm {
                ChecksumAlgorithm::Crc32 => (put.checksum_crc32, got.checksum_crc32),
                ChecksumAlgorithm::Crc32C => (put.checksum_crc32_c, got.checksum_crc32_c),
                ChecksumAlgorithm::Crc64Nvme => (put.checksum_crc64_nvme, got.checksum_crc64_nvme),
                ChecksumAlgorithm::Sha1 => (put.checksum_sha1, got.checksum_sha1),
                _ => (put.checksum_sha256, got.checksum_sha256),
            };
            assert!(got.is_some() && put == got, "{algorithm}: {put:?} {got:?} on {}", s3.name);
        }
    }

    /// A body that the client cannot read twice travels `aws-chunked`, its checksum in the trailer.
    pub(super) async fn a_streamed_body_has_its_checksum_verified(s3: &Target) {
        let body = "0123456789".repeat(50_000);
        let chunks: Vec<_> =
            body.as_bytes().chunks(9_999).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect();
        let chunks =
            chunks.into_iter().map(|chunk| chunk.map(|chunk| hyper::body::Frame::data(bytes::Bytes::from(chunk))));
        let stream = http_body_util::StreamBody::new(futures_util::stream::iter(chunks));
        let put = s3.client.put_object().bucket(&s3.bucket).key("k").content_encoding("gzip");
        put.content_length(i64::try_from(body.len()).unwrap())
            .body(ByteStream::new(SdkBody::from_body_1_x(stream)))
            .send()
            .await
            .unwrap();
        assert_eq!(s3.get("k").await.unwrap(), body, "{}", s3.name);
        let head = s3.client.head_object().bucket(&s3.bucket).key("k").send().await.unwrap();
        assert_eq!(head.content_encoding.as_deref(), Some("gzip"), "{}", s3.name);
    }

    pub(super) async fn a_streamed_body_with_a_wrong_checksum_leaves_no_object(s3: &Target) {
        let wrong = "x-amz-checksum-crc32:AAAAAA==\r\n";
        let answer = s3.send(streamed(s3, 5, chunked("hello", true, wrong))).await;
        assert_eq!(answer, (400, "BadDigest".to_owned()), "{}", s3.name);
        assert_eq!(s3.get("k").await.unwrap_err().0, 404, "{}", s3.name);
        let answer = s3.send(streamed(s3, 5, chunked("hello", true, HELLO))).await;
        assert_eq!(answer, (200, String::new()), "{}", s3.name);
        assert_eq!(s3.get("k").await.unwrap(), "hello", "{}", s3.name);
    }

    pub(super) async fn a_streamed_body_without_the_checksum_it_announced_leaves_no_object(s3: &Target) {
        let other = "x-amz-checksum-sha256:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=\r\n";
        for trailers in ["", other] {
            let answer = s3.send(streamed(s3, 5, chunked("hello", true, trailers))).await;
            assert_eq!(answer, (400, "MalformedTrailerError".to_owned()), "{trailers:?} on {}", s3.name);
            assert_eq!(s3.get("k").await.unwrap_err().0, 404, "{}", s3.name);
        }
    }

    pub(super) async fn a_streamed_body_shorter_than_it_says_leaves_no_object(s3: &Target) {
        for (ends, trailers) in [(false, ""), (true, ""), (true, HELLO)] {
            let answer = s3.send(streamed(s3, 9, chunked("hello", ends, trailers))).await;
            assert_eq!(answer, (400, "IncompleteBody".to_owned()), "{ends} {trailers:?} on {}", s3.name);
            assert_eq!(s3.get("k").await.unwrap_err().0, 404, "{}", s3.name);
        }
    }

    pub(super) async fn two_checksums_at_once_are_refused(s3: &Target) {
        let put = Request::new("PUT", &format!("/{}/k", s3.bucket), "hello");
        let put = put.header("x-amz-checksum-crc32", "NhCmhg==");
        let answer = s3.send(put.clone().header("x-amz-checksum-crc32c", "mnG7TA==")).await;
        assert_eq!(answer, (400, "InvalidRequest".to_owned()), "{}", s3.name);
        assert_eq!(s3.get("k").await.unwrap_err().0, 404, "{}", s3.name);
        assert_eq!(s3.send(put).await, (200, String::new()), "{}", s3.name);
    }

    pub(super) async fn keys_to_delete_need_their_own_digest(s3: &Target) {
        s3.put("k", "body").await;
        let keys = "<Delete><Object><Key>k</Key></Object></Delete>";
        let delete = || Request::new("POST", &format!("/{}", s3.bucket), keys).query("delete=");
        let bad_digest = (400, "BadDigest".to_owned());
        let answer = s3.send(delete().header("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==")).await;
        assert_eq!(answer, bad_digest, "{}", s3.name);
        let answer = s3.send(delete().header("x-amz-checksum-crc32", "AAAAAA==")).await;
        assert_eq!(answer, bad_digest, "{}", s3.name);
        assert_eq!(s3.send(delete()).await, (400, "InvalidRequest".to_owned()), "{}", s3.name);
        assert_eq!(s3.get("k").await.unwrap(), "body", "{}", s3.name);
        let answer = s3.send(delete().header("content-md5", "5DKh5iefM5MSKvRILIuFwQ==")).await;
        assert_eq!(answer, (200, String::new()), "{}", s3.name);
        assert_eq!(s3.get("k").await.unwrap_err().0, 404, "{}", s3.name);
    }

    pub(super) async fn a_put_that_breaks_off_leaves_no_object(s3: &Target) {
        let chunks =
            [Ok(hyper::body::Frame::data(bytes::Bytes::from_static(b"half"))), Err(std::io::Error::other("gone"))];
        let stream = http_body_util::StreamBody::new(futures_util::stream::iter(chunks));
        let put = s3.client.put_object().bucket(&s3.bucket).key("k").content_length(8);
        let error = put.body(ByteStream::new(SdkBody::from_body_1_x(stream))).send().await.unwrap_err();
        assert!(matches!(error, SdkError::DispatchFailure(_)), "{error:?} on {}", s3.name);
        assert_eq!(s3.get("k").await.unwrap_err().0, 404, "{}", s3.name);
    }

    pub(super) async fn a_wrong_checksum_leaves_the_object_that_was_there(s3: &Target) {
        s3.put("k", "first").await;
        let put = s3.client.put_object().bucket(&s3.bucket).key("k").content_md5("1B2M2Y8AsgTpgAmY7PhCfg==");
        put.body(bytes("second")).send().await.unwrap_err();
        assert_eq!(s3.get("k").await.unwrap(), "first", "{}", s3.name);
    }
}
