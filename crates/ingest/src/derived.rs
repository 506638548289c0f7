//! Ids made from what a source says: the same for every node and every delivery, and unreadable.
//!
//! A WhatsApp message id holds the phone number of its receiver, and ids are logged, kept as keys
//! and shown in room names. So the address never is the id: the id is a prefix and the first 16
//! bytes, in hexadecimal, of SHA-256 over the parts, each preceded by its length as eight
//! big-endian bytes. A backend can compute the same.

use aws_lc_rs::digest;
use switchboard_event::TenantId;

use crate::hex::encode_hex;

/// An address that a contact is known by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Address<'a> {
    /// A phone number in digits, with or without a leading `+`.
    Phone(&'a str),
    /// A business-scoped user id.
    User(&'a str),
    /// A WhatsApp group.
    Group(&'a str),
}

/// The default id of the contact with this address: `wac_` and 32 hexadecimal digits.
pub fn contact_id(tenant: &TenantId, address: Address<'_>) -> String {
    let (kind, value) = match address {
        Address::Phone(phone) => ("phone", phone.strip_prefix('+').unwrap_or(phone)),
        Address::User(user) => ("user", user),
        Address::Group(group) => ("group", group),
    };
    derive("wac", &["contact", tenant.as_str(), kind, value])
}

/// The default id of the message that WhatsApp calls `source_id`: `wam_` and 32 hexadecimal digits.
pub fn message_id(tenant: &TenantId, source_id: &str) -> String {
    derive("wam", &["message", tenant.as_str(), source_id])
}

/// What makes one event of a webhook itself, whatever the batch or the request that it comes in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity<'a> {
    pub(crate) source: &'static str,
    pub(crate) account: &'a str,
    pub(crate) message: &'a str,
    pub(crate) event: &'static str,
    pub(crate) status: &'a str,
    pub(crate) participant: &'a str,
}

/// The id of the event with this identity: `wae_` and 32 hexadecimal digits.
pub(crate) fn event_id(tenant: &TenantId, identity: Identity<'_>) -> String {
    derive(
        "wae",
        &[
            "event",
            tenant.as_str(),
            identity.source,
            identity.account,
            identity.message,
            identity.event,
            identity.status,
            identity.participant,
        ],
    )
}

const DERIVED_BYTES: usize = 16;

fn derive(prefix: &str, parts: &[&str]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let digest = context.finish();

    let mut id = String::with_capacity(prefix.len() + 1 + 2 * DERIVED_BYTES);
    id.push_str(prefix);
    id.push('_');
    encode_hex(&digest.as_ref()[..DERIVED_BYTES], &mut id);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_number_is_the_same_contact_with_and_without_its_plus() {
        let tenant: TenantId = "acme".parse().unwrap();

        let plain = contact_id(&tenant, Address::Phone("15550100002"));
        let plus = contact_id(&tenant, Address::Phone("+15550100002"));

        assert_eq!(plain, plus);
        assert!(!plain.contains("15550100002"));
    }

    #[test]
    fn ids_differ_by_tenant_kind_and_where_one_part_ends() {
        let acme: TenantId = "acme".parse().unwrap();
        let other: TenantId = "other".parse().unwrap();

        let ids = [
            contact_id(&acme, Address::Phone("1")),
            contact_id(&acme, Address::User("1")),
            contact_id(&acme, Address::Group("1")),
            contact_id(&other, Address::Phone("1")),
            message_id(&acme, "1"),
            derive("wac", &["ab", "c"]),
            derive("wac", &["a", "bc"]),
        ];

        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }

    #[test]
    fn a_derived_id_never_changes() {
        let tenant: TenantId = "acme".parse().unwrap();

        assert_eq!(
            message_id(&tenant, "wamid.FAKE1"),
            "wam_b3d51670a869aeccb6c5340e44294730"
        );
    }
}
