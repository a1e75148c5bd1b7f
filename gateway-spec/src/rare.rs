//! [`Rare`]: what hardly any request has, so that the others need not drop it.

use std::ops::{Deref, DerefMut};

/// An optional value out of line. To drop none is one comparison where it is dropped, instead of a call of a function that
/// could drop one.
#[derive(Clone, Debug)]
pub(crate) struct Rare<T>(Option<Box<T>>);

impl<T> Rare<T> {
    pub(crate) const NONE: Self = Self(None);
}

impl<T> Default for Rare<T> {
    fn default() -> Self {
        Self::NONE
    }
}

impl<T> Deref for Rare<T> {
    type Target = Option<Box<T>>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T> DerefMut for Rare<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<T> Drop for Rare<T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(value) = self.0.take() {
            drop_aside(value);
        }
    }
}

#[cold]
#[inline(never)]
fn drop_aside<T>(value: Box<T>) {
    drop(value);
}
