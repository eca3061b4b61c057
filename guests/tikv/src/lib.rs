//! policy-tikv
