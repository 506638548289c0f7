//! The catalogue: any draft is refused with a reason, or its bytes pass as they are.
//!
//! Input: a draft as JSON.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use serde_json::json;
use serde_json::value::RawValue;
use switchboard_event::event::{AUDIENCE_ROOMS_MAX, DATA_LEN_MAX};
use switchboard_event::{
    Accepted, Catalogue, CatalogueConfig, Context, CustomEvent, Draft, Event, Maker, MessageState,
    Rejected, Room, TenantId, Timestamp,
};

static CATALOGUES: LazyLock<[Catalogue; 2]> = LazyLock::new(|| [false, true].map(catalogue));

/// The contract and two events of the settings.
fn catalogue(strict: bool) -> Catalogue {
    let custom = |name: &str, schema, audience: &[&str]| CustomEvent {
        name: name.to_owned(),
        schema,
        audience: audience
            .iter()
            .map(|&template| template.to_owned())
            .collect(),
    };
    let schema = json!({
        "type": "object",
        "required": ["orderId"],
        "properties": {"total": {"type": "number", "minimum": 0}, "note": {"maxLength": 20}},
    });
    let config = CatalogueConfig {
        strict,
        rooms: vec!["order".to_owned()],
        events: vec![
            custom(
                "order:paid",
                Some(schema),
                &["order:{orderId}", "team:{tenant}"],
            ),
            custom("news", None, &["team:{tenant}"]),
        ],
        ..CatalogueConfig::default()
    };
    Catalogue::new(config).expect("valid settings")
}

fuzz_target!(|data: &[u8]| {
    let Ok(draft) = serde_json::from_slice::<Draft>(data) else {
        return;
    };
    for catalogue in &*CATALOGUES {
        for tenant in [acme(), TenantId::everyone()] {
            let context = Context {
                tenant,
                fresh_id: "fresh".parse().expect("an id"),
                at: Timestamp::from_millis(1_762_336_800_000),
                maker: Maker::Producer,
            };
            let accepted = accept(catalogue, &draft, &context);
            match &accepted {
                Ok(event) => check(catalogue, event, &draft, &context),
                Err(rejected) => check_rejected(rejected),
            }
            assert_eq!(
                accepted
                    .map(Event::into_parts)
                    .map(|parts| parts.fingerprint),
                accept(catalogue, &draft, &context).map(|event| event.fingerprint()),
                "the same draft gives the same answer"
            );
        }
    }
});

fn acme() -> TenantId {
    "acme".parse().expect("a tenant")
}

fn accept(catalogue: &Catalogue, draft: &Draft, context: &Context) -> Result<Event, Rejected> {
    match catalogue.accept(draft.clone(), context.clone())? {
        Accepted::Event(accepted) => {
            if accepted.message.is_some() {
                // What is remembered of a message must be found again.
                let state = MessageState::of(&accepted.event);
                let read = MessageState::from_bytes(&state.to_bytes());
                assert_eq!(read.expect("what we wrote").rooms, state.rooms);
            }
            Ok(accepted.event)
        }
        Accepted::Fleeting(event) => Ok(event),
        Accepted::NeedsMessage(needs) => {
            assert!(!needs.message_id().as_str().is_empty());
            let known = MessageState::new(vec!["contact:m".parse().expect("a room")]);
            let _ = needs.clone().resolve(None);
            needs.resolve(Some(&known))
        }
    }
}

fn check_rejected(rejected: &Rejected) {
    let code = rejected.code();
    assert!(
        code.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    );
    assert!(
        rejected.to_string().len() < 1_000,
        "a reason as long as the draft"
    );
}

/// What holds for every event.
fn check(catalogue: &Catalogue, event: &Event, draft: &Draft, context: &Context) {
    assert_eq!(event.name(), draft.event);
    assert!(catalogue.names().any(|name| name == draft.event));
    if let Some(id) = &draft.id {
        assert_eq!(event.id(), id);
    }
    let is_for_key = context.tenant.is_everyone() || *event.tenant() == context.tenant;
    assert!(is_for_key, "an event of another tenant");

    let data = str::from_utf8(event.data()).expect("data is text");
    assert!(serde_json::from_str::<&RawValue>(data).is_ok());
    assert!(draft.data.get().len() <= DATA_LEN_MAX);
    assert!(
        is_as_sent(draft.data.get(), data, context.at),
        "bytes were changed"
    );

    let audience = event.audience();
    assert!(!audience.rooms.is_empty(), "nobody hears it");
    assert!(audience.rooms.len() + audience.except.len() <= AUDIENCE_ROOMS_MAX);
    for room in audience.rooms.iter().chain(&audience.except) {
        check_room(catalogue, room, event.tenant());
    }
}

/// The same bytes, or the same with a timestamp filled in at one place.
fn is_as_sent(sent: &str, data: &str, at: Timestamp) -> bool {
    let filled = |stamp: &str, replaced: &str| {
        data.match_indices(stamp).any(|(start, _)| {
            let (before, after) = (&data[..start], &data[start + stamp.len()..]);
            sent.strip_prefix(before)
                .and_then(|rest| rest.strip_prefix(replaced))
                .is_some_and(|rest| rest == after)
        })
    };
    sent == data
        || filled(&format!("\"{at}\""), "null")
        || filled(&format!(",\"timestamp\":\"{at}\""), "")
        || filled(&format!("\"timestamp\":\"{at}\""), "")
}

/// A room of an event can be named again, and is of its tenant.
fn check_room(catalogue: &Catalogue, room: &Room, tenant: &TenantId) {
    assert!(room.name().len() <= 160, "{} bytes", room.name().len());
    let is_tenants = matches!(room.name().split_once(':'), Some(("team" | "contacts", _)));
    if is_tenants {
        assert_eq!(room.id(), tenant.as_str(), "a room of another tenant");
    }
    if !tenant.is_everyone() {
        let again = catalogue.room(room.name());
        assert_eq!(again.as_ref(), Ok(room));
    }
}
