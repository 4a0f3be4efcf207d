//! Bits to bytes, the lowest bit first (RFC 1951, section 3.1.1).

/// Bits that are no whole byte yet.
#[derive(Clone, Copy, Debug, Default)]
struct Pending {
    bits: u64,
    count: u32,
}

/// Appends bits to bytes.
#[derive(Debug)]
pub(crate) struct Bits<'a> {
    out: &'a mut Vec<u8>,
    pending: Pending,
}

impl<'a> Bits<'a> {
    /// The next bit is the first one of a byte.
    pub(crate) fn after(out: &'a mut Vec<u8>) -> Self {
        Self { out, pending: Pending::default() }
    }

    /// Appends what `write` puts, which is no more than `bits`.
    pub(crate) fn append(&mut self, bits: u64, write: impl FnOnce(&mut Room<'_>)) {
        let from = self.out.len();
        let bytes = usize::try_from(bits / 8).expect("as much fits into memory");
        self.out.resize(from + bytes + 2 * size_of::<u64>(), 0);
        let mut room = Room { bytes: &mut self.out[from..], at: 0, pending: self.pending };
        write(&mut room);
        room.flush();
        let Room { at, pending, .. } = room;
        self.out.truncate(from + at);
        self.pending = pending;
    }

    /// Appends zeroes up to the next byte, and then bytes.
    pub(crate) fn append_bytes(&mut self, bytes: &[&[u8]]) {
        if self.pending.count > 0 {
            self.out.push(self.pending.bits as u8);
            self.pending = Pending::default();
        }
        for bytes in bytes {
            self.out.extend_from_slice(bytes);
        }
    }
}

/// Room for bits.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    bytes: &'a mut [u8],
    at: usize,
    pending: Pending,
}

impl Room<'_> {
    /// Puts the lowest `count` bits of a value that has no others. Between two flushes there is room for 56.
    #[inline(always)]
    pub(crate) fn put(&mut self, value: u64, count: u32) {
        debug_assert!(value >> count == 0, "more bits than it says");
        debug_assert!(self.pending.count + count < u64::BITS, "a flush is missing");
        self.pending.bits |= value << self.pending.count;
        self.pending.count += count;
    }

    /// Writes whole bytes. It always writes a word, and goes on after the bytes that are complete.
    #[inline(always)]
    pub(crate) fn flush(&mut self) {
        self.bytes[self.at..][..8].copy_from_slice(&self.pending.bits.to_le_bytes());
        self.at += self.pending.count as usize / 8;
        self.pending.bits >>= self.pending.count & !7;
        self.pending.count &= 7;
    }
}
