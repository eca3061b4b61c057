//! Comparing bytes eight at a time. What comes with the target compares them one by one, and a decision looks up
//! thousands of keys in the maps of its JSON.

use core::cmp::Ordering;

/// Bytes that are compared at once.
const WORD: usize = size_of::<u64>();

/// Which of two blocks of `len` bytes comes first.
///
/// # Safety
/// Both can be read for `len` bytes.
#[allow(unsafe_code)]
pub(crate) unsafe fn compare(one: *const u8, other: *const u8, len: usize) -> Ordering {
    let mut at = 0;
    while len - at >= WORD {
        // SAFETY: a whole word is left in both, and nothing is said of how it is aligned.
        let (left, right) = unsafe { (word(one.add(at)), word(other.add(at))) };
        if left != right {
            return left.cmp(&right);
        }
        at += WORD;
    }
    while at < len {
        // SAFETY: less than `len`.
        let (left, right) = unsafe { (*one.add(at), *other.add(at)) };
        if left != right {
            return left.cmp(&right);
        }
        at += 1;
    }
    Ordering::Equal
}

/// A word in the order in which its bytes are compared.
///
/// # Safety
/// A word can be read at `from`.
#[allow(unsafe_code)]
unsafe fn word(from: *const u8) -> u64 {
    // SAFETY: the caller's promise.
    u64::from_be(unsafe { from.cast::<u64>().read_unaligned() })
}

/// In place of the target's own, which are weak so that they can be replaced.
#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code)]
mod replaced {
    /// As in C.
    ///
    /// # Safety
    /// Both can be read for `len` bytes.
    #[inline(never)]
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, len: usize) -> i32 {
        // SAFETY: the caller's promise.
        unsafe { super::compare(one, other, len) as i32 }
    }

    /// As in C.
    ///
    /// # Safety
    /// Both can be read for `len` bytes.
    #[inline(never)]
    #[unsafe(no_mangle)]
    unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, len: usize) -> i32 {
        // SAFETY: the caller's promise.
        unsafe { super::compare(one, other, len) as i32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every length around a word, every first difference, and none; at any alignment.
    #[test]
    #[allow(unsafe_code)]
    fn as_slices_are_compared() {
        let bytes: Vec<u8> = (0..40u8).collect();
        for from in 0..WORD {
            for len in 0..=24 {
                for changed in 0..=len {
                    for by in [1, 0x80] {
                        let one = &bytes[from..from + len];
                        let mut other = one.to_vec();
                        if let Some(byte) = other.get_mut(changed) {
                            *byte = byte.wrapping_add(by);
                        }
                        // SAFETY: both are `len` bytes.
                        let found = unsafe { compare(one.as_ptr(), other.as_ptr(), len) };
                        assert_eq!(found, one.cmp(&other), "{one:?} {other:?}");
                    }
                }
            }
        }
    }
}
