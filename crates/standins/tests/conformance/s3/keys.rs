use crate::support::on_every_s3;

on_every_s3!(every_legal_key_round_trips, a_key_may_be_the_prefix_of_other_keys, a_key_too_long_is_refused);

mod checks {
    use std::collections::BTreeSet;

    use crate::support::{Target, bytes, refusal};

    fn strange_keys() -> Vec<String> {
        let mut keys: Vec<String> = [
            "plain.csv",
            "in/plain.csv",
            "in",
            "in/plain.csv/deeper",
            "with space and+plus.csv",
            "percent%20%2F%zz.csv",
            "größe-naïve-日本語-🦀.csv",
            "e\u{301}-is-not-é",
            "/lead",
            "//two",
            "double//inside",
            "trailing/",
            "trailing//",
            ".",
            "..",
            "./here",
            "a/../b",
            "../../etc/passwd",
            ".hidden",
            ".s3/x",
            ".s3",
            "quotes'\"`",
            "back\\slash",
            "star*question?hash#amp&eq=semi;colon:at@",
            "<xml>&amp;</xml>",
            "brackets[]{}()|^~$!,",
            "=equals",
            "tab\tinside",
            "CON",
            "A",
            "a",
        ]
        .into_iter()
        .map(str::to_owned)
        .collect();
        keys.push("x".repeat(1_024));
        keys.push(format!("{}/{}", "y".repeat(255), "z".repeat(256)));
        keys.push("é".repeat(512));
        keys
    }

    pub(super) async fn every_legal_key_round_trips(s3: &Target) {
        let keys = strange_keys();
        for key in &keys {
            let put = s3.client.put_object().bucket(&s3.bucket).key(key).body(bytes(key));
            put.send().await.unwrap_or_else(|error| panic!("{key:?} on {}: {error:?}", s3.name));
        }
        for key in &keys {
            assert_eq!(s3.get(key).await.as_ref(), Ok(key), "{}", s3.name);
        }
        let list = s3.client.list_objects_v2().bucket(&s3.bucket).send().await.unwrap();
        let listed: Vec<_> = list.contents().iter().map(|object| object.key().unwrap().to_owned()).collect();
        let expected: BTreeSet<_> = keys.iter().cloned().collect();
        assert_eq!(listed, expected.into_iter().collect::<Vec<_>>(), "{}", s3.name);
        for key in &keys {
            s3.client.delete_object().bucket(&s3.bucket).key(key).send().await.unwrap();
            assert_eq!(s3.get(key).await, Err((404, "NoSuchKey".to_owned())), "{key:?} on {}", s3.name);
        }
    }

    pub(super) async fn a_key_may_be_the_prefix_of_other_keys(s3: &Target) {
        for order in [["a", "a/b", "a/b/c"], ["a/b/c", "a/b", "a"]] {
            for key in order {
                s3.put(key, key).await;
            }
            for key in order {
                s3.put(key, &format!("{key} again")).await;
                assert_eq!(s3.get(key).await.unwrap(), format!("{key} again"), "{}", s3.name);
            }
            for key in order {
                s3.client.delete_object().bucket(&s3.bucket).key(key).send().await.unwrap();
            }
            let list = s3.client.list_objects_v2().bucket(&s3.bucket).send().await.unwrap();
            assert_eq!(list.contents().len(), 0, "{}", s3.name);
        }
    }

    pub(super) async fn a_key_too_long_is_refused(s3: &Target) {
        let put = s3.client.put_object().bucket(&s3.bucket).key("x".repeat(1_025));
        let error = put.body(bytes("x")).send().await.unwrap_err();
        assert_eq!(refusal(error), (400, "KeyTooLongError".to_owned()), "{}", s3.name);
    }
}
