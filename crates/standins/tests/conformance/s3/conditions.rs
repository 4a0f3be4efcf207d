use crate::support::on_every_s3;

on_every_s3!(
    of_many_concurrent_creates_one_wins,
    a_create_where_there_is_an_object_is_refused,
    a_stale_if_match_is_refused_and_a_fresh_one_taken,
    if_match_on_a_missing_key_is_404,
    a_compare_and_swap_race_has_one_winner,
    reads_meet_conditions,
    a_delete_meets_its_condition,
);

mod checks {
    use aws_sdk_s3::primitives::DateTime;

    use crate::support::{Target, bytes, refusal};

    pub(super) async fn of_many_concurrent_creates_one_wins(s3: &Target) {
        for round in 0..4 {
            let key = format!("race/{round}");
            let puts = (0..16).map(|writer| {
                let put = s3.client.put_object().bucket(&s3.bucket).key(&key).if_none_match("*");
                tokio::spawn(put.body(bytes(&format!("writer {writer}"))).send())
            });
            let puts: Vec<_> = puts.collect();
            let mut winners = Vec::new();
            for (writer, put) in puts.into_iter().enumerate() {
                match put.await.unwrap() {
                    Ok(_) => winners.push(format!("writer {writer}")),
                    Err(error) => {
                        let (status, code) = refusal(error);
                        assert!(
                            matches!(
                                (status, code.as_str()),
                                (412, "PreconditionFailed") | (409, "ConditionalRequestConflict")
                            ),
                            "{status} {code} on {}",
                            s3.name
                        );
                    }
                }
            }
            assert_eq!(winners.len(), 1, "{winners:?} on {}", s3.name);
            assert_eq!(s3.get(&key).await.unwrap(), winners[0], "{}", s3.name);
        }
    }

    pub(super) async fn a_create_where_there_is_an_object_is_refused(s3: &Target) {
        s3.put("k", "first").await;
        let put = s3.client.put_object().bucket(&s3.bucket).key("k").if_none_match("*");
        let error = put.body(bytes("second")).send().await.unwrap_err();
        assert_eq!(refusal(error), (412, "PreconditionFailed".to_owned()), "{}", s3.name);
        assert_eq!(s3.get("k").await.unwrap(), "first");
    }

    pub(super) async fn a_stale_if_match_is_refused_and_a_fresh_one_taken(s3: &Target) {
        let stale = s3.put("k", "first").await;
        let fresh = s3.put("k", "second").await;
        let put = |etag: &str, body: &str| {
            let put = s3.client.put_object().bucket(&s3.bucket).key("k").if_match(etag);
            put.body(bytes(body)).send()
        };
        let error = put(&stale, "third").await.unwrap_err();
        assert_eq!(refusal(error), (412, "PreconditionFailed".to_owned()), "{}", s3.name);
        assert_eq!(s3.get("k").await.unwrap(), "second");
        put(&fresh, "third").await.unwrap();
        assert_eq!(s3.get("k").await.unwrap(), "third");
    }

    pub(super) async fn if_match_on_a_missing_key_is_404(s3: &Target) {
        let put = s3.client.put_object().bucket(&s3.bucket).key("missing");
        let put = put.if_match("\"d41d8cd98f00b204e9800998ecf8427e\"");
        let error = put.body(bytes("x")).send().await.unwrap_err();
        assert_eq!(refusal(error), (404, "NoSuchKey".to_owned()), "{}", s3.name);
        assert!(s3.get("missing").await.is_err());
    }

    pub(super) async fn a_compare_and_swap_race_has_one_winner(s3: &Target) {
        let etag = s3.put("head", "0").await;
        let puts: Vec<_> = (1..=16)
            .map(|writer| {
                let put = s3.client.put_object().bucket(&s3.bucket).key("head").if_match(&etag);
                tokio::spawn(put.body(bytes(&writer.to_string())).send())
            })
            .collect();
        let mut winners = 0;
        for put in puts {
            winners += usize::from(put.await.unwrap().is_ok());
        }
        assert_eq!(winners, 1, "{}", s3.name);
    }

    pub(super) async fn reads_meet_conditions(s3: &Target) {
        let etag = s3.put("k", "x").await;
        let get = || s3.client.get_object().bucket(&s3.bucket).key("k");
        let (past, future) = (DateTime::from_secs(0), DateTime::from_secs(4_102_444_800));
        let modified = *get().send().await.unwrap().last_modified().unwrap();
        get().if_match(&etag).send().await.unwrap();
        get().if_none_match("\"other\"").send().await.unwrap();
        get().if_unmodified_since(future).send().await.unwrap();
        get().if_modified_since(past).send().await.unwrap();
        for (get, status) in [
            (get().if_match("\"other\""), 412),
            (get().if_none_match(&etag), 304),
            (get().if_unmodified_since(past), 412),
            (get().if_modified_since(modified), 304),
        ] {
            let error = get.send().await.unwrap_err();
            assert_eq!(refusal(error).0, status, "{}", s3.name);
        }
        let head = s3.client.head_object().bucket(&s3.bucket).key("k").if_match("\"other\"");
        assert_eq!(refusal(head.send().await.unwrap_err()).0, 412, "{}", s3.name);
    }

    pub(super) async fn a_delete_meets_its_condition(s3: &Target) {
        let etag = s3.put("k", "x").await;
        let delete = |etag: &str| s3.client.delete_object().bucket(&s3.bucket).key("k").if_match(etag).send();
        let error = delete("\"other\"").await.unwrap_err();
        assert_eq!(refusal(error), (412, "PreconditionFailed".to_owned()), "{}", s3.name);
        assert!(s3.get("k").await.is_ok(), "{}", s3.name);
        delete(&etag).await.unwrap();
        assert!(s3.get("k").await.is_err(), "{}", s3.name);
    }
}
