//! Drafts that ask for a receipt, and the event that tells of its end.

use std::time::Duration;

use switchboard_event::{Accepted, CatalogueConfig, Context, Draft, Maker, ReceiptTimeout};

use crate::support::{
    accept, acme, any_tenant, assert_refused, catalogue, contract, draft, names, texts,
};

const CLOSED: &str = r#"{"eventId":"e-1","event":"contact:updated","users":{"7":"sent"},
    "counts":{"sent":1,"acknowledged":0,"offline":0},"complete":false}"#;

#[test]
fn a_receipt_waits_from_when_its_event_was_accepted() {
    let event = accept(&contract(), asking(5_000)).unwrap();
    let read = draft("message:read", r#"{"messageId":"m"}"#);
    let of_message = Draft {
        receipt: asking(5_000).receipt,
        ..read
    };
    let of_message = accept(&contract(), of_message).unwrap();

    let deadline = acme().at.checked_add(Duration::from_secs(5));
    assert_eq!(event.receipt_by(), deadline);
    assert_eq!(of_message.receipt_by(), deadline);
    assert_eq!(accept(&contract(), plain()).unwrap().receipt_by(), None);
}

#[test]
fn the_same_event_with_another_wish_is_another_event() {
    let print = |draft| accept(&contract(), draft).unwrap().fingerprint();

    assert_eq!(print(asking(5_000)), print(asking(5_000)));
    assert_ne!(print(asking(5_000)), print(asking(6_000)));
    assert_ne!(print(asking(5_000)), print(plain()));
}

#[test]
fn what_every_tenant_hears_has_no_receipt() {
    let data = r#"{"notification":{"type":"info"}}"#;
    let everyone = Draft {
        tenant: Some("*".to_owned()),
        receipt: asking(5_000).receipt,
        ..draft("system:notification", data)
    };

    let refused = contract().accept(everyone, any_tenant());

    assert_refused(refused, "other_tenant", Some("receipt"));
}

#[test]
fn what_is_so_for_a_moment_has_no_receipt() {
    let data = r#"{"contactId":"1","whatsappAccountId":"1","isTyping":true}"#;
    let typing = Draft {
        receipt: asking(5_000).receipt,
        ..draft("contact:typing", data)
    };

    assert_refused(
        accept(&contract(), typing),
        "invalid_field",
        Some("receipt"),
    );
}

#[test]
fn only_the_server_tells_that_a_receipt_is_closed() {
    let refused = accept(&contract(), draft("event:receipt", CLOSED));
    let mapping = Context {
        maker: Maker::Mapping,
        ..acme()
    };
    let mapped = contract().accept(draft("event:receipt", CLOSED), mapping);

    assert_refused(refused, "not_producible", Some("event"));
    assert_refused(mapped, "not_producible", Some("event"));
    assert_eq!(rooms(CatalogueConfig::default()), ["team:acme"]);
}

#[test]
fn settings_say_who_hears_of_receipts() {
    let audience = [("event:receipt".to_owned(), texts(&["order:{eventId}"]))];
    let config = CatalogueConfig {
        rooms: texts(&["order"]),
        audience: audience.into(),
        ..CatalogueConfig::default()
    };

    assert_eq!(rooms(config), ["order:e-1"]);
}

/// Where the server's own event goes.
fn rooms(config: CatalogueConfig) -> Vec<String> {
    let server = Context {
        maker: Maker::Server,
        ..acme()
    };
    let accepted = catalogue(config).accept(draft("event:receipt", CLOSED), server);
    let Accepted::Event(accepted) = accepted.unwrap() else {
        panic!("it has an audience of its own");
    };
    let rooms = names(&accepted.event.audience().rooms);
    rooms.into_iter().map(str::to_owned).collect()
}

fn plain() -> Draft {
    draft("contact:updated", r#"{"contactId":"42"}"#)
}

fn asking(millis: u64) -> Draft {
    Draft {
        receipt: Some(ReceiptTimeout::new(Duration::from_millis(millis)).unwrap()),
        ..plain()
    }
}
