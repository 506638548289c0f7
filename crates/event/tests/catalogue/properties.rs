//! What holds for any payload.

use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use switchboard_event::{Accepted, Draft};

use crate::examples::rows;
use crate::support::{accept, acme, contract, draft, names, text, with_orders};

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Any JSON, with names that payloads have among the others.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        "[a-z0-9]{1,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "accountId",
            "message",
            "messageId",
            "id",
            "contactId",
            "whatsappAccountId",
            "direction",
            "type",
            "status",
            "campaignId",
            "contact",
            "flowId",
            "executionId",
            "timestamp",
            "expiresAt",
            "result",
        ])
        .prop_map(str::to_owned),
        ".{0,10}",
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_json_makes_it_panic(index in 0..24_usize, data in json(), add_rooms in prop::collection::vec(".{0,20}", 0..3)) {
        let draft = Draft { add_rooms, ..draft(rows()[index].event, &data.to_string()) };

        if let Err(rejected) = accept(&contract(), draft) {
            prop_assert!(rejected.to_string().len() < 500);
        }
    }

    #[test]
    fn no_change_of_an_example_makes_it_panic(
        index in 0..24_usize,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..6),
    ) {
        // Bytes of the example itself: more of these mutations are still JSON.
        let row = &rows()[index];
        let mut bytes = row.data.as_bytes().to_vec();
        for (to, from) in edits {
            let from = bytes[from.index(bytes.len())];
            let to = to.index(bytes.len());
            bytes[to] = from;
        }
        let changed = String::from_utf8(bytes).unwrap();
        if let Ok(data) = RawValue::from_string(changed.clone())
            && let Ok(event) = accept(&contract(), Draft::new(row.event, data))
        {
            prop_assert!(text(&event).len() >= changed.trim().len());
            prop_assert!(serde_json::from_str::<&RawValue>(text(&event)).is_ok());
        }
    }

    #[test]
    fn fields_beyond_the_contract_pass_byte_for_byte(index in 0..24_usize, extra in json(), name in "[A-Z].{0,10}") {
        let row = &rows()[index];
        let member = format!("{{ {} :\t{extra} ,", Value::from(name));
        let data = row.data.replace('{', &member).replace(",\n  }", "\n  }").replace(",}", "}");

        let event = accept(&contract(), draft(row.event, &data)).unwrap();

        prop_assert_eq!(text(&event), data);
    }

    #[test]
    fn ids_can_be_numbers(id in any::<i64>(), contact in any::<u64>()) {
        let data = format!(r#"{{"contactId":{contact},"timestamp":"t","updates":{{"id":{id}}}}}"#);
        let event = accept(&contract(), draft("contact:updated", &data)).unwrap();
        prop_assert_eq!(text(&event), &data);
        let contact = format!("contact:{contact}");
        prop_assert_eq!(names(&event.audience().rooms), [contact.as_str(), "contacts:acme"]);

        let data = format!(r#"{{"messageId":{id}}}"#);
        match contract().accept(draft("message:read", &data), acme()).unwrap() {
            Accepted::NeedsMessage(needs) => prop_assert_eq!(needs.message_id().as_str(), id.to_string()),
            other => prop_assert!(false, "needs no message: {:?}", other),
        }
    }

    #[test]
    fn only_a_missing_timestamp_is_filled_in(
        members in prop::collection::btree_map(name(), json(), 0..6),
        stamp in prop_oneof![Just(None), Just(Some(Value::Null)), ".{0,20}".prop_map(|text| Some(Value::from(text)))],
    ) {
        let mut sent: Map<String, Value> = members.into_iter().collect();
        sent.insert("orderId".to_owned(), Value::from(1));
        sent.remove("timestamp");
        sent.extend(stamp.clone().map(|stamp| ("timestamp".to_owned(), stamp)));
        let data = serde_json::to_string_pretty(&sent).unwrap();

        let event = accept(&with_orders(None), draft("order:paid", &data)).unwrap();

        let filled = "\"timestamp\": \"2025-11-05T10:00:00.000Z\"";
        let expected = match stamp {
            Some(Value::String(_)) => data,
            // Nested members are indented deeper, and texts have no bare line breaks.
            Some(_) => data.replace("\n  \"timestamp\": null", &format!("\n  {filled}")),
            None => format!("{},{}}}", &data[..data.len() - 1], filled.replace(' ', "")),
        };
        prop_assert_eq!(text(&event), expected);
    }
}
