//! What was revoked before a token was shown.

use switchboard_event::{RevokedKey, Room, Timestamp, UserRevocations};
use switchboard_journal::{Journal, Key, ReadError};

use crate::auth::Identity;

/// What the journal says of an identity.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    /// Its token is worth nothing.
    Revoked,
    /// The same, but it is of the very second of the revocation: perhaps a new one, and the next one
    /// is for sure.
    PerhapsNew,
    /// It is good, except for these rooms, which tokens from before these times do not cover.
    Good(Vec<(Room, Timestamp)>),
}

/// Asks what is revoked of an identity.
///
/// Whoever is known to the lane when this is asked misses nothing: what was revoked before is
/// found here, and what is revoked later the lane does.
pub(crate) async fn standing(
    journal: &dyn Journal,
    identity: &Identity,
    now: Timestamp,
) -> Result<Standing, ReadError> {
    let id = identity.token_id.as_deref();
    let mut keys = vec![journal_key(&RevokedKey::user(identity.rights.user()))];
    keys.extend(id.map(|id| journal_key(&RevokedKey::token(id))));
    let values = journal.values(identity.rights.tenant(), &keys, now).await?;
    let mut values = values.into_iter();
    let of_user = values.next().flatten();
    if values.next().flatten().is_some() {
        return Ok(Standing::Revoked);
    }
    let Some(of_user) = of_user else {
        return Ok(Standing::Good(Vec::new()));
    };
    // Letting somebody in because it cannot be read why not would be the wrong way round.
    let revocations =
        UserRevocations::from_bytes(&of_user.bytes).map_err(|invalid| ReadError::Damaged {
            reason: invalid.to_string(),
        })?;
    if revocations.is_revoked(identity.issued_at) {
        let age = |issued_at: Timestamp| now.as_millis() - issued_at.as_millis();
        let is_young = identity.issued_at.is_some_and(|at| age(at) < YOUNG_MS);
        let is_perhaps_new = is_young && revocations.may_be_newer(identity.issued_at);
        return Ok(if is_perhaps_new {
            Standing::PerhapsNew
        } else {
            Standing::Revoked
        });
    }
    let taken = revocations.taken(identity.issued_at);
    Ok(Standing::Good(
        taken
            .map(|(room, instant)| (room.clone(), instant))
            .collect(),
    ))
}

/// Who was told to come back, and has a token like this one still, has no other.
const YOUNG_MS: i64 = 5_000;

fn journal_key(key: &RevokedKey) -> Key {
    key.as_str()
        .parse()
        .expect("an id or a hash with a prefix is shorter than a key may be")
}
