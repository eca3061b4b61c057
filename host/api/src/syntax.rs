//! Syntax of names and addresses.

use std::net::IpAddr;

/// Longest DNS label.
pub const DNS_LABEL_MAX: usize = 63;
/// Longest DNS subdomain.
pub const DNS_SUBDOMAIN_MAX: usize = 253;

/// A DNS label that may also be the name of a Service: it begins with a letter.
pub fn is_service_label(text: &str) -> bool {
    is_dns_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())
}

/// A DNS label: small letters, digits and dashes, no dash at the ends.
pub fn is_dns_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty()
        && text.len() <= DNS_LABEL_MAX
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// DNS labels joined by dots.
pub fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= DNS_SUBDOMAIN_MAX && text.split('.').all(is_dns_label)
}

/// A name of an environment variable.
pub fn is_env_name(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    !text.is_empty()
        && text.bytes().all(inner)
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text != "."
        && !text.starts_with("..")
}

/// A key of a ConfigMap.
pub fn is_config_map_key(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    !text.is_empty()
        && text.len() <= DNS_SUBDOMAIN_MAX
        && text.bytes().all(inner)
        && text != "."
        && !text.starts_with("..")
}

/// A key of a label or annotation: an optional DNS subdomain and a slash, then a name.
pub fn is_qualified_name(text: &str) -> bool {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    let ends = |c: char| c.is_ascii_alphanumeric();
    let name_fits =
        name.len() <= DNS_LABEL_MAX && name.bytes().all(inner) && name.starts_with(ends) && name.ends_with(ends);
    name_fits && prefix.is_none_or(is_dns_subdomain)
}

/// An address and the number of its leading bits: `10.0.0.0/8`.
pub fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let bits_max = if address.is_ipv4() { 32 } else { 128 };
    // A leading zero or sign is no number here.
    let plain = bits == "0" || (bits.bytes().all(|b| b.is_ascii_digit()) && !bits.starts_with('0'));
    plain && bits.parse::<u8>().is_ok_and(|bits| bits <= bits_max)
}

/// `http://…` or `https://…` with a host.
pub fn is_http_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let printable = text.bytes().all(|b| b.is_ascii_graphic());
    printable && (scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")) && !authority.is_empty()
}

/// `sha256:` and 64 hexadecimal digits.
pub fn is_sha256_digest(text: &str) -> bool {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.strip_prefix("sha256:").is_some_and(|digits| digits.len() == 64 && digits.bytes().all(hex))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cidrs() {
        for good in ["192.168.0.1/32", "10.0.0.0/8", "::/0", "fd00::/64"] {
            assert!(is_cidr(good), "{good}");
        }
        for bad in ["192.168.0.1", "everywhere", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/08"] {
            assert!(!is_cidr(bad), "{bad}");
        }
    }

    #[test]
    fn urls() {
        for good in ["http://1.2.3.4:2379", "https://pd.example.com:2379", "http://pd"] {
            assert!(is_http_url(good), "{good}");
        }
        for bad in ["base-pd:2379", "ftp://pd", "http://", "http:// pd"] {
            assert!(!is_http_url(bad), "{bad}");
        }
    }

    #[test]
    fn names() {
        assert!(is_service_label("basic") && !is_service_label("1basic") && !is_service_label("Bad_Name"));
        assert!(is_qualified_name("tidb.pingcap.com/x") && is_qualified_name("runmode") && !is_qualified_name("/x"));
        assert!(is_env_name("FOO_1") && !is_env_name("1bad name") && !is_env_name(""));
    }
}
