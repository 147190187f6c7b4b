//! What is read from the host: interfaces and their coming and going, clsact filters that stayed behind, names,
//! processes.

pub mod clsact;
pub mod interfaces;
pub mod names;
pub mod proc;
pub mod users;
