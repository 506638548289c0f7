//! Who a client is.

use std::time::Duration;

use jsonwebtoken::DecodingKey;
use switchboard_event::TenantId;

use super::reader::{Section, flag};
use super::secret::Secret;
use super::tree::Source;

/// `[auth]`
#[derive(Clone, Debug)]
pub struct Auth {
    /// How tokens are verified. Without a secret or key the server does not start.
    pub verification: Verification,
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
}

/// `auth.algorithm` and its key. One algorithm is configured; the token's header is never asked.
#[derive(Clone, Debug)]
pub enum Verification {
    /// HMAC with SHA-256, with a secret that the signer shares. The default.
    Hs256(Secret),
    /// RSA with SHA-256, with the signer's public key as PEM.
    Rs256(String),
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

impl Auth {
    /// The defaults, with `verification`.
    #[must_use]
    pub fn new(verification: Verification) -> Self {
        Self {
            verification,
            user_claims: ["userId", "sub", "id"].map(str::to_owned).into(),
            tenant_claims: vec!["tenantId".to_owned()],
            rooms_claim: "rooms".to_owned(),
            link_claim: "link".to_owned(),
            link_default: LinkDefault::default(),
            single_tenant: None,
            leeway: Duration::ZERO,
        }
    }

    pub(super) fn read(mut section: Section<'_>) -> Option<Self> {
        let default = Self::new(Verification::Rs256(String::new()));
        let verification = Verification::read(&mut section);
        let settings = Self {
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
            verification: default.verification,
        };
        section.finish();
        Some(Self {
            verification: verification?,
            ..settings
        })
    }
}

impl Verification {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let secret_if_idle = if_idle(section, "secret");
        let key_if_idle = if_idle(section, "public_key");
        let public = section
            .word("algorithm", &[("HS256", false), ("RS256", true)])
            .unwrap_or(false);
        // One that would not be used is a mistake about who can sign tokens.
        match (public, secret_if_idle, key_if_idle) {
            (true, Some(secret), _) => secret.refuse(section, "RS256"),
            (false, _, Some(key)) => key.refuse(section, "HS256"),
            _ => {}
        }
        let secret_is_set = section.has_secret("secret");
        let secret_source = section.source_of_secret("secret");
        let key_is_set = section.has_secret("public_key");
        let key_source = section.source_of_secret("public_key");
        let secret = section.secret("secret");
        let key = section.secret("public_key");
        match (public, secret, key) {
            (false, Some(secret), _) if secret.reveal().len() >= SECRET_LEN_MIN => {
                Some(Self::Hs256(secret))
            }
            (false, Some(secret), _) => {
                let len = secret.reveal().len();
                section.refuse(
                    &secret_source,
                    "secret",
                    &format!("is {len} bytes long, must be at least {SECRET_LEN_MIN}"),
                );
                None
            }
            (true, _, Some(key)) => match DecodingKey::from_rsa_pem(key.reveal().as_bytes()) {
                Ok(_) if !key.reveal().contains("PRIVATE KEY") => {
                    Some(Self::Rs256(key.reveal().to_owned()))
                }
                Ok(_) => {
                    section.refuse(
                        &key_source,
                        "public_key",
                        "is a private key, must be the public one",
                    );
                    None
                }
                Err(_) => {
                    section.refuse(&key_source, "public_key", "is not an RSA public key in PEM");
                    None
                }
            },
            (false, None, _) if !secret_is_set => {
                section.missing("secret");
                None
            }
            (true, _, None) if !key_is_set => {
                section.missing("public_key_file");
                None
            }
            // Written, but unreadable: refused already.
            _ => None,
        }
    }
}

/// A key that is written, and useless under the other algorithm.
struct Idle {
    key: String,
    source: Source,
}

impl Idle {
    fn refuse(&self, section: &Section<'_>, algorithm: &str) {
        let problem = format!("is set, but auth.algorithm is {algorithm}, which does not use it");
        section.refuse(&self.source, &self.key, &problem);
    }
}

/// The key as it is written, unless a variable with the algorithm overrules it.
fn if_idle(section: &Section<'_>, key: &str) -> Option<Idle> {
    let (key, is_set) = (section.key_of_secret(key), section.has_secret(key));
    let source = section.source_of(&key);
    (is_set && !section.overrules("algorithm", &source)).then_some(Idle { key, source })
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
/// As long as the hash itself: RFC 7518, 3.2.
const SECRET_LEN_MIN: usize = 32;
const LEEWAY_MAX: Duration = Duration::from_mins(10);
