//! Further signers of tokens.

use std::collections::BTreeSet;

use switchboard_event::TenantId;

use super::super::reader::Section;
use super::verification::Verification;
use super::{Auth, audience, claims};

/// `[[auth.issuers]]`: somebody else who signs tokens, with keys that verify no other's.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// Of which `aud` one must be named. Default none: `aud` is not looked at.
    pub audience: Vec<String>,
    /// How its tokens are verified.
    pub verification: Verification,
    /// The tenant of all its tokens; one that names another is refused. Default: that of
    /// `auth.single_tenant`, and if there is none the token says it, for whichever tenant.
    pub tenant: Option<TenantId>,
    /// Default: as in `[auth]`, like the other claims.
    pub user_claims: Vec<String>,
    /// See there.
    pub tenant_claims: Vec<String>,
    /// See there.
    pub rooms_claim: String,
    /// See there.
    pub link_claim: String,
}

impl Issuer {
    /// The issuers beside that of `auth`, from which they have what they do not say themselves.
    pub(super) fn read_all(sections: Vec<Section<'_>>, auth: &Auth) -> Option<Vec<Self>> {
        let mut names: BTreeSet<String> = auth.issuer.iter().cloned().collect();
        let issuers: Vec<_> = sections
            .into_iter()
            .map(|mut section| {
                let source = section.source_of("issuer");
                let issuer = Self::read(&mut section, auth);
                if let Some(Self { issuer: name, .. }) = &issuer
                    && !names.insert(name.clone())
                {
                    let problem = format!("is {name:?}, which another issuer has");
                    section.refuse(&source, "issuer", &problem);
                }
                section.finish();
                issuer
            })
            .collect();
        issuers.into_iter().collect()
    }

    fn read(section: &mut Section<'_>, auth: &Auth) -> Option<Self> {
        if !section.has("issuer") {
            section.missing("issuer");
        }
        let name = section.text("issuer");
        let verification = Verification::read(section);
        let inherited = auth.clone();
        let or = |claim: Option<String>, inherited| claim.unwrap_or(inherited);
        Some(Self {
            audience: audience(section).unwrap_or_default(),
            tenant: tenant(section, auth.single_tenant.as_ref()),
            user_claims: claims(section, "user_claims").unwrap_or(inherited.user_claims),
            tenant_claims: claims(section, "tenant_claims").unwrap_or(inherited.tenant_claims),
            rooms_claim: or(section.text("rooms_claim"), inherited.rooms_claim),
            link_claim: or(section.text("link_claim"), inherited.link_claim),
            issuer: name?,
            verification: verification?,
        })
    }
}

fn tenant(section: &mut Section<'_>, single: Option<&TenantId>) -> Option<TenantId> {
    let own = section.value("tenant", |value| {
        let name = value.as_text().ok_or("must be the name of a tenant")?;
        let tenant: TenantId = name
            .parse()
            .map_err(|error| format!("must be the name of a tenant: {error}"))?;
        match single {
            Some(single) if tenant != *single => {
                Err(format!("must be {single}: auth.single_tenant is set"))
            }
            _ => Ok(tenant),
        }
    });
    own.or_else(|| single.cloned())
}
