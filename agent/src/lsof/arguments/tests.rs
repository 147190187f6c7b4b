//! The command line, whole.
