//! policy-pd
