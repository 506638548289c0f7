//! Who a client is.

mod issuer;
mod verification;

use std::time::Duration;

use switchboard_event::TenantId;
use switchboard_gateway::KeyServerConfig;

use super::reader::{Section, flag};
use super::secret::Secret;

pub use self::issuer::Issuer;
pub use self::verification::{Keys, Verification};

/// `[auth]`
#[derive(Clone, Debug)]
pub struct Auth {
    /// The `iss` of tokens. Default none: those are taken that name no issuer of
    /// [`issuers`](Self::issuers), whatever else they name.
    pub issuer: Option<String>,
    /// Of which `aud` one must be named. Default none: `aud` is not looked at.
    pub audience: Vec<String>,
    /// How tokens are verified. None only if further issuers sign them all; without any the server
    /// does not start.
    pub verification: Option<Verification>,
    /// Who else signs tokens. Default nobody.
    pub issuers: Vec<Issuer>,
    /// How key servers are asked.
    pub key_servers: KeyServers,
    /// The claims that may name the user, the first one present counts. Default `userId`, `sub`,
    /// `id`.
    pub user_claims: Vec<String>,
    /// The claims that may name the tenant. Default `tenantId`.
    pub tenant_claims: Vec<String>,
    /// The claim with the patterns of rooms that the client may join. Default `rooms`.
    pub rooms_claim: String,
    /// The claim with the patterns of accounts that the client may pair. Default `link`.
    pub link_claim: String,
    /// What a token without that claim may pair. Default: what it may subscribe to.
    pub link_default: LinkDefault,
    /// The tenant of every client, for a CRM with one customer: `true` (then it is `default`) or a
    /// name. Default none: a token without a tenant is refused.
    pub single_tenant: Option<TenantId>,
    /// How far the clocks of this server and of who signs may be apart. Default 0.
    pub leeway: Duration,
    /// What becomes of a client whose token ends while it is connected. Default: it is disconnected.
    pub on_expiry: OnExpiry,
    /// How long before its token ends a client is told. Default 60 s; 0 s: it is not told.
    pub expiry_notice: Duration,
}

/// `auth.jwks_*`: how key servers are asked, those of further issuers too.
#[derive(Clone, Copy, Debug)]
pub struct KeyServers {
    /// How old keys may be before they are asked for again. Default 5 min: as long a key that was
    /// taken back is still good.
    pub refresh: Duration,
    /// The least time between two questions. Default 10 s; raising it makes clients wait longer
    /// for a key that is new, lowering it lets tokens with made-up keys cost the server more.
    pub pause: Duration,
    /// How old keys may become while the key server does not answer. Default 6 h.
    pub keep: Duration,
}

/// `auth.link_default`
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LinkDefault {
    /// The accounts that the token may subscribe to. The default.
    #[default]
    Subscribe,
    /// None.
    None,
}

/// `auth.on_expiry`
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnExpiry {
    /// Its transport is closed, and it comes back with a new token. The default.
    #[default]
    Disconnect,
    /// It stays for as long as its connection lasts.
    Keep,
}

impl Auth {
    /// The defaults, with `verification`.
    #[must_use]
    pub fn new(verification: Verification) -> Self {
        Self {
            issuer: None,
            audience: Vec::new(),
            verification: Some(verification),
            issuers: Vec::new(),
            key_servers: KeyServers::default(),
            user_claims: ["userId", "sub", "id"].map(str::to_owned).into(),
            tenant_claims: vec!["tenantId".to_owned()],
            rooms_claim: "rooms".to_owned(),
            link_claim: "link".to_owned(),
            link_default: LinkDefault::default(),
            single_tenant: None,
            leeway: Duration::ZERO,
            on_expiry: OnExpiry::default(),
            expiry_notice: Duration::from_mins(1),
        }
    }

    pub(super) fn read(mut section: Section<'_>) -> Option<Self> {
        let default = Self::new(Verification::hs256(Secret::new("")));
        let issuers = section.sections("issuers");
        let is_needed = issuers.is_empty() || Verification::is_written(&section);
        let verification = is_needed.then(|| Verification::read(&mut section));
        let settings = Self {
            issuer: section.text("issuer"),
            audience: audience(&mut section).unwrap_or_default(),
            verification: None,
            issuers: Vec::new(),
            key_servers: KeyServers::read(&mut section),
            user_claims: claims(&mut section, "user_claims").unwrap_or(default.user_claims),
            tenant_claims: claims(&mut section, "tenant_claims").unwrap_or(default.tenant_claims),
            rooms_claim: section.text("rooms_claim").unwrap_or(default.rooms_claim),
            link_claim: section.text("link_claim").unwrap_or(default.link_claim),
            link_default: section
                .word(
                    "link_default",
                    &[
                        ("subscribe", LinkDefault::Subscribe),
                        ("none", LinkDefault::None),
                    ],
                )
                .unwrap_or_default(),
            single_tenant: single_tenant(&mut section),
            leeway: section
                .duration("leeway", Duration::ZERO..=LEEWAY_MAX)
                .unwrap_or(default.leeway),
            on_expiry: section
                .word(
                    "on_expiry",
                    &[
                        ("disconnect", OnExpiry::Disconnect),
                        ("keep", OnExpiry::Keep),
                    ],
                )
                .unwrap_or_default(),
            expiry_notice: section
                .duration("expiry_notice", Duration::ZERO..=EXPIRY_NOTICE_MAX)
                .unwrap_or(default.expiry_notice),
        };
        let issuers = Issuer::read_all(issuers, &settings);
        section.finish();
        Some(Self {
            verification: verification.map_or(Some(None), |read| read.map(Some))?,
            issuers: issuers?,
            ..settings
        })
    }
}

impl KeyServers {
    fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let mut duration = |key, least| section.duration(key, least..=KEEP_MAX);
        Self {
            refresh: duration("jwks_refresh", PAUSE_MIN).unwrap_or(default.refresh),
            pause: duration("jwks_pause", PAUSE_MIN).unwrap_or(default.pause),
            keep: duration("jwks_keep", PAUSE_MIN).unwrap_or(default.keep),
        }
    }
}

impl Default for KeyServers {
    fn default() -> Self {
        let KeyServerConfig {
            refresh,
            pause,
            keep,
        } = KeyServerConfig::default();
        Self {
            refresh,
            pause,
            keep,
        }
    }
}

fn audience(section: &mut Section<'_>) -> Option<Vec<String>> {
    let source = section.source_of("audience");
    let names: Vec<String> = section.list("audience")?;
    if names.is_empty() || names.iter().any(|name| name.trim().is_empty()) {
        let problem = "must name at least one audience, and no empty one";
        section.refuse(&source, "audience", problem);
        return None;
    }
    Some(names)
}

fn claims(section: &mut Section<'_>, key: &str) -> Option<Vec<String>> {
    let source = section.source_of(key);
    let claims: Vec<String> = section.list(key)?;
    if claims.is_empty() || claims.iter().any(|claim| claim.trim().is_empty()) {
        section.refuse(
            &source,
            key,
            "must name at least one claim, and no empty one",
        );
        return None;
    }
    Some(claims)
}

fn single_tenant(section: &mut Section<'_>) -> Option<TenantId> {
    section.value("single_tenant", |value| {
        let name = match (flag(value), value.as_text()) {
            (Some(false), _) => return Ok(None),
            (Some(true), _) => SINGLE_TENANT,
            (None, Some(name)) => name,
            (None, None) => return Err("must be true, false or the name of a tenant".to_owned()),
        };
        name.parse()
            .map(Some)
            .map_err(|error| format!("must be the name of a tenant: {error}"))
    })?
}

/// The tenant of `single_tenant = true`.
const SINGLE_TENANT: &str = "default";
const LEEWAY_MAX: Duration = Duration::from_mins(10);
const EXPIRY_NOTICE_MAX: Duration = Duration::from_hours(24);
/// A key server is not asked more often.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const KEEP_MAX: Duration = Duration::from_hours(7 * 24);

#[cfg(test)]
mod tests;
