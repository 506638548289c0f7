use super::*;

#[test]
fn nothing_is_covered_by_default() {
    let rights = rights(&[]);

    for room in [whatsapp("1"), contact("1"), campaign("1")] {
        assert_eq!(
            by_claims(&rights, room.clone()),
            Err(Denied::NotCovered(room))
        );
    }
}

#[test]
fn own_rooms_need_no_pattern_and_no_pattern_opens_those_of_others() {
    let rights = rights(&["*", "user:*", "team:*", "contacts:*"]);

    assert!(by_claims(&rights, Room::user(&user("ana"))).is_ok());
    assert!(by_claims(&rights, Room::team(&tenant("acme"))).is_ok());
    for room in [
        Room::user(&user("eve")),
        Room::team(&tenant("other")),
        Room::contacts(&tenant("other")),
    ] {
        assert_eq!(by_claims(&rights, room.clone()), Err(Denied::NotOwn(room)));
    }
}

#[test]
fn a_grant_holds_the_tenant_of_the_rights() {
    let grant = by_claims(&rights(&["contact:42"]), contact("42")).unwrap();

    assert_eq!(
        (grant.tenant(), grant.room()),
        (&tenant("acme"), &contact("42"))
    );
}

#[test]
fn the_contact_list_needs_a_right_to_every_contact() {
    let starts = |patterns: &[&str]| {
        let rights = rights(patterns);
        let rooms = rights.rooms_at_start();
        rooms
            .filter_map(|room| by_claims(&rights, room).ok())
            .map(|grant| grant.room().name().to_owned())
            .collect::<Vec<_>>()
    };

    assert_eq!(starts(&["contact:42"]), ["user:ana", "team:acme"]);
    assert_eq!(
        starts(&["contact:*"]),
        ["user:ana", "team:acme", "contacts:acme"]
    );
}

#[test]
fn who_may_subscribe_may_pair_unless_the_token_says_which() {
    let subscribed = rights(&["whatsapp:1"]);
    let named = Rights::new(
        tenant("acme"),
        user("ana"),
        patterns(&["whatsapp:*"]),
        LinkRights::Claims(patterns(&["whatsapp:2"])),
    );

    assert!(by_claims(&subscribed, link("1")).is_ok());
    assert!(by_claims(&subscribed, link("2")).is_err());
    assert!(by_claims(&named, link("1")).is_err());
    assert!(by_claims(&named, link("2")).is_ok());
}

#[test]
fn open_access_ends_at_the_tenant() {
    let rights = Rights::new(
        tenant("acme"),
        user("ana"),
        patterns(&[]),
        LinkRights::Claims(patterns(&[])),
    );
    let rules = Rules::new(Rule::Open);

    assert!(settled(rules.decide(&rights, contact("1"))).is_ok());
    assert!(settled(rules.decide(&rights, Room::team(&tenant("other")))).is_err());
    assert!(settled(rules.decide(&rights, link("1"))).is_err());
}

#[test]
fn an_answer_grants_the_room_that_was_asked_for_and_nothing_else() {
    let rules = Rules::default().with(RoomKind::Contact, Rule::Ask);
    let question = asked(rules.decide(&rights(&["*"]), contact("1")));

    assert_eq!(
        (question.tenant(), question.user(), question.about()),
        (&tenant("acme"), &user("ana"), &contact("1"))
    );
    let denied = question.clone().denied();
    assert_eq!(denied, Denied::NotAllowed(contact("1")));
    let grant = question.granted();
    assert_eq!(
        (grant.tenant(), grant.room()),
        (&tenant("acme"), &contact("1"))
    );
    // The other kinds are decided as before.
    assert!(settled(rules.decide(&rights(&["*"]), campaign("1"))).is_ok());
}

#[test]
fn own_rooms_ask_nobody_and_those_of_others_are_nobodys_to_grant() {
    let rules = Rules::new(Rule::Ask);
    let rights = rights(&[]);

    assert!(settled(rules.decide(&rights, Room::user(&user("ana")))).is_ok());
    assert!(settled(rules.decide(&rights, Room::team(&tenant("acme")))).is_ok());
    for room in [
        Room::user(&user("eve")),
        Room::team(&tenant("other")),
        Room::contacts(&tenant("other")),
    ] {
        assert!(settled(rules.decide(&rights, room)).is_err());
    }
}

#[test]
fn the_contact_list_is_decided_as_contacts_are_unless_it_has_a_rule() {
    let list = Room::contacts(&tenant("acme"));
    let asks = Rules::default().with(RoomKind::Contact, Rule::Ask);
    let closed = asks.clone().with(RoomKind::Contacts, Rule::Claims);

    let question = asked(asks.decide(&rights(&["*"]), list.clone()));

    assert_eq!(question.about(), &list);
    assert_eq!(
        settled(closed.decide(&rights(&[]), list.clone())),
        Err(Denied::NotCovered(list))
    );
}

#[test]
fn pairing_is_asked_of_the_account_or_for_itself_and_the_tokens_word_stands_before_the_account() {
    let asks = Rules::default().with(RoomKind::Whatsapp, Rule::Ask);
    let asks_twice = asks.clone().with(RoomKind::WhatsappLink, Rule::Ask);
    let named = Rights::new(
        tenant("acme"),
        user("ana"),
        patterns(&[]),
        LinkRights::Claims(patterns(&["whatsapp:2"])),
    );

    let of_account = asked(asks.decide(&rights(&[]), link("1")));
    let of_itself = asked(asks_twice.decide(&named, link("1")));

    assert_eq!(of_account.about(), &whatsapp("1"));
    assert_eq!(of_account.granted().room(), &link("1"));
    assert_eq!(of_itself.about(), &link("1"));
    assert!(settled(asks.decide(&named, link("1"))).is_err());
    assert!(settled(asks.decide(&named, link("2"))).is_ok());
}

fn by_claims(rights: &Rights, room: Room) -> Result<Grant, Denied> {
    settled(Rules::default().decide(rights, room))
}

#[track_caller]
fn settled(decision: Decision) -> Result<Grant, Denied> {
    match decision {
        Decision::Granted(grant) => Ok(grant),
        Decision::Denied(denied) => Err(denied),
        Decision::Ask(question) => panic!("asks about {:?}", question.about()),
    }
}

#[track_caller]
fn asked(decision: Decision) -> Question {
    match decision {
        Decision::Ask(question) => question,
        other => panic!("{other:?}"),
    }
}

fn rights(texts: &[&str]) -> Rights {
    Rights::new(
        tenant("acme"),
        user("ana"),
        patterns(texts),
        LinkRights::Subscribed,
    )
}

fn patterns(texts: &[&str]) -> Arc<[Pattern]> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn tenant(text: &str) -> TenantId {
    text.parse().unwrap()
}

fn user(text: &str) -> UserId {
    text.parse().unwrap()
}

fn whatsapp(id: &str) -> Room {
    Room::whatsapp(&id.parse().unwrap()).unwrap()
}

fn link(id: &str) -> Room {
    Room::whatsapp_link(&id.parse().unwrap()).unwrap()
}

fn contact(id: &str) -> Room {
    Room::contact(&id.parse().unwrap())
}

fn campaign(id: &str) -> Room {
    Room::campaign(&id.parse().unwrap())
}
