//! What tokens are verified with.

use std::fmt;

use switchboard_gateway::{Algorithm, InvalidKey, KeyKind, KeySource};
use switchboard_outbound::Url;

use super::super::reader::Section;
use super::super::secret::Secret;
use super::super::tree::Source;

/// Algorithms and their keys. Only these are configured; a token's header is never asked.
#[derive(Clone, Debug)]
pub struct Verification {
    /// `algorithm`, or `algorithms`: at least one, all for the same keys. Default `HS256`; with a
    /// JWK set `RS256`.
    pub algorithms: Vec<Algorithm>,
    /// Where the keys are.
    pub keys: Keys,
}

/// Where the keys of an issuer are.
#[derive(Clone, Debug)]
pub enum Keys {
    /// `secret`: what the signer shares, for HMAC.
    Secret(Secret),
    /// `public_key`: the signer's public key as PEM.
    PublicKey(String),
    /// `jwks`: public keys as a JWK set.
    Jwks(String),
    /// `jwks_url`: where a JWK set is asked for.
    JwksUrl(Url),
}

/// The keys of the settings that say where keys are.
const SECRET: &str = "secret";
const PUBLIC_KEY: &str = "public_key";
const JWKS: &str = "jwks";
const JWKS_URL: &str = "jwks_url";
const WAYS: [&str; 4] = [SECRET, PUBLIC_KEY, JWKS, JWKS_URL];

impl Verification {
    /// HMAC with SHA-256 and a shared secret.
    #[must_use]
    pub fn hs256(secret: Secret) -> Self {
        Self {
            algorithms: vec![Algorithm::HS256],
            keys: Keys::Secret(secret),
        }
    }

    /// The same for the gateway.
    #[must_use]
    pub fn of_gateway(&self) -> switchboard_gateway::Verification {
        switchboard_gateway::Verification {
            algorithms: self.algorithms.clone(),
            keys: match &self.keys {
                Keys::Secret(secret) => KeySource::Secret(secret.reveal().as_bytes().into()),
                Keys::PublicKey(pem) => KeySource::PublicKey(pem.as_bytes().into()),
                Keys::Jwks(text) => KeySource::Jwks(text.as_bytes().into()),
                Keys::JwksUrl(url) => KeySource::JwksUrl(url.clone()),
            },
        }
    }

    /// Whether anything of it is written.
    pub(super) fn is_written(section: &Section<'_>) -> bool {
        let is_named = section.has("algorithm") || section.has("algorithms");
        is_named || WAYS.into_iter().any(|way| is_set(section, way))
    }

    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let written = Written::all(section);
        let chosen = Chosen::read(section, &written);
        let way = one_way(section, written, &chosen);
        let is_secret = chosen.are_secret();
        // Taken in any case, so that none counts as unknown.
        let (secret, pem, jwks) = (
            section.secret(SECRET),
            section.secret(PUBLIC_KEY),
            section.secret(JWKS),
        );
        let url = section.parsed(JWKS_URL);
        let (way, algorithms) = (way.ok()?, chosen.algorithms?);
        let Some(way) = way else {
            section.missing(if is_secret { SECRET } else { "public_key_file" });
            return None;
        };
        let text = |secret: Secret| secret.reveal().to_owned();
        let keys = match way.way {
            SECRET => Keys::Secret(secret?),
            PUBLIC_KEY => Keys::PublicKey(text(pem?)),
            JWKS => Keys::Jwks(text(jwks?)),
            _ => Keys::JwksUrl(url?),
        };
        let verification = Self { algorithms, keys };
        match verification.of_gateway().check() {
            Ok(()) => Some(verification),
            Err(InvalidKey::Kind { algorithm, needed }) => {
                let problem = format!("has {algorithm}, which takes {needed}");
                section.refuse(&chosen.source, chosen.key, &problem);
                None
            }
            Err(fault) => {
                section.refuse(&way.source, way.way, &fault.to_string());
                None
            }
        }
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.algorithms.iter().map(|one| one.name()).collect();
        write!(formatter, "{} with ", names.join(" or "))?;
        match &self.keys {
            Keys::Secret(_) => formatter.write_str("a shared secret"),
            Keys::PublicKey(_) => formatter.write_str("the signer's public key"),
            Keys::Jwks(_) => formatter.write_str("a set of the signer's public keys"),
            Keys::JwksUrl(url) => write!(formatter, "the public keys at {url}"),
        }
    }
}

/// The algorithms as they are written.
struct Chosen {
    key: &'static str,
    source: Source,
    /// None if they were refused.
    algorithms: Option<Vec<Algorithm>>,
}

impl Chosen {
    fn read(section: &mut Section<'_>, written: &[Written]) -> Self {
        let (is_one, is_list) = (section.has("algorithm"), section.has("algorithms"));
        let key = match section.loser("algorithm", "algorithms") {
            Some(loser) => {
                section.forget(&loser);
                if loser == "algorithm" {
                    "algorithms"
                } else {
                    "algorithm"
                }
            }
            None if is_list => "algorithms",
            None => "algorithm",
        };
        let source = section.source_of(key);
        if is_one && is_list && section.has("algorithm") && section.has("algorithms") {
            section.refuse(&source, key, "and auth.algorithm are both set");
        }
        let one = section.parsed("algorithm").map(|one| vec![one]);
        let list = section.list("algorithms");
        let is_set = |way: &str| written.iter().any(|one| one.way == way);
        let is_jwks = (is_set(JWKS) || is_set(JWKS_URL)) && !is_set(SECRET);
        let default = if is_jwks {
            Algorithm::RS256
        } else {
            Algorithm::HS256
        };
        let algorithms = match key {
            "algorithms" => list,
            _ if is_one => one,
            _ => Some(vec![default]),
        };
        Self {
            key,
            algorithms: algorithms.filter(|list: &Vec<Algorithm>| {
                if list.is_empty() {
                    section.refuse(&source, key, "must name at least one algorithm");
                }
                !list.is_empty()
            }),
            source,
        }
    }

    fn are_secret(&self) -> bool {
        let first = self.algorithms.as_ref().and_then(|list| list.first());
        first.is_none_or(|first| first.key_kind() == KeyKind::Secret)
    }
}

/// A way to give keys that is written.
struct Written {
    way: &'static str,
    /// As it is written: `secret` or `secret_file`.
    key: String,
    source: Source,
}

impl Written {
    fn all(section: &Section<'_>) -> Vec<Self> {
        let written = WAYS.into_iter().filter(|way| is_set(section, way));
        written
            .map(|way| {
                let key = match way {
                    JWKS_URL => way.to_owned(),
                    _ => section.key_of_secret(way),
                };
                Self {
                    way,
                    source: section.source_of(&key),
                    key,
                }
            })
            .collect()
    }
}

fn is_set(section: &Section<'_>, way: &str) -> bool {
    match way {
        JWKS_URL => section.has(way),
        _ => section.has_secret(way),
    }
}

/// What was written was refused.
struct Refused;

/// The one way that counts, if there is one. Another that would not be used is a mistake about who
/// can sign tokens, unless a variable overrules it.
fn one_way(
    section: &mut Section<'_>,
    written: Vec<Written>,
    chosen: &Chosen,
) -> Result<Option<Written>, Refused> {
    let mut result = Ok(());
    let is_by_variable = matches!(chosen.source, Source::Variable(_));
    let in_file = |way: &Written| !matches!(way.source, Source::Variable(_));
    let (mut fitting, idle): (Vec<_>, Vec<_>) = written
        .into_iter()
        .partition(|way| (way.way == SECRET) == chosen.are_secret());
    let names = chosen.algorithms.iter().flatten().map(|one| one.name());
    let names = names.collect::<Vec<_>>().join(" and ");
    for way in idle {
        if is_by_variable && in_file(&way) {
            section.forget(&way.key);
        } else if chosen.algorithms.is_some() {
            let problem = format!("is set, but auth.algorithm is {names}, which does not use it");
            section.refuse(&way.source, &way.key, &problem);
            result = Err(Refused);
        }
    }
    if fitting.iter().any(|way| !in_file(way)) {
        for overruled in fitting.extract_if(.., |way| in_file(way)) {
            section.forget(&overruled.key);
        }
    }
    let mut fitting = fitting.into_iter();
    let first = fitting.next();
    for other in fitting {
        let problem = first.as_ref().map_or_else(String::new, |first| {
            format!("and {} are both set", section.path_of(&first.key))
        });
        section.refuse(&other.source, &other.key, &problem);
        result = Err(Refused);
    }
    result.map(|()| first)
}
