//! Names of services and hosts.
