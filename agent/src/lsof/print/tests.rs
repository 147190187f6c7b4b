//! Listings, whole.
