//! A set of windows: a bitmap that answers "no" fast, and a table for the rest.

/// Windows of up to 8 bytes, in a bitmap of 2^`BITS` bits.
#[derive(Clone, Default)]
pub(crate) struct Windows<const BITS: u32> {
    bitmap: Vec<u64>,
    /// Four bits of a hash of the window, the literal's number + 1 in 25 bits, and the phase in three; 0 is
    /// an empty slot. Small slots keep the table of a thousand needles in the second cache.
    slots: Vec<u32>,
}

impl<const BITS: u32> Drop for Windows<BITS> {
    fn drop(&mut self) {
        self.slots.fill(0);
        std::hint::black_box(&mut self.slots);
    }
}

impl<const BITS: u32> Windows<BITS> {
    /// Empties the set and makes room for `windows` windows.
    pub(crate) fn reset(&mut self, windows: usize) {
        if windows == 0 {
            (self.bitmap, self.slots) = (Vec::new(), Vec::new());
            return;
        }
        // Fresh zeroed memory costs only the pages that are touched.
        self.bitmap = vec![0; 1 << (BITS - 6)];
        self.slots = vec![0; (windows + windows / 2).next_power_of_two().max(64)];
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The bitmap, for the scan's inner loop: 2^(BITS-6) words.
    pub(crate) fn bitmap(&self) -> &[u64] {
        &self.bitmap
    }

    /// The bit of `window`.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "fewer than 32 bits are left")]
    pub(crate) fn bit(window: u64) -> usize {
        (window.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - BITS)) as usize
    }

    /// The slot to begin with and the bits of the hash to compare.
    fn slot(&self, window: u64) -> (usize, u32) {
        let hash = window.wrapping_mul(0xd6e8_feb8_6659_fd93);
        ((hash >> 20) as usize & (self.slots.len() - 1), (hash >> 60) as u32)
    }

    /// Adds the window of `phase` of a literal. A literal's number is below 2^25: its bytes would not fit in
    /// memory otherwise.
    pub(crate) fn add(&mut self, window: u64, literal: u32, phase: u8) {
        let bit = Self::bit(window);
        self.bitmap[bit / 64] |= 1 << (bit % 64);
        let (mut slot, tag) = self.slot(window);
        while self.slots[slot] != 0 {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        self.slots[slot] = tag << 28 | (literal + 1) << 3 | u32::from(phase);
    }

    /// Calls `found` with the number and phase of each literal that may have `window`.
    pub(crate) fn each(&self, window: u64, mut found: impl FnMut(u32, usize)) {
        let (mut slot, tag) = self.slot(window);
        while self.slots[slot] != 0 {
            let packed = self.slots[slot];
            if packed >> 28 == tag {
                found((packed << 4 >> 7) - 1, packed as usize & 7);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }
}
