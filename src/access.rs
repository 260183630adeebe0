//! Who may do what: an operator's token opens sales, the lab opens them on loopback, and a page of another
//! site changes nothing.

use std::net::IpAddr;

use sha2::{Digest, Sha256};

/// Who may change something.
pub struct Access {
    lab: bool,
    token: Option<[u8; 32]>,
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No token, or a wrong one.
    Token,
    /// In lab mode the name in `Host` must be this machine's (a page may have rebound its own name to us).
    Host,
    /// A page of another origin asks.
    Origin,
}

impl Access {
    /// From the settings.
    pub fn new(lab: bool, token: Option<&str>) -> Access {
        Access { lab, token: token.map(hash) }
    }

    /// Is this a lab?
    pub fn is_lab(&self) -> bool {
        self.lab
    }

    /// May this caller open a sale?
    pub fn operator(&self, authorization: Option<&str>, peer: Option<IpAddr>) -> Result<(), Denied> {
        // The scheme's name has no case (RFC 9110, 11.1).
        let bearer =
            authorization.and_then(|a| a.split_once(' ')).filter(|a| a.0.eq_ignore_ascii_case("bearer"));
        let sent = bearer.map(|(_, token)| hash(token.trim()));
        // Hashes are compared, so the time that it takes says nothing about the token.
        let known = sent.is_some() && sent == self.token;
        let lab = self.lab && peer.is_some_and(|ip| ip.is_loopback());
        if known || lab { Ok(()) } else { Err(Denied::Token) }
    }

    /// May a changing request come with these headers?
    pub fn same_site(&self, host: Option<&str>, origin: Option<&str>) -> Result<(), Denied> {
        let host = host.unwrap_or("");
        if self.lab && !is_loopback_name(host) {
            return Err(Denied::Host);
        }
        match origin.and_then(|o| o.split_once("://")) {
            Some((_, from)) if from != host => Err(Denied::Origin),
            None if origin.is_some() => Err(Denied::Origin),
            _ => Ok(()),
        }
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(""),
        None => host.split(':').next().unwrap_or(""),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    #[test]
    fn without_a_token_nobody_opens_a_sale_outside_the_lab() {
        let access = Access::new(false, None);
        assert_eq!(access.operator(Some("Bearer "), HERE), Err(Denied::Token));
        assert_eq!(access.operator(None, HERE), Err(Denied::Token));
    }

    #[test]
    fn the_token_opens_and_a_wrong_one_does_not() {
        let access = Access::new(false, Some("a-long-enough-token"));
        assert_eq!(access.operator(Some("Bearer a-long-enough-token"), None), Ok(()));
        assert_eq!(access.operator(Some("Bearer a-long-enough-tokem"), HERE), Err(Denied::Token));
    }

    #[test]
    fn a_rebound_name_and_a_foreign_page_change_nothing_in_the_lab() {
        let access = Access::new(true, None);
        assert_eq!(access.same_site(Some("evil.example:8080"), None), Err(Denied::Host));
        assert_eq!(access.same_site(Some("127.0.0.1:80"), Some("http://evil.example")), Err(Denied::Origin));
        assert_eq!(access.same_site(Some("127.0.0.1:80"), Some("null")), Err(Denied::Origin));
        assert_eq!(access.same_site(Some("[::1]:80"), Some("http://[::1]:80")), Ok(()));
        assert_eq!(access.same_site(Some("localhost:80"), None), Ok(()));
    }
}
