//! Who may do what: buyers place orders and see their own, operators open and change sales, the lab keeps
//! runs; and a page of another site changes nothing.

use std::net::IpAddr;

use sha2::{Digest, Sha256};

use crate::sale::ANONYMOUS;

/// Shorter ones are guessed.
const TOKEN_CHARS_MIN: usize = 16;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Places orders, and sees and ends its own.
    Buyer,
    /// Opens and changes sales, and sees and ends every order.
    Operator,
    /// Hands in tallies and runs, in lab mode.
    Lab,
}

/// A token, its role, and whose it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    role: Role,
    name: String,
    hash: [u8; 32],
}

/// Never the token, nor what it is compared by.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.role, self.name)
    }
}

impl Token {
    /// One per line or semicolon, as `role name token`; a line that begins with # says something to people.
    /// The error names the line, never what stands in it.
    pub fn parse_all(text: &str) -> Result<Vec<Token>, String> {
        let lines = text.split(['\n', ';']).map(str::trim).enumerate();
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        lines.map(|(at, line)| Token::parse(line).map_err(|why| format!("token {}: {why}", at + 1))).collect()
    }

    fn parse(line: &str) -> Result<Token, &'static str> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let &[role, name, token] = &words[..] else { return Err("must be: role name token") };
        let role = match role {
            "buyer" => Role::Buyer,
            "operator" => Role::Operator,
            "lab" => Role::Lab,
            _ => return Err("its role must be buyer, operator or lab"),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if !name.chars().all(plain) || name.len() > 64 {
            return Err("its name must be 1 to 64 letters, digits, dots, dashes and underscores");
        }
        Token::new(role, name, token)
    }

    /// A token of that role.
    pub fn new(role: Role, name: &str, token: &str) -> Result<Token, &'static str> {
        if token.chars().count() < TOKEN_CHARS_MIN {
            return Err("must have at least 16 characters");
        }
        Ok(Token { role, name: name.to_owned(), hash: hash(token) })
    }

    /// Is it a buyer's?
    pub fn is_buyers(&self) -> bool {
        self.role == Role::Buyer
    }
}

/// A token more, where one is needed: by it a lab's own load test is let in. It is new each time, only
/// that process is told of it, and it may no more than the roles for which there are tokens: one for a role
/// that has none would close that role to everybody else.
pub fn with_own(lab: bool, mut tokens: Vec<Token>) -> anyhow::Result<(Vec<Token>, Option<String>)> {
    let has = |role: Role| lab && tokens.iter().any(|token| token.role == role);
    let role = match (has(Role::Lab), has(Role::Buyer)) {
        (true, _) => Role::Lab,
        (false, true) => Role::Buyer,
        (false, false) => return Ok((tokens, None)),
    };
    // Two of them: a part of each is the time.
    let secret = format!("{}{}", uuid::Uuid::now_v7().simple(), uuid::Uuid::now_v7().simple());
    tokens.push(Token::new(role, "load-test", &secret).map_err(anyhow::Error::msg)?);
    Ok((tokens, Some(secret)))
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Keys and orders are his alone.
    pub name: String,
    /// Does he see every order?
    pub operator: bool,
}

impl Caller {
    /// Whose orders he may see and end; `None`: everybody's.
    pub fn scope(&self) -> Option<&str> {
        (!self.operator).then_some(&self.name)
    }
}

/// Who may change something.
pub struct Access {
    lab: bool,
    tokens: Vec<Token>,
    hosts: Vec<String>,
    loopback_only: bool,
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No token, or a wrong one.
    Token,
    /// The name in `Host` must be this machine's, or one that was set (a page may have rebound its own name
    /// to us).
    Host,
    /// A page of another origin asks.
    Origin,
}

impl Access {
    /// From the settings. `hosts`: names that a request may come under besides those of loopback; none are
    /// needed where the service listens beyond loopback and none were set.
    pub fn new(lab: bool, tokens: Vec<Token>, hosts: Vec<String>, on_loopback: bool) -> Access {
        let loopback_only = lab || on_loopback || !hosts.is_empty();
        Access { lab, tokens, hosts, loopback_only }
    }

    /// Is this a lab?
    pub fn is_lab(&self) -> bool {
        self.lab
    }

    /// May this caller open and change sales?
    pub fn operator(&self, authorization: Option<&str>, peer: Option<IpAddr>) -> Result<(), Denied> {
        let known = self.token(authorization).is_some_and(|token| token.role == Role::Operator);
        if known || self.is_local_lab(peer) { Ok(()) } else { Err(Denied::Token) }
    }

    /// May this caller hand in what only a lab takes? Whoever sits at the machine may, unless a token was
    /// set for it.
    pub fn lab(&self, authorization: Option<&str>, peer: Option<IpAddr>) -> Result<(), Denied> {
        let known = self.token(authorization).is_some_and(|token| token.role == Role::Lab);
        let open = !self.has(Role::Lab) && self.is_local_lab(peer);
        if known || open { Ok(()) } else { Err(Denied::Token) }
    }

    /// Who places, reads and ends orders? Without buyers' tokens everybody may, under one name.
    pub fn caller(&self, authorization: Option<&str>, peer: Option<IpAddr>) -> Result<Caller, Denied> {
        match self.token(authorization) {
            Some(token) => Ok(Caller { name: token.name.clone(), operator: token.role == Role::Operator }),
            // A wrong token is no reason to be treated as somebody without one, except where nobody needs
            // any.
            None if self.has(Role::Buyer) => Err(Denied::Token),
            None if bearer(authorization).is_some() && !self.is_local_lab(peer) => Err(Denied::Token),
            None => Ok(Caller { name: ANONYMOUS.to_owned(), operator: false }),
        }
    }

    /// The token that was sent. All are looked at, and hashes are compared, so the time that it takes says
    /// nothing.
    fn token(&self, authorization: Option<&str>) -> Option<&Token> {
        let sent = hash(bearer(authorization)?);
        self.tokens.iter().fold(None, |found, token| if token.hash == sent { Some(token) } else { found })
    }

    fn has(&self, role: Role) -> bool {
        self.tokens.iter().any(|token| token.role == role)
    }

    fn is_local_lab(&self, peer: Option<IpAddr>) -> bool {
        self.lab && peer.is_some_and(|ip| ip.is_loopback())
    }

    /// May a changing request come with these headers?
    pub fn same_site(&self, host: Option<&str>, origin: Option<&str>) -> Result<(), Denied> {
        let host = host.unwrap_or("");
        let known = is_loopback_name(host) || self.hosts.iter().any(|name| is_named(name, host));
        if self.loopback_only && !known {
            return Err(Denied::Host);
        }
        match origin.and_then(|o| o.split_once("://")) {
            Some((_, from)) if from != host => Err(Denied::Origin),
            None if origin.is_some() => Err(Denied::Origin),
            _ => Ok(()),
        }
    }
}

/// The scheme's name has no case (RFC 9110, 11.1).
fn bearer(authorization: Option<&str>) -> Option<&str> {
    let (scheme, token) = authorization?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Is `host`, with its port or without, this name?
fn is_named(name: &str, host: &str) -> bool {
    let bare =
        host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(bare, _)| bare);
    host.eq_ignore_ascii_case(name) || bare.eq_ignore_ascii_case(name)
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
    const TOKENS: &str = "# three roles\noperator ops an-operators-token;buyer shop-a the-token-of-shop-a\n\
                          buyer shop-b the-token-of-shop-b";

    fn access(lab: bool, tokens: &str) -> Access {
        Access::new(lab, Token::parse_all(tokens).unwrap(), Vec::new(), true)
    }

    #[test]
    fn without_a_token_nobody_opens_a_sale_outside_the_lab() {
        let access = access(false, "");
        assert_eq!(access.operator(Some("Bearer "), HERE), Err(Denied::Token));
        assert_eq!(access.operator(None, HERE), Err(Denied::Token));
    }

    #[test]
    fn the_token_opens_and_a_wrong_one_does_not() {
        let access = access(false, TOKENS);
        assert_eq!(access.operator(Some("Bearer an-operators-token"), None), Ok(()));
        assert_eq!(access.operator(Some("bearer an-operators-token"), None), Ok(()));
        assert_eq!(access.operator(Some("Bearer an-operators-tokem"), HERE), Err(Denied::Token));
        assert_eq!(access.operator(Some("Bearer the-token-of-shop-a"), HERE), Err(Denied::Token));
    }

    #[test]
    fn a_caller_is_known_by_its_token_and_sees_its_own_orders_alone() {
        let access = access(false, TOKENS);
        let caller = |token: &str| access.caller(Some(&format!("Bearer {token}")), HERE);
        let shop = caller("the-token-of-shop-b").unwrap();
        assert_eq!(shop.scope(), Some("shop-b"));
        assert_eq!(caller("an-operators-token").unwrap().scope(), None);
        assert_eq!(caller("another-token-altogether"), Err(Denied::Token));
        assert_eq!(access.caller(None, HERE), Err(Denied::Token));
    }

    #[test]
    fn without_buyers_tokens_everybody_is_one_caller_and_a_wrong_token_is_still_wrong() {
        let access = access(false, "operator ops an-operators-token");
        assert_eq!(access.caller(None, HERE).unwrap().name, ANONYMOUS);
        assert_eq!(access.caller(Some("Bearer something-else-than-that"), HERE), Err(Denied::Token));
    }

    #[test]
    fn the_lab_is_open_to_who_sits_there_unless_it_has_a_token() {
        assert_eq!(access(true, "").lab(None, HERE), Ok(()));
        let closed = access(true, "lab bench the-token-of-the-lab");
        assert_eq!(closed.lab(None, HERE), Err(Denied::Token));
        assert_eq!(closed.lab(Some("Bearer the-token-of-the-lab"), HERE), Ok(()));
    }

    #[test]
    fn a_line_that_is_no_token_is_named_and_not_shown() {
        for (text, why) in [
            ("buyer shop", "role name token"),
            ("king shop 0123456789abcdef", "role must be"),
            ("buyer sh:op 0123456789abcdef", "name must be"),
            ("buyer shop short", "at least 16"),
        ] {
            let said = Token::parse_all(text).unwrap_err();
            assert!(said.contains(why) && !said.contains("0123456789abcdef"), "{said}");
        }
        let token = &Token::parse_all(TOKENS).unwrap()[1];
        assert_eq!(format!("{token:?}"), "Buyer shop-a");
    }

    #[test]
    fn a_rebound_name_and_a_foreign_page_change_nothing_on_loopback() {
        for lab in [true, false] {
            let access = access(lab, "");
            assert_eq!(access.same_site(Some("evil.example:8080"), None), Err(Denied::Host));
            assert_eq!(
                access.same_site(Some("127.0.0.1:80"), Some("http://evil.example")),
                Err(Denied::Origin)
            );
            assert_eq!(access.same_site(Some("127.0.0.1:80"), Some("null")), Err(Denied::Origin));
            assert_eq!(access.same_site(Some("[::1]:80"), Some("http://[::1]:80")), Ok(()));
            assert_eq!(access.same_site(Some("localhost:80"), None), Ok(()));
        }
    }

    #[test]
    fn a_proxy_s_name_is_let_in_when_it_was_set_and_no_other() {
        let access = Access::new(false, Vec::new(), vec!["shop.example".into()], false);
        assert_eq!(access.same_site(Some("Shop.example"), None), Ok(()));
        assert_eq!(access.same_site(Some("shop.example:8443"), None), Ok(()));
        assert_eq!(access.same_site(Some("notshop.example"), None), Err(Denied::Host));
        let open = Access::new(false, Vec::new(), Vec::new(), false);
        assert_eq!(open.same_site(Some("any.example"), None), Ok(()));
    }
}
