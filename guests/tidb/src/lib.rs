//! policy-tidb
