//! The address of a browser behind proxies.

use std::net::{IpAddr, SocketAddr};

/// The address that a request came from, behind `trusted_hops` proxies of ours.
///
/// Each proxy appends the address of its own caller to `X-Forwarded-For`. A caller may have sent anything before that. So
/// only the last entries count, one for each trusted proxy. `peer` is the address of the connection.
#[must_use]
pub fn client(forwarded: &[&str], peer: Option<IpAddr>, trusted_hops: usize) -> Option<IpAddr> {
    let mut chain: Vec<_> = forwarded.iter().flat_map(|line| line.split(',')).map(address).collect();
    // The HTTP front of Lambda appends the address of the connection too.
    if chain.last().copied().flatten() != peer || peer.is_none() {
        chain.push(peer.map(|peer| peer.to_canonical()));
    }
    // With fewer entries than proxies, the first entry is the farthest caller that any of them saw.
    chain[chain.len().saturating_sub(1 + trusted_hops)]
}

/// An address, as proxies write it: alone, in brackets, or with a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_hops_are_believed() {
        let check = |forwarded: &[&str], peer: &str, hops: usize, expected: &str| {
            let found = client(forwarded, peer.parse().ok(), hops).map(|address| address.to_string());
            assert_eq!(found.unwrap_or_default(), expected, "{forwarded:?} {peer} {hops}");
        };
        check(&[], "203.0.113.7", 0, "203.0.113.7");
        check(&["1.1.1.1"], "203.0.113.7", 0, "203.0.113.7");
        check(&["1.1.1.1, 198.51.100.1"], "10.0.0.1", 1, "198.51.100.1");
        check(&["1.1.1.1", "198.51.100.1, 10.0.0.2"], "10.0.0.1", 2, "198.51.100.1");
        // Fewer entries than hops.
        check(&[], "203.0.113.7", 2, "203.0.113.7");
        check(&["198.51.100.1"], "10.0.0.1", 5, "198.51.100.1");
        // The front of Lambda has appended its peer.
        check(&["1.1.1.1, 203.0.113.7"], "203.0.113.7", 0, "203.0.113.7");
        check(&["1.1.1.1, 198.51.100.1, 10.0.0.2"], "10.0.0.2", 1, "198.51.100.1");
        // Spellings.
        check(&["198.51.100.1:4711"], "10.0.0.1", 1, "198.51.100.1");
        check(&["[2001:db8::1]:4711"], "10.0.0.1", 1, "2001:db8::1");
        check(&["[2001:db8::1]"], "10.0.0.1", 1, "2001:db8::1");
        check(&["::ffff:198.51.100.1"], "10.0.0.1", 1, "198.51.100.1");
        check(&["unknown"], "10.0.0.1", 1, "");
        check(&[], "", 0, "");
    }
}
