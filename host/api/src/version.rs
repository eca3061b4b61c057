//! Versions of images, for rules that depend on them.

/// Tags that mean a build of the main branch; newer than every release.
const NEWEST: [&str; 3] = ["latest", "nightly", "master"];

/// A version as far as rules look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// A release, or what leads to it: major, minor, patch.
    Release(u64, u64, u64),
    /// A build of the main branch.
    Newest,
}

impl Version {
    /// Reads an image tag; `None` if it says no version. What follows a dash or plus does not count.
    pub fn parse(tag: &str) -> Option<Version> {
        let head = tag.split(['-', '+']).next()?;
        if NEWEST.contains(&head) {
            return Some(Version::Newest);
        }
        let mut numbers = head.strip_prefix('v').unwrap_or(head).split('.');
        let major = number(numbers.next()?)?;
        let minor = numbers.next().map_or(Some(0), number)?;
        let patch = numbers.next().map_or(Some(0), number)?;
        numbers.next().is_none().then_some(Version::Release(major, minor, patch))
    }

    /// Whether this is at least the given release.
    pub fn at_least(self, major: u64, minor: u64, patch: u64) -> bool {
        self >= Version::Release(major, minor, patch)
    }
}

fn number(text: &str) -> Option<u64> {
    // The standard parser would take a sign.
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_builds_and_what_is_neither() {
        let at_least_7_1 = |tag| Version::parse(tag).map(|version| version.at_least(7, 1, 0));
        for tag in ["v7.1.0", "7.1", "v7.1.0-alpha", "v8", "nightly", "latest", "master-20240101", "v10.0.0+x"] {
            assert_eq!(at_least_7_1(tag), Some(true), "{tag}");
        }
        for tag in ["v7.0.9", "v6.5.12-rc.1"] {
            assert_eq!(at_least_7_1(tag), Some(false), "{tag}");
        }
        for tag in ["", "vx", "v1.2.3.4", "5000/x", "v+1", "v-1"] {
            assert_eq!(at_least_7_1(tag), None, "{tag}");
        }
    }
}
