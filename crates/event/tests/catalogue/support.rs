//! Catalogues, drafts and short answers.

use serde_json::value::RawValue;
use switchboard_event::{
    Accepted, Catalogue, CatalogueConfig, Context, CustomEvent, Draft, Event, Maker, MessageState,
    Rejected, Room, TenantId, Timestamp,
};

/// The contract, and nothing else.
pub(crate) fn contract() -> Catalogue {
    catalogue(CatalogueConfig::default())
}

pub(crate) fn strict() -> Catalogue {
    catalogue(CatalogueConfig {
        strict: true,
        ..CatalogueConfig::default()
    })
}

#[track_caller]
pub(crate) fn catalogue(config: CatalogueConfig) -> Catalogue {
    Catalogue::new(config).unwrap()
}

/// `order:paid`, for `order:{orderId}` and the team.
pub(crate) fn with_orders(schema: Option<serde_json::Value>) -> Catalogue {
    catalogue(CatalogueConfig {
        rooms: vec!["order".to_owned()],
        events: vec![custom(
            "order:paid",
            schema,
            &["order:{orderId}", "team:{tenant}"],
        )],
        ..CatalogueConfig::default()
    })
}

pub(crate) fn custom(
    name: &str,
    schema: Option<serde_json::Value>,
    audience: &[&str],
) -> CustomEvent {
    CustomEvent {
        name: name.to_owned(),
        schema,
        audience: texts(audience),
    }
}

pub(crate) fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

#[track_caller]
pub(crate) fn draft(event: &str, data: &str) -> Draft {
    Draft::new(event, RawValue::from_string(data.to_owned()).unwrap())
}

/// What a key for the tenant `acme` brings.
pub(crate) fn acme() -> Context {
    Context {
        tenant: "acme".parse().unwrap(),
        fresh_id: "fresh".parse().unwrap(),
        at: Timestamp::from_millis(1_762_336_800_000), // 2025-11-05T10:00:00.000Z
        maker: Maker::Producer,
    }
}

/// What a key for all tenants brings.
pub(crate) fn any_tenant() -> Context {
    Context {
        tenant: TenantId::everyone(),
        ..acme()
    }
}

/// The event of a draft that tells its own audience, or that of a message in `contact:m`.
pub(crate) fn accept(catalogue: &Catalogue, draft: Draft) -> Result<Event, Rejected> {
    match catalogue.accept(draft, acme())? {
        Accepted::Event(accepted) => Ok(accepted.event),
        Accepted::Fleeting(event) => Ok(event),
        Accepted::NeedsMessage(needs) => needs.resolve(Some(&known_message())),
    }
}

pub(crate) fn known_message() -> MessageState {
    MessageState::new(vec!["contact:m".parse().unwrap()])
}

pub(crate) fn names(rooms: &[Room]) -> Vec<&str> {
    rooms.iter().map(Room::name).collect()
}

pub(crate) fn text(event: &Event) -> &str {
    std::str::from_utf8(event.data()).unwrap()
}

#[track_caller]
pub(crate) fn assert_refused<T>(result: Result<T, Rejected>, code: &str, field: Option<&str>) {
    match result {
        Ok(_) => panic!("accepted, expected {code} at {field:?}"),
        Err(rejected) => assert_eq!(
            (rejected.code(), rejected.field()),
            (code, field),
            "{rejected}"
        ),
    }
}
