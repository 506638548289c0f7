//! All events that there are, and the one way from a draft to an event.

mod audience;
mod config;
mod entry;
mod fact;
mod stamp;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::accepted::{Accepted, AcceptedEvent, NeedsMessage};
use crate::binary;
use crate::built_in::BUILT_IN;
use crate::check::At;
use crate::draft::Draft;
use crate::event::{Audience, DATA_DEPTH_MAX, DATA_LEN_MAX, Event, EventParts};
use crate::field::FieldPath;
use crate::id::{EventId, Id, TenantId};
use crate::json;
use crate::message::MessageKey;
use crate::rejected::{Rejected, excerpt};
use crate::room::{InvalidRoom, Room, RoomKind};
use crate::time::Timestamp;

pub use config::{
    CUSTOM_EVENTS_MAX, CatalogueConfig, CatalogueError, CustomEvent, EVENT_NAME_LEN_MAX,
    TEMPLATES_MAX,
};

use audience::Resolved;
use config::parse_templates;
use entry::{Entry, Nature, PayloadRule, Rule};

/// All events that there are: those of the contract and those of the settings.
///
/// What it accepts is checked for good; nothing validates again after it.
pub struct Catalogue {
    strict: bool,
    fleeting_lifetime: Duration,
    kinds: BTreeSet<String>,
    entries: BTreeMap<Arc<str>, Entry>,
    /// Stands for what another server tells and nobody declared.
    relayed: Entry,
}

/// What a draft does not say about itself.
#[derive(Clone, Debug)]
pub struct Context {
    /// The tenant that the producer's key is for; [`TenantId::everyone`] if it is for all, and
    /// then the draft must name one.
    pub tenant: TenantId,
    /// The id for a draft that has none.
    pub fresh_id: EventId,
    /// The time.
    pub at: Timestamp,
    /// Who made the draft.
    pub maker: Maker,
}

/// Who made a draft.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Maker {
    /// A producer; [`CatalogueConfig::strict`] is about its mistakes.
    Producer,
    /// Our own mapping of a gateway's webhook. It tells more than the contract names, and a
    /// gateway's new word must never cost a message, so it is not held to strictness.
    Mapping,
    /// Another server, whose clients heard the event already: whoever passes it on has
    /// [examined](Catalogue::examine) it, and it is held to nothing more. It passes byte for byte,
    /// under any name that is nobody's own; a sealed audience stays what it is.
    Relay,
    /// The server itself, of what it has seen: it alone makes [`DefaultAudience::Made`].
    ///
    /// [`DefaultAudience::Made`]: crate::DefaultAudience::Made
    Server,
}

/// How much came for an event beyond the contract, since the catalogue was made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UnknownCounts<'a> {
    /// The event.
    pub event: &'a str,
    /// Fields that the contract does not have.
    pub fields: u64,
    /// Values of discriminators that the contract does not have.
    pub values: u64,
}

impl Catalogue {
    /// The contract with what the settings add to it.
    pub fn new(config: CatalogueConfig) -> Result<Self, CatalogueError> {
        let kinds = config.kinds()?;
        let count = config.events.len();
        if count > CUSTOM_EVENTS_MAX {
            return Err(CatalogueError::TooManyEvents { count });
        }
        let built_in = BUILT_IN.iter().map(Entry::built_in);
        let mut entries: BTreeMap<_, _> =
            built_in.map(|entry| (entry.name.clone(), entry)).collect();
        for event in config.events {
            let entry = event.into_entry(&kinds)?;
            if let Some(earlier) = entries.insert(entry.name.clone(), entry) {
                let reason = "is there already";
                return Err(CatalogueError::EventName {
                    event: earlier.name.as_ref().to_owned(),
                    reason,
                });
            }
        }
        let mut catalogue = Self {
            strict: config.strict,
            fleeting_lifetime: config.fleeting_lifetime,
            kinds,
            entries,
            relayed: Entry::relayed(),
        };
        for (event, templates) in config.audience {
            catalogue.override_audience(event, &templates)?;
        }
        Ok(catalogue)
    }

    fn override_audience(
        &mut self,
        event: String,
        templates: &[String],
    ) -> Result<(), CatalogueError> {
        let Some(entry) = self.entries.get_mut(&*event) else {
            return Err(CatalogueError::UnknownEvent { event });
        };
        if let Rule::Sealed(_) | Rule::Server = entry.rule {
            return Err(CatalogueError::FixedAudience { event });
        }
        let parsed = parse_templates(&event, templates, &self.kinds)?;
        if let PayloadRule::Shape(shape) = entry.payload {
            for (template, text) in parsed.iter().zip(templates) {
                template
                    .check_fields(shape)
                    .map_err(|reason| CatalogueError::Template {
                        event: event.clone(),
                        template: text.clone(),
                        reason,
                    })?;
            }
        }
        entry.rule = Rule::Rooms(parsed);
        Ok(())
    }

    /// Says what would be wrong with a producer's draft of that event, whoever is to hear it.
    pub fn examine(&self, event: &str, data: &RawValue) -> Result<(), Rejected> {
        self.entry(event, Maker::Producer)?.check(data, self.strict)
    }

    /// Makes an event of a draft, or says what is wrong with it.
    pub fn accept(&self, mut draft: Draft, context: Context) -> Result<Accepted, Rejected> {
        let entry = self.entry(&draft.event, context.maker)?;
        let tenant = tenant_of(&draft, context.tenant)?;
        check_size(&draft)?;
        binary::check(draft.data.get())?;
        let is_relayed = context.maker == Maker::Relay;
        if is_relayed {
            entry::check_object(&draft.data)?;
            entry.take_sealed(&mut draft);
        } else {
            let strict = self.strict && context.maker == Maker::Producer;
            entry.check(&draft.data, strict)?;
        }
        let resolved = self.resolve_audience(entry, &draft, &tenant)?;

        let expires_at = match entry.rule {
            Rule::Sealed(_) => Some(stamp::expiry(&draft.data, context.at)?),
            _ if entry.nature == Nature::Fleeting => context.at.checked_add(self.fleeting_lifetime),
            _ => None,
        };
        let receipt_by = receipt_deadline(entry, &draft, &tenant, context.at)?;
        let message = match id_at("message.id", &draft) {
            _ if !entry.is_remembered => None,
            Err(_) if is_relayed => None,
            id => Some(MessageKey::new(&id?)),
        };
        let fact = fact::of(&entry.name, &draft.data);
        let parts = |audience| {
            Ok(EventParts {
                fingerprint: fingerprint(&draft),
                data: if is_relayed {
                    String::from(Box::<str>::from(draft.data)).into()
                } else {
                    stamp::fill_timestamp(draft.data, context.at)?
                },
                id: draft.id.unwrap_or(context.fresh_id),
                tenant,
                at: context.at,
                name: entry.name_or(&draft.event),
                audience,
                expires_at,
                receipt_by,
            })
        };
        Ok(match resolved {
            Resolved::Known(audience) if entry.nature == Nature::Fleeting => {
                Accepted::Fleeting(Event::from_parts(parts(audience)?))
            }
            Resolved::Known(audience) => Accepted::Event(AcceptedEvent {
                event: Event::from_parts(parts(audience)?),
                message,
                fact,
            }),
            Resolved::OfMessage {
                message,
                fallback,
                added,
                except,
            } => {
                let audience = Audience {
                    rooms: added,
                    except,
                };
                Accepted::NeedsMessage(NeedsMessage::new(parts(audience)?, message, fallback, fact))
            }
        })
    }

    /// Reads the name of a room: of a built-in kind, or of one that the settings declare.
    pub fn room(&self, name: &str) -> Result<Room, InvalidRoom> {
        let room: Room = name.parse()?;
        match room.kind() {
            RoomKind::Custom(kind) if !self.kinds.contains(&**kind) => {
                Err(InvalidRoom::UndeclaredKind {
                    kind: excerpt(kind),
                })
            }
            RoomKind::Team | RoomKind::Contacts if room.id() == TenantId::everyone().as_str() => {
                Err(InvalidRoom::Everyone)
            }
            _ => Ok(room),
        }
    }

    /// The names of all events, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(|name| &**name)
    }

    /// Whether producers may publish that event: the others are the server's own. Events that nobody
    /// declared are whoever's they are.
    pub fn is_producible(&self, event: &str) -> bool {
        match self.entries.get(event) {
            Some(entry) => !matches!(entry.rule, Rule::Server) && entry.nature != Nature::MadeHere,
            None => config::check_name(event).is_ok(),
        }
    }

    /// What came beyond the contract, for each event for which something did. Never more than
    /// there are events.
    pub fn unknown_counts(&self) -> impl Iterator<Item = UnknownCounts<'_>> {
        self.entries.iter().filter_map(|(name, entry)| {
            let unknown = entry.unknown();
            let (fields, values) = (unknown.fields, unknown.values);
            (fields + values > 0).then_some(UnknownCounts {
                event: name,
                fields,
                values,
            })
        })
    }

    /// The event of that name, if its maker may make it.
    fn entry(&self, name: &str, maker: Maker) -> Result<&Entry, Rejected> {
        let relayed = || {
            let may_pass = maker == Maker::Relay && config::check_name(name).is_ok();
            may_pass.then_some(&self.relayed)
        };
        let entry = self.entries.get(name).or_else(relayed);
        let entry = entry.ok_or_else(|| Rejected::UnknownEvent {
            event: excerpt(name),
            known: self.nearest(name),
        })?;
        let may_make = match entry.rule {
            Rule::Server => false,
            _ => entry.nature != Nature::MadeHere || maker == Maker::Server,
        };
        if may_make {
            return Ok(entry);
        }
        Err(Rejected::NotProducible { event: name.into() })
    }
}

impl Catalogue {
    /// The producible event whose name is most like `name`: what was probably meant.
    fn nearest(&self, name: &str) -> Option<Box<str>> {
        if name.len() > EVENT_NAME_LEN_MAX {
            return None;
        }
        let producible = self.entries.values().filter(|entry| {
            !matches!(entry.rule, Rule::Server) && entry.nature != Nature::MadeHere
        });
        let likeness = |entry: &Entry| strsim::normalized_levenshtein(&entry.name, name);
        producible
            .take(NEAREST_AMONG_MAX)
            .map(|entry| (likeness(entry), &entry.name))
            .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
            .max_by(|(a, _), (b, _)| a.total_cmp(b))
            .map(|(_, known)| (&**known).into())
    }
}

impl fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events = self.entries.len();
        f.debug_struct("Catalogue")
            .field("events", &events)
            .field("strict", &self.strict)
            .finish_non_exhaustive()
    }
}

/// Whose event it is. A key for one tenant is for no other; one for all says which.
fn tenant_of(draft: &Draft, key: TenantId) -> Result<TenantId, Rejected> {
    let field = "tenant";
    match (&draft.tenant, key.is_everyone()) {
        (None, false) => Ok(key),
        (Some(tenant), false) if tenant == key.as_str() => Ok(key),
        (Some(_), false) => Err(Rejected::OtherTenant {
            field: field.into(),
        }),
        (None, true) => Err(Rejected::MissingField {
            field: field.into(),
        }),
        (Some(tenant), true) => {
            TenantId::from_stored(tenant).map_err(|reason| Rejected::InvalidId {
                field: field.into(),
                reason,
            })
        }
    }
}

fn check_size(draft: &Draft) -> Result<(), Rejected> {
    let data = draft.data.get();
    if data.len() > DATA_LEN_MAX {
        return Err(Rejected::TooLarge {
            len: data.len(),
            len_max: DATA_LEN_MAX,
        });
    }
    let depth = json::depth(data);
    if depth > DATA_DEPTH_MAX {
        return Err(Rejected::TooDeep {
            depth,
            depth_max: DATA_DEPTH_MAX,
        });
    }
    Ok(())
}

/// Until when a draft's receipt waits. What is for everyone has none, because state belongs to one
/// tenant, and what is so for a moment none either: nobody waits for it.
fn receipt_deadline(
    entry: &Entry,
    draft: &Draft,
    tenant: &TenantId,
    at: Timestamp,
) -> Result<Option<Timestamp>, Rejected> {
    let Some(timeout) = draft.receipt else {
        return Ok(None);
    };
    if tenant.is_everyone() {
        return Err(Rejected::NotForEveryone { field: "receipt" });
    }
    if entry.nature == Nature::Fleeting {
        let event = entry.name.as_ref().into();
        return Err(Rejected::FleetingReceipt { event });
    }
    let deadline = at.checked_add(timeout.as_duration());
    Ok(Some(deadline.unwrap_or(Timestamp::MAX)))
}

/// The id at that path of the payload, which the shape has checked.
fn id_at(path: &str, draft: &Draft) -> Result<Id, Rejected> {
    match FieldPath::parse(path) {
        Some(path) => path.id_in(&draft.data),
        None => Err(Rejected::MissingField {
            field: At::DATA.field(path).path(),
        }),
    }
}

/// Tells drafts apart that claim the same id: a hash of all that makes a difference, each part
/// led by its length.
fn fingerprint(draft: &Draft) -> [u8; 16] {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    };
    part(&draft.event);
    part(draft.data.get());
    let lists = [
        draft.rooms.as_deref(),
        Some(&*draft.add_rooms),
        Some(&*draft.except),
    ];
    for rooms in lists {
        match rooms {
            None => part("-"),
            Some(rooms) => {
                part(&rooms.len().to_string());
                for room in rooms {
                    part(room);
                }
            }
        }
    }
    // Only where it is asked for: fingerprints of drafts without one are older than receipts.
    if let Some(timeout) = draft.receipt {
        part(&timeout.as_duration().as_millis().to_string());
    }
    let mut fingerprint = [0; 16];
    fingerprint.copy_from_slice(&hash.finalize()[..16]);
    fingerprint
}

/// Below this a name is no slip of another.
const LIKENESS_MIN: f64 = 0.6;
/// How many names are looked at for a slip: a producer may send a thousand slips at once.
const NEAREST_AMONG_MAX: usize = 256;
