//! Templates of room names: `whatsapp:{message.whatsappAccountId}`, `team:{tenant}`.

use std::fmt;

use serde_json::value::RawValue;

use crate::field::FieldPath;
use crate::id::{Id, InvalidId, TenantId};
use crate::rejected::Rejected;
use crate::room::{InvalidRoom, Room, RoomKind};
use crate::shape::ObjectShape;

/// The longest template, in bytes.
pub const TEMPLATE_LEN_MAX: usize = 512;

/// Why a text is not a template of a room name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTemplate {
    /// It is longer than [`TEMPLATE_LEN_MAX`].
    #[error("template is {len} bytes, the limit is {TEMPLATE_LEN_MAX}")]
    Length {
        /// How long it is.
        len: usize,
    },
    /// The part before the colon is wrong, or what is written out is no id.
    #[error(transparent)]
    Room(#[from] InvalidRoom),
    /// Braces without a partner, or with nothing or something odd between them.
    #[error("braces do not enclose the name of a field")]
    Braces,
    /// `team:` and `contacts:` are rooms of a tenant, and of no other than the event's.
    #[error("room of kind `{kind}` is always `{kind}:{{tenant}}`")]
    Tenant {
        /// The kind.
        kind: Box<str>,
    },
    /// The event's payload has no such field, or it cannot be part of a name.
    #[error("payload has no id or text at `{field}`")]
    Field {
        /// The field.
        field: Box<str>,
    },
}

/// A room name with fields left open.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Template {
    kind: RoomKind,
    parts: Box<[Part]>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Literal(Box<str>),
    Tenant,
    Field(FieldPath),
}

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        if text.len() > TEMPLATE_LEN_MAX {
            return Err(InvalidTemplate::Length { len: text.len() });
        }
        let (kind, id) = text.split_once(':').ok_or(InvalidRoom::Form)?;
        let kind = RoomKind::named(kind)?;
        let (kind, id) = match id.strip_suffix(":link") {
            Some(id) if kind == RoomKind::Whatsapp => (RoomKind::WhatsappLink, id),
            _ => (kind, id),
        };
        let template = Self {
            kind,
            parts: parse_parts(id)?,
        };
        template.check()?;
        Ok(template)
    }

    /// What can be checked without a payload.
    fn check(&self) -> Result<(), InvalidTemplate> {
        let of_tenant = matches!(self.kind, RoomKind::Team | RoomKind::Contacts);
        if of_tenant && *self.parts != [Part::Tenant] {
            return Err(InvalidTemplate::Tenant {
                kind: self.kind.as_str().into(),
            });
        }
        match &*self.parts {
            [] => Err(InvalidRoom::Id(InvalidId::Length { len: 0 }).into()),
            [Part::Literal(id)] => {
                let id: Id = id.parse().map_err(InvalidRoom::Id)?;
                Room::of(self.kind.clone(), &id)?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Checks that payloads of that shape have the fields.
    pub(crate) fn check_fields(&self, shape: &'static ObjectShape) -> Result<(), InvalidTemplate> {
        for part in &self.parts {
            if let Part::Field(field) = part
                && !field.names_id_of(shape)
            {
                return Err(InvalidTemplate::Field {
                    field: field.to_string().into(),
                });
            }
        }
        Ok(())
    }

    /// The room for that payload; [`Rejected::MissingField`] if it lacks a field.
    pub(crate) fn render(&self, tenant: &TenantId, data: &RawValue) -> Result<Room, Rejected> {
        let mut id = String::new();
        let mut last_field = None;
        for part in &self.parts {
            match part {
                Part::Literal(text) => id.push_str(text),
                Part::Tenant => id.push_str(tenant.as_str()),
                Part::Field(field) => {
                    id.push_str(field.id_in(data)?.as_str());
                    last_field = Some(field);
                }
            }
        }
        let invalid = |reason| Rejected::InvalidRoom {
            field: match last_field {
                Some(field) => format!("data.{field}").into(),
                None => "tenant".into(),
            },
            reason,
        };
        let id: Id = id
            .parse()
            .map_err(|reason| invalid(InvalidRoom::Id(reason)))?;
        Room::of(self.kind.clone(), &id).map_err(invalid)
    }

    pub(crate) fn kind(&self) -> &RoomKind {
        &self.kind
    }
}

fn parse_parts(mut text: &str) -> Result<Box<[Part]>, InvalidTemplate> {
    let mut parts = Vec::new();
    while let Some(brace) = text.find(['{', '}']) {
        let (literal, rest) = text.split_at(brace);
        push_literal(&mut parts, literal);
        let inner = rest.strip_prefix('{').ok_or(InvalidTemplate::Braces)?;
        let (name, rest) = inner.split_once('}').ok_or(InvalidTemplate::Braces)?;
        parts.push(parse_field(name)?);
        text = rest;
    }
    push_literal(&mut parts, text);
    Ok(parts.into())
}

fn push_literal(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Literal(text.into()));
    }
}

fn parse_field(name: &str) -> Result<Part, InvalidTemplate> {
    if name == "tenant" {
        return Ok(Part::Tenant);
    }
    if name.contains('{') || name.contains(char::is_whitespace) {
        return Err(InvalidTemplate::Braces);
    }
    FieldPath::parse(name)
        .map(Part::Field)
        .ok_or(InvalidTemplate::Braces)
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.kind.as_str())?;
        for part in &self.parts {
            match part {
                Part::Literal(text) => f.write_str(text)?,
                Part::Tenant => f.write_str("{tenant}")?,
                Part::Field(field) => write!(f, "{{{field}}}")?,
            }
        }
        if self.kind == RoomKind::WhatsappLink {
            f.write_str(":link")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_from_the_payload() {
        let data = r#"{"a":"x","b":{"c":7,"t":"y"},"link":"z:link"}"#;
        check("contact:{a}", data, Ok("contact:x"));
        check("contact:{b.c}", data, Ok("contact:7"));
        check("order:{a}-{b.t}/{tenant}", data, Ok("order:x-y/acme"));
        check("order:all", data, Ok("order:all"));
        check("team:{tenant}", data, Ok("team:acme"));
        check("whatsapp:{a}:link", data, Ok("whatsapp:x:link"));
        check("contact:{z}", data, Err(("missing_field", "data.z")));
        check("contact:{b.z}", data, Err(("missing_field", "data.b.z")));
        check("contact:{b}", data, Err(("invalid_data", "data.b")));
        check("contact:{a.c}", data, Err(("invalid_data", "data.a")));
        check("whatsapp:{link}", data, Err(("invalid_room", "data.link")));
    }

    #[track_caller]
    fn check(template: &str, data: &str, expected: Result<&str, (&str, &str)>) {
        let data = RawValue::from_string(data.to_owned()).unwrap();
        let parsed = Template::parse(template).unwrap();

        let room = parsed.render(&"acme".parse().unwrap(), &data);

        assert_eq!(parsed.to_string(), template);
        let room = room.as_ref().map(Room::name);
        assert_eq!(
            room.map_err(|reason| (reason.code(), reason.field().unwrap())),
            expected
        );
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for template in [
            "",
            "contact",
            "contact:",
            ":x",
            "contact:{",
            "contact:}",
            "contact:{}",
            "contact:{a",
            "contact:a}",
            "contact:{a b}",
            "contact:{a..b}",
            "contact:{.a}",
            "contact:{{a}}",
            "contact:a b",
            "Contact:{a}",
            "team:acme",
            "team:{a}",
            "contacts:{tenant}x",
            "whatsapp::link",
            "whatsapp:x:link:link",
        ] {
            assert!(Template::parse(template).is_err(), "{template}");
        }
        let long = format!("contact:{{{}}}", "a".repeat(TEMPLATE_LEN_MAX));
        assert_eq!(
            Template::parse(&long),
            Err(InvalidTemplate::Length { len: long.len() })
        );
    }
}
