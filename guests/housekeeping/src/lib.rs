//! policy-housekeeping
