use std::collections::BTreeMap;

use super::rng::Rng;
use super::store::{FIRST, Store, session};
use super::{Setup, Subject};
use crate::{Claimed, Generation, SessionError, StoredSession};

/// What is stored of one key: generation, end and session.
type Model = BTreeMap<u32, (Generation, u64, StoredSession)>;

/// Random writes by owners who may be late, against a map.
pub async fn random_session_writes_do_as_a_simple_model_says(open: impl AsyncFn(Setup) -> Subject) {
    let sessions = Store::open(open).await;
    let (mut model, mut rng, mut now) = (Model::new(), Rng::new(7), 0);
    // The generations that some owner of a key was given.
    let mut given: BTreeMap<u32, Vec<Generation>> = BTreeMap::new();

    for step in 0..STEPS {
        if rng.one_in(5) {
            now += 1;
            model.retain(|_, (_, end, _)| *end > now);
        }
        let key = u32::try_from(rng.below(KEYS)).unwrap();
        let end = now + rng.below(6);
        let owners = given.entry(key).or_insert_with(|| vec![FIRST]);
        let generation = rng.pick(owners);
        let known = model.get_mut(&key);
        match rng.below(6) {
            0 | 1 => {
                let session = session(&step.to_string());
                let saved = sessions.save_at(key, generation, &session, end, now).await;
                if known.is_some_and(|(owner, ..)| *owner > generation) {
                    assert_eq!(saved, Err(SessionError::Superseded), "step {step}");
                } else {
                    assert_eq!(saved, Ok(()), "step {step}");
                    model.insert(key, (generation, end, session));
                }
            }
            2 | 3 => {
                let claimed = sessions.claim_at(key, end, now).await.unwrap();
                let expected = known.map(|(owner, until, session)| {
                    (*owner, *until) = (owner.next(), end.max(*until));
                    owners.push(*owner);
                    Claimed {
                        session: session.clone(),
                        generation: *owner,
                    }
                });
                assert_eq!(claimed, expected, "step {step}");
            }
            4 => {
                let skipped = sessions.touch(&[(key, generation)], end, now).await;
                let mine = known.filter(|(owner, ..)| *owner <= generation);
                assert_eq!(skipped.is_empty(), mine.is_some(), "step {step}");
                if let Some((_, until, _)) = mine {
                    *until = end.max(*until);
                }
            }
            _ => {
                sessions.remove(key, generation).await.unwrap();
                if known.is_some_and(|(owner, ..)| *owner <= generation) {
                    model.remove(&key);
                }
            }
        }
        model.retain(|_, (_, end, _)| *end > now);
    }
}

const STEPS: u32 = 400;
const KEYS: u64 = 4;
