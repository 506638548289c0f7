//! Whatever becomes of a body on its way, the mapping neither panics nor leaves its tenant.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};
use switchboard_event::{Accepted, Catalogue, CatalogueConfig, Context, Maker};
use switchboard_ingest::meta::{Accounts, map};

use crate::bodies;
use crate::world::{accounts, now, tenant};

/// One change to a body: where, counted over all of its values, and to what.
#[derive(Clone, Debug)]
enum Mutation {
    Replace(Index, Value),
    Remove(Index),
    Copy(Index, Index),
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_body_makes_events_of_its_own_tenant_or_none(
        body in select(bodies::all().into_iter().map(|(_, body)| body).collect::<Vec<_>>()),
        mutations in prop::collection::vec(mutation(), 1..8),
        listed in any::<bool>(),
    ) {
        let mut body = body;
        for mutation in mutations {
            mutation.apply(&mut body);
        }
        let mut accounts: Accounts = accounts("acme");
        if !listed {
            accounts.by_phone_number = None;
        }
        let catalogue = Catalogue::new(CatalogueConfig::default()).unwrap();

        let mapped = map(&accounts, &body, now());

        for draft in mapped.items.into_iter().flat_map(|item| item.drafts) {
            prop_assert_eq!(&draft.tenant, &None);
            prop_assert_eq!(&draft.rooms, &None);
            let context = Context {
                tenant: accounts.tenant.clone(),
                fresh_id: "fresh".parse().unwrap(),
                at: now(),
                maker: Maker::Mapping,
            };
            let event = match catalogue.accept(draft, context) {
                Ok(Accepted::Event(accepted)) => accepted.event,
                Ok(Accepted::Fleeting(event)) => event,
                Ok(Accepted::NeedsMessage(needs)) => needs.resolve(None).unwrap(),
                // An account that is no name of a room.
                Err(_) => continue,
            };
            prop_assert_eq!(event.tenant(), &tenant("acme"));
        }
    }
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let index = any::<Index>;
    prop_oneof![
        (index(), value()).prop_map(|(at, value)| Mutation::Replace(at, value)),
        index().prop_map(Mutation::Remove),
        (index(), index()).prop_map(|(from, to)| Mutation::Copy(from, to)),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        select(vec![
            json!(null),
            json!(true),
            json!(-1),
            json!(1e308),
            json!([]),
            json!({}),
            json!(""),
            json!("*"),
            json!("globex"),
            json!("team:globex"),
            json!("x:link"),
            json!("messages"),
            json!("interactive"),
            json!("played"),
            json!("a\u{0}b c"),
        ]),
        any::<i64>().prop_map(Value::from),
        ".{0,300}".prop_map(Value::from),
    ]
}

impl Mutation {
    fn apply(self, body: &mut Value) {
        let count = count(body);
        match self {
            Self::Replace(at, value) => *nth(body, at.index(count)) = value,
            Self::Remove(at) => match nth(body, at.index(count)) {
                Value::Object(object) => {
                    let key = object.keys().nth(at.index(object.len().max(1))).cloned();
                    key.and_then(|key| object.remove(&key));
                }
                Value::Array(array) => {
                    array.pop();
                }
                other => *other = Value::Null,
            },
            Self::Copy(from, to) => {
                let copied = nth(body, from.index(count)).clone();
                *nth(body, to.index(count)) = copied;
            }
        }
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(array) => array.iter().map(count).sum(),
        Value::Object(object) => object.values().map(count).sum(),
        _ => 0,
    }
}

/// The value with this number, counted from the outside in and in order.
fn nth(value: &mut Value, mut index: usize) -> &mut Value {
    if index == 0 {
        return value;
    }
    index -= 1;
    let children: Vec<&mut Value> = match value {
        Value::Array(array) => array.iter_mut().collect(),
        Value::Object(object) => object.values_mut().collect(),
        _ => Vec::new(),
    };
    for child in children {
        let inside = count(child);
        if index < inside {
            return nth(child, index);
        }
        index -= inside;
    }
    unreachable!("the index is below the count")
}
