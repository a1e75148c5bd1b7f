//! Under construction.
#![allow(dead_code)]
mod h1;
