//! Tests of the parser and the segment arithmetic.

mod literal;
mod model;
mod random;
mod wire;
