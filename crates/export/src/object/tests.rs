use std::io::Read;

use proptest::prelude::*;

use protocol::fragment::{FragmentName, Origin, Staged};
use protocol::id::Nonce;
use protocol::plan::{PlannedDestination, PlannedObject, Quarantined};

use super::*;
use crate::cut::Draft;
use crate::fragment;

/// Reads one gzip member and asserts that nothing follows it.
fn inflate(bytes: &[u8]) -> Vec<u8> {
    let mut lines = Vec::new();
    let mut reader = flate2::bufread::GzDecoder::new(bytes);
    reader.read_to_end(&mut lines).unwrap();
    assert!(reader.into_inner().is_empty(), "bytes after the member");
    lines
}

fn staged(lines: &[u8], number: usize) -> (Staged, Vec<u8>) {
    let bytes = fragment::encode(lines);
    let name = FragmentName {
        source: "P0OJ3CTID1".parse().unwrap(),
        day: Day::of(0),
        origin: Origin::Request { id: format!("r{number}").parse().unwrap() },
        events: 1,
        raw_bytes: lines.len() as u64,
        crc32: fragment::crc32(&bytes),
    };
    (Staged { name, bytes: bytes.len() as u64 }, bytes)
}

fn plan_of(fragments: Vec<Staged>) -> Plan {
    let object = PlannedObject { from: 0, to: fragments.len(), rewrite: false };
    let destination = PlannedDestination {
        name: "d".into(),
        bucket: "b".into(),
        prefix: "some/prefix".into(),
        expected_bucket_owner: None,
        layout: Layout::Segment,
        abandoned: None,
        objects: vec![object],
    };
    let draft = Draft { destinations: vec![destination], fragments, ..Draft::default() };
    draft.sign(Nonce::new([7; 16]), 1_553_116_119_647, "0.1.0")
}

fn join(fragments: &[(Staged, Vec<u8>)]) -> Vec<u8> {
    let mut stitcher = Stitcher::default();
    let mut object = Stitcher::HEADER.to_vec();
    for (staged, bytes) in fragments {
        let fragment = Verified::new(&staged.name, bytes).unwrap();
        stitcher.push(&fragment);
        object.extend_from_slice(fragment.body());
    }
    object.extend_from_slice(&stitcher.finish());
    object
}

fn rewrite(fragments: &[(Staged, Vec<u8>)]) -> Vec<u8> {
    let mut rewriter = Rewriter::default();
    for (staged, bytes) in fragments {
        rewriter.push(&Verified::new(&staged.name, bytes).unwrap()).unwrap();
    }
    rewriter.finish().concat()
}

proptest! {
    /// For every split of lines into fragments, the joined fragments are one gzip member. It inflates to the lines and
    /// has the predicted length.
    #[test]
    fn any_split_of_lines_joins_to_one_member(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2000), 1..12),
        repeat in 1usize..40,
    ) {
        let pieces: Vec<Vec<u8>> = pieces.into_iter().map(|piece| piece.repeat(repeat)).collect();
        let fragments: Vec<_> = pieces.iter().enumerate().map(|(n, lines)| staged(lines, n)).collect();
        let object = join(&fragments);
        prop_assert_eq!(inflate(&object), pieces.concat());

        let plan = plan_of(fragments.iter().map(|(staged, _)| staged.clone()).collect());
        let known = plan.object_bytes(&plan.destinations[0].objects[0]);
        prop_assert_eq!(object.len() as u64, known);
        prop_assert_eq!(known, 10 + plan.fragments.iter().map(|f| f.bytes - 23).sum::<u64>() + 13);
    }

    #[test]
    fn recompression_keeps_the_lines(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2000), 1..12),
    ) {
        let fragments: Vec<_> = pieces.iter().enumerate().map(|(n, lines)| staged(lines, n)).collect();
        prop_assert_eq!(inflate(&rewrite(&fragments)), pieces.concat());
    }
}

#[test]
fn small_fragments_recompressed_take_a_fraction_of_the_bytes() {
    let lines = |n: usize| {
        format!(
            "{{\"type\":\"track\",\"messageId\":\"m-{n}\",\"event\":\"Order Completed\",\"userId\":\"{}\",\
             \"receivedAt\":\"2019-05-11T20:32:27.940Z\",\"channel\":\"server\",\"version\":2}}\n",
            n * 7919
        )
    };
    let fragments: Vec<_> = (0..500).map(|n| staged(lines(n).as_bytes(), n)).collect();
    let (joined, anew) = (join(&fragments), rewrite(&fragments));
    assert_eq!(inflate(&joined), inflate(&anew));
    assert!(anew.len() * 5 < joined.len(), "{} of {}", anew.len(), joined.len());
}

#[test]
fn lines_beyond_the_window_are_compressed_piece_by_piece() {
    let lines = b"{\"type\":\"track\",\"event\":\"e\"}\n".repeat(500);
    let fragments: Vec<_> = (0..200).map(|n| staged(&lines, n)).collect();
    assert!(lines.len() * 200 > 2 * REWRITE_WINDOW);
    assert_eq!(inflate(&rewrite(&fragments)), lines.repeat(200));
}

/// The checksum in the name covers the bytes, not their meaning.
#[test]
fn a_fragment_that_does_not_inflate_is_not_recompressed() {
    let (mut staged, mut bytes) = staged(b"{\"type\":\"track\"}\n", 0);
    let trailer = bytes.len() - 8;
    bytes[trailer] ^= 1;
    staged.name.crc32 = fragment::crc32(&bytes);
    let fragment = Verified::new(&staged.name, &bytes).unwrap();
    let mut rewriter = Rewriter::default();
    assert_eq!(rewriter.push(&fragment), Err(NotTheLines));
    assert_eq!(inflate(&rewriter.finish().concat()), b"");
}

#[test]
fn a_name_has_the_form_of_segments_own() {
    let plan = plan_of(vec![staged(b"{}\n", 0).0]);
    let key = key_of(&plan, 0, 0).unwrap();
    let (folder, name) = key.rsplit_once('/').unwrap();
    assert_eq!(folder, "some/prefix/segment-logs/P0OJ3CTID1/0");
    // Segment's: 1442242971838.7cbb4f5f0e83.1.10.5.ca7ee991-e4bf-497e-9aa3-2dd6c9e472d6.gz
    let parts: Vec<&str> = name.split('.').collect();
    let [ms, file, "0", "1", "0", uuid, "gz"] = parts[..] else { panic!("{name}") };
    assert_eq!(ms, "1553116119647");
    assert!(file.len() == 12 && file.bytes().all(|b| b.is_ascii_hexdigit()));
    assert_eq!(uuid.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
    assert_eq!(&uuid[14..15], "4");
    assert!(matches!(&uuid[19..20], "8" | "9" | "a" | "b"));
}

/// A name that changed with the software would let a plan be carried out twice, under two names.
#[test]
fn a_name_follows_from_the_plan_alone() {
    let plan = plan_of(vec![staged(b"{}\n", 0).0]);
    assert_eq!(
        key_of(&plan, 0, 0).unwrap(),
        "some/prefix/segment-logs/P0OJ3CTID1/0/1553116119647.cb5d2e0f1b3f.0.1.0.1b67a634-5b54-4c7c-acf2-7bfd00c1e90f.gz"
    );
    let revised = plan.quarantining([Quarantined { fragment: 0, why: "damaged".into() }]);
    assert_eq!(key_of(&revised, 0, 0), key_of(&plan, 0, 0));
    let other = Plan { nonce: Nonce::new([8; 16]), ..plan.clone() };
    assert_ne!(key_of(&other, 0, 0), key_of(&plan, 0, 0));
}

#[test]
fn every_object_has_a_name_of_its_own() {
    let plan = plan_of(vec![staged(b"{}\n", 0).0]);
    let names: std::collections::BTreeSet<_> =
        (0..8).flat_map(|d| (0..8).map(move |o| (d, o))).map(|(d, o)| Name::derive(&plan, d, o)).collect();
    assert_eq!(names.len(), 64);
}

#[test]
fn the_test_object_is_in_the_folder_of_the_logs() {
    assert_eq!(dummy_key(""), "segment-logs/dummy-object.txt");
    assert_eq!(dummy_key("a/b"), "a/b/segment-logs/dummy-object.txt");
}
