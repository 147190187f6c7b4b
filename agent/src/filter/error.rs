//! What is wrong with an expression, and where.

use thiserror::Error;

/// Why a text is no filter. The beginning is libpcap's, which people and scripts know.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("can't parse filter expression: {problem} (column {column})")]
pub struct FilterError {
    /// Where it begins, in characters from 1.
    pub column: usize,
    /// What is wrong there.
    pub problem: FilterProblem,
}

impl FilterError {
    /// Whether it is of the language, and nothing that is kept of a flow answers it.
    #[must_use]
    pub const fn is_beyond_flows(&self) -> bool {
        matches!(self.problem, FilterProblem::Unsupported { .. })
    }

    /// With the expression and a mark.
    #[must_use]
    pub fn marked(&self, text: &str) -> super::MarkedError {
        super::MarkedError { message: self.to_string(), text: text.to_owned(), column: Some(self.column) }
    }
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FilterProblem {
    /// Another word should stand here.
    #[error("syntax error: expected {expected}, found {found}")]
    Expected {
        /// What should stand here.
        expected: &'static str,
        /// What does, in quotes, or what the end is called.
        found: String,
    },
    /// A host, port or number without a word that says which, such as `10.0.0.1` alone.
    #[error("syntax error: '{0}' stands alone: write 'host {0}', 'net {0}' or 'port {0}'")]
    Bare(String),
    /// Words that do not go together.
    #[error("'{qualifier}' does not go with '{kind}': write '{qualifier} and {kind} ...'")]
    Qualifier {
        /// The first word.
        qualifier: String,
        /// The other.
        kind: &'static str,
    },
    /// A value that is not understood.
    #[error("'{value}' is no {what}{hint}")]
    Value {
        /// What was written.
        value: String,
        /// What it should be.
        what: &'static str,
        /// What to do about it, with its own punctuation; may be empty.
        hint: String,
    },
    /// An address with bits beside its network.
    #[error("'{0}' has bits outside its mask: write the network's own address")]
    HostBits(String),
    /// A name that no table has.
    #[error("{what} '{name}' is not in {table}{hint}")]
    Unknown {
        /// What it is a name of.
        what: &'static str,
        /// The name.
        name: String,
        /// The file that was asked.
        table: &'static str,
        /// What to do about it, with its own punctuation; may be empty.
        hint: &'static str,
    },
    /// A service of another protocol.
    #[error("service '{name}' is of another protocol than {protocol}")]
    OtherProtocol {
        /// The service.
        name: String,
        /// The protocol that was asked for.
        protocol: &'static str,
    },
    /// Part of the language, and not to be answered from what is kept of a flow.
    #[error("'{part}' cannot be answered: {reason}. A filter can ask for {POSSIBLE}")]
    Unsupported {
        /// The words.
        part: String,
        /// Why.
        reason: &'static str,
    },
    /// More than a filter may have.
    #[error("the expression has more than {most} {what}")]
    TooMuch {
        /// How many are allowed.
        most: usize,
        /// What.
        what: &'static str,
    },
}

/// The language, in a line.
const POSSIBLE: &str = "host, net, port and portrange (with src and dst), proto, ip, ip6, arp, tcp, udp, sctp, icmp, \
                        icmp6, vlan, inbound, outbound, multicast, broadcast, and for and, or, not of these";
