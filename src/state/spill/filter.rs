//! A few bits a row by which most hashes that are not there are known (a Bloom filter whose bits of
//! one hash lie in one word).

/// Bits a row: of 100 hashes that are not there, about two are taken to be.
const BITS: usize = 12;

/// Which hashes may be there.
pub(super) struct Filter(Box<[u64]>);

impl Filter {
    pub(super) fn of(hashes: impl ExactSizeIterator<Item = u64>) -> Self {
        let mut words = vec![0; (hashes.len() * BITS).div_ceil(64).max(1)];
        for hash in hashes {
            let (at, bits) = bits(hash, words.len());
            words[at] |= bits;
        }
        Self(words.into())
    }

    /// False: the hash is not there.
    pub(super) fn may_hold(&self, hash: u64) -> bool {
        let (at, bits) = bits(hash, self.0.len());
        self.0[at] & bits == bits
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.0)
    }
}

/// The word of a hash, and its bits. The hashes of a page begin alike, so they are mixed first.
fn bits(hash: u64, words: usize) -> (usize, u64) {
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let word = (u128::from(mixed) * words as u128) >> 64;
    let bits = [0, 6, 12, 18].map(|from| 1u64 << ((mixed >> from) & 63));
    (word as usize, bits.into_iter().fold(0, |all, bit| all | bit))
}
