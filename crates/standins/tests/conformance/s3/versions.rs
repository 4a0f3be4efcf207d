use crate::support::on_every_s3;

on_every_s3!(
    versions_stay_readable,
    a_delete_marker_hides_an_object_until_it_is_removed,
    a_missing_version_is_reported,
    versions_are_listed_with_the_newest_first,
);

mod checks {
    use crate::support::{Target, bytes, refusal, text};

    async fn put(s3: &Target, key: &str, body: &str) -> Option<String> {
        let put = s3.client.put_object().bucket(&s3.bucket).key(key).body(bytes(body));
        put.send().await.unwrap().version_id
    }

    async fn get(s3: &Target, key: &str, version: &str) -> Result<String, (u16, String)> {
        let get = s3.client.get_object().bucket(&s3.bucket).key(key).version_id(version);
        let got = get.send().await.map_err(refusal)?;
        assert_eq!(got.version_id.as_deref(), Some(version));
        Ok(text(got.body).await)
    }

    pub(super) async fn versions_stay_readable(s3: &Target) {
        // Also for keys that cannot be files.
        for key in ["k", "odd//key"] {
            s3.put(key, "before").await;
        }
        s3.enable_versions().await;
        for key in ["k", "odd//key"] {
            let first = put(s3, key, "first").await.unwrap();
            let second = put(s3, key, "second").await.unwrap();
            assert_ne!(first, second);
            assert_eq!(get(s3, key, &first).await.unwrap(), "first", "{}", s3.name);
            assert_eq!(get(s3, key, &second).await.unwrap(), "second", "{}", s3.name);
            assert_eq!(get(s3, key, "null").await.unwrap(), "before", "{}", s3.name);
            assert_eq!(s3.get(key).await.unwrap(), "second");
            let delete = s3.client.delete_object().bucket(&s3.bucket).key(key).version_id(&second);
            delete.send().await.unwrap();
            assert_eq!(s3.get(key).await.unwrap(), "first", "{}", s3.name);
        }
    }

    pub(super) async fn a_delete_marker_hides_an_object_until_it_is_removed(s3: &Target) {
        s3.enable_versions().await;
        let version = put(s3, "k", "x").await.unwrap();
        let deleted = s3.client.delete_object().bucket(&s3.bucket).key("k").send().await.unwrap();
        assert_eq!(deleted.delete_marker, Some(true), "{}", s3.name);
        let marker = deleted.version_id.unwrap();
        assert_eq!(s3.get("k").await, Err((404, "NoSuchKey".to_owned())), "{}", s3.name);
        assert_eq!(get(s3, "k", &marker).await, Err((405, "MethodNotAllowed".to_owned())), "{}", s3.name);
        assert_eq!(get(s3, "k", &version).await.unwrap(), "x");
        let list = s3.client.list_objects_v2().bucket(&s3.bucket).send().await.unwrap();
        assert_eq!(list.contents().len(), 0);
        // A key whose newest version is a marker is a missing key to conditions.
        let create = s3.client.put_object().bucket(&s3.bucket).key("k").if_none_match("*");
        create.body(bytes("y")).send().await.unwrap();
        assert_eq!(s3.get("k").await.unwrap(), "y", "{}", s3.name);
        let delete = s3.client.delete_object().bucket(&s3.bucket).key("k").version_id(marker);
        delete.send().await.unwrap();
        assert_eq!(s3.get("k").await.unwrap(), "y");
    }

    pub(super) async fn versions_are_listed_with_the_newest_first(s3: &Target) {
        s3.enable_versions().await;
        let first = put(s3, "k", "first").await.unwrap();
        let second = put(s3, "k", "second").await.unwrap();
        put(s3, "other", "x").await;
        s3.client.delete_object().bucket(&s3.bucket).key("k").send().await.unwrap();
        let listed = s3.client.list_object_versions().bucket(&s3.bucket).prefix("k").send().await.unwrap();
        let ids: Vec<_> = listed.versions().iter().filter_map(|version| version.version_id()).collect();
        assert_eq!(ids, [&second, &first], "{}", s3.name);
        let markers: Vec<_> = listed.delete_markers().iter().map(|marker| (marker.key(), marker.is_latest())).collect();
        assert_eq!(markers, [(Some("k"), Some(true))], "{}", s3.name);
        assert!(listed.versions().iter().all(|version| version.is_latest() == Some(false)), "{}", s3.name);
    }

    pub(super) async fn a_missing_version_is_reported(s3: &Target) {
        s3.enable_versions().await;
        put(s3, "k", "x").await;
        let error = get(s3, "k", "0123456789abcdef0123456789abcdef").await.unwrap_err();
        assert_eq!(error, (404, "NoSuchVersion".to_owned()), "{}", s3.name);
    }
}
