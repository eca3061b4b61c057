//! tidepool-pd
