//! Which namespace of Node's is whose.

use switchboard_event::TenantId;

use crate::dial::Connection;

/// What a bridge is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where Redis is.
    pub connection: Connection,
    /// What is bridged, each once.
    pub mappings: Vec<Mapping>,
}

/// One namespace of Node's, and the tenant that it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mapping {
    /// Who speaks there, and how.
    pub kind: Kind,
    /// The namespace, with its slash. Default `/`.
    pub namespace: String,
    /// Whose events these are.
    pub tenant: TenantId,
    /// Whether events that nobody declared pass too. Default: no.
    pub passthrough: bool,
    /// What becomes of declared events whose payload is not what it should be. Default: they pass.
    pub validate: Validate,
}

/// Who speaks on Redis, and how.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Kind {
    /// `@socket.io/redis-emitter`: Pub/Sub, one way.
    Emitter {
        /// What its channels begin with, its option `key`. Default `socket.io`.
        prefix: String,
    },
    /// `@socket.io/redis-streams-emitter`: a stream, one way.
    StreamsEmitter {
        /// The stream, its option `streamName`. Default `socket.io`.
        stream: String,
    },
    /// Servers with `@socket.io/redis-adapter` (classic), and whatever emitters they hear.
    Adapter {
        /// What its channels begin with, its option `key`. Default `socket.io`.
        prefix: String,
        /// Which way.
        direction: Direction,
        /// As whom we speak; what is said under this name is our own. Default [`UID`]. Two
        /// installations that share a namespace must differ in it.
        uid: String,
    },
}

/// Which way events go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// From Node servers to our clients.
    In,
    /// From us to clients of Node servers.
    Out,
    /// Both.
    Both,
}

/// What becomes of a declared event whose payload is not what it should be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Validate {
    /// It passes, and is counted.
    Warn,
    /// It is dropped, and counted.
    Refuse,
}

impl Mapping {
    /// What tells it from all others: two of the same would hear everything twice.
    pub fn name(&self) -> String {
        let namespace = &self.namespace;
        match &self.kind {
            Kind::Emitter { prefix } | Kind::Adapter { prefix, .. } => {
                format!("{prefix}#{namespace}#")
            }
            Kind::StreamsEmitter { stream } => format!("stream {stream} {namespace}"),
        }
    }

    /// Whether records are told there.
    pub(crate) fn is_told(&self) -> bool {
        matches!(
            self.kind,
            Kind::Adapter {
                direction: Direction::Out | Direction::Both,
                ..
            }
        )
    }
}

/// As whom we speak to Node servers, unless told otherwise: six characters, as theirs have.
pub const UID: &str = "swbrd_";
