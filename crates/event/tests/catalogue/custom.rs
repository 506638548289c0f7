//! Events that the settings declare.

use serde_json::json;
use switchboard_event::{Catalogue, CatalogueConfig, CatalogueError, InvalidRoom};

use crate::support::{accept, assert_refused, custom, draft, names, text, with_orders};

#[test]
fn a_declared_event_is_treated_like_a_built_in_one() {
    let catalogue = with_orders(None);
    let event = accept(
        &catalogue,
        draft("order:paid", r#"{"orderId":7, "x":[1.0]}"#),
    )
    .unwrap();

    assert_eq!(
        text(&event),
        r#"{"orderId":7, "x":[1.0],"timestamp":"2025-11-05T10:00:00.000Z"}"#
    );
    assert_eq!(names(&event.audience().rooms), ["order:7", "team:acme"]);
    let refused = |data, code, field| {
        assert_refused(
            accept(&catalogue, draft("order:paid", data)),
            code,
            Some(field),
        );
    };
    refused("[]", "invalid_data", "data");
    refused("{}", "missing_field", "data.orderId");
    refused(r#"{"orderId":null}"#, "missing_field", "data.orderId");
    refused(r#"{"orderId":true}"#, "invalid_data", "data.orderId");
    refused(r#"{"orderId":"a b"}"#, "invalid_id", "data.orderId");
    refused(
        r#"{"orderId":1,"orderId":2}"#,
        "duplicate_field",
        "data.orderId",
    );
    refused(
        r#"{"orderId":1,"timestamp":5}"#,
        "invalid_data",
        "data.timestamp",
    );
}

#[test]
fn payloads_must_match_the_schema() {
    let catalogue = with_orders(Some(json!({
        "type": "object",
        "required": ["orderId"],
        "properties": {
            "orderId": {"type": ["string", "integer"]},
            "items": {"type": "array", "items": {"type": "object", "required": ["sku"]}},
            "note": {"type": "string", "maxLength": 3},
        },
        "additionalProperties": false,
    })));

    // The schema sees the payload as it was sent, before `timestamp` is filled in.
    assert!(
        accept(
            &catalogue,
            draft("order:paid", r#"{"orderId":1,"items":[{"sku":1}]}"#)
        )
        .is_ok()
    );
    let refused = |data, field| {
        assert_refused(
            accept(&catalogue, draft("order:paid", data)),
            "schema",
            Some(field),
        );
    };
    refused("{}", "data");
    refused(r#"{"orderId":1,"x":1}"#, "data");
    refused(r#"{"orderId":1,"items":[{"sku":1},{}]}"#, "data.items[1]");
    refused(r#"{"orderId":1,"note":"secret"}"#, "data.note");
    let rejected = accept(
        &catalogue,
        draft("order:paid", r#"{"orderId":1,"note":"secret"}"#),
    )
    .unwrap_err();
    assert!(!rejected.to_string().contains("secret"), "{rejected}");
    let surrogate = r#"{"orderId":1,"note":"\ud800"}"#;
    assert_refused(
        accept(&catalogue, draft("order:paid", surrogate)),
        "invalid_data",
        Some("data"),
    );
}

#[test]
fn a_declared_event_s_timestamp_is_text_as_in_every_event() {
    assert_refused(
        accept(
            &with_orders(None),
            draft("order:paid", r#"{"orderId":1,"timestamp":1699185600000}"#),
        ),
        "invalid_data",
        Some("data.timestamp"),
    );
}

#[test]
fn names_of_declared_events_are_checked() {
    for name in [
        "",
        &"x".repeat(129),
        "a b",
        "a\u{e9}",
        "connect",
        "connect_error",
        "disconnect",
        "disconnecting",
        "newListener",
        "removeListener",
        "session:sync",
        "presence:update",
        "message:sent",
        "pong",
        "typing:indicator",
    ] {
        let error = declare(name, None, &[]).unwrap_err();
        assert!(
            matches!(error, CatalogueError::EventName { .. }),
            "{name}: {error}"
        );
    }
    assert!(declare(&"x".repeat(128), None, &[]).is_ok());
    let twice = Catalogue::new(CatalogueConfig {
        events: vec![custom("a", None, &[]), custom("a", None, &[])],
        ..CatalogueConfig::default()
    });
    assert!(matches!(twice, Err(CatalogueError::EventName { .. })));
}

#[test]
fn schemas_and_templates_of_declared_events_are_checked() {
    for schema in [
        json!(7),
        json!({"type": "nonsense"}),
        json!({"$ref": "https://example.com/schema.json"}),
    ] {
        let error = declare("a", Some(schema), &[]).unwrap_err();
        assert!(matches!(error, CatalogueError::Schema { .. }), "{error}");
    }
    let error = declare("a", None, &["order:{id}"]).unwrap_err();
    assert!(matches!(error, CatalogueError::Template { .. }), "{error}");
}

fn declare(
    name: &str,
    schema: Option<serde_json::Value>,
    audience: &[&str],
) -> Result<Catalogue, CatalogueError> {
    Catalogue::new(CatalogueConfig {
        events: vec![custom(name, schema, audience)],
        ..CatalogueConfig::default()
    })
}

#[test]
fn kinds_of_rooms_are_declared() {
    for kind in [
        "user", "team", "whatsapp", "contacts", "", "Order", "a:b", "7a",
    ] {
        let config = CatalogueConfig {
            rooms: vec![kind.to_owned()],
            ..CatalogueConfig::default()
        };
        assert!(
            matches!(Catalogue::new(config), Err(CatalogueError::RoomKind { .. })),
            "{kind}"
        );
    }
    let catalogue = with_orders(None);
    assert_eq!(catalogue.room("order:1").unwrap().name(), "order:1");
    assert_eq!(
        catalogue.room("invoice:1"),
        Err(InvalidRoom::UndeclaredKind {
            kind: "invoice".into()
        })
    );
    assert_eq!(catalogue.room("team:*"), Err(InvalidRoom::Everyone));
    assert_eq!(catalogue.room("contacts:*"), Err(InvalidRoom::Everyone));
    assert_eq!(catalogue.room("contact:*").unwrap().name(), "contact:*");
}
