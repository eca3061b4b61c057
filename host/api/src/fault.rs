//! What is wrong with a field: the same form for every check, so that all faults of an object can be told at once.

use std::fmt;

/// The kind of a fault; the names are those of Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FaultKind {
    /// Absent although needed.
    Required,
    /// A value that does not fit.
    Invalid,
    /// None of the values allowed.
    NotSupported,
    /// The same as another entry.
    Duplicate,
    /// Of another type.
    TypeInvalid,
    /// No such field.
    Unknown,
    /// May not be changed so.
    Forbidden,
}

impl FaultKind {
    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            FaultKind::Required => "Required",
            FaultKind::Invalid => "Invalid",
            FaultKind::NotSupported => "NotSupported",
            FaultKind::Duplicate => "Duplicate",
            FaultKind::TypeInvalid => "TypeInvalid",
            FaultKind::Unknown => "Unknown",
            FaultKind::Forbidden => "Forbidden",
        }
    }
}

/// One fault of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// JSON path: `spec.tikv.storageVolumes[0].name`.
    pub field: String,
    /// What kind of fault.
    pub kind: FaultKind,
    /// What is wrong, for people.
    pub message: String,
    /// The value that is wrong, if showing it helps.
    pub value: Option<String>,
}

impl Fault {
    /// A fault without a value to show.
    pub fn new(field: impl Into<String>, kind: FaultKind, message: impl Into<String>) -> Self {
        Fault { field: field.into(), kind, message: message.into(), value: None }
    }

    /// The same, with the value.
    pub fn with_value(mut self, value: impl Into<String>) -> Self {
        self.value = Some(value.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)?;
        match &self.value {
            Some(value) => write!(f, ": {value:?}"),
            None => Ok(()),
        }
    }
}

/// Collects faults.
#[derive(Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Notes a fault.
    pub fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// Notes that a field is absent.
    pub fn required(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.add(Fault::new(field, FaultKind::Required, message));
    }

    /// Notes that a value does not fit.
    pub fn invalid(&mut self, field: impl Into<String>, message: impl Into<String>, value: impl Into<String>) {
        self.add(Fault::new(field, FaultKind::Invalid, message).with_value(value));
    }

    /// All faults, in the order in which they were found; the same one only once.
    pub fn into_vec(self) -> Vec<Fault> {
        let mut faults: Vec<Fault> = Vec::with_capacity(self.0.len());
        for fault in self.0 {
            if !faults.contains(&fault) {
                faults.push(fault);
            }
        }
        faults
    }
}
