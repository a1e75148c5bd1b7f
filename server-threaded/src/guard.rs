//! Where the application's panics end.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use gateway_spec::{Body, Error, StartResponse};

/// A body whose panics are errors, also the one in its `Drop`.
pub(crate) struct Guarded(Option<Body>);

impl Guarded {
    pub(crate) const fn new(body: Body) -> Self {
        Self(Some(body))
    }

    pub(crate) fn next(&mut self, start_response: &mut dyn StartResponse) -> Result<Option<bytes::Bytes>, Error> {
        let Some(body) = &mut self.0 else { return Ok(None) };
        guarded(|| body.next(start_response).transpose())
    }

    /// See [`Body::len`].
    pub(crate) fn len(&self) -> Result<Option<u64>, Error> {
        guarded(|| Ok(self.0.as_ref().and_then(Body::len)))
    }

    /// See [`Body::set_waker`].
    pub(crate) fn set_waker(&mut self, waker: &Waker) -> Result<(), Error> {
        guarded(|| {
            if let Some(body) = &mut self.0 {
                body.set_waker(waker);
            }
            Ok(())
        })
    }

    pub(crate) fn close(mut self) -> Result<(), Error> {
        let body = self.0.take();
        guarded_call(|| drop(body))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(body) = self.0.take() {
            // After an error there is one already; this one is in the panic hook's output.
            let _ = guarded_call(|| drop(body));
        }
    }
}

/// Runs a part of the application; a panic is an error like any other (GW-ERH-05).
#[inline(always)]
pub(crate) fn guarded<T>(part: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    // What a panic leaves half done belongs to the application, which chose to share it.
    catch_unwind(AssertUnwindSafe(part)).unwrap_or_else(|panic| Err(panicked(panic)))
}

/// As [`guarded`], of what cannot fail but by a panic.
pub(crate) fn guarded_call(part: impl FnOnce()) -> Result<(), Error> {
    guarded(|| {
        part();
        Ok(())
    })
}

#[cold]
fn panicked(panic: Box<dyn Any + Send>) -> Error {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let error = format!("the application panicked: {}", text.unwrap_or("no message")).into();
    // What a program panics with may panic when it is dropped. Then what that panics with is not dropped at all.
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        mem::forget(another);
    }
    error
}
