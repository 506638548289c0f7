//! Every event of the contract.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard_event::payload::{Pong, TypingIndicator};
use switchboard_event::{Accepted, BUILT_IN, Catalogue, CatalogueConfig};

use crate::examples::rows;
use crate::support::{accept, acme, assert_refused, contract, draft, names, strict, text};

#[test]
fn every_example_of_the_contract_passes_unchanged_to_its_rooms() {
    for catalogue in [contract(), strict()] {
        for row in rows() {
            let event = accept(&catalogue, draft(row.event, row.data)).unwrap();

            assert_eq!(text(&event), row.data, "{}", row.event);
            assert_eq!(names(&event.audience().rooms), row.rooms, "{}", row.event);
            assert_eq!((event.name(), event.tenant().as_str()), (row.event, "acme"));
        }
        assert_eq!(catalogue.unknown_counts().count(), 0);
    }
}

#[test]
fn the_table_is_whole() {
    let in_table: Vec<_> = rows().iter().map(|row| row.event).collect();
    for event in BUILT_IN {
        let is_in_table = in_table.contains(&event.name);
        assert_eq!(is_in_table, event.is_producible(), "{}", event.name);
    }
    // The contract has 24 of them; `campaign:stats` and `contact:typing` are ours.
    assert_eq!(in_table.len(), 26);
    assert_eq!(contract().names().count(), BUILT_IN.len());
}

#[test]
fn every_example_reads_as_its_rust_type_and_back() {
    for row in rows() {
        let example: Value = serde_json::from_str(row.data).unwrap();
        assert_eq!((row.typed)(row.data), example, "{}", row.event);
    }
}

#[test]
fn payloads_of_the_server_are_described_too() {
    let typing =
        r#"{"contactId":"c","whatsappAccountId":"w","isTyping":true,"userId":"u","timestamp":"t"}"#;
    let typed: TypingIndicator = serde_json::from_str(typing).unwrap();
    assert_eq!(serde_json::to_string(&typed).unwrap(), typing);
    let pong = r#"{"timestamp":1699185600000}"#;
    let typed: Pong = serde_json::from_str(pong).unwrap();
    assert_eq!(serde_json::to_string(&typed).unwrap(), pong);
}

#[test]
fn each_value_of_the_contracts_discriminators_is_known() {
    let cases: [(&str, &str, &[&str]); 5] = [
        (
            "whatsapp:connection:status",
            r#"{"accountId":"a","status":"?"}"#,
            &[
                "Connected",
                "Connecting",
                "Disconnected",
                "Failed",
                "Reconnecting",
            ],
        ),
        (
            "message:status:update",
            r#"{"messageId":"a","status":"?","contactId":"c","whatsappAccountId":"w"}"#,
            &["Queued", "Sent", "Delivered", "Read", "Failed"],
        ),
        (
            "message:received",
            r#"{"message":{"id":"a","contactId":"c","whatsappAccountId":"w","direction":"Inbound","type":"?"}}"#,
            &["Text", "Image", "Video", "Audio", "Document"],
        ),
        (
            "message:sent",
            r#"{"message":{"id":"a","contactId":"c","whatsappAccountId":"w","direction":"?","type":"Text","status":"Sent"}}"#,
            &["Outbound"],
        ),
        (
            "system:notification",
            r#"{"notification":{"type":"?"}}"#,
            &["info", "warning", "error", "success"],
        ),
    ];
    for (event, data, values) in cases {
        for value in values {
            let data = data.replace('?', value);
            assert!(
                accept(&strict(), draft(event, &data)).is_ok(),
                "{event} {value}"
            );
        }
        let refused = accept(&strict(), draft(event, data)).unwrap_err();
        assert_eq!(refused.code(), "unknown_value", "{event}");
    }
}

#[test]
fn ids_and_discriminators_cannot_be_left_out_and_all_else_can() {
    for row in rows() {
        for path in paths(row.data) {
            for is_null in [true, false] {
                let data = change(row.data, &path, |object, name| {
                    if is_null {
                        object.insert(name.to_owned(), Value::Null);
                    } else {
                        object.remove(name);
                    }
                });
                let result = accept(&contract(), draft(row.event, &data));
                if row.required.contains(&&*path) {
                    assert_refused(result, "missing_field", Some(&format!("data.{path}")));
                } else {
                    assert!(result.is_ok(), "{} without {path}", row.event);
                }
            }
        }
    }
}

#[test]
fn a_wrong_type_is_refused_wherever_it_is() {
    for row in rows() {
        for path in paths(row.data)
            .into_iter()
            .filter(|path| !path.starts_with("updates."))
        {
            // A flag is the one field that may be true.
            let wrong = [json!([]), json!(true)];
            for wrong in wrong.iter().take(if path == "isTyping" { 1 } else { 2 }) {
                let data = change(row.data, &path, |object, name| {
                    object.insert(name.to_owned(), wrong.clone());
                });
                let result = accept(&contract(), draft(row.event, &data));
                assert_refused(result, "invalid_data", Some(&format!("data.{path}")));
            }
        }
    }
}

#[test]
fn a_direction_that_contradicts_its_event_is_refused() {
    let received = r#"{"message":{"id":"a","contactId":"c","whatsappAccountId":"w","direction":"?","type":"Text"}}"#;
    let sent = r#"{"message":{"id":"a","contactId":"c","whatsappAccountId":"w","direction":"?","type":"Text","status":"Sent"}}"#;
    for (event, data, contrary) in [
        ("message:received", received, "Outbound"),
        ("message:sent", sent, "Inbound"),
        ("message:sent", sent, "\\u0049nbound"),
    ] {
        let refused = accept(&contract(), draft(event, &data.replace('?', contrary)));
        assert_refused(refused, "invalid_data", Some("data.message.direction"));
        let newer = accept(&contract(), draft(event, &data.replace('?', "Sideways")));
        assert!(newer.is_ok());
    }
    let refused = accept(
        &contract(),
        draft("message:sent", &sent.replace('?', "Inbound")),
    );
    assert_eq!(
        refused.unwrap_err().to_string(),
        "data.message.direction is Inbound, expected Outbound"
    );
}

#[test]
fn fields_of_ours_pass_whatever_their_type() {
    let values = [
        "5",
        "1e999",
        "true",
        r#""\ud83d""#,
        r#"{"code":515}"#,
        r#"[1, "a"]"#,
        "null",
    ];
    let status = r#"{"accountId":"a","status":"Connected","detail":?,"timestamp":"t"}"#;
    let received = r#"{"message":{"id":"a","contactId":"c","whatsappAccountId":"w","direction":"Inbound","type":"Text","kind":?},"timestamp":"t"}"#;
    let sent = r#"{"message":{"id":"a","contactId":"c","whatsappAccountId":"w","direction":"Outbound","type":"Text","status":"Sent","kind":?,"mediaUrl":?,"createdAt":?},"timestamp":"t"}"#;
    for catalogue in [contract(), strict()] {
        for value in values {
            for (event, data) in [
                ("whatsapp:connection:status", status),
                ("message:received", received),
                ("message:sent", sent),
            ] {
                let data = data.replace('?', value);
                let accepted = accept(&catalogue, draft(event, &data)).unwrap();
                assert_eq!(text(&accepted), data);
            }
        }
        assert_eq!(catalogue.unknown_counts().count(), 0);
    }
}

#[test]
fn fields_of_the_contract_keep_their_type() {
    for field in ["mediaUrl", "createdAt", "content"] {
        let data = format!(
            r#"{{"message":{{"id":"a","contactId":"c","whatsappAccountId":"w","direction":"Inbound","type":"Text","{field}":5}}}}"#
        );
        assert_refused(
            accept(&contract(), draft("message:received", &data)),
            "invalid_data",
            Some(&format!("data.message.{field}")),
        );
    }
}

/// The paths of all members, those of nested objects included.
fn paths(data: &str) -> Vec<String> {
    fn collect(value: &Value, prefix: &str, paths: &mut Vec<String>) {
        for (name, value) in value.as_object().into_iter().flatten() {
            let path = format!("{prefix}{name}");
            collect(value, &format!("{path}."), paths);
            paths.push(path);
        }
    }
    let mut paths = Vec::new();
    collect(&serde_json::from_str(data).unwrap(), "", &mut paths);
    paths
}

/// `data` after `edit` of the object that holds the last step of `path`.
fn change(
    data: &str,
    path: &str,
    edit: impl FnOnce(&mut serde_json::Map<String, Value>, &str),
) -> String {
    let mut data: Value = serde_json::from_str(data).unwrap();
    let (parents, name) = path.rsplit_once('.').unwrap_or(("", path));
    let mut object = &mut data;
    for step in parents.split('.').filter(|step| !step.is_empty()) {
        object = &mut object[step];
    }
    edit(object.as_object_mut().unwrap(), name);
    data.to_string()
}

#[test]
fn what_is_so_for_a_moment_is_told_apart_and_ends() {
    let catalogue = Catalogue::new(CatalogueConfig {
        fleeting_lifetime: Duration::from_secs(25),
        ..CatalogueConfig::default()
    });
    let typing = r#"{"contactId":"c","whatsappAccountId":"w","isTyping":true}"#;
    let context = acme();
    let end = context.at.checked_add(Duration::from_secs(25));

    let accepted = catalogue
        .unwrap()
        .accept(draft("contact:typing", typing), context);

    let Accepted::Fleeting(event) = accepted.unwrap() else {
        panic!("it would be stored");
    };
    assert_eq!(event.expires_at(), end);
    for event in ["typing:indicator", "presence:viewing", "presence:update"] {
        assert_refused(
            accept(&contract(), draft(event, "{}")),
            "not_producible",
            Some("event"),
        );
    }
}
