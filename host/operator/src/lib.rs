//! tidepool-operator
