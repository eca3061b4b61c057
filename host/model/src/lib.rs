//! tidepool-model
