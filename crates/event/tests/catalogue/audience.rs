//! Who hears what.

use switchboard_event::{
    Accepted, Catalogue, CatalogueConfig, CatalogueError, Context, Draft, Event, MessageState,
    Rejected,
};

use crate::support::{
    accept, acme, any_tenant, assert_refused, catalogue, contract, custom, draft, known_message,
    names, texts, with_orders,
};

const PAUSED: &str = r#"{"campaignId":"7"}"#;
const RECEIVED: &str = r#"{"message":{"id":"m1","contactId":3,"whatsappAccountId":"w","direction":"Inbound","type":"Text"}}"#;

fn paused() -> Draft {
    draft("campaign:paused", PAUSED)
}

fn overriding(event: &str, audience: &[&str]) -> Result<Catalogue, CatalogueError> {
    Catalogue::new(CatalogueConfig {
        audience: [(event.to_owned(), texts(audience))].into(),
        rooms: vec!["order".to_owned()],
        ..CatalogueConfig::default()
    })
}

#[test]
fn a_draft_can_name_its_whole_audience_or_add_to_it() {
    let exactly = Draft {
        rooms: Some(texts(&["user:1", "user:2", "user:1"])),
        ..paused()
    };
    let more = Draft {
        add_rooms: texts(&["user:1", "campaign:7"]),
        ..paused()
    };
    let both = Draft {
        rooms: Some(texts(&["user:1"])),
        add_rooms: texts(&["user:2"]),
        ..paused()
    };
    let less = Draft {
        except: texts(&["user:1", "user:1"]),
        ..paused()
    };

    let rooms = |draft| {
        let event = accept(&contract(), draft).unwrap();
        let audience = event.audience();
        [
            names(&audience.rooms).join(" "),
            names(&audience.except).join(" "),
        ]
    };
    assert_eq!(rooms(exactly), ["user:1 user:2", ""]);
    assert_eq!(rooms(more), ["campaign:7 user:1", ""]);
    assert_eq!(rooms(both), ["user:1 user:2", ""]);
    assert_eq!(rooms(less), ["campaign:7", "user:1"]);
}

#[test]
fn names_in_a_draft_are_checked() {
    let refused = |draft, code, field| assert_refused(accept(&contract(), draft), code, field);
    let rooms = |names: &[&str]| Draft {
        rooms: Some(texts(names)),
        ..paused()
    };
    refused(
        rooms(&["user:1", "nonsense"]),
        "invalid_room",
        Some("rooms[1]"),
    );
    refused(rooms(&["order:1"]), "invalid_room", Some("rooms[0]"));
    refused(rooms(&["team:*"]), "invalid_room", Some("rooms[0]"));
    refused(rooms(&["team:globex"]), "other_tenant", Some("rooms[0]"));
    refused(
        rooms(&["contacts:globex"]),
        "other_tenant",
        Some("rooms[0]"),
    );
    refused(rooms(&[]), "no_audience", Some("rooms"));
    refused(
        Draft {
            add_rooms: texts(&["x"]),
            ..paused()
        },
        "invalid_room",
        Some("addRooms[0]"),
    );
    refused(
        Draft {
            except: texts(&["team:"]),
            ..paused()
        },
        "invalid_room",
        Some("except[0]"),
    );
    assert!(accept(&contract(), rooms(&["team:acme", "contacts:acme"])).is_ok());
    assert!(accept(&with_orders(None), rooms(&["order:1"])).is_ok());
}

#[test]
fn an_audience_has_at_most_100_rooms() {
    let users = |count: usize| {
        (0..count)
            .map(|user| format!("user:{user}"))
            .collect::<Vec<_>>()
    };
    let rooms = |rooms, except| Draft {
        rooms: Some(users(rooms)),
        except: users(except),
        ..paused()
    };
    let added = |count| Draft {
        add_rooms: users(count),
        ..paused()
    };

    assert!(accept(&contract(), rooms(90, 10)).is_ok());
    assert_refused(
        accept(&contract(), rooms(90, 11)),
        "too_many_rooms",
        Some("rooms"),
    );
    assert!(accept(&contract(), added(99)).is_ok());
    assert_refused(
        accept(&contract(), added(100)),
        "too_many_rooms",
        Some("rooms"),
    );
}

#[test]
fn the_audience_of_qr_codes_is_sealed() {
    let code = || draft("whatsapp:qr:generated", r#"{"accountId":"a"}"#);
    let contract = contract();

    let added = Draft {
        add_rooms: texts(&["user:1"]),
        ..code()
    };
    assert_refused(
        accept(&contract, added),
        "sealed_audience",
        Some("addRooms"),
    );
    for rooms in [&["whatsapp:a:link"][..], &[]] {
        let exactly = Draft {
            rooms: Some(texts(rooms)),
            ..code()
        };
        assert_refused(accept(&contract, exactly), "sealed_audience", Some("rooms"));
    }
    let less = accept(
        &contract,
        Draft {
            except: texts(&["user:1"]),
            ..code()
        },
    )
    .unwrap();
    assert_eq!(names(&less.audience().rooms), ["whatsapp:a:link"]);
    let error = overriding("whatsapp:qr:generated", &["whatsapp:{accountId}"]).unwrap_err();
    assert!(matches!(error, CatalogueError::FixedAudience { .. }));
}

#[test]
fn settings_override_audiences() {
    let catalogue = overriding(
        "message:received",
        &["whatsapp:{message.whatsappAccountId}", "order:{tenant}-all"],
    )
    .unwrap();
    let event = accept(&catalogue, draft("message:received", RECEIVED)).unwrap();
    assert_eq!(
        names(&event.audience().rooms),
        ["whatsapp:w", "order:acme-all"]
    );

    let catalogue = overriding("message:read", &["contact:{contactId}"]).unwrap();
    let read = accept(
        &catalogue,
        draft("message:read", r#"{"messageId":1,"contactId":2}"#),
    )
    .unwrap();
    assert_eq!(names(&read.audience().rooms), ["contact:2"]);
    let without = accept(&catalogue, draft("message:read", r#"{"messageId":1}"#));
    assert_refused(without, "missing_field", Some("data.contactId"));

    let catalogue = overriding("campaign:paused", &[]).unwrap();
    assert_refused(accept(&catalogue, paused()), "no_audience", Some("rooms"));
    let catalogue = overriding("contact:updated", &["user:{updates.ownerId}"]).unwrap();
    let data = r#"{"contactId":2,"updates":{"ownerId":9}}"#;
    let updated = accept(&catalogue, draft("contact:updated", data)).unwrap();
    assert_eq!(names(&updated.audience().rooms), ["user:9"]);
}

#[test]
fn wrong_overrides_are_refused() {
    for (event, template) in [
        ("message:received", "contact:{contactId}"),
        ("message:received", "contact:{message}"),
        ("message:received", "contact:{message.createdAt}"),
        ("campaign:progress", "campaign:{progress.percentage}"),
        ("campaign:paused", "invoice:{campaignId}"),
        ("campaign:paused", "team:{campaignId}"),
        ("campaign:paused", "campaign"),
    ] {
        let error = overriding(event, &[template]).unwrap_err();
        assert!(
            matches!(error, CatalogueError::Template { .. }),
            "{template}: {error}"
        );
        assert!(error.to_string().contains(template), "{error}");
    }
    let error = overriding("campaign:pause", &[]).unwrap_err();
    assert!(matches!(error, CatalogueError::UnknownEvent { .. }));
    let error = overriding("typing:indicator", &["contact:{contactId}"]).unwrap_err();
    assert!(matches!(error, CatalogueError::FixedAudience { .. }));
    let error = overriding("campaign:paused", &["user:1"; 17]).unwrap_err();
    assert!(matches!(error, CatalogueError::TooManyTemplates { .. }));
}

#[test]
fn a_message_is_remembered_with_its_rooms() {
    let sent = Draft {
        rooms: Some(texts(&["user:1"])),
        ..draft("message:received", RECEIVED)
    };

    let Accepted::Event(accepted) = contract().accept(sent, acme()).unwrap() else {
        panic!("needs a message");
    };

    assert_eq!(accepted.message.unwrap().as_str(), "message:m1");
    assert_eq!(names(&MessageState::of(&accepted.event).rooms), ["user:1"]);
    let Accepted::Event(other) = contract().accept(paused(), acme()).unwrap() else {
        panic!("needs a message");
    };
    assert_eq!(other.message, None);
}

#[test]
fn what_becomes_of_a_message_goes_where_the_message_went() {
    let resolve = |data: &str, state: Option<&MessageState>| -> Result<Event, Rejected> {
        let draft = Draft {
            add_rooms: texts(&["user:1"]),
            ..draft("message:read", data)
        };
        match contract().accept(draft, acme())? {
            Accepted::Event(_) | Accepted::Fleeting(_) => panic!("needs no message"),
            Accepted::NeedsMessage(needs) => {
                assert_eq!(
                    (needs.message_id().as_str(), needs.key().as_str()),
                    ("m1", "message:m1")
                );
                needs.resolve(state)
            }
        }
    };
    let rooms = |event: Result<Event, Rejected>| names(&event.unwrap().audience().rooms).join(" ");
    let with_ids = r#"{"messageId":"m1","contactId":3,"whatsappAccountId":"w"}"#;
    let with_one = r#"{"messageId":"m1","contactId":3,"whatsappAccountId":null}"#;
    let without = r#"{"messageId":"m1"}"#;
    let known = known_message();

    assert_eq!(rooms(resolve(without, Some(&known))), "contact:m user:1");
    assert_eq!(rooms(resolve(with_ids, Some(&known))), "contact:m user:1");
    assert_eq!(
        rooms(resolve(with_ids, None)),
        "whatsapp:w contact:3 user:1"
    );
    assert_eq!(rooms(resolve(with_one, None)), "contact:3 user:1");
    let unknown = resolve(without, None).unwrap_err().to_string();
    assert!(unknown.contains("nothing is known of the message"));
    assert_refused(resolve(without, None), "no_audience", Some("rooms"));
    let exactly = Draft {
        rooms: Some(texts(&["user:1"])),
        ..draft("message:read", without)
    };
    assert!(matches!(
        contract().accept(exactly, acme()),
        Ok(Accepted::Event(_))
    ));
}

#[test]
fn every_tenant_hears_only_what_goes_to_teams() {
    let catalogue = catalogue(CatalogueConfig {
        events: vec![
            custom("news", None, &["team:{tenant}", "user:{author}"]),
            custom("quiet", None, &["user:1"]),
        ],
        ..CatalogueConfig::default()
    });
    let publish = |draft: Draft, context: Context| {
        let draft = Draft {
            tenant: Some("*".to_owned()),
            ..draft
        };
        match catalogue.accept(draft, context)? {
            Accepted::Event(accepted) => Ok(accepted.event),
            other => panic!("no event of its own: {other:?}"),
        }
    };
    let notification = || draft("system:notification", r#"{"notification":{"type":"info"}}"#);

    for draft in [
        notification(),
        draft("team:activity", r#"{"activity":{"userId":1}}"#),
        draft("news", "{}"),
    ] {
        let event = publish(draft, any_tenant()).unwrap();
        assert!(event.tenant().is_everyone());
        assert_eq!(names(&event.audience().rooms), ["team:*"]);
    }
    let refused =
        |draft, field| assert_refused(publish(draft, any_tenant()), "other_tenant", Some(field));
    refused(draft("quiet", "{}"), "event");
    refused(
        draft("flow:execution:started", r#"{"flowId":1,"executionId":1}"#),
        "event",
    );
    refused(draft("message:read", r#"{"messageId":1}"#), "event");
    refused(
        draft("whatsapp:qr:generated", r#"{"accountId":1}"#),
        "event",
    );
    refused(
        Draft {
            rooms: Some(texts(&["team:acme"])),
            ..notification()
        },
        "rooms",
    );
    refused(
        Draft {
            add_rooms: texts(&["user:1"]),
            ..notification()
        },
        "addRooms",
    );
    refused(
        Draft {
            except: texts(&["user:1"]),
            ..notification()
        },
        "except",
    );
    assert_refused(
        publish(notification(), acme()),
        "other_tenant",
        Some("tenant"),
    );
}

#[test]
fn a_fingerprint_tells_what_was_sent() {
    let print = |draft| accept(&contract(), draft).unwrap().fingerprint();
    let same = Draft {
        id: Some("other".parse().unwrap()),
        ..paused()
    };

    assert_eq!(print(paused()), print(same));
    for other in [
        draft("campaign:resumed", PAUSED),
        draft("campaign:paused", r#"{"campaignId": "7"}"#),
        Draft {
            rooms: Some(texts(&["campaign:7"])),
            ..paused()
        },
        Draft {
            add_rooms: texts(&["campaign:7"]),
            ..paused()
        },
        Draft {
            except: texts(&["campaign:7"]),
            ..paused()
        },
    ] {
        assert_ne!(print(paused()), print(other));
    }
}

#[test]
fn the_id_is_the_drafts_own_or_a_fresh_one() {
    let own = Draft {
        id: Some("own".parse().unwrap()),
        ..paused()
    };

    assert_eq!(accept(&contract(), own).unwrap().id().as_str(), "own");
    assert_eq!(
        accept(&contract(), paused()).unwrap().id().as_str(),
        "fresh"
    );
}
