//! Tests of the parser and the segment arithmetic.

mod literal;
mod wire;
