//! An allocator that ends the process when one allocation asks for more than any input of a few
//! kilobytes can need: a length that was believed before it was looked at.

use std::alloc::{GlobalAlloc, Layout, System};

/// The most that one allocation may ask for, in bytes.
const MOST: usize = 256 << 20;

pub struct Limited;

#[global_allocator]
static ALLOCATOR: Limited = Limited;

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        check(size);
        unsafe { System.realloc(place, layout, size) }
    }
}

fn check(size: usize) {
    if size > MOST {
        eprintln!("one allocation of {size} bytes");
        std::process::abort();
    }
}
