//! From what Node servers tell their clients to drafts, and from there to records.

use std::time::Duration;

use serde_json::value::RawValue;
use switchboard_dialect::classic::EMITTER;
use switchboard_dialect::{Broadcast, Message, Undecodable};
use switchboard_event::{Catalogue, Draft, EventId, Rejected, Room, RoomKind, TenantId};
use switchboard_ingest::{Ingest, PublishError, Refusal, Refused, Unavailable};
use tracing::{debug, warn};

use crate::config::{Kind, Mapping, Validate};
use crate::seat::Seat;
use crate::stats::Stats;

/// Judges what was heard for one mapping.
#[derive(Clone, Copy)]
pub(crate) struct Judge<'a> {
    pub(crate) mapping: &'a Mapping,
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) stats: &'a Stats,
}

/// Why a broadcast becomes no draft.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Refusing {
    /// It is not for us.
    Ignored(&'static str),
    /// It is, and is not taken.
    Dropped(&'static str),
}

impl Judge<'_> {
    /// The draft of a message, under this id; none if it is none, which is counted.
    pub(crate) fn draft(self, message: Result<Message, Undecodable>, id: EventId) -> Option<Draft> {
        let refusing = match message {
            Ok(Message::Broadcast(broadcast)) => match self.accept(broadcast, id) {
                Ok(draft) => return Some(draft),
                Err(refusing) => refusing,
            },
            Ok(Message::Other(what)) => Refusing::Ignored(what),
            Err(undecodable) => {
                debug!(error = %undecodable, "dropped what no Node server says");
                Refusing::Dropped(undecodable.code())
            }
        };
        match refusing {
            Refusing::Ignored(what) => self.stats.ignored.increment(what),
            Refusing::Dropped(reason) => self.stats.dropped.increment(reason),
        }
        None
    }

    fn accept(self, broadcast: Broadcast, id: EventId) -> Result<Draft, Refusing> {
        let Self { mapping, .. } = self;
        if broadcast.namespace != mapping.namespace {
            return Err(Refusing::Ignored("namespace"));
        }
        match &mapping.kind {
            Kind::Adapter { uid, .. } if broadcast.sender == *uid => {
                return Err(Refusing::Ignored("own"));
            }
            Kind::Emitter { .. } if !matches!(&*broadcast.sender, "" | EMITTER) => {
                return Err(Refusing::Ignored("server"));
            }
            _ => {}
        }
        let is_for_all = broadcast.rooms.is_empty();
        let mut rooms = self.ours(broadcast.rooms);
        if is_for_all {
            rooms.push(Room::team(&mapping.tenant).name().to_owned());
        } else if rooms.is_empty() {
            return Err(Refusing::Ignored("room"));
        }
        let except = self.ours(broadcast.except);
        // What is no JSON object has no place in an event of ours.
        let data: [Box<RawValue>; 1] = broadcast
            .arguments
            .try_into()
            .map_err(|_| Refusing::Dropped("arguments"))?;
        let [data] = data;
        if !data.get().starts_with('{') {
            return Err(Refusing::Dropped("arguments"));
        }
        self.examine(&broadcast.event, &data)?;
        Ok(Draft {
            id: Some(id),
            rooms: Some(rooms),
            except,
            ..Draft::new(broadcast.event, data)
        })
    }

    /// The rooms that there are here: nobody of ours is in any other one.
    fn ours(self, names: Vec<String>) -> Vec<String> {
        let tenant = &self.mapping.tenant;
        let is_ours = |name: &String| {
            self.catalogue.room(name).is_ok_and(|room| {
                let of_tenant = matches!(room.kind(), RoomKind::Team | RoomKind::Contacts);
                !of_tenant || room.id() == tenant.as_str()
            })
        };
        names.into_iter().filter(is_ours).collect()
    }

    fn examine(self, event: &str, data: &RawValue) -> Result<(), Refusing> {
        let Self { mapping, stats, .. } = self;
        let rejected = match self.catalogue.examine(event, data) {
            Ok(()) => return Ok(()),
            Err(Rejected::UnknownEvent { .. }) if mapping.passthrough => return Ok(()),
            Err(rejected) => rejected,
        };
        let is_wrong = matches!(
            rejected,
            Rejected::UnknownEvent { .. } | Rejected::NotProducible { .. }
        );
        if !is_wrong {
            debug!(
                event,
                code = rejected.code(),
                "an event of Node is not as declared"
            );
        }
        if is_wrong || mapping.validate == Validate::Refuse {
            return Err(Refusing::Dropped(rejected.code()));
        }
        stats.invalid.increment(rejected.code());
        Ok(())
    }
}

/// Another node works for the mapping now.
pub(crate) struct Unseated;

/// Makes records of drafts, however long that takes, as long as the seat is ours.
pub(crate) async fn hand_in(
    ingest: &Ingest,
    tenant: &TenantId,
    mut drafts: Vec<Draft>,
    stats: &Stats,
    seat: &Seat,
) -> Result<(), Unseated> {
    let mut backoff = BACKOFF_MIN;
    while !drafts.is_empty() {
        if !seat.is_held() {
            return Err(Unseated);
        }
        let waiting = match ingest.relay(tenant, drafts.clone()).await {
            Ok(outcomes) => {
                let mut waiting = Vec::new();
                for (draft, outcome) in drafts.into_iter().zip(outcomes) {
                    match outcome {
                        Ok(receipt) if receipt.duplicate => stats.duplicates.increment(),
                        Ok(_) => stats.taken.increment(),
                        Err(Refused {
                            refusal: Refusal::Unavailable(_),
                            ..
                        }) => waiting.push(draft),
                        Err(Refused { refusal, .. }) => {
                            let event = ingest.known_event(&draft.event);
                            warn!(event, code = refusal.code(), "dropped an event of Node");
                            stats.dropped.increment(refusal.code());
                        }
                    }
                }
                waiting
            }
            Err(PublishError::Unavailable(why)) => {
                debug!(
                    code = why.code(),
                    "the journal takes nothing from the bridge"
                );
                if why == Unavailable::Closed {
                    return Err(Unseated);
                }
                drafts
            }
            Err(error) => {
                // A batch is at most as many as one call takes.
                warn!(%error, "dropped events of Node");
                return Ok(());
            }
        };
        drafts = waiting;
        if !drafts.is_empty() {
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }
    Ok(())
}

/// How long to wait at first, and at most, when Redis or the journal is not there.
pub(crate) const BACKOFF_MIN: Duration = Duration::from_millis(100);
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use switchboard_event::CatalogueConfig;

    use super::*;
    use crate::config::{Direction, UID};

    #[test]
    fn rooms_are_exact_and_none_is_the_team() {
        let draft = accept(&mapping(), &broadcast(&[], "contact:deleted", CONTACT)).unwrap();
        assert_eq!(draft.rooms, Some(vec!["team:acme".to_owned()]));

        let draft = accept(
            &mapping(),
            &Broadcast {
                except: vec!["user:7".to_owned(), "Tq9Xb2cVtq0000000001".to_owned()],
                ..broadcast(
                    &["contact:1", "lobby", "team:globex"],
                    "contact:deleted",
                    CONTACT,
                )
            },
        );
        let draft = draft.unwrap();
        assert_eq!(draft.rooms, Some(vec!["contact:1".to_owned()]));
        assert_eq!(draft.except, ["user:7"]);
        let nowhere = broadcast(&["lobby", "team:globex"], "contact:deleted", CONTACT);
        assert_eq!(
            accept(&mapping(), &nowhere).unwrap_err(),
            Refusing::Ignored("room")
        );
    }

    #[test]
    fn what_is_our_own_or_of_another_namespace_is_ignored() {
        let ours = Broadcast {
            sender: UID.to_owned(),
            ..broadcast(&[], "contact:deleted", CONTACT)
        };
        assert_eq!(
            accept(&mapping(), &ours).unwrap_err(),
            Refusing::Ignored("own")
        );
        let other = Broadcast {
            namespace: "/crm2".to_owned(),
            ..ours
        };
        assert_eq!(
            accept(&mapping(), &other).unwrap_err(),
            Refusing::Ignored("namespace")
        );
        let of_server = Broadcast {
            sender: "AbC123".to_owned(),
            ..broadcast(&[], "contact:deleted", CONTACT)
        };
        assert!(accept(&mapping(), &of_server).is_ok());
        let emitters_only = Mapping {
            kind: Kind::Emitter {
                prefix: "socket.io".to_owned(),
            },
            ..mapping()
        };
        assert_eq!(
            accept(&emitters_only, &of_server).unwrap_err(),
            Refusing::Ignored("server")
        );
    }

    #[test]
    fn what_is_not_declared_passes_only_if_the_mapping_says_so() {
        let unknown = broadcast(&[], "lead:scored", r#"{"score":1}"#);
        let passing = Mapping {
            passthrough: true,
            ..mapping()
        };

        assert_eq!(
            accept(&mapping(), &unknown).unwrap_err(),
            Refusing::Dropped("unknown_event")
        );
        assert!(accept(&passing, &unknown).is_ok());
        let servers_own = broadcast(&[], "presence:update", "{}");
        assert_eq!(
            accept(&passing, &servers_own).unwrap_err(),
            Refusing::Dropped("not_producible")
        );
    }

    #[test]
    fn what_is_not_as_declared_passes_and_is_counted_or_is_dropped() {
        let invalid = broadcast(&[], "contact:deleted", r#"{"id":1}"#);
        let stats = Stats::default();
        let refusing = Mapping {
            validate: Validate::Refuse,
            ..mapping()
        };

        assert!(judge(&mapping(), &stats, &invalid).is_ok());
        assert_eq!(stats.invalid.counts()["missing_field"], 1);
        assert_eq!(
            judge(&refusing, &stats, &invalid).unwrap_err(),
            Refusing::Dropped("missing_field")
        );
        for data in ["1", "[1]", "\"a\""] {
            let scalar = broadcast(&[], "contact:deleted", data);
            assert_eq!(
                accept(&mapping(), &scalar).unwrap_err(),
                Refusing::Dropped("arguments")
            );
        }
    }

    const CONTACT: &str = r#"{"contactId":"1"}"#;

    fn accept(mapping: &Mapping, broadcast: &Broadcast) -> Result<Draft, Refusing> {
        judge(mapping, &Stats::default(), broadcast)
    }

    fn judge(mapping: &Mapping, stats: &Stats, broadcast: &Broadcast) -> Result<Draft, Refusing> {
        let catalogue = Catalogue::new(CatalogueConfig::default()).unwrap();
        let judge = Judge {
            mapping,
            catalogue: &catalogue,
            stats,
        };
        judge.accept(broadcast.clone(), "sio:1".parse().unwrap())
    }

    fn mapping() -> Mapping {
        Mapping {
            kind: Kind::Adapter {
                prefix: "socket.io".to_owned(),
                direction: Direction::Both,
                uid: UID.to_owned(),
            },
            namespace: "/crm".to_owned(),
            tenant: "acme".parse().unwrap(),
            passthrough: false,
            validate: Validate::Warn,
        }
    }

    fn broadcast(rooms: &[&str], event: &str, data: &str) -> Broadcast {
        Broadcast {
            sender: EMITTER.to_owned(),
            namespace: "/crm".to_owned(),
            rooms: rooms.iter().map(|&room| room.to_owned()).collect(),
            except: Vec::new(),
            event: event.to_owned(),
            arguments: vec![RawValue::from_string(data.to_owned()).unwrap()],
            is_volatile: false,
        }
    }
}
