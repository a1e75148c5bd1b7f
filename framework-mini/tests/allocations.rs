//! What a request allocates in the framework: a ceiling for each kind, so that it does not creep up unseen.
//!
//! The allocator of this process counts, so there is one test, and the least of several rounds is what a request costs.
#![cfg(feature = "json")]

#[allow(unreachable_pub, reason = "it is public where it is shared")]
mod requests;

use std::alloc::System;

use framework_mini::middleware::{AccessLog, ConditionalGet, RequestIds, SecurityHeaders};
use gateway_spec::Application;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use requests::{Ends, site};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The least that a request has allocated, and its status.
fn allocations(application: &dyn Application, method: &str, path: &str, body: &'static str) -> (usize, u16) {
    let ends = Ends::new();
    let once = || {
        let region = Region::new(ALLOCATOR);
        let code = ends.ask(application, method, path, body);
        let change = region.change();
        (change.allocations + change.reallocations, code)
    };
    // The first ones make what is made once.
    (0..20).map(|_| once()).min().unwrap_or_default()
}

#[test]
fn what_a_request_allocates() {
    let log = |_: &str| {};
    let layers = AccessLog::new(RequestIds::new(SecurityHeaders::new(ConditionalGet::new(site())))).to(log);
    let site = site();
    // Of a text it is the list of headers; of what is made, also the text and what shares it.
    for (what, application, method, path, body, code, most) in [
        ("text", &site as &dyn Application, "GET", "/", "", 200, 1),
        ("text that is made", &site, "GET", "/count", "", 200, 3),
        ("a parameter", &site, "GET", "/users/7", "", 200, 4),
        ("JSON", &site, "GET", "/json/7", "", 200, 6),
        ("a form", &site, "POST", "/notes", "a=b&c=d", 303, 12),
        // A page, chosen by `Accept`.
        ("404", &site, "GET", "/nowhere", "", 404, 14),
        ("four layers", &layers, "GET", "/", "", 200, 29),
    ] {
        let (least, got) = allocations(application, method, path, body);
        assert_eq!(got, code, "{what}");
        assert!(least <= most, "{what}: {least} allocations, {most} at most");
        println!("{what}: {least}");
    }
    // And it counts.
    assert!(allocations(&site, "GET", "/count", "").0 > 0);
}
