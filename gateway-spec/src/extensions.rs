//! [`Extensions`]: what middleware and servers add to a request, by type.

use std::any::{Any, TypeId};
use std::fmt;

/// Values of any type, one of each, for what has no place among the CGI variables (GW-EXT-01).
///
/// Middleware should put functions of the environ here rather than values taken from it (GW-EXT-06): a layer below may
/// change the environ.
///
/// ```
/// #[derive(Debug, PartialEq)]
/// struct RequestId(u64);
///
/// let mut extensions = gateway_spec::Extensions::default();
/// extensions.insert(RequestId(7));
/// assert_eq!(extensions.get(), Some(&RequestId(7)));
/// ```
#[derive(Default)]
pub struct Extensions(Vec<(TypeId, Box<dyn Any + Send + Sync>)>);

impl Extensions {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a value, and returns the one of this type that it replaces.
    pub fn insert<T: Any + Send + Sync>(&mut self, value: T) -> Option<T> {
        let old = self.remove();
        self.0.push((TypeId::of::<T>(), Box::new(value)));
        old
    }

    /// The value of this type.
    #[must_use]
    pub fn get<T: Any>(&self) -> Option<&T> {
        // A handful of entries at most: looking through them beats hashing.
        self.0.iter().find(|(id, _)| *id == TypeId::of::<T>())?.1.downcast_ref()
    }

    /// The value of this type, to be changed.
    pub fn get_mut<T: Any>(&mut self) -> Option<&mut T> {
        self.0.iter_mut().find(|(id, _)| *id == TypeId::of::<T>())?.1.downcast_mut()
    }

    /// Takes the value of this type out.
    pub fn remove<T: Any>(&mut self) -> Option<T> {
        let index = self.0.iter().position(|(id, _)| *id == TypeId::of::<T>())?;
        self.0.swap_remove(index).1.downcast().ok().map(|value| *value)
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extensions").field("len", &self.0.len()).finish()
    }
}
