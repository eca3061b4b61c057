//! The memory of a guest. An instance lives for one call, so the allocator only has to be quick: sizes are rounded up to
//! classes, what is given back waits for the next of its class, and nothing is ever joined, split or returned.

/// Where memory that was never used begins and ends, and what was given back.
pub(crate) struct Heap {
    next: usize,
    end: usize,
    free: [usize; CLASSES],
}

/// Every block is a multiple of this, and begins at one.
const GRAIN: usize = 16;

/// Up to this size there is a class for every grain; above, four for each doubling.
const SMALL_MAX: usize = 128;

/// Enough for blocks of 2 GiB, half of what 32 bits can address.
const CLASSES: usize = 9 + 4 * 24;

impl Heap {
    /// Nothing yet.
    pub(crate) const fn new() -> Self {
        Self { next: 0, end: 0, free: [0; CLASSES] }
    }

    /// A block of at least `size` bytes; 0 if there is no memory. `grow` adds memory and tells where it is.
    ///
    /// # Safety
    /// `grow` gives memory that nobody else uses, and that is never taken away.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn take(
        &mut self,
        size: usize,
        align: usize,
        grow: impl FnOnce(usize) -> Option<(usize, usize)>,
    ) -> usize {
        let Some((class, size)) = class_of(size) else { return 0 };
        let kept = self.free[class];
        if kept != 0 && align <= GRAIN {
            // SAFETY: only `give` puts an address there, of a block that holds at least one word and is not in use.
            self.free[class] = unsafe { *(kept as *const usize) };
            return kept;
        }
        let align = align.max(GRAIN);
        let mut at = self.next.next_multiple_of(align);
        if self.next == 0 || self.end.checked_sub(at).is_none_or(|left| left < size) {
            let Some(wanted) = size.checked_add(align) else { return 0 };
            let Some((start, end)) = grow(wanted) else { return 0 };
            if start != self.end {
                self.next = start;
            }
            self.end = end;
            at = self.next.next_multiple_of(align);
        }
        self.next = at + size;
        at
    }

    /// Takes a block back.
    ///
    /// # Safety
    /// It came from `take` for this size, and nobody uses it any more.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn give(&mut self, block: usize, size: usize) {
        let Some((class, _)) = class_of(size) else { return };
        // SAFETY: a block holds at least a grain, begins at a multiple of it, and is nobody's now.
        unsafe { *(block as *mut usize) = self.free[class] };
        self.free[class] = block;
    }

    /// Makes a block larger where it is, if that is possible.
    pub(crate) fn extend(&mut self, block: usize, from: usize, to: usize) -> bool {
        let (Some((old, held)), Some((new, wanted))) = (class_of(from), class_of(to)) else { return false };
        if old == new {
            return true;
        }
        // The block that was taken last can have what follows.
        let last = block + held == self.next;
        let fits = self.end.checked_sub(block).is_some_and(|left| left >= wanted);
        if last && fits && wanted > held {
            self.next = block + wanted;
        }
        last && fits && wanted > held
    }
}

/// The class of a size, and the size of its blocks.
fn class_of(size: usize) -> Option<(usize, usize)> {
    if size <= SMALL_MAX {
        let class = size.max(1).div_ceil(GRAIN);
        return Some((class, class * GRAIN));
    }
    let shift = (size - 1).ilog2() - 2;
    let parts = ((size - 1) >> shift) + 1;
    let class = 9 + 4 * (shift as usize - 5) + parts - 5;
    (class < CLASSES).then_some((class, parts << shift))
}

/// The allocator of every policy that the SDK's macro exports.
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub struct OneCall(core::cell::UnsafeCell<Heap>);

#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code)]
mod global {
    use core::{
        alloc::{GlobalAlloc, Layout},
        arch::wasm32::{memory_grow, memory_size},
        cell::UnsafeCell,
    };

    use super::{Heap, OneCall};

    const PAGE_BYTES: usize = 64 << 10;

    /// Memory is asked for in pieces of at least this size: each time costs the host a call of the system.
    const GROW_BYTES_MIN: usize = 1 << 20;

    unsafe extern "C" {
        /// The linker puts it behind all that a module has from the start.
        static __heap_base: u8;
    }

    impl OneCall {
        /// Nothing is taken yet.
        pub const fn new() -> Self {
            Self(UnsafeCell::new(Heap::new()))
        }
    }

    // SAFETY: the contract gives a guest one thread.
    unsafe impl Sync for OneCall {}

    // SAFETY: there is one thread and no call re-enters; blocks are as large and aligned as asked and never overlap.
    unsafe impl GlobalAlloc for OneCall {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            unsafe { (*self.0.get()).take(layout.size(), layout.align(), grow) as *mut u8 }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            unsafe { (*self.0.get()).give(block as usize, layout.size()) }
        }

        unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            unsafe {
                let heap = &mut *self.0.get();
                if heap.extend(block as usize, layout.size(), size) {
                    return block;
                }
                let moved = heap.take(size, layout.align(), grow) as *mut u8;
                if !moved.is_null() {
                    core::ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                    heap.give(block as usize, layout.size());
                }
                moved
            }
        }
    }

    /// First what the module was given beyond what it uses, then more.
    fn grow(bytes: usize) -> Option<(usize, usize)> {
        static GIVEN: core::sync::atomic::AtomicBool = core::sync::atomic::AtomicBool::new(false);
        let end = memory_size(0) * PAGE_BYTES;
        let start = &raw const __heap_base as usize;
        let first = !GIVEN.swap(true, core::sync::atomic::Ordering::Relaxed);
        if first && end.saturating_sub(start) >= bytes {
            return Some((start, end));
        }
        let pages = bytes.max(GROW_BYTES_MIN).div_ceil(PAGE_BYTES);
        match memory_grow(0, pages) {
            usize::MAX => None,
            before => Some((if first { start } else { before * PAGE_BYTES }, (before + pages) * PAGE_BYTES)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory that a heap may use, as a guest's own.
    fn memory(bytes: usize) -> (Vec<u128>, usize, usize) {
        let memory = vec![0_u128; bytes / 16];
        let start = memory.as_ptr() as usize;
        (memory, start, start + bytes)
    }

    #[test]
    fn classes_hold_what_they_are_for_and_waste_little() {
        let mut before = 0;
        for size in 1..100_000 {
            let (class, held) = class_of(size).expect("a class");
            assert!(held >= size && held % GRAIN == 0 && class >= before, "{size}: class {class} of {held}");
            assert!(held - size < GRAIN || (held - size) * 4 < size, "{size}: {held}");
            assert_eq!(class_of(held), Some((class, held)));
            before = class;
        }
        assert_eq!(class_of(usize::MAX), None);
    }

    #[test]
    #[allow(unsafe_code)]
    fn blocks_never_overlap_and_come_again() {
        // What is aligned more than usual is not used again, so there is room for all of that.
        let (_memory, start, end) = memory(32 << 20);
        let mut heap = Heap::new();
        let mut grow = Some((start, end));
        let mut held: Vec<(usize, usize, usize)> = Vec::new();
        let mut random = 7_usize;
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (size, align) = (1 + (random >> 40) % 3_000, 1 << ((random >> 33) % 7));
            // SAFETY: the memory is this test's own, and lives as long as the heap.
            let block = unsafe { heap.take(size, align, |_| grow.take()) };
            assert!(block >= start && block + size <= end && block % align == 0, "{size} bytes at {block:#x}");
            let apart = |other: &(usize, usize, usize)| block + size <= other.0 || other.0 + other.1 <= block;
            assert!(held.iter().all(apart), "{size} bytes at {block:#x}");
            held.push((block, size, align));
            if held.len() > 100 {
                let (block, size, _) = held.swap_remove((random >> 20) % 100);
                // SAFETY: it came from this heap, and is held no longer.
                unsafe { heap.give(block, size) };
            }
        }
    }

    #[test]
    #[allow(unsafe_code)]
    fn the_last_block_grows_where_it_is_and_no_memory_is_an_answer() {
        let (_memory, start, end) = memory(1 << 20);
        let mut heap = Heap::new();
        // SAFETY: as above.
        let (first, last) = unsafe { (heap.take(100, 8, |_| Some((start, end))), heap.take(100, 8, |_| None)) };
        assert!(!heap.extend(first, 100, 1_000), "the other is behind it");
        assert!(heap.extend(first, 100, 112), "it is as large already");
        assert!(heap.extend(last, 100, 1_000));
        assert!(!heap.extend(last, 1_000, 2 << 20), "there is not so much");
        // SAFETY: as above.
        let none = unsafe { heap.take(2 << 20, 8, |_| None) };
        assert_eq!(none, 0);
    }
}
