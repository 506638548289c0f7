//! What the mapping makes of each fixture.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use switchboard_ingest::meta::{Accounts, map};
use switchboard_ingest::{Address, Ignored, contact_id, message_id};

use crate::world::now;
use crate::{bodies, world};

#[test]
fn text_and_media_are_received_as_the_contract_s_types() {
    check(
        "message-text",
        &["message:received Text text: Hello, is the blue one in stock?"],
    );
    check(
        "message-text-reply",
        &["message:received Text text: Yes, that one"],
    );
    check(
        "message-text-referral",
        &["message:received Text text: I saw your ad"],
    );
    check(
        "message-image",
        &["message:received Image image: The receipt"],
    );
    check("message-video", &["message:received Video video: null"]);
    check(
        "message-audio-voice",
        &["message:received Audio audio: null"],
    );
    check(
        "message-document",
        &["message:received Document document: invoice.pdf"],
    );
    check("message-sticker", &["message:received Image sticker: null"]);
    check(
        "message-no-contacts",
        &["message:received Text text: Who am I?"],
    );
    check(
        "message-user-id-only",
        &["message:received Text text: My phone number is hidden"],
    );
    check(
        "message-group",
        &["message:received Text text: Good morning, everybody"],
    );
}

#[test]
fn every_other_type_is_received_as_text_that_can_be_read() {
    check(
        "message-location",
        &["message:received Text location: Main shop, 1 Example Street"],
    );
    check(
        "message-location-unnamed",
        &["message:received Text location: -23.5505, -46.6333"],
    );
    check(
        "message-contacts",
        &["message:received Text contacts: Bea Souza +1 555 010 0003\nCaio"],
    );
    check(
        "message-interactive-button",
        &["message:received Text interactive: Yes, confirm"],
    );
    check(
        "message-interactive-list",
        &["message:received Text interactive: Size 42"],
    );
    check(
        "message-interactive-form",
        &["message:received Text interactive: Sent"],
    );
    check(
        "message-button",
        &["message:received Text button: Stop offers"],
    );
    check(
        "message-order",
        &["message:received Text order: Order of 2 products: Gift wrap, please"],
    );
    check(
        "message-unsupported",
        &["message:received Text unsupported: Unsupported message: Message type unknown"],
    );
    check(
        "message-unknown-type",
        &["message:received Text hologram: Unsupported message"],
    );
}

#[test]
fn what_is_no_message_is_ignored_with_its_reason() {
    check_ignored("message-reaction", Ignored::Reaction);
    check_ignored("message-reaction-removed", Ignored::Reaction);
    check_ignored("message-system-number", Ignored::System);
    check_ignored("message-system-identity", Ignored::System);
    check_ignored("message-edit", Ignored::Edit);
    check_ignored("message-revoke", Ignored::Revoke);
    check_ignored("status-call", Ignored::Call);
    check_ignored("calls", Ignored::Call);
    check_ignored("status-unknown", Ignored::UnknownStatus);
    check_ignored("template-status", Ignored::UnknownField);
    check_ignored("account-error", Ignored::Error);
    check_ignored("unknown-account", Ignored::UnknownAccount);
    check("empty", &[]);
}

#[test]
fn a_status_is_its_own_event_and_an_update() {
    check(
        "status-sent",
        &["message:sent Text Sent", "message:status:update Sent"],
    );
    check(
        "status-delivered",
        &["message:delivered", "message:status:update Delivered"],
    );
    check(
        "status-read",
        &["message:read", "message:status:update Read"],
    );
    check(
        "status-played",
        &["message:read", "message:status:update Read"],
    );
    check(
        "status-failed",
        &["message:failed", "message:status:update Failed"],
    );
    check(
        "status-user-id-only",
        &["message:delivered", "message:status:update Delivered"],
    );
    check(
        "status-group",
        &[
            "message:read",
            "message:status:update Read",
            "message:read",
            "message:status:update Read",
        ],
    );
}

#[test]
fn a_batch_keeps_its_order_and_each_item_its_account() {
    check(
        "batch-mixed",
        &[
            "message:received Text text: First",
            "message:received Image image: null",
            "message:delivered",
            "message:status:update Delivered",
            "message:read",
            "message:status:update Read",
            "message:received Text text: To the second number",
            "message:received Text text: Last",
        ],
    );

    let received = events("batch-mixed");
    let accounts: Vec<_> = received
        .iter()
        .map(|(_, data)| {
            data.pointer("/message/whatsappAccountId")
                .unwrap_or_else(|| &data["whatsappAccountId"])
        })
        .collect();
    assert_eq!(accounts[5], "account-1");
    assert_eq!(accounts[6], "account-2");
}

#[test]
fn an_interactive_message_without_its_object_is_still_received() {
    let mapped = map(
        &accounts(),
        &bodies::json("message-interactive-empty"),
        now(),
    );

    assert_eq!(mapped.items.len(), 1);
    assert_eq!(mapped.ignored, BTreeMap::from([(Ignored::Error, 1)]));
}

#[test]
fn a_received_message_has_the_contract_s_payload_and_what_a_crm_can_use() {
    let tenant = accounts().tenant;

    let events = events("message-image");

    let contact = contact_id(&tenant, Address::Phone("15550100002"));
    assert_eq!(
        events[0].1,
        json!({"message": {
            "id": message_id(&tenant, "wamid.FAKE-image-4"),
            "contactId": contact,
            "whatsappAccountId": "account-1",
            "direction": "Inbound",
            "type": "Image",
            "content": "The receipt",
            "media": {
                "id": "300000000000001",
                "mimeType": "image/jpeg",
                "sha256": "c2hhMjU2LW9mLWltYWdl",
            },
            "mediaUrl": null,
            "createdAt": "2026-01-15T09:30:00.000Z",
            "kind": "image",
            "from": {
                "phone": "15550100002",
                "userId": "US.90000000000000000001",
                "name": "Ana Lima",
            },
        }})
    );
}

#[test]
fn a_sent_status_says_what_is_known_of_the_message() {
    let tenant = accounts().tenant;

    let events = events("status-sent");

    let message = &events[0].1["message"];
    assert_eq!(
        message["contactId"],
        contact_id(&tenant, Address::Phone("15550100002"))
    );
    assert_eq!(message["direction"], "Outbound");
    assert_eq!(message["content"], Value::Null);
    assert_eq!(message["sentAt"], "2026-01-15T09:31:00.000Z");
    assert_eq!(message["callbackData"], "crm-message-77");
    assert_eq!(events[1].1["messageId"], message["id"]);
}

#[test]
fn a_failure_says_why() {
    for (_, data) in events("status-failed") {
        assert_eq!(
            data["error"],
            "More than 24 hours have passed since the customer last replied"
        );
        assert_eq!(data["errorCode"], "131047");
    }
}

#[test]
fn the_conversation_of_a_group_is_the_group_s() {
    let tenant = accounts().tenant;
    let group = contact_id(&tenant, Address::Group("GROUP-500000000000001"));
    let person = contact_id(&tenant, Address::Phone("15550100002"));

    let message = &events("message-group")[0].1["message"];
    let statuses = events("status-group");

    assert_eq!(message["contactId"], group);
    assert_eq!(message["from"]["id"], person);
    assert_eq!(statuses[0].1["contactId"], group);
    assert_eq!(statuses[0].1["participantId"], person);
    assert_ne!(
        statuses[0].1["participantId"],
        statuses[2].1["participantId"]
    );
}

#[test]
fn a_reply_names_the_message_that_it_answers() {
    let tenant = accounts().tenant;

    let message = &events("message-text-reply")[0].1["message"];

    assert_eq!(
        message["replyTo"]["id"],
        message_id(&tenant, "wamid.FAKE-OUT-0")
    );
}

/// What a fixture makes, a line for each event: its name and what a test can read at a glance.
#[track_caller]
fn check(name: &str, expected: &[&str]) {
    let lines: Vec<String> = events(name)
        .iter()
        .map(|(event, data)| line(event, data))
        .collect();
    assert_eq!(lines, expected, "{name}");
}

#[track_caller]
fn check_ignored(name: &str, reason: Ignored) {
    let mapped = map(&accounts(), &bodies::json(name), now());

    assert!(mapped.items.is_empty(), "{name}");
    assert_eq!(mapped.ignored, BTreeMap::from([(reason, 1)]), "{name}");
}

fn line(event: &str, data: &Value) -> String {
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let message = &data["message"];
    match event {
        "message:received" => format!(
            "{event} {} {}: {}",
            text(&message["type"]),
            text(&message["kind"]),
            text(&message["content"])
        ),
        "message:sent" => format!(
            "{event} {} {}",
            text(&message["type"]),
            text(&message["status"])
        ),
        "message:status:update" => format!("{event} {}", text(&data["status"])),
        _ => event.to_owned(),
    }
}

fn events(name: &str) -> Vec<(String, Value)> {
    map(&accounts(), &bodies::json(name), now())
        .items
        .into_iter()
        .flat_map(|item| item.drafts)
        .map(|draft| (draft.event, serde_json::from_str(draft.data.get()).unwrap()))
        .collect()
}

fn accounts() -> Accounts {
    world::accounts("acme")
}
