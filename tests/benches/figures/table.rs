//! Figures beside their goals.

use std::fmt;

/// What was measured, in the order in which it was.
#[derive(Default)]
pub struct Table(Vec<Row>);

struct Row {
    name: String,
    value: f64,
    unit: Unit,
    goal: Option<Goal>,
    note: String,
}

/// What a figure counts.
#[derive(Clone, Copy)]
pub enum Unit {
    /// A quotient.
    Times,
    /// Nanoseconds.
    Nanoseconds,
    /// How many.
    Count,
    /// How many a second.
    PerSecond,
    /// Bytes.
    Bytes,
}

/// What a figure should be, in its own unit.
#[derive(Clone, Copy)]
pub enum Goal {
    /// So much or less.
    AtMost(f64),
    /// So much or more.
    AtLeast(f64),
}

impl Table {
    /// Adds a figure.
    pub fn note(&mut self, name: impl Into<String>, value: f64, unit: Unit, goal: Option<Goal>) {
        self.0.push(Row { name: name.into(), value, unit, goal, note: String::new() });
    }

    /// Says more about the figure that was added last.
    pub fn remark(&mut self, note: impl Into<String>) {
        if let Some(row) = self.0.last_mut() {
            row.note = note.into();
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n| what | figure | goal | met | |\n|---|--:|--:|---|---|")?;
        for Row { name, value, unit, goal, note } in &self.0 {
            let wanted = goal.map(|goal| goal.text(*unit)).unwrap_or_default();
            let met = goal.map_or("", |goal| if goal.met(*value) { "yes" } else { "**no**" });
            writeln!(f, "| {name} | {} | {wanted} | {met} | {note} |", unit.text(*value))?;
        }
        Ok(())
    }
}

impl Goal {
    fn met(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }

    fn text(self, unit: Unit) -> String {
        match self {
            Self::AtMost(most) => format!("<= {}", unit.text(most)),
            Self::AtLeast(least) => format!(">= {}", unit.text(least)),
        }
    }
}

impl Unit {
    fn text(self, value: f64) -> String {
        match (self, value) {
            (Self::Times, value) => format!("{value:.2} x"),
            (Self::Count, value) => format!("{value:.0}"),
            (Self::PerSecond, value) => format!("{value:.0} /s"),
            (Self::Bytes, value) if value < 1048576.0 => format!("{:.0} KiB", value / 1024.0),
            (Self::Bytes, value) => format!("{:.1} MiB", value / 1048576.0),
            (Self::Nanoseconds, value) if value < 1e3 => format!("{value:.0} ns"),
            (Self::Nanoseconds, value) if value < 1e6 => format!("{:.1} us", value / 1e3),
            (Self::Nanoseconds, value) if value < 1e9 => format!("{:.2} ms", value / 1e6),
            (Self::Nanoseconds, value) => format!("{:.2} s", value / 1e9),
        }
    }
}
