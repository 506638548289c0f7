//! Who are you: from a token to an identity.

mod algorithm;
mod claims;
mod issuer;
mod jwks;
mod key;
mod key_server;
mod token;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use switchboard_event::{TenantId, Timestamp, TokenId, UserId};
use switchboard_hub::{LinkRights, Rights};
use switchboard_metrics::Tally;
use switchboard_outbound::{Client, InvalidRoots, Url};
use tokio::task::JoinSet;
use tracing::error;

use self::claims::{account_room, identifier, numeric_date, patterns, the_only_tenant, token_id};
use self::issuer::{Issuer, KeyServers};
use self::token::{Claims, Unverified};
use crate::pool::Pool;
use crate::unauthorized::{InvalidToken, Unauthorized};

pub use self::algorithm::{Algorithm, KeyKind, UnknownAlgorithm};
pub use self::jwks::InvalidJwks;
pub use self::key::InvalidKey;
pub use self::key_server::{KeyServerConfig, KeyServerStats};

/// How tokens are verified and read.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// Who may sign tokens; at most one has no name, and no two have the same.
    pub issuers: Vec<IssuerConfig>,
    /// Who may pair when the token has no such claim. Default: whoever may subscribe.
    pub link_default: LinkDefault,
    /// How much clocks may differ. Default: 0 s.
    pub leeway: Duration,
    /// Whether the patterns of a token decide about any room; if not, they are not read. Default: they
    /// do.
    pub reads_rooms: bool,
    /// How key servers are asked.
    pub key_servers: KeyServerConfig,
}

/// Who signs tokens, and how they say whom they name.
#[derive(Clone, Debug)]
pub struct IssuerConfig {
    /// The `iss` of its tokens. Default: none, and then every token is its own that names no other
    /// issuer.
    pub name: Option<String>,
    /// Of which `aud` one must name us. Default: none, and `aud` is not looked at.
    pub audience: Vec<String>,
    /// What its tokens are verified with. What a token's header says is never trusted.
    pub verification: Verification,
    /// The claims that may hold the user, the first one present wins. Default: `userId`, `sub`,
    /// `id`.
    pub user_claims: Vec<String>,
    /// The claims that may hold the tenant. Default: `tenantId`.
    pub tenant_claims: Vec<String>,
    /// The claim with the patterns of rooms that may be joined. Default: `rooms`.
    pub rooms_claim: String,
    /// The claim with the patterns of accounts that may be paired. Default: `link`.
    pub link_claim: String,
    /// The tenant of all its tokens, for an issuer that speaks for one customer. Default: none, and
    /// a token without a tenant is refused.
    pub single_tenant: Option<TenantId>,
}

/// Algorithms, and the keys to verify them with.
#[derive(Clone, Debug)]
pub struct Verification {
    /// The only ones that are accepted.
    pub algorithms: Vec<Algorithm>,
    /// The only keys that are used, for this issuer and no other.
    pub keys: KeySource,
}

/// Where keys come from.
#[derive(Clone)]
pub enum KeySource {
    /// A secret that the signer shares, for HMAC.
    Secret(Box<[u8]>),
    /// One public key, as PEM.
    PublicKey(Box<[u8]>),
    /// A set of public keys, as its JSON.
    Jwks(Box<[u8]>),
    /// The same, to be asked for.
    JwksUrl(Url),
}

/// Who may pair an account when the token does not say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LinkDefault {
    /// Whoever may subscribe to the account.
    Subscribe,
    /// Nobody.
    Nobody,
}

/// Verifies tokens. Made once, shared by all connections.
pub struct Authenticator {
    /// Who takes the tokens that name no issuer, or one that is not configured.
    unnamed: Option<Issuer>,
    named: HashMap<Box<str>, Issuer>,
    config: AuthConfig,
    fetches: Arc<Tally>,
    pool: Pool,
}

/// Whom a token names, what it allows, and until when.
#[derive(Clone, Debug)]
pub struct Identity {
    /// What the user may hear.
    pub rights: Rights,
    /// When the token ends.
    pub expires_at: Timestamp,
    /// When it was issued (`iat`), if it says so.
    pub issued_at: Option<Timestamp>,
    /// Its id (`jti`), if it has one: by this it can be revoked.
    pub token_id: Option<Arc<TokenId>>,
}

/// The settings make no authenticator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAuth {
    /// A key does not fit its algorithms.
    #[error("the key of {issuer} {fault}")]
    Key {
        /// Whose key.
        issuer: String,
        /// What is wrong with it.
        fault: InvalidKey,
    },
    /// Two issuers have one name, or none: tokens of the one would be verified as the other's.
    #[error("there are two of {0}")]
    Twice(String),
    /// Key servers cannot be asked.
    #[error(transparent)]
    Client(#[from] InvalidRoots),
}

impl Authenticator {
    /// The longest token, in bytes.
    pub const TOKEN_LEN_MAX: usize = 8 * 1024;
    /// The most patterns that one claim may hold.
    pub const PATTERNS_MAX: usize = 1_000;
    /// The furthest that `exp` may lie ahead: ten years. Milliseconds lie further.
    pub const LIFETIME_MAX: Duration = Duration::from_hours(10 * 365 * 24);

    /// Prepares the keys. No key server is asked before [`keep_fresh`](Self::keep_fresh) runs or a
    /// token needs it.
    ///
    /// # Errors
    ///
    /// [`InvalidAuth`] if a key cannot be used, or two issuers cannot be told apart.
    pub fn new(config: AuthConfig) -> Result<Self, InvalidAuth> {
        let mut authenticator = Self {
            unnamed: None,
            named: HashMap::new(),
            fetches: Arc::new(key_server::fetches()),
            pool: Pool::default(),
            config,
        };
        let asks =
            |issuer: &IssuerConfig| matches!(issuer.verification.keys, KeySource::JwksUrl(_));
        let client = if authenticator.config.issuers.iter().any(asks) {
            Some(Client::new(switchboard_outbound::Config::default())?)
        } else {
            None
        };
        let servers = KeyServers {
            client,
            config: authenticator.config.key_servers,
            fetches: Arc::clone(&authenticator.fetches),
        };
        for config in std::mem::take(&mut authenticator.config.issuers) {
            let title = config.title();
            let name = config.name.clone();
            let issuer = Issuer::new(config, &servers).map_err(|fault| InvalidAuth::Key {
                issuer: title.clone(),
                fault,
            })?;
            let before = match name {
                None => authenticator.unnamed.replace(issuer),
                Some(name) => authenticator.named.insert(name.into(), issuer),
            };
            if before.is_some() {
                return Err(InvalidAuth::Twice(title));
            }
        }
        Ok(authenticator)
    }

    /// Verifies `token` and reads who it names. Waits only if a key must be asked for.
    ///
    /// # Errors
    ///
    /// [`Unauthorized`], whose [`code`](Unauthorized::code) goes to the client unless it
    /// [passes by itself](Unauthorized::passes).
    pub async fn authenticate(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Identity, Unauthorized> {
        if token.len() > Self::TOKEN_LEN_MAX {
            return Err(Unauthorized::TooLong(token.len()));
        }
        let token = Unverified::parse(token)?;
        let issuer = self.issuer(token.issuer())?;
        let claims = issuer.verify(token).await?;
        let expires_at = claims::lifetime(&claims, self.config.leeway, now)?;
        claims::audience(&claims, &issuer.config.audience)?;
        Ok(Identity {
            rights: self.rights(&claims, &issuer.config)?,
            expires_at,
            issued_at: numeric_date(&claims, "iat")?.map(Timestamp::from_millis),
            token_id: token_id(&claims)?,
        })
    }

    /// Asks key servers again before their keys are old, for ever.
    pub async fn keep_fresh(&self) {
        let servers = self.issuers().filter_map(Issuer::key_server);
        let tasks = servers.map(|server| {
            let server = Arc::clone(server);
            async move { server.keep_fresh().await }
        });
        // Dropped, it ends them all.
        let mut tasks: JoinSet<()> = tasks.collect();
        while let Some(ended) = tasks.join_next().await {
            if let Err(failure) = ended {
                error!(error = %failure, "keys are asked for only when they are needed");
            }
        }
        std::future::pending::<()>().await;
    }

    /// How often key servers were asked, by what came of it.
    pub fn key_fetches(&self) -> BTreeMap<&'static str, u64> {
        self.fetches.counts()
    }

    /// How the key servers are.
    pub fn key_servers(&self) -> Vec<KeyServerStats> {
        let stats = |issuer: &Issuer| {
            let name = issuer.config.name.as_deref().unwrap_or("default");
            Some(issuer.key_server()?.stats(name))
        };
        self.issuers().filter_map(stats).collect()
    }

    fn issuers(&self) -> impl Iterator<Item = &Issuer> {
        self.unnamed.iter().chain(self.named.values())
    }

    /// Whose keys count for a token that says that it comes from `name`. Whoever lies about it
    /// chooses the keys that refuse the token.
    fn issuer(&self, name: Option<&str>) -> Result<&Issuer, Unauthorized> {
        let named = name.and_then(|name| self.named.get(name));
        named
            .or(self.unnamed.as_ref())
            .ok_or(Unauthorized::Invalid(InvalidToken::Issuer))
    }

    fn rights(&self, claims: &Claims, issuer: &IssuerConfig) -> Result<Rights, Unauthorized> {
        let config = &self.config;
        let user: UserId = identifier(claims, &issuer.user_claims)?;
        let tenant = match &issuer.single_tenant {
            Some(single) => the_only_tenant(claims, &issuer.tenant_claims, single)?,
            None => identifier(claims, &issuer.tenant_claims)?,
        };
        let rooms = if config.reads_rooms {
            patterns(claims, &issuer.rooms_claim, str::to_owned)?.unwrap_or_default()
        } else {
            Vec::new()
        };
        let rooms = self.pool.patterns(rooms);
        let link = match patterns(claims, &issuer.link_claim, account_room)? {
            Some(accounts) => LinkRights::Claims(self.pool.patterns(accounts)),
            None => match config.link_default {
                LinkDefault::Subscribe => LinkRights::Subscribed,
                LinkDefault::Nobody => LinkRights::Claims(self.pool.patterns(Vec::new())),
            },
        };
        Ok(Rights::new(self.pool.tenant(tenant), user, rooms, link))
    }
}

impl IssuerConfig {
    /// An issuer without a name, with all defaults.
    pub fn new(verification: Verification) -> Self {
        Self {
            name: None,
            audience: Vec::new(),
            verification,
            user_claims: ["userId", "sub", "id"].map(String::from).into(),
            tenant_claims: vec!["tenantId".into()],
            rooms_claim: "rooms".into(),
            link_claim: "link".into(),
            single_tenant: None,
        }
    }

    fn title(&self) -> String {
        let named = self.name.as_ref().map(|name| format!("issuer {name:?}"));
        named.unwrap_or_else(|| "the issuer without a name".to_owned())
    }
}

impl Default for AuthConfig {
    /// Everything but who signs, which has no default: nobody.
    fn default() -> Self {
        Self {
            issuers: Vec::new(),
            link_default: LinkDefault::Subscribe,
            leeway: Duration::ZERO,
            reads_rooms: true,
            key_servers: KeyServerConfig::default(),
        }
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(_) => formatter.write_str("Secret(..)"),
            Self::PublicKey(_) => formatter.write_str("PublicKey(..)"),
            Self::Jwks(_) => formatter.write_str("Jwks(..)"),
            Self::JwksUrl(url) => write!(formatter, "JwksUrl({url})"),
        }
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Authenticator")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
