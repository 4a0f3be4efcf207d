//! Requests that share one write.
//!
//! A write to S3 takes some tens of milliseconds and costs the same for one call as for thousands. So the first request
//! is written at once. The requests that arrive meanwhile wait for it to end, and share the next write. They wait no
//! longer than [`WAIT_MS_MAX`].

/// A group is written after so long, even if an earlier write is still under way.
pub const WAIT_MS_MAX: u64 = 200;

/// The requests of one group together; a larger request is alone.
pub const GROUP_BYTES_MAX: usize = 4 << 20;

/// The requests of one source and one day that are not written yet.
#[derive(Debug)]
pub struct Groups<T> {
    writes: usize,
    open: Option<Open<T>>,
    opened: u64,
}

#[derive(Debug)]
struct Open<T> {
    number: u64,
    requests: Vec<T>,
    bytes: usize,
}

/// What to do after a request has joined.
#[derive(Debug, PartialEq, Eq)]
pub struct Joined<T> {
    /// Write these requests now, and report the end of the write.
    pub write: Option<Vec<T>>,
    /// A group was opened: report its number after [`WAIT_MS_MAX`].
    pub opened: Option<u64>,
}

impl<T> Default for Groups<T> {
    fn default() -> Groups<T> {
        Groups { writes: 0, open: None, opened: 0 }
    }
}

impl<T> Groups<T> {
    /// A request of `bytes` has arrived.
    pub fn join(&mut self, request: T, bytes: usize) -> Joined<T> {
        if self.is_idle() {
            self.writes = 1;
            return Joined { write: Some(vec![request]), opened: None };
        }
        let is_full = self.open.as_ref().is_some_and(|open| open.bytes.saturating_add(bytes) > GROUP_BYTES_MAX);
        let write = if is_full { self.begin() } else { None };
        let opened = match &mut self.open {
            Some(open) => {
                open.requests.push(request);
                open.bytes += bytes;
                None
            }
            None => {
                self.opened += 1;
                self.open = Some(Open { number: self.opened, requests: vec![request], bytes });
                Some(self.opened)
            }
        };
        Joined { write, opened }
    }

    /// A write has ended. Returns the next requests to write.
    pub fn ended(&mut self) -> Option<Vec<T>> {
        self.writes = self.writes.saturating_sub(1);
        self.begin()
    }

    /// The time of a group is over. Returns its requests, unless they are being written already.
    pub fn due(&mut self, number: u64) -> Option<Vec<T>> {
        if self.open.as_ref()?.number == number { self.begin() } else { None }
    }

    /// Whether nothing is written and nothing waits.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.writes == 0 && self.open.is_none()
    }

    fn begin(&mut self) -> Option<Vec<T>> {
        let open = self.open.take()?;
        self.writes += 1;
        Some(open.requests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_request_is_written_at_once_and_later_ones_share_the_next_write() {
        let mut groups = Groups::default();
        assert_eq!(groups.join('a', 1), Joined { write: Some(vec!['a']), opened: None });
        assert_eq!(groups.join('b', 1), Joined { write: None, opened: Some(1) });
        assert_eq!(groups.join('c', 1), Joined { write: None, opened: None });
        assert_eq!(groups.ended(), Some(vec!['b', 'c']));
        assert_eq!(groups.due(1), None, "it is being written");
        assert_eq!(groups.ended(), None);
        assert!(groups.is_idle());
        assert_eq!(groups.join('d', 1).write, Some(vec!['d']));
    }

    #[test]
    fn a_slow_write_holds_no_other_up_and_a_full_group_does_not_wait() {
        let mut groups = Groups::default();
        groups.join('a', 1);
        groups.join('b', 1);
        assert_eq!(groups.due(1), Some(vec!['b']));
        groups.join('c', GROUP_BYTES_MAX);
        let joined = groups.join('d', 1);
        assert_eq!(joined, Joined { write: Some(vec!['c']), opened: Some(3) });
        assert_eq!(groups.join('e', GROUP_BYTES_MAX + 1), Joined { write: Some(vec!['d']), opened: Some(4) });
        assert_eq!(groups.ended(), Some(vec!['e']));
    }

    proptest! {
        /// Whatever the order of events: each request is written once, no group is too large, and none is forgotten.
        #[test]
        fn every_request_is_written_once(events in proptest::collection::vec((0..4_u8, 1..GROUP_BYTES_MAX), 1..200)) {
            let (mut groups, mut under_way, mut due) = (Groups::default(), 0_usize, Vec::new());
            let (mut written, mut joined) = (Vec::new(), Vec::new());
            let mut write = |requests: Option<Vec<(usize, usize)>>, under_way: &mut usize| {
                let requests = requests.unwrap_or_default();
                *under_way += usize::from(!requests.is_empty());
                let bytes = requests.iter().map(|(_, bytes)| bytes).sum::<usize>();
                assert!(bytes <= GROUP_BYTES_MAX || requests.len() == 1);
                written.extend(requests);
            };
            for (event, bytes) in events {
                match event {
                    0 if under_way > 0 => {
                        under_way -= 1;
                        write(groups.ended(), &mut under_way);
                    }
                    1 if !due.is_empty() => write(groups.due(due.remove(0)), &mut under_way),
                    _ => {
                        let request = (joined.len(), bytes);
                        joined.push(request);
                        let answer = groups.join(request, bytes);
                        due.extend(answer.opened);
                        write(answer.write, &mut under_way);
                    }
                }
                prop_assert!(groups.is_idle() || under_way > 0, "the end of a write finds what waits");
            }
            while under_way > 0 {
                under_way -= 1;
                write(groups.ended(), &mut under_way);
            }
            prop_assert!(groups.is_idle());
            written.sort_unstable();
            prop_assert_eq!(written, joined);
        }
    }
}
