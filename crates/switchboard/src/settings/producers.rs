//! Who may publish, and the webhooks that do.

use std::collections::{BTreeMap, BTreeSet};

use switchboard_event::{Id, TenantId};
use switchboard_ingest::{KeyHash, Scope, Scopes};

use super::reader::Section;
use super::secret::Secret;

/// `[[producers]]`
#[derive(Clone, Debug)]
pub struct Producer {
    /// What logs and refusals call it.
    pub name: String,
    /// The SHA-256 of its API key; the key itself is nowhere.
    pub key_sha256: KeyHash,
    /// The tenant that it publishes for; everyone for `*`.
    pub tenant: TenantId,
    /// What the key is for. Default publish and read.
    pub scopes: Scopes,
}

/// `[[webhooks.meta]]`
#[derive(Clone, Debug)]
pub struct MetaWebhook {
    /// The last part of the address: `/webhooks/meta/{endpoint}`.
    pub endpoint: String,
    /// The tenant whose messages arrive here.
    pub tenant: TenantId,
    /// The app secret, which signs the bodies.
    pub app_secret: Secret,
    /// What Meta must say to register the address.
    pub verify_token: Secret,
    /// The WhatsApp account of each phone number id. Without it the phone number id is the account
    /// id; with it a number that is not listed is ignored.
    pub accounts: Option<BTreeMap<String, Id>>,
}

impl Producer {
    /// The producers. With a single tenant none may publish for another, whom nobody would hear.
    pub(super) fn read_all(
        sections: Vec<Section<'_>>,
        single: Option<&TenantId>,
    ) -> Option<Vec<Self>> {
        let mut names = BTreeSet::new();
        let mut keys = BTreeSet::new();
        let producers: Vec<_> = sections
            .into_iter()
            .map(|mut section| {
                let source = section.source_of("name");
                let producer = Self::read(&mut section, single);
                if let Some(Self {
                    name, key_sha256, ..
                }) = &producer
                {
                    if !names.insert(name.clone()) {
                        section.refuse(
                            &source,
                            "name",
                            &format!("is {name:?}, which another producer has"),
                        );
                    }
                    if !keys.insert(*key_sha256) {
                        section.refuse(&source, "key_sha256", "is that of another producer");
                    }
                }
                section.finish();
                producer
            })
            .collect();
        producers.into_iter().collect()
    }

    fn read(section: &mut Section<'_>, single: Option<&TenantId>) -> Option<Self> {
        require(section, &["name", "tenant"]);
        let name = section.text("name");
        let key_sha256 = key_hash(section);
        let tenant = section.value("tenant", |value| match value.as_text() {
            Some("*") => Ok(TenantId::everyone()),
            text => tenant(text, single),
        });
        let scopes = scopes(section);
        Some(Self {
            name: name?,
            key_sha256: key_sha256?,
            tenant: tenant?,
            scopes: scopes?,
        })
    }
}

impl MetaWebhook {
    /// The webhooks. With a single tenant none may be of another, whom nobody would hear.
    pub(super) fn read_all(
        sections: Vec<Section<'_>>,
        single: Option<&TenantId>,
    ) -> Option<Vec<Self>> {
        let mut endpoints = BTreeSet::new();
        let webhooks: Vec<_> = sections
            .into_iter()
            .map(|mut section| {
                let source = section.source_of("endpoint");
                let webhook = Self::read(&mut section, single);
                if let Some(Self { endpoint, .. }) = &webhook
                    && !endpoints.insert(endpoint.clone())
                {
                    section.refuse(
                        &source,
                        "endpoint",
                        &format!("is {endpoint:?}, which another webhook has"),
                    );
                }
                section.finish();
                webhook
            })
            .collect();
        webhooks.into_iter().collect()
    }

    fn read(section: &mut Section<'_>, single: Option<&TenantId>) -> Option<Self> {
        require(section, &["endpoint", "tenant"]);
        let endpoint = section.value("endpoint", |value| match value.as_text() {
            Some(text)
                if !text.is_empty() && text.len() <= 64 && text.bytes().all(is_path_byte) =>
            {
                Ok(text.to_owned())
            }
            _ => Err("must be 1 to 64 letters, digits, '-', '_' or '.'".to_owned()),
        });
        let tenant = section.value("tenant", |value| tenant(value.as_text(), single));
        let app_secret = required_secret(section, "app_secret");
        let verify_token = required_secret(section, "verify_token");
        let accounts = section.parsed_by_name("accounts");
        Some(Self {
            endpoint: endpoint?,
            tenant: tenant?,
            app_secret: app_secret?,
            verify_token: verify_token?,
            accounts,
        })
    }
}

fn require(section: &Section<'_>, keys: &[&str]) {
    for key in keys {
        if !section.has(key) {
            section.missing(key);
        }
    }
}

fn required_secret(section: &mut Section<'_>, key: &str) -> Option<Secret> {
    let is_set = section.has_secret(key);
    let source = section.source_of_secret(key);
    let secret = section.secret(key);
    match &secret {
        None if !is_set => section.missing(key),
        Some(secret) if secret.reveal().trim().is_empty() => {
            section.refuse(&source, key, "is empty");
            return None;
        }
        _ => {}
    }
    secret
}

/// Read as a secret: what is pasted here by mistake is the key itself.
fn key_hash(section: &mut Section<'_>) -> Option<KeyHash> {
    let source = section.source_of_secret("key_sha256");
    let text = required_secret(section, "key_sha256")?;
    match text.reveal().trim().parse::<KeyHash>() {
        Ok(hash) => Some(hash),
        Err(error) => {
            section.refuse(&source, "key_sha256", &error.to_string());
            None
        }
    }
}

fn scopes(section: &mut Section<'_>) -> Option<Scopes> {
    if !section.has("scopes") {
        // So that it is known, for whoever misspells it.
        let _ = section.list::<Scope>("scopes");
        return Some(Scopes::default());
    }
    let source = section.source_of("scopes");
    match Scopes::try_from(section.list("scopes")?) {
        Ok(scopes) => Some(scopes),
        Err(error) => {
            section.refuse(&source, "scopes", &error.to_string());
            None
        }
    }
}

pub(super) fn tenant(text: Option<&str>, single: Option<&TenantId>) -> Result<TenantId, String> {
    let text = text.ok_or_else(|| "must be text".to_owned())?;
    let tenant: TenantId = text
        .parse()
        .map_err(|error| format!("must be the name of a tenant: {error}"))?;
    match single {
        Some(single) if tenant != *single => Err(format!(
            "must be {:?}, as auth.single_tenant is set",
            single.as_str()
        )),
        _ => Ok(tenant),
    }
}

fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}
