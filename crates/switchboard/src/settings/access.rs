//! What a client may hear, and who is asked about it.

use std::collections::BTreeMap;
use std::fs;
use std::ops::RangeInclusive;
use std::time::Duration;

use switchboard_access::SqlUrl;
use switchboard_event::RoomKind;
use switchboard_outbound::Url;

use super::reader::Section;
use super::secret::Secret;
use super::tree::Source;

/// `[access]`
#[derive(Clone, Debug)]
pub struct AccessSettings {
    /// How rooms are decided whose kind has no policy of its own. Default: by the token.
    pub policy: Policy,
    /// The policies of kinds, by `access.kinds.<kind>`.
    pub kinds: BTreeMap<RoomKind, Policy>,
    /// How long a yes holds; then it is asked for again for who is in the room. Default 60 s; less
    /// costs that many more questions.
    pub ttl: Duration,
    /// How long a no holds. Default 5 s.
    pub ttl_denied: Duration,
    /// How long a yes holds at most, and how long who is in a room stays there when nobody can be
    /// asked. Default 10 min.
    pub grant_ttl_max: Duration,
    /// Most answers that are kept. Default 100,000, of some 300 bytes each.
    pub cached_max: u32,
    /// The database, if any policy asks it.
    pub sql: Option<SqlSettings>,
    /// The CRM's backend, if any policy asks it.
    pub http: Option<HttpSettings>,
}

/// How the rooms of a kind are decided.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Policy {
    /// What the token's patterns cover, and nothing else. The default.
    #[default]
    Claims,
    /// Every room of the client's tenant. For demonstrations.
    Open,
    /// What the CRM's database says to this query.
    Sql(String),
    /// What the CRM's backend says.
    Http,
}

/// `[access.sql]`
#[derive(Clone, Debug)]
pub struct SqlSettings {
    /// Where the database is.
    pub url: SqlUrl,
    /// Most connections to it. Default 4.
    pub pool_max: u32,
    /// How long one question may take. Default 3 s.
    pub timeout: Duration,
    /// Whom to trust for its certificate, as PEM. Default: whom the system trusts.
    pub ca: Option<Vec<u8>>,
}

/// `[access.http]`
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Where to post.
    pub url: Url,
    /// What the backend verifies our signature with.
    pub secret: Secret,
    /// How long one question may take. Default 3 s.
    pub timeout: Duration,
    /// Most questions at once. Default 32.
    pub questions_max: u32,
}

/// What a word stands for, before what it needs is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Word {
    Claims,
    Open,
    Sql,
    Http,
}

impl AccessSettings {
    /// `rooms` are the kinds that the settings declare.
    pub(super) fn read(mut section: Section<'_>, rooms: &[String]) -> Option<Self> {
        let default = Self::default();
        let policy = default_policy(&mut section);
        let kinds = kinds(section.section("kinds"), rooms);
        let asks = |word: &Policy| policy == *word || kinds.values().any(|one| one == word);
        let asks_sql = kinds.values().any(|one| matches!(one, Policy::Sql(_)));
        let sql = SqlSettings::read(section.section("sql"), asks_sql);
        let http = HttpSettings::read(section.section("http"), asks(&Policy::Http));
        let source = section.source_of("grant_ttl_max");
        let settings = Self {
            ttl: section.duration("ttl", TTLS).unwrap_or(default.ttl),
            ttl_denied: section
                .duration("ttl_denied", TTLS)
                .unwrap_or(default.ttl_denied),
            grant_ttl_max: section
                .duration("grant_ttl_max", TTLS)
                .unwrap_or(default.grant_ttl_max),
            cached_max: section
                .number("cached_max", 1..=10_000_000)
                .unwrap_or(default.cached_max),
            policy,
            kinds,
            sql: sql?,
            http: http?,
        };
        if settings.grant_ttl_max < settings.ttl {
            section.refuse(&source, "grant_ttl_max", "must not be less than access.ttl");
        }
        section.finish();
        Some(settings)
    }

    /// Whether the token's patterns decide about any room.
    #[must_use]
    pub fn reads_claims(&self) -> bool {
        self.policies().any(|policy| *policy == Policy::Claims)
    }

    /// The policies that are in force, that of all other kinds first.
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        std::iter::once(&self.policy).chain(self.kinds.values())
    }
}

impl Policy {
    /// The word for it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Claims => "claims",
            Self::Open => "open",
            Self::Sql(_) => "sql",
            Self::Http => "http",
        }
    }
}

impl SqlSettings {
    /// The outer `None` means that it was refused.
    #[expect(clippy::option_option, reason = "absent is not refused")]
    fn read(mut section: Section<'_>, is_needed: bool) -> Option<Option<Self>> {
        let (is_set, source) = (section.has_secret("url"), section.source_of_secret("url"));
        let url = section.secret("url");
        let ca_source = section.source_of("ca_file");
        let ca = section.path("ca_file").map(fs::read).transpose();
        let ca = ca.unwrap_or_else(|error| {
            section.refuse(&ca_source, "ca_file", &format!("cannot be read: {error}"));
            None
        });
        let pool_max = section.number("pool_max", 1..=64).unwrap_or(4);
        let timeout = section.duration("timeout", TIMEOUTS).unwrap_or(TIMEOUT);
        section.finish();
        let Some(url) = url else {
            if is_needed && !is_set {
                section.missing("url");
            }
            return (!is_needed && !is_set).then_some(None);
        };
        let url = match url.reveal().parse::<SqlUrl>() {
            // From the directory of the settings file, as every path in it.
            Ok(SqlUrl::Sqlite(path)) if !matches!(source, Source::Variable(_)) => {
                SqlUrl::Sqlite(section.relative(&path.to_string_lossy()))
            }
            Ok(url) => url,
            Err(error) => {
                section.refuse(&source, "url", &error.to_string());
                return None;
            }
        };
        Some(Some(Self {
            url,
            pool_max,
            timeout,
            ca,
        }))
    }
}

impl HttpSettings {
    /// The outer `None` means that it was refused.
    #[expect(clippy::option_option, reason = "absent is not refused")]
    fn read(mut section: Section<'_>, is_needed: bool) -> Option<Option<Self>> {
        let url_is_set = section.has("url");
        let is_plain = section.flag("plain_http").unwrap_or(false);
        let url = section.value("url", |value| {
            let text = value.as_text().unwrap_or_default();
            let url = if is_plain {
                Url::with_plain_http(text)
            } else {
                text.parse()
            };
            url.map_err(|error| format!("{error}, or access.http.plain_http must be true"))
        });
        let secret_is_set = section.has_secret("secret");
        let source = section.source_of_secret("secret");
        let secret = section.secret("secret").filter(|secret| {
            let len = secret.reveal().len();
            if len < SECRET_LEN_MIN {
                let problem = format!("is {len} bytes long, must be at least {SECRET_LEN_MIN}");
                section.refuse(&source, "secret", &problem);
            }
            len >= SECRET_LEN_MIN
        });
        let timeout = section.duration("timeout", TIMEOUTS).unwrap_or(TIMEOUT);
        let questions_max = section.number("questions_max", 1..=1_000).unwrap_or(32);
        section.finish();
        let is_anything_set = url_is_set || secret_is_set;
        if is_needed || is_anything_set {
            for (key, is_set) in [("url", url_is_set), ("secret", secret_is_set)] {
                if !is_set {
                    section.missing(key);
                }
            }
            return Some(Some(Self {
                url: url?,
                secret: secret?,
                timeout,
                questions_max,
            }));
        }
        Some(None)
    }
}

impl Default for AccessSettings {
    fn default() -> Self {
        Self {
            policy: Policy::Claims,
            kinds: BTreeMap::new(),
            ttl: Duration::from_mins(1),
            ttl_denied: Duration::from_secs(5),
            grant_ttl_max: Duration::from_mins(10),
            cached_max: 100_000,
            sql: None,
            http: None,
        }
    }
}

/// That of kinds without one. A query is about one kind, so it has none.
fn default_policy(section: &mut Section<'_>) -> Policy {
    let policy = section.value("policy", |value| match value.as_text() {
        Some("claims") => Ok(Policy::Claims),
        Some("open") => Ok(Policy::Open),
        Some("http") => Ok(Policy::Http),
        Some("sql") => {
            Err("which needs a query for each kind, in [access.kinds.<kind>]".to_owned())
        }
        _ => Err("must be \"claims\" or \"open\" or \"http\"".to_owned()),
    });
    policy.unwrap_or_default()
}

fn kinds(mut section: Section<'_>, rooms: &[String]) -> BTreeMap<RoomKind, Policy> {
    let mut kinds = BTreeMap::new();
    for name in section.keys() {
        let source = section.source_of(&name);
        let kind = match BUILT_IN.iter().find(|(word, _)| *word == name) {
            Some((_, kind)) => Some(kind.clone()),
            None if rooms.contains(&name) => Some(RoomKind::Custom(name.as_str().into())),
            None => None,
        };
        let policy = policy(section.section(&name));
        match (kind, policy) {
            (Some(kind), Some(policy)) => {
                kinds.insert(kind, policy);
            }
            (Some(_), None) => {}
            (None, _) => {
                let words: Vec<_> = BUILT_IN.iter().map(|(word, _)| *word).collect();
                let problem = format!(
                    "is no kind of room that can have a policy: those are {}, and what \
                     catalogue.rooms declares",
                    words.join(", ")
                );
                section.refuse(&source, &name, &problem);
            }
        }
    }
    section.finish();
    kinds
}

fn policy(mut section: Section<'_>) -> Option<Policy> {
    let is_set = section.has("policy");
    let word = section.word(
        "policy",
        &[
            ("claims", Word::Claims),
            ("open", Word::Open),
            ("sql", Word::Sql),
            ("http", Word::Http),
        ],
    );
    if !is_set {
        section.missing("policy");
    }
    let (query_is_set, source) = (section.has("query"), section.source_of("query"));
    let query = section.text("query");
    section.finish();
    let policy = match word? {
        Word::Claims => Policy::Claims,
        Word::Open => Policy::Open,
        Word::Http => Policy::Http,
        Word::Sql => {
            if !query_is_set {
                section.missing("query");
            }
            return query.map(Policy::Sql);
        }
    };
    if query_is_set {
        let problem = format!("is set, but the policy is {}", policy.as_str());
        section.refuse(&source, "query", &problem);
    }
    Some(policy)
}

/// The kinds that may have a policy, by their words. Own rooms are nobody's to decide about.
const BUILT_IN: [(&str, RoomKind); 6] = [
    ("whatsapp", RoomKind::Whatsapp),
    ("link", RoomKind::WhatsappLink),
    ("campaign", RoomKind::Campaign),
    ("contact", RoomKind::Contact),
    ("contacts", RoomKind::Contacts),
    ("flow", RoomKind::Flow),
];

const TTLS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_hours(24);
/// A subscription to an account may ask twice within `engine.handling_timeout`.
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(15);
const TIMEOUT: Duration = Duration::from_secs(3);
/// As long as the hash itself, as that of tokens.
const SECRET_LEN_MIN: usize = 32;

#[cfg(test)]
mod tests;
