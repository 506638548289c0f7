//! What is refused, with the code and the field.

use switchboard_event::{Accepted, Draft, InvalidId, Rejected, Timestamp};

use crate::support::{accept, acme, any_tenant, assert_refused, contract, draft, strict, text};

#[track_caller]
fn check(event: &str, data: &str, code: &str, field: &str) {
    assert_refused(accept(&contract(), draft(event, data)), code, Some(field));
}

#[test]
fn unknown_events_and_those_of_the_server_are_refused() {
    check("message:recieved", "{}", "unknown_event", "event");
    check("", "{}", "unknown_event", "event");
    check("presence:update", "{}", "not_producible", "event");
    check("session:sync", "{}", "unknown_event", "event");
    check("typing:indicator", "{}", "not_producible", "event");
    check("pong", r#"{"timestamp":1}"#, "not_producible", "event");
}

#[test]
fn an_unknown_event_is_told_with_the_known_one_that_was_probably_meant() {
    let said = |event: &str| {
        accept(&contract(), draft(event, "{}"))
            .unwrap_err()
            .to_string()
    };

    assert_eq!(
        said("message:recieved"),
        "event `message:recieved` is unknown, the nearest known one is `message:received`"
    );
    assert_eq!(said("order:paid"), "event `order:paid` is unknown");
    assert_eq!(said(""), "event `` is unknown");
    assert!(!said(&"message:received".repeat(100)).contains("nearest"));
}

#[test]
fn a_payload_is_an_object() {
    for data in ["null", "[]", "1", "\"a\"", "true"] {
        check("campaign:paused", data, "invalid_data", "data");
    }
}

#[test]
fn wrong_types_say_what_is_expected_and_what_was_found() {
    let rejected = accept(
        &contract(),
        draft("message:sent", r#"{"message":{"id":[]}}"#),
    )
    .unwrap_err();
    assert_eq!(
        rejected.to_string(),
        "data.message.id is a list, expected an id: text or an integer"
    );

    check(
        "campaign:paused",
        r#"{"campaignId":1.5}"#,
        "invalid_data",
        "data.campaignId",
    );
    check(
        "campaign:paused",
        r#"{"campaignId":1e3}"#,
        "invalid_data",
        "data.campaignId",
    );
    check(
        "campaign:paused",
        r#"{"campaignId":"\ud800"}"#,
        "invalid_data",
        "data.campaignId",
    );
    check(
        "campaign:paused",
        r#"{"campaignId":1,"\ud800":1}"#,
        "invalid_data",
        "data",
    );
    let progress = |sent| format!(r#"{{"campaignId":1,"progress":{{"sent":{sent}}}}}"#);
    check(
        "campaign:progress",
        &progress("-1"),
        "invalid_data",
        "data.progress.sent",
    );
    check(
        "campaign:progress",
        &progress("1.5"),
        "invalid_data",
        "data.progress.sent",
    );
    check(
        "campaign:progress",
        &progress("\"1\""),
        "invalid_data",
        "data.progress.sent",
    );
    for whole in ["500.0", "5e2"] {
        assert!(accept(&contract(), draft("campaign:progress", &progress(whole))).is_ok());
    }
    let metadata = r#"{"activity":{"userId":1,"metadata":"x"}}"#;
    check(
        "team:activity",
        metadata,
        "invalid_data",
        "data.activity.metadata",
    );
}

#[test]
fn ids_are_checked_wherever_they_are() {
    for id in ["", " ", "a b", r"a\nb", r"a\u0000", &"x".repeat(129)] {
        let data = format!(r#"{{"campaignId":"{id}"}}"#);
        check("campaign:paused", &data, "invalid_id", "data.campaignId");
    }
    let rejected = accept(
        &contract(),
        draft("campaign:paused", r#"{"campaignId":""}"#),
    )
    .unwrap_err();
    let reason = InvalidId::Length { len: 0 };
    assert_eq!(
        rejected,
        Rejected::InvalidId {
            field: "data.campaignId".into(),
            reason
        }
    );
    let digits = "9".repeat(129);
    check(
        "campaign:paused",
        &format!(r#"{{"campaignId":{digits}}}"#),
        "invalid_id",
        "data.campaignId",
    );
    let optional = r#"{"messageId":"m","contactId":"a b"}"#;
    check("message:read", optional, "invalid_id", "data.contactId");
    // What is in open objects is nobody's business.
    let metadata = r#"{"activity":{"userId":1,"metadata":{"id":"a b","status":[],"id":2}}}"#;
    assert_eq!(
        text(&accept(&contract(), draft("team:activity", metadata)).unwrap())[..40],
        metadata[..40]
    );
}

#[test]
fn an_account_cannot_pose_as_a_link_room() {
    check(
        "whatsapp:ready",
        r#"{"accountId":"x:link"}"#,
        "invalid_room",
        "data.accountId",
    );
    check(
        "whatsapp:qr:generated",
        r#"{"accountId":"x:link"}"#,
        "invalid_room",
        "data.accountId",
    );
}

#[test]
fn a_known_field_that_is_there_twice_is_refused() {
    check(
        "campaign:paused",
        r#"{"campaignId":1,"campaignId":1}"#,
        "duplicate_field",
        "data.campaignId",
    );
    check(
        "campaign:paused",
        r#"{"campaignId":1,"campaign\u0049d":2}"#,
        "duplicate_field",
        "data.campaignId",
    );
    check(
        "campaign:paused",
        r#"{"campaignId":null,"campaignId":2}"#,
        "duplicate_field",
        "data.campaignId",
    );
    check(
        "campaign:paused",
        r#"{"timestamp":null,"timestamp":null,"campaignId":1}"#,
        "duplicate_field",
        "data.timestamp",
    );
    check(
        "contact:created",
        r#"{"contact":{"id":1,"id":2}}"#,
        "duplicate_field",
        "data.contact.id",
    );
    let unknown = r#"{"campaignId":1,"x":1,"x":2,"timestamp":"t"}"#;
    assert_eq!(
        text(&accept(&contract(), draft("campaign:paused", unknown)).unwrap()),
        unknown
    );
}

#[test]
fn a_timestamp_is_text_or_is_filled_in() {
    for wrong in ["1699185600000", "true", "{}", "[]"] {
        let data = format!(r#"{{"campaignId":1,"timestamp":{wrong}}}"#);
        check("campaign:paused", &data, "invalid_data", "data.timestamp");
    }
    let filled = r#"{"campaignId":1,"timestamp":"2025-11-05T10:00:00.000Z"}"#;
    for data in [
        r#"{"campaignId":1}"#,
        r#"{"campaignId":1,"timestamp":null}"#,
    ] {
        assert_eq!(
            text(&accept(&contract(), draft("campaign:paused", data)).unwrap()),
            filled
        );
    }
}

#[test]
fn strictness_refuses_what_the_contract_does_not_know() {
    let fields = r#"{"contact":{"id":1,"tags":[]},"source":"x"}"#;
    let value = r#"{"accountId":1,"status":"Sleeping"}"#;

    assert_refused(
        accept(&strict(), draft("contact:created", fields)),
        "unknown_field",
        Some("data.contact.tags"),
    );
    let refused = accept(&strict(), draft("whatsapp:connection:status", value)).unwrap_err();
    assert_eq!(
        (refused.code(), refused.field()),
        ("unknown_value", Some("data.status"))
    );
    assert_eq!(
        refused.to_string(),
        "data.status has the unknown value `Sleeping`"
    );
}

#[test]
fn otherwise_what_the_contract_does_not_know_passes_and_is_counted() {
    let catalogue = contract();
    let fields = r#"{"contact":{"id":1,"tags":[]},"source":"x","timestamp":"t"}"#;
    let value = r#"{"accountId":1,"status":"\ud800","timestamp":"t"}"#;

    for _ in 0..2 {
        assert_eq!(
            text(&accept(&catalogue, draft("contact:created", fields)).unwrap()),
            fields
        );
        assert_eq!(
            text(&accept(&catalogue, draft("whatsapp:connection:status", value)).unwrap()),
            value
        );
    }

    let counts: Vec<_> = catalogue
        .unknown_counts()
        .map(|counts| (counts.event, counts.fields, counts.values))
        .collect();
    assert_eq!(
        counts,
        [
            ("contact:created", 4, 0),
            ("whatsapp:connection:status", 0, 2)
        ]
    );
}

#[test]
fn size_and_depth_have_limits() {
    let long = format!(r#"{{"campaignId":1,"x":"{}"}}"#, "y".repeat(4 << 20));
    check("campaign:paused", &long, "too_large", "data");
    let nested = |depth| {
        format!(
            r#"{{"campaignId":1,"x":{}{}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    assert!(accept(&contract(), draft("campaign:paused", &nested(63))).is_ok());
    check("campaign:paused", &nested(64), "too_large", "data");
    check("campaign:paused", &nested(100_000), "too_large", "data");
}

#[test]
fn a_key_is_for_its_tenant_and_one_for_all_says_which() {
    let of = |tenant: Option<&str>| Draft {
        tenant: tenant.map(str::to_owned),
        ..draft("campaign:paused", r#"{"campaignId":1}"#)
    };
    let contract = contract();

    assert!(contract.accept(of(Some("acme")), acme()).is_ok());
    for tenant in ["globex", "*", ""] {
        assert_refused(
            contract.accept(of(Some(tenant)), acme()),
            "other_tenant",
            Some("tenant"),
        );
    }
    assert_refused(
        contract.accept(of(None), any_tenant()),
        "missing_field",
        Some("tenant"),
    );
    assert_refused(
        contract.accept(of(Some("a b")), any_tenant()),
        "invalid_id",
        Some("tenant"),
    );
    assert_refused(
        contract.accept(of(Some("*")), any_tenant()),
        "other_tenant",
        Some("event"),
    );
    let Accepted::Event(accepted) = contract.accept(of(Some("globex")), any_tenant()).unwrap()
    else {
        panic!("needs a message");
    };
    assert_eq!(accepted.event.tenant().as_str(), "globex");
}

#[test]
fn a_code_expires_when_it_says_or_soon() {
    let expiry = |rest: &str| {
        let data = format!(r#"{{"accountId":1{rest}}}"#);
        accept(&contract(), draft("whatsapp:qr:generated", &data)).map(|event| event.expires_at())
    };
    let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());

    assert_eq!(
        expiry(r#","expiresAt":"2025-11-05T12:02:00+02:00""#),
        Ok(at("2025-11-05T10:02:00Z"))
    );
    assert_eq!(expiry(""), Ok(at("2025-11-05T10:01:00Z")));
    assert_eq!(
        expiry(r#","expiresAt":"2099-01-01T00:00:00Z""#),
        Ok(at("2025-11-05T10:10:00Z"))
    );
    assert_eq!(
        expiry(r#","expiresAt":null"#),
        Ok(at("2025-11-05T10:01:00Z"))
    );
    assert_refused(
        expiry(r#","expiresAt":"soon""#),
        "invalid_data",
        Some("data.expiresAt"),
    );
    assert_refused(
        expiry(r#","expiresAt":1"#),
        "invalid_data",
        Some("data.expiresAt"),
    );
    let other = accept(
        &contract(),
        draft("campaign:paused", r#"{"campaignId":1,"expiresAt":"x"}"#),
    );
    assert_eq!(other.unwrap().expires_at(), None);
}

#[test]
fn no_value_of_a_payload_is_in_a_message() {
    let data = r#"{"message":{"id":"secret secret","content":"secret"}}"#;
    let rejected = accept(&contract(), draft("message:received", data)).unwrap_err();
    assert!(
        !format!("{rejected} {rejected:?}").contains("secret"),
        "{rejected:?}"
    );
    let long = "x".repeat(10_000);
    let rejected = accept(&contract(), draft(&long, "{}")).unwrap_err();
    assert!(rejected.to_string().len() < 100);
}
