//! policy-discovery
