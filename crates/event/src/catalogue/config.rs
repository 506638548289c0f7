//! What the settings say about events.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::catalogue::entry::{Entry, PayloadRule, Rule};
use crate::room::{InvalidRoom, RoomKind};
use crate::template::{InvalidTemplate, Template};

/// The longest name of an event, in bytes.
pub const EVENT_NAME_LEN_MAX: usize = 128;

/// The most events that the settings can declare.
pub const CUSTOM_EVENTS_MAX: usize = 1_024;

/// The most templates of one event's audience.
pub const TEMPLATES_MAX: usize = 16;

/// What the settings say about events. The default is the contract and nothing else.
#[derive(Clone, Debug)]
pub struct CatalogueConfig {
    /// Whether fields and values beyond the contract are refused. Off by default: they pass, and
    /// are counted.
    pub strict: bool,
    /// Audiences in place of the default ones, by event: templates such as `contact:{contactId}`.
    /// None by default. Each room of an event costs one look-up at its fan-out.
    pub audience: BTreeMap<String, Vec<String>>,
    /// Kinds of rooms beside the built-in ones: words of `a-z`, `0-9`, `-` and `_`, at most 31
    /// bytes. None by default.
    pub rooms: Vec<String>,
    /// Events beside those of the contract, at most [`CUSTOM_EVENTS_MAX`]. None by default.
    pub events: Vec<CustomEvent>,
    /// How long it is so what a fleeting event says, default 25 s: as long as WhatsApp shows that
    /// somebody types.
    pub fleeting_lifetime: Duration,
}

impl Default for CatalogueConfig {
    fn default() -> Self {
        Self {
            strict: false,
            audience: BTreeMap::new(),
            rooms: Vec::new(),
            events: Vec::new(),
            fleeting_lifetime: Duration::from_secs(25),
        }
    }
}

/// An event that the settings declare.
#[derive(Clone, Debug)]
pub struct CustomEvent {
    /// The name: 1 to 128 bytes of visible ASCII, neither built in nor reserved.
    pub name: String,
    /// A JSON Schema that payloads must match as they were sent. Absent: any object will do, if its
    /// `timestamp` is text, null or absent, as in every event. Checking costs a parse of the
    /// payload.
    pub schema: Option<serde_json::Value>,
    /// Templates of the rooms that hear it. Empty: the draft must name them.
    pub audience: Vec<String>,
}

/// Why a catalogue cannot be made. All of it is for whoever wrote the settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogueError {
    /// An audience is given for an event that does not exist.
    #[error("audience of event `{event}`, which is unknown")]
    UnknownEvent {
        /// The name.
        event: String,
    },
    /// The audience of this event cannot be changed: it is sealed, or the server makes the event.
    #[error("audience of event `{event}` cannot be changed")]
    FixedAudience {
        /// The name.
        event: String,
    },
    /// A template is wrong.
    #[error("audience of event `{event}`: `{template}`: {reason}")]
    Template {
        /// The event.
        event: String,
        /// The template.
        template: String,
        /// Why.
        reason: InvalidTemplate,
    },
    /// An event has more than [`TEMPLATES_MAX`] templates.
    #[error("audience of event `{event}` has {count} templates, the limit is {TEMPLATES_MAX}")]
    TooManyTemplates {
        /// The event.
        event: String,
        /// How many.
        count: usize,
    },
    /// A declared event cannot have that name.
    #[error("event name `{event}` {reason}")]
    EventName {
        /// The name.
        event: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There are more than [`CUSTOM_EVENTS_MAX`] declared events.
    #[error("{count} events are declared, the limit is {CUSTOM_EVENTS_MAX}")]
    TooManyEvents {
        /// How many.
        count: usize,
    },
    /// A schema is none, or refers to another document, which is never fetched.
    #[error("schema of event `{event}`: {reason}")]
    Schema {
        /// The event.
        event: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A declared kind of room is built in, or not a word.
    #[error("kind of room `{kind}` is built in or not a word of `a-z`, `0-9`, `-` and `_`")]
    RoomKind {
        /// The kind.
        kind: String,
    },
}

impl CatalogueConfig {
    /// The declared kinds of rooms.
    pub(super) fn kinds(&self) -> Result<BTreeSet<String>, CatalogueError> {
        let kind = |kind: &String| match RoomKind::named(kind) {
            Ok(RoomKind::Custom(_)) => Ok(kind.clone()),
            Ok(_) | Err(_) => Err(CatalogueError::RoomKind { kind: kind.clone() }),
        };
        self.rooms.iter().map(kind).collect()
    }
}

impl CustomEvent {
    /// The event, ready for drafts.
    pub(super) fn into_entry(self, kinds: &BTreeSet<String>) -> Result<Entry, CatalogueError> {
        check_name(&self.name)?;
        let templates = parse_templates(&self.name, &self.audience, kinds)?;
        let schema =
            match &self.schema {
                Some(schema) => Some(jsonschema::validator_for(schema).map_err(|error| {
                    CatalogueError::Schema {
                        event: self.name.clone(),
                        reason: error.to_string(),
                    }
                })?),
                None => None,
            };
        let payload = PayloadRule::Schema(schema.map(Box::new));
        Ok(Entry::new(self.name, payload, Rule::Rooms(templates)))
    }
}

/// Reads the templates of an event; their kinds must be built in or declared.
pub(super) fn parse_templates(
    event: &str,
    templates: &[String],
    kinds: &BTreeSet<String>,
) -> Result<Vec<Template>, CatalogueError> {
    if templates.len() > TEMPLATES_MAX {
        let count = templates.len();
        return Err(CatalogueError::TooManyTemplates {
            event: event.to_owned(),
            count,
        });
    }
    let parse = |text: &String| {
        let template = Template::parse(text).and_then(|template| match template.kind() {
            RoomKind::Custom(kind) if !kinds.contains(&**kind) => {
                Err(InvalidRoom::UndeclaredKind {
                    kind: (**kind).into(),
                }
                .into())
            }
            _ => Ok(template),
        });
        template.map_err(|reason| CatalogueError::Template {
            event: event.to_owned(),
            template: text.clone(),
            reason,
        })
    };
    templates.iter().map(parse).collect()
}

/// Names that Socket.IO's clients and servers keep for themselves.
const RESERVED: [&str; 6] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
];

/// What the server's own events start with.
const RESERVED_PREFIXES: [&str; 3] = ["session:", "presence:", "access:"];

pub(super) fn check_name(name: &str) -> Result<(), CatalogueError> {
    let reason = if name.is_empty() || name.len() > EVENT_NAME_LEN_MAX {
        "is not 1 to 128 bytes long"
    } else if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        "is not of visible ASCII characters"
    } else if RESERVED.contains(&name) {
        "is reserved by Socket.IO"
    } else if RESERVED_PREFIXES
        .iter()
        .any(|prefix| name.starts_with(prefix))
    {
        "is reserved for the server's own events"
    } else {
        return Ok(());
    };
    Err(CatalogueError::EventName {
        event: name.to_owned(),
        reason,
    })
}
