//! Counts what a thread allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// What any target may take besides what its input accounts for: tables, messages, a runtime.
const BASE: isize = 1 << 20;

/// Bytes of memory that each byte of input may account for. A byte of an empty message in a list is the dearest: a
/// literal takes some hundred bytes.
const PER_BYTE: isize = 1 << 10;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

fn count(change: isize) {
    // A thread that is ending has no counters any more.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + change);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

// SAFETY: every call is the system's own; the counters allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(memory, layout) }
    }
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `target` over `input` bytes and asserts that it never held more than they account for.
pub fn metered<T>(input: usize, target: impl FnOnce() -> T) -> T {
    let before = HELD.get();
    PEAK.set(before);
    let result = target();
    let taken = PEAK.get() - before;
    assert!(taken <= BASE + PER_BYTE * input as isize, "{taken} bytes of memory for {input} bytes of input");
    result
}

#[test]
fn it_counts() {
    let caught = std::panic::catch_unwind(|| metered(1, || vec![0_u8; 8 << 20]));
    assert!(caught.is_err());
    metered(1, || vec![0_u8; 1 << 10]);
}
