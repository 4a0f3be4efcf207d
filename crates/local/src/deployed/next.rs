//! The next commands, written so that they work: with the options that lead to the same system.

use super::place::Way;
use super::words::quoted;

/// What is known of the system, for further commands.
#[derive(Clone, Debug, Default)]
pub(super) struct Next {
    pub(super) way: Way,
    /// The bucket in which a key alone is looked for.
    pub(super) inbox: Option<String>,
    /// The options `--inbox` and `--state`, if they were given.
    pub(super) inbox_option: Option<String>,
    pub(super) state_option: Option<String>,
    /// Whether a command finds the state bucket.
    pub(super) has_state: bool,
    /// Whether a command finds both queues.
    pub(super) has_queues: bool,
}

impl Next {
    /// A command about a file, such as `show`; `None` if the state bucket that it needs is not known.
    pub(super) fn about(&self, command: &str, bucket: &str, key: &str) -> Option<String> {
        if !self.has_state {
            return None;
        }
        // A key that begins with a hyphen would be an option.
        let is_found = self.inbox.as_deref() == Some(bucket) && !key.starts_with('-') && !key.starts_with("s3://");
        let (object, inbox) = match is_found {
            true => (quoted(key), self.inbox_option.as_deref()),
            false => (quoted(&format!("s3://{bucket}/{key}")), None),
        };
        Some(format!("segment-s3 {command} {object}{}", self.options(inbox, self.state_option.as_deref())))
    }

    /// `redrive`; `None` if it does not find what it needs.
    pub(super) fn redrive(&self) -> Option<String> {
        let is_known = self.has_queues && self.has_state;
        is_known.then(|| format!("segment-s3 redrive{}", self.options(None, self.state_option.as_deref())))
    }

    fn options(&self, inbox: Option<&str>, state: Option<&str>) -> String {
        let Way { stack, profile, region } = &self.way;
        let all = [("stack", stack.as_deref()), ("inbox", inbox), ("state", state)];
        let way = [("profile", profile.as_deref()), ("region", region.as_deref())];
        let written = |(name, value): (&str, Option<&str>)| value.map(|value| format!(" --{name} {}", quoted(value)));
        all.into_iter().chain(way).filter_map(written).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A system that a stack describes.
    pub(crate) fn of_stack(stack: &str) -> Next {
        let way = Way { stack: Some(stack.to_owned()), ..Way::default() };
        Next { way, inbox: Some("inbox".to_owned()), has_state: true, has_queues: true, ..Next::default() }
    }

    #[test]
    fn a_command_has_what_leads_to_the_same_file() {
        let stack = of_stack("shop");
        let state = Some("my state".to_owned());
        let buckets = Next { state_option: state, inbox: None, has_queues: false, way: Way::default(), ..of_stack("") };
        for (next, bucket, key, expected) in [
            (&stack, "inbox", "a 1.csv", "segment-s3 show 'a 1.csv' --stack shop"),
            (&stack, "other", "a.csv", "segment-s3 show s3://other/a.csv --stack shop"),
            (&stack, "inbox", "-a.csv", "segment-s3 show s3://inbox/-a.csv --stack shop"),
            (&buckets, "inbox", "a.csv", "segment-s3 show s3://inbox/a.csv --state 'my state'"),
        ] {
            assert_eq!(next.about("show", bucket, key).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_command_that_would_not_work_is_not_written() {
        let nothing = Next { has_state: false, ..of_stack("shop") };
        assert_eq!((nothing.about("show", "inbox", "a.csv"), nothing.redrive()), (None, None));
        let without_queues = Next { has_queues: false, ..of_stack("shop") };
        assert_eq!(without_queues.redrive(), None);
    }
}
