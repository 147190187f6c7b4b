//! The screen as a whole, fed from real books: what frames look like, what keys do, and that nothing breaks it.

mod exported;
mod fixtures;
mod frames;
mod hostile;
mod keys;
mod owners;
mod places;
mod properties;
mod replay;
