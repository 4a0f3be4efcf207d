//! Property names of objects, made as Segment's own Objects library makes them.

/// `reviewCount`, `review-count` and `Review Count` are `review_count`.
///
/// Words end before an upper-case letter that follows a lower-case one or a digit, and before the
/// last letter of a run of upper-case ones (`HTMLParser` is `html_parser`). Everything that is
/// neither letter nor digit stands between words, so nested keys are joined by `_` as well.
pub(super) fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    let mut before: Option<char> = None;
    let mut chars = name.chars().peekable();
    while let Some(c) = chars.next() {
        if !c.is_alphanumeric() {
            before = None;
            continue;
        }
        let word_begins = match before {
            None => true,
            Some(before) if before.is_uppercase() => {
                c.is_uppercase() && chars.peek().is_some_and(|next| next.is_lowercase())
            }
            Some(_) => c.is_uppercase(),
        };
        if word_begins && !out.is_empty() {
            out.push('_');
        }
        out.extend(c.to_lowercase());
        before = Some(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_what_segments_own_library_makes_of_them() {
        for (name, snake) in [
            ("address.street", "address_street"),
            ("reviewCount", "review_count"),
            ("createdAt", "created_at"),
            ("tags.0", "tags_0"),
            ("SKU", "sku"),
            ("HTMLParser", "html_parser"),
            ("iOSVersion", "i_os_version"),
            ("_lead", "lead"),
            ("fooBar2Baz", "foo_bar2_baz"),
            ("already_snake", "already_snake"),
            ("Review Count", "review_count"),
            ("größeInCm", "größe_in_cm"),
            ("a..b", "a_b"),
            ("trail_", "trail"),
            ("__", ""),
        ] {
            assert_eq!(snake_case(name), snake, "{name}");
        }
    }
}
