//! The contract between web servers and web applications.
