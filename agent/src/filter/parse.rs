//! The grammar of pcap-filter(7): how words go together.
//!
//! `and` and `or` bind equally, from left to right; `not` binds closer. A value without a word before it
//! (`port 80 or 443`) is of the kind that was named last. What a value means is in [`values`].

mod values;

use super::{
    Expression, IpFamily, Test,
    error::{FilterError, FilterProblem},
    names::{self, Dictionary},
    token::{self, Token, TokenKind},
};
use crate::filter::{Direction, PacketEnd};

/// Most words and signs of an expression.
const MAX_TOKENS: usize = 1024;
/// Most parentheses and `not`s inside each other.
const MAX_DEPTH: usize = 100;

const LINK_LAYER: &str = "link-layer addresses are not kept";
const PAYLOAD: &str = "lengths and contents of single packets are not kept";
const TUNNEL: &str = "what a tunnel or a label carries is not looked into";
const RADIO: &str = "frames of radio networks reach an interface as Ethernet frames";
const FIREWALL: &str = "it is about packets that a BSD firewall has logged";
const NO_NET_NAMES: &str = "names of networks are not looked up, write its address";
const VLAN_STACK: &str = "of several VLAN tags only the innermost is kept";
const CHAIN: &str = "write 'proto': it is the protocol after all extension headers";
const NOT_IP: &str = "addresses inside frames that are not IP are not kept";
const NO_BROADCAST: &str = "IPv6 has no broadcast, only multicast";

/// What a text asks for; `None` of a blank one.
pub(super) fn parse(text: &str, names: &Dictionary) -> Result<Option<Expression>> {
    let tokens = token::tokens(text);
    if tokens.is_empty() {
        return Ok(None);
    }
    let mut parser = FilterParser { text, tokens: &tokens, next: 0, depth: 0, names };
    if tokens.len() > MAX_TOKENS {
        return Err(parser.error_at(MAX_TOKENS, FilterProblem::TooMuch { most: MAX_TOKENS, what: "words" }));
    }
    let expression = parser.expression(&mut None)?;
    match parser.peek() {
        None => Ok(Some(expression)),
        Some(_) => Err(parser.unexpected("'and', 'or' or the end")),
    }
}

/// What the words before a value say about it.
#[derive(Clone, Copy, Debug)]
struct Qualifier {
    layer: Option<NamedLayer>,
    end: PacketEnd,
    kind: ValueKind,
}

/// What kind of value it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ValueKind {
    Host,
    Net,
    Port,
    PortRange,
    Protocol,
}

/// The protocol that a word before a value names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NamedLayer {
    Link,
    Ip(IpFamily),
    /// One with ports.
    Transport(u8),
    /// Frames that are not IP.
    NotIp,
    /// Any other.
    Other,
}

impl ValueKind {
    fn named(word: &str) -> Option<Self> {
        Some(match word {
            "host" => Self::Host,
            "net" => Self::Net,
            "port" => Self::Port,
            "portrange" => Self::PortRange,
            "proto" => Self::Protocol,
            _ => return None,
        })
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Net => "net",
            Self::Port => "port",
            Self::PortRange => "portrange",
            Self::Protocol => "proto",
        }
    }
}

impl NamedLayer {
    fn named(word: &str) -> Option<Self> {
        Some(match word {
            "ether" | "link" | "fddi" | "tr" | "wlan" => Self::Link,
            "ip" => Self::Ip(IpFamily::V4),
            "ip6" => Self::Ip(IpFamily::V6),
            "tcp" | "udp" | "sctp" | "dccp" | "udplite" => Self::Transport(names::protocol(word)?),
            _ if names::ether_type(word).is_some() || names::service_point(word).is_some() => Self::NotIp,
            _ => abbreviation(word).map(|_| Self::Other)?,
        })
    }
}

/// What a protocol's name means alone.
fn abbreviation(word: &str) -> Option<Expression> {
    let of = |family, number| Expression::from(Test::Family(family)).and(Test::Protocol(number).into());
    Some(match word {
        "ip" => Test::Family(IpFamily::V4).into(),
        "ip6" => Test::Family(IpFamily::V6).into(),
        "icmp" => of(IpFamily::V4, 1),
        "igmp" => of(IpFamily::V4, 2),
        "icmp6" | "icmpv6" => of(IpFamily::V6, 58),
        "vrrp" | "carp" => of(IpFamily::V4, 112),
        _ => names::protocol(word)
            .map(Test::Protocol)
            .or_else(|| names::ether_type(word).map(Test::EtherType))
            .or_else(|| names::service_point(word).map(Test::ServicePoint))?
            .into(),
    })
}

/// Words of the language that cannot be answered, and why.
fn unsupported(word: &str) -> Option<&'static str> {
    Some(match word {
        "gateway" => LINK_LAYER,
        "less" | "greater" | "len" | "byte" => PAYLOAD,
        "mpls" | "pppoed" | "pppoes" | "geneve" | "vxlan" => TUNNEL,
        "type" | "subtype" | "dir" | "direction" | "addr1" | "addr2" | "addr3" | "addr4" | "ra" | "ta" => {
            RADIO
        }
        "ifname" | "on" | "rnr" | "rulenum" | "srnr" | "subrulenum" | "reason" | "rset" | "ruleset"
        | "action" => FIREWALL,
        "protochain" => CHAIN,
        "llc" | "ipx" | "isis" | "esis" | "clnp" => "write 'ether proto' with its number",
        _ => return None,
    })
}

/// Whether a word belongs to the language, so that it is no value unless a backslash stands before it.
fn is_keyword(word: &str) -> bool {
    matches!(
        word,
        "src" | "dst" | "mask" | "vlan" | "inbound" | "outbound" | "multicast" | "broadcast" | "ifindex"
    ) || ValueKind::named(word).is_some()
        || NamedLayer::named(word).is_some()
        || unsupported(word).is_some()
}

struct FilterParser<'a> {
    text: &'a str,
    tokens: &'a [Token<'a>],
    next: usize,
    depth: usize,
    names: &'a Dictionary,
}

type Result<T> = std::result::Result<T, FilterError>;

impl<'a> FilterParser<'a> {
    /// Operands joined by `and` and `or`. `last` is what a value without a word before it is.
    fn expression(&mut self, last: &mut Option<Qualifier>) -> Result<Expression> {
        let mut left = self.operand(last)?;
        loop {
            let at = self.next;
            if self.take(TokenKind::And) {
                let right = self.operand(last)?;
                if is_vlan(&right) && conditions(&left).iter().any(is_vlan) {
                    return Err(self.unsupported_from(at + 1, VLAN_STACK));
                }
                left = left.and(right);
            } else if self.take(TokenKind::Or) {
                left = left.or(self.operand(last)?);
            } else {
                return Ok(left);
            }
        }
    }

    fn operand(&mut self, last: &mut Option<Qualifier>) -> Result<Expression> {
        let Some(token) = self.peek() else { return Err(self.unexpected("a condition")) };
        match token.kind {
            TokenKind::Not => self.deeper(|parser| Ok(parser.operand(last)?.not())),
            TokenKind::Open => self.group(*last),
            TokenKind::Word if is_keyword(token.text) => self.primitive(last),
            TokenKind::Word | TokenKind::Escaped => match *last {
                Some(qualifier) => self.value(qualifier),
                None => Err(self.error_at(self.next, FilterProblem::Bare(token.text.to_owned()))),
            },
            TokenKind::Close
            | TokenKind::Slash
            | TokenKind::And
            | TokenKind::Or
            | TokenKind::Arithmetic
            | TokenKind::Foreign => Err(self.unexpected("a condition")),
        }
    }

    /// An expression in parentheses. What is named inside is forgotten after it.
    fn group(&mut self, last: Option<Qualifier>) -> Result<Expression> {
        self.deeper(|parser| {
            let inner = parser.expression(&mut last.clone())?;
            if parser.take(TokenKind::Close) { Ok(inner) } else { Err(parser.unexpected("')'")) }
        })
    }

    /// Takes a sign, and then what it holds, if that is not too deep.
    fn deeper(&mut self, inner: impl FnOnce(&mut Self) -> Result<Expression>) -> Result<Expression> {
        if self.depth == MAX_DEPTH {
            let problem = FilterProblem::TooMuch { most: MAX_DEPTH, what: "levels of parentheses and 'not'" };
            return Err(self.error_at(self.next, problem));
        }
        self.next += 1;
        self.depth += 1;
        let inner = inner(self);
        self.depth -= 1;
        inner
    }

    /// A condition that begins with a keyword.
    fn primitive(&mut self, last: &mut Option<Qualifier>) -> Result<Expression> {
        let start = self.next;
        let word = self.word().unwrap_or_default();
        *last = None;
        if let Some(reason) = unsupported(word) {
            return Err(self.unsupported_from(start, reason));
        }
        let alone = match word {
            "inbound" => Some(Test::Direction(Direction::Ingress).into()),
            "outbound" => Some(Test::Direction(Direction::Egress).into()),
            "multicast" => Some(values::multicast(IpFamily::V4).or(values::multicast(IpFamily::V6))),
            "broadcast" => Some(Test::Broadcast.into()),
            "vlan" => Some(Test::Vlan(self.vlan_id()?).into()),
            "ifindex" => Some(Test::Interface(self.number("interface index", u32::MAX)?).into()),
            _ => None,
        };
        if let Some(alone) = alone {
            return Ok(alone);
        }
        self.next = start;
        let layer = self.peek().and_then(|token| NamedLayer::named(token.text));
        self.next += usize::from(layer.is_some());
        if let Some(group) = self.group_address(layer, start)? {
            return Ok(group);
        }
        let end = self.end();
        let Some(kind) = self.value_kind()? else {
            return match (end, layer) {
                (Some(end), _) => self.qualified(layer, end, ValueKind::Host, start, last),
                (None, Some(NamedLayer::Link)) => Err(self.unexpected("'proto'")),
                (None, _) => match abbreviation(word) {
                    Some(_) if self.peek().is_some_and(|token| is_value(token)) => {
                        Err(self.unexpected("'and', 'or', or a word such as 'host', 'net' or 'port'"))
                    }
                    Some(meaning) => Ok(meaning),
                    None => Err(self.unexpected("a condition")),
                },
            };
        };
        if kind == ValueKind::Protocol && end.is_some() {
            self.next -= 1;
            return Err(self.unexpected("'host', 'net', 'port', 'portrange' or a host"));
        }
        self.qualified(layer, end.unwrap_or(PacketEnd::Either), kind, start, last)
    }

    /// `multicast` or `broadcast` after the name of a protocol.
    fn group_address(&mut self, layer: Option<NamedLayer>, start: usize) -> Result<Option<Expression>> {
        let Some(layer) = layer else { return Ok(None) };
        let Some(word) =
            self.peek().map(|token| token.text).filter(|word| matches!(*word, "multicast" | "broadcast"))
        else {
            return Ok(None);
        };
        self.next += 1;
        match (layer, word) {
            (NamedLayer::Ip(family), "multicast") => Ok(Some(values::multicast(family))),
            (NamedLayer::Ip(IpFamily::V4), _) => Ok(Some(Test::Broadcast.into())),
            (NamedLayer::Ip(IpFamily::V6), _) => Err(self.unsupported_from(start, NO_BROADCAST)),
            (NamedLayer::Link, _) => Err(self.unsupported_from(start, LINK_LAYER)),
            (NamedLayer::Transport(_) | NamedLayer::NotIp | NamedLayer::Other, _) => {
                let kind = if word == "multicast" { "multicast" } else { "broadcast" };
                Err(self.mismatch(start, kind))
            }
        }
    }

    /// `src`, `dst`, `src or dst`, `src and dst`.
    fn end(&mut self) -> Option<PacketEnd> {
        let at = |index: usize| self.tokens.get(index).copied();
        let word = |index| at(index).filter(|token| token.kind == TokenKind::Word).map(|token| token.text);
        let (first, other) = match word(self.next)? {
            "src" => (PacketEnd::Source, "dst"),
            "dst" => (PacketEnd::Destination, "src"),
            _ => return None,
        };
        let joined = match at(self.next + 1).map(|token| token.kind) {
            Some(TokenKind::Or) => Some(PacketEnd::Either),
            Some(TokenKind::And) => Some(PacketEnd::Both),
            _ => None,
        };
        let both = joined.filter(|_| word(self.next + 2) == Some(other));
        self.next += if both.is_some() { 3 } else { 1 };
        both.or(Some(first))
    }

    /// `host`, `net`, `port`, `portrange`, `proto`.
    fn value_kind(&mut self) -> Result<Option<ValueKind>> {
        let Some(token) = self.peek().filter(|token| token.kind == TokenKind::Word) else { return Ok(None) };
        if matches!(token.text, "gateway" | "protochain") {
            let reason = unsupported(token.text).unwrap_or(PAYLOAD);
            return Err(self.unsupported_from(self.next, reason));
        }
        let kind = ValueKind::named(token.text);
        self.next += usize::from(kind.is_some());
        Ok(kind)
    }

    /// A value, or several in parentheses, after the words that say what it is.
    fn qualified(
        &mut self,
        layer: Option<NamedLayer>,
        end: PacketEnd,
        kind: ValueKind,
        start: usize,
        last: &mut Option<Qualifier>,
    ) -> Result<Expression> {
        use ValueKind::{Host, Net, Port, PortRange, Protocol};
        match (layer, kind) {
            (None | Some(NamedLayer::Ip(_)), Host | Net | Protocol)
            | (None | Some(NamedLayer::Transport(_)), Port | PortRange)
            | (Some(NamedLayer::Link), Protocol) => {}
            (Some(NamedLayer::Link), _) => return Err(self.unsupported_from(start, LINK_LAYER)),
            (Some(NamedLayer::NotIp), Host | Net) => return Err(self.unsupported_from(start, NOT_IP)),
            (Some(_), _) => return Err(self.mismatch(start, kind.word())),
        }
        let qualifier = Qualifier { layer, end, kind };
        *last = Some(qualifier);
        self.values(qualifier)
    }

    fn values(&mut self, qualifier: Qualifier) -> Result<Expression> {
        match self.peek() {
            Some(token) if token.kind == TokenKind::Not => {
                self.deeper(|parser| Ok(parser.values(qualifier)?.not()))
            }
            Some(token) if token.kind == TokenKind::Open => self.group(Some(qualifier)),
            Some(token) if is_value(token) => self.value(qualifier),
            // After `proto` the name of a protocol can be nothing else.
            Some(token)
                if qualifier.kind == ValueKind::Protocol && NamedLayer::named(token.text).is_some() =>
            {
                self.value(qualifier)
            }
            _ => Err(self.unexpected(match qualifier.kind {
                ValueKind::Host => "a host's address or name",
                ValueKind::Net => "a network's address",
                ValueKind::Port => "a port",
                ValueKind::PortRange => "two ports with a '-' between them",
                ValueKind::Protocol => "a protocol's number or name",
            })),
        }
    }

    /// The id after `vlan`, if there is one.
    fn vlan_id(&mut self) -> Result<Option<u16>> {
        use flowtally_common::flow::VLAN_ID_MASK;
        match self.peek() {
            Some(token) if is_value(token) => {
                let id = self.number("VLAN id", u32::from(VLAN_ID_MASK))?;
                Ok(u16::try_from(id).ok())
            }
            _ => Ok(None),
        }
    }

    fn number(&mut self, what: &'static str, most: u32) -> Result<u32> {
        let at = self.next;
        match self.word() {
            Some(word) => values::number(word).filter(|number| *number <= most).ok_or_else(|| {
                let hint = format!(" (0 to {most})");
                self.error_at(at, FilterProblem::Value { value: word.to_owned(), what, hint })
            }),
            None => Err(self.unexpected("a number")),
        }
    }

    fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.next).copied()
    }

    /// Takes the next token if it is of this kind.
    fn take(&mut self, kind: TokenKind) -> bool {
        let is = self.peek().is_some_and(|token| token.kind == kind);
        self.next += usize::from(is);
        is
    }

    /// Takes the next token if it is a word.
    fn word(&mut self) -> Option<&'a str> {
        let word = self.peek().filter(|token| matches!(token.kind, TokenKind::Word | TokenKind::Escaped))?;
        self.next += 1;
        Some(word.text)
    }

    fn error_at(&self, token: usize, problem: FilterProblem) -> FilterError {
        let at = self.tokens.get(token).map_or(self.text.len(), |token| token.at);
        FilterError { column: self.text[..at].chars().count() + 1, problem }
    }

    /// The next token should be another.
    fn unexpected(&self, expected: &'static str) -> FilterError {
        let Some(token) = self.peek() else {
            return self
                .error_at(self.next, FilterProblem::Expected { expected, found: "the end".to_owned() });
        };
        // What an operator calculates with stands before it.
        if token.kind == TokenKind::Arithmetic {
            return self.unsupported_from(self.next.saturating_sub(1), PAYLOAD);
        }
        self.error_at(self.next, FilterProblem::Expected { expected, found: format!("'{}'", token.text) })
    }

    /// The words from this token to the next that begins something else cannot be answered.
    fn unsupported_from(&self, start: usize, reason: &'static str) -> FilterError {
        let begin = self.tokens.get(start).map_or(self.text.len(), |token| token.at);
        // A parenthesis of its own belongs to it, with all that is inside.
        let mut depth = 0_usize;
        let is_joint = |token: &&Token<'_>| match token.kind {
            TokenKind::Open => {
                depth += 1;
                false
            }
            TokenKind::Close if depth > 0 => {
                depth -= 1;
                false
            }
            TokenKind::Close => true,
            TokenKind::And | TokenKind::Or => depth == 0,
            _ => false,
        };
        let end = self.tokens.iter().skip(start + 1).find(is_joint).map_or(self.text.len(), |token| token.at);
        let part = self.text[begin..end].trim().to_owned();
        self.error_at(start, FilterProblem::Unsupported { part, reason })
    }

    /// The protocol named at this token does not go with the kind of value after it.
    fn mismatch(&self, start: usize, kind: &'static str) -> FilterError {
        let qualifier = self.tokens.get(start).map_or("", |token| token.text).to_owned();
        self.error_at(start, FilterProblem::Qualifier { qualifier, kind })
    }
}

/// Whether a token can only be a value.
fn is_value(token: Token<'_>) -> bool {
    match token.kind {
        TokenKind::Word => !is_keyword(token.text),
        TokenKind::Escaped => true,
        _ => false,
    }
}

/// The conditions that must all hold.
fn conditions(expression: &Expression) -> &[Expression] {
    match expression {
        Expression::All(all) => all,
        other => std::slice::from_ref(other),
    }
}

fn is_vlan(expression: &Expression) -> bool {
    matches!(expression, Expression::Test(Test::Vlan(_)))
}
