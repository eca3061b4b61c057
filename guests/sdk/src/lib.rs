//! tidepool-sdk
