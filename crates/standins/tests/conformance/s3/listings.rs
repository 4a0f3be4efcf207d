use crate::support::on_every_s3;

on_every_s3!(
    a_listing_has_keys_in_byte_order_with_etags_and_sizes,
    pages_join_to_the_whole,
    a_listing_groups_keys_up_to_the_delimiter,
    pages_of_rolled_up_prefixes_join,
    a_listing_starts_after_the_given_key,
    an_invalid_token_is_refused,
    a_negative_number_of_keys_is_refused,
);

mod checks {
    use crate::support::{Target, refusal};

    async fn put_all(s3: &Target, keys: &[&str]) {
        for key in keys {
            s3.put(key, key).await;
        }
    }

    pub(super) async fn a_listing_has_keys_in_byte_order_with_etags_and_sizes(s3: &Target) {
        put_all(s3, &["b", "a", "é", "B", "a/1", "a-1", "a0"]).await;
        let list = s3.client.list_objects_v2().bucket(&s3.bucket).send().await.unwrap();
        let keys: Vec<_> = list.contents().iter().map(|object| object.key().unwrap()).collect();
        assert_eq!(keys, ["B", "a", "a-1", "a/1", "a0", "b", "é"], "{}", s3.name);
        let b = &list.contents()[5];
        assert_eq!(b.size(), Some(1));
        assert_eq!(b.e_tag(), Some("\"92eb5ffee6ae2fec3ad71c777531578f\""), "{}", s3.name);
        assert!(b.last_modified().is_some());
        assert_eq!(list.key_count(), Some(7));
        assert_eq!(list.is_truncated(), Some(false));
    }

    async fn all_pages(s3: &Target, prefix: &str, delimiter: Option<&str>, size: i32) -> Vec<String> {
        let mut lines = Vec::new();
        let mut token = None;
        for _ in 0..100 {
            let list = s3.client.list_objects_v2().bucket(&s3.bucket).prefix(prefix).max_keys(size);
            let list = list.set_delimiter(delimiter.map(str::to_owned)).set_continuation_token(token);
            let page = list.send().await.unwrap();
            let keys = page.contents().iter().map(|object| object.key().unwrap().to_owned());
            let prefixes = page.common_prefixes().iter().map(|prefix| prefix.prefix().unwrap().to_owned());
            let mut of_page: Vec<String> = keys.chain(prefixes).collect();
            assert!(of_page.len() <= usize::try_from(size).unwrap(), "{}", s3.name);
            of_page.sort();
            lines.extend(of_page);
            assert_eq!(page.is_truncated(), Some(page.next_continuation_token().is_some()));
            token = page.next_continuation_token;
            if token.is_none() {
                return lines;
            }
        }
        panic!("the pages do not end on {}", s3.name);
    }

    pub(super) async fn pages_join_to_the_whole(s3: &Target) {
        let keys = ["in/1", "in/10", "in/2", "in/3/x", "in/3/y", "in/é", "out/1"];
        put_all(s3, &keys).await;
        for size in 1..=7 {
            assert_eq!(all_pages(s3, "in/", None, size).await, keys[..6], "{size} on {}", s3.name);
        }
    }

    pub(super) async fn a_listing_groups_keys_up_to_the_delimiter(s3: &Target) {
        put_all(s3, &["a/1", "a/2", "b", "c/d/1", "c/d/2", "c/e"]).await;
        let check = async |prefix: &str, delimiter: &str, expected: &[&str]| {
            let lines = all_pages(s3, prefix, Some(delimiter), 1_000).await;
            assert_eq!(lines, expected, "{prefix} {delimiter} on {}", s3.name);
        };
        check("", "/", &["a/", "b", "c/"]).await;
        check("c/", "/", &["c/d/", "c/e"]).await;
        check("c", "/", &["c/"]).await;
        check("", "d/", &["a/1", "a/2", "b", "c/d/", "c/e"]).await;
        check("x", "/", &[]).await;
    }

    pub(super) async fn pages_of_rolled_up_prefixes_join(s3: &Target) {
        put_all(s3, &["a/1", "a/2", "b", "c/1", "c/2", "d", "e/1"]).await;
        for size in 1..=5 {
            let lines = all_pages(s3, "", Some("/"), size).await;
            assert_eq!(lines, ["a/", "b", "c/", "d", "e/"], "{size} on {}", s3.name);
        }
    }

    pub(super) async fn a_listing_starts_after_the_given_key(s3: &Target) {
        put_all(s3, &["a", "b", "c"]).await;
        let list = |after: &str| s3.client.list_objects_v2().bucket(&s3.bucket).start_after(after).send();
        for (after, expected) in [("", 3), ("a", 2), ("aa", 2), ("c", 0)] {
            let listed = list(after).await.unwrap().contents().len();
            assert_eq!(listed, expected, "after {after:?} on {}", s3.name);
        }
    }

    pub(super) async fn a_negative_number_of_keys_is_refused(s3: &Target) {
        let expected = (400, "InvalidArgument".to_owned());
        let list = s3.client.list_objects_v2().bucket(&s3.bucket).max_keys(-1);
        assert_eq!(refusal(list.send().await.unwrap_err()), expected, "{}", s3.name);
        s3.client.list_objects_v2().bucket(&s3.bucket).max_keys(0).send().await.unwrap();
    }

    pub(super) async fn an_invalid_token_is_refused(s3: &Target) {
        let list = s3.client.list_objects_v2().bucket(&s3.bucket).continuation_token("nonsense");
        let error = list.send().await.unwrap_err();
        assert_eq!(refusal(error), (400, "InvalidArgument".to_owned()), "{}", s3.name);
    }
}
