//! What another server has told its clients.

use switchboard_event::{Accepted, Catalogue, Context, Draft, Maker, Rejected};

use crate::support::{acme, contract, draft, names, texts};

#[test]
fn it_passes_byte_for_byte_whatever_it_is_and_under_any_name_that_is_nobodys_own() {
    let catalogue = contract();
    for (event, data) in [
        ("contact:deleted", r#"{"id" : 1}"#),
        ("message:received", r#"{"timestamp":5}"#),
        ("lead:scored", r#"{"score":1.0}"#),
    ] {
        let Ok(Accepted::Event(accepted)) = relay(&catalogue, to_team(event, data)) else {
            panic!("{event} is refused");
        };

        assert_eq!(accepted.event.name(), event);
        assert_eq!(accepted.event.data(), data.as_bytes());
        assert_eq!(names(&accepted.event.audience().rooms), ["team:acme"]);
    }
    for (event, data) in [
        ("session:sync", "{}"),
        ("presence:update", "{}"),
        ("connect", "{}"),
        ("lead scored", "{}"),
        ("lead:scored", "[]"),
        ("lead:scored", r#"{"a":{"$binary":7}}"#),
    ] {
        let refused = relay(&catalogue, to_team(event, data));
        assert!(refused.is_err(), "{event} {data}");
    }
}

#[test]
fn a_code_goes_where_it_must_whatever_rooms_it_came_with() {
    let code = to_team("whatsapp:qr:generated", r#"{"accountId":"7","qrCode":"x"}"#);

    let Ok(Accepted::Event(accepted)) = relay(&contract(), code) else {
        panic!("the code is refused");
    };

    assert_eq!(names(&accepted.event.audience().rooms), ["whatsapp:7:link"]);
    assert!(accepted.event.expires_at().is_some());
}

#[test]
fn what_is_examined_is_told_as_a_producer_would_be() {
    let catalogue = contract();
    let examine = |event: &str, data: &str| catalogue.examine(event, &draft(event, data).data);

    assert_eq!(examine("contact:deleted", r#"{"contactId":1}"#), Ok(()));
    let code = |result: Result<(), Rejected>| result.unwrap_err().code();
    assert_eq!(code(examine("contact:deleted", "{}")), "missing_field");
    assert_eq!(code(examine("lead:scored", "{}")), "unknown_event");
    assert_eq!(code(examine("presence:update", "{}")), "not_producible");
    assert!(catalogue.is_producible("contact:deleted"));
    assert!(catalogue.is_producible("lead:scored"));
    assert!(!catalogue.is_producible("access:revoked"));
    assert!(!catalogue.is_producible("typing:indicator"));
}

fn to_team(event: &str, data: &str) -> Draft {
    Draft {
        rooms: Some(texts(&["team:acme"])),
        ..draft(event, data)
    }
}

fn relay(catalogue: &Catalogue, draft: Draft) -> Result<Accepted, Rejected> {
    let context = Context {
        maker: Maker::Relay,
        ..acme()
    };
    catalogue.accept(draft, context)
}
