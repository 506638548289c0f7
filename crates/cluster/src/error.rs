use redis::RedisError;
use switchboard_journal::{AppendError, LeaseError, ReadError, SessionError};

/// Why there is no journal on Redis. One line each, for an operator.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The settings do not make an address.
    #[error("redis.url {index} is not an address of Redis: {reason}")]
    Address {
        /// Which one, counted from 1.
        index: usize,
        /// What is wrong with it, without the URL, which may hold a password.
        reason: String,
    },
    /// The prefix is not one.
    #[error("redis.prefix {prefix:?} is not 1 to 32 of a-z, 0-9, `-` and `_`")]
    Prefix {
        /// What was given.
        prefix: String,
    },
    /// Nobody answered, or who answered let us not in.
    #[error("redis cannot be reached: {reason}")]
    Unreachable {
        /// Why.
        reason: String,
    },
    /// Older than what the scripts need.
    #[error("redis at {address} is version {version}, 7.0 or later is needed")]
    Version {
        /// Who it was.
        address: String,
        /// What it says it is.
        version: String,
    },
    /// The settings say otherwise than the server.
    #[error("redis at {address} is a cluster, but redis.cluster is false")]
    IsCluster {
        /// Who it was.
        address: String,
    },
    /// The settings say otherwise than the server.
    #[error("redis at {address} is not a cluster, but redis.cluster is true")]
    NoCluster {
        /// Who it was.
        address: String,
    },
    /// It would throw records away when its memory is full.
    #[error("redis at {address} has maxmemory-policy {policy}, which evicts; noeviction is needed")]
    Evicts {
        /// Who it was.
        address: String,
        /// What it does.
        policy: String,
    },
    /// The ACL user may not do what is needed.
    #[error("the user of redis at {address} lacks the right to {commands}")]
    Rights {
        /// Who it was.
        address: String,
        /// Which commands, keys or channels.
        commands: String,
    },
    /// The journal has another number of partitions than the settings.
    #[error("the journal on redis was made with partitions = {found}, the settings say {expected}")]
    Partitions {
        /// What it has.
        found: u16,
        /// What was asked for.
        expected: u16,
    },
    /// The journal was written by a version that this one does not know.
    #[error("the journal on redis has format {format}, this version knows 1")]
    Format {
        /// What it says.
        format: String,
    },
    /// The system has no randomness.
    #[error("no randomness: {reason}")]
    System {
        /// Why.
        reason: String,
    },
}

/// Why Redis did not do as it was told.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// It did not answer, or not in time. Whether it did as told is open.
    Away(String),
    /// It answered that it will not.
    Server(RedisError),
    /// It answered something that is no answer.
    Damaged(String),
    /// We were closed.
    Closed,
}

impl Failure {
    /// For an answer that does not look as it should.
    pub(crate) fn strange(what: &str) -> Self {
        Self::Damaged(format!("redis answered {what} strangely"))
    }

    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Server(error) => error.code(),
            _ => None,
        }
    }

    /// What an operator reads. Never what was sent: the server's details may repeat it.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Away(reason) | Self::Damaged(reason) => reason.clone(),
            Self::Server(error) => match error.code() {
                Some(code) => format!("redis refused: {code}"),
                None => format!("redis refused: {}", error.category()),
            },
            Self::Closed => "closed".to_owned(),
        }
    }
}

impl From<Failure> for AppendError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Closed => Self::Closed,
            other => Self::Unavailable {
                reason: other.reason(),
            },
        }
    }
}

impl From<Failure> for ReadError {
    fn from(failure: Failure) -> Self {
        let reason = failure.reason();
        match failure {
            Failure::Closed => Self::Closed,
            Failure::Damaged(_) => Self::Damaged { reason },
            Failure::Away(_) | Failure::Server(_) => Self::Unavailable { reason },
        }
    }
}

impl From<Failure> for SessionError {
    fn from(failure: Failure) -> Self {
        let reason = failure.reason();
        match failure {
            Failure::Closed => Self::Closed,
            Failure::Damaged(_) => Self::Damaged { reason },
            Failure::Away(_) | Failure::Server(_) => Self::Unavailable { reason },
        }
    }
}

impl From<Failure> for LeaseError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Closed => Self::Closed,
            other => Self::Unavailable {
                reason: other.reason(),
            },
        }
    }
}
