//! How large a compressed object may be: each invocation inflates it again from its beginning.

use crate::cost::MEMORY_MB_PER_CPU;
use crate::deadline::Deadline;
use bytes::Bytes;
use calls::refusal::{FaultCode, FileFault};

/// Inflated bytes a second of one CPU. Today's CPUs inflate more.
const INFLATED_BYTES_PER_S: u64 = 250_000_000;
/// Inflating takes at most a third of an invocation, so that most of the time is left for rows.
const SHARE_OF_TIME: u64 = 3;
/// CSV that is compressed becomes at most about so many times as large.
const INFLATION: u64 = 10;

/// Reading a zstd frame takes up to 3.5 times its window. The rest of the memory is for everything else.
const WINDOWS_IN_MEMORY: u64 = 8;

/// The largest window of a zstd frame that a function with this memory can read.
pub(super) fn zstd_window_bytes(memory_mb: u32) -> u64 {
    (u64::from(memory_mb) << 20) / WINDOWS_IN_MEMORY
}

/// The limits of a function. They follow its timeout, and its memory, because Lambda gives CPU time with memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// The largest compressed object, as stored.
    object_bytes_max: u64,
    /// The last inflated byte at which a file is resumed.
    inflated_again_bytes_max: u64,
}

impl Limits {
    pub(super) fn of(memory_mb: u32, deadline: Deadline) -> Self {
        // One thread inflates.
        let memory_mb = u64::from(memory_mb.min(MEMORY_MB_PER_CPU));
        let timeout_ms = u64::try_from(deadline.ends_at_ms - deadline.began_at_ms).unwrap_or(0);
        let inflated_bytes_per_ms = memory_mb * INFLATED_BYTES_PER_S / u64::from(MEMORY_MB_PER_CPU) / 1_000;
        let inflated = timeout_ms / SHARE_OF_TIME * inflated_bytes_per_ms;
        Self { object_bytes_max: inflated / INFLATION, inflated_again_bytes_max: inflated }
    }

    /// The fault of a compressed file that is too large to be resumed. A run that resumes one inflates `inflated_again` bytes
    /// first.
    pub(super) fn exceeded(self, inflated_again: Option<u64>, object_bytes: u64, first: &[Bytes]) -> Option<FileFault> {
        const MAGIC: [&[u8]; 2] = [b"\x1F\x8B", b"\x28\xB5\x2F\xFD"];
        const FIX: &str = "split it into several files, upload it uncompressed, or give the function more memory";
        let Self { object_bytes_max, inflated_again_bytes_max } = self;
        if inflated_again.is_some_and(|bytes| bytes > inflated_again_bytes_max) {
            return Some(fault(format!(
                "it is compressed and has more than {inflated_again_bytes_max} bytes, too many for each invocation to \
                 inflate again: {FIX}"
            )));
        }
        let beginning: Vec<u8> = first.iter().flatten().take(4).copied().collect();
        let is_compressed = MAGIC.iter().any(|magic| beginning.starts_with(magic));
        (is_compressed && object_bytes > object_bytes_max).then(|| {
            fault(format!(
                "it is compressed and has {object_bytes} bytes: above {object_bytes_max} a later invocation cannot \
                 resume it; {FIX}"
            ))
        })
    }
}

fn fault(message: String) -> FileFault {
    FileFault { code: FaultCode::CompressedTooLarge, at: None, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { object_bytes_max: 1_000, inflated_again_bytes_max: 10_000 };

    #[test]
    fn a_compressed_file_too_large_to_be_resumed_is_refused_at_the_start() {
        let chunks = |bytes: &'static [u8]| vec![Bytes::from_static(&bytes[..1]), Bytes::from_static(&bytes[1..])];
        for compressed in [&b"\x1F\x8B\x08\x00"[..], b"\x28\xB5\x2F\xFD"] {
            assert_eq!(LIMITS.exceeded(None, 1_000, &chunks(compressed)), None);
            let fault = LIMITS.exceeded(None, 1_001, &chunks(compressed)).unwrap();
            assert_eq!(fault.code, FaultCode::CompressedTooLarge);
            assert!(fault.message.contains("upload it uncompressed"), "{fault}");
        }
        assert_eq!(LIMITS.exceeded(None, u64::MAX, &chunks(b"userId,event")), None);
    }

    #[test]
    fn a_compressed_file_is_stopped_before_inflating_it_again_takes_an_invocation() {
        assert_eq!(LIMITS.exceeded(Some(10_000), 1, &[]), None);
        assert_eq!(LIMITS.exceeded(Some(10_001), 1, &[]).map(|fault| fault.code), Some(FaultCode::CompressedTooLarge));
        assert_eq!(LIMITS.exceeded(None, 1, &[]), None);
    }

    #[test]
    fn the_limits_of_compressed_files_follow_memory_and_timeout_of_the_function() {
        let of = |memory_mb, timeout_s: i64| Limits::of(memory_mb, Deadline::of(0, timeout_s * 1_000));
        let gigabytes = |memory_mb, timeout_s| of(memory_mb, timeout_s).inflated_again_bytes_max / 1_000_000_000;
        assert_eq!([128, 256, 512, 1_769, 10_240].map(|memory_mb| gigabytes(memory_mb, 900)), [5, 10, 21, 75, 75]);
        assert_eq!([300, 600, 900].map(|timeout_s| gigabytes(512, timeout_s)), [7, 14, 21]);
        assert_eq!(of(512, 900).object_bytes_max / 100_000_000, 21);
    }
}
