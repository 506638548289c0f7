//! Who hears a draft.

use crate::catalogue::entry::{Entry, Rule};
use crate::catalogue::{Catalogue, id_at};
use crate::draft::Draft;
use crate::event::{AUDIENCE_ROOMS_MAX, Audience};
use crate::id::{Id, TenantId};
use crate::rejected::Rejected;
use crate::room::{Room, RoomKind};
use crate::template::Template;

/// Who hears a draft, as far as the draft tells.
pub(super) enum Resolved {
    Known(Audience),
    OfMessage {
        message: Id,
        fallback: Vec<Room>,
        added: Vec<Room>,
        except: Vec<Room>,
    },
}

impl Catalogue {
    pub(super) fn resolve_audience(
        &self,
        entry: &Entry,
        draft: &Draft,
        tenant: &TenantId,
    ) -> Result<Resolved, Rejected> {
        let named = draft.rooms.as_deref().unwrap_or_default();
        check_count(named.len() + draft.add_rooms.len() + draft.except.len())?;
        if tenant.is_everyone() {
            return everyone(entry, draft).map(Resolved::Known);
        }
        if let Rule::Sealed(_) = entry.rule {
            check_sealed(entry, draft)?;
        }
        let except = self.rooms(&draft.except, "except", tenant)?;
        let added = self.rooms(&draft.add_rooms, "addRooms", tenant)?;
        let base = match (&draft.rooms, &entry.rule) {
            (Some(rooms), _) => self.rooms(rooms, "rooms", tenant)?,
            (None, Rule::Rooms(templates)) => render(templates, draft, tenant)?,
            (None, Rule::Sealed(template)) => vec![template.render(tenant, &draft.data)?],
            (None, Rule::Recalled(templates)) => {
                let message = id_at("messageId", draft)?;
                let fallback = render_present(templates, draft, tenant)?;
                return Ok(Resolved::OfMessage {
                    message,
                    fallback,
                    added,
                    except,
                });
            }
            (None, Rule::Server) => Vec::new(),
        };
        if draft.rooms.is_some() && base.is_empty() && added.is_empty() {
            return Err(Rejected::EmptyRooms);
        }
        Audience::checked(base, added, except).map(Resolved::Known)
    }

    /// Reads the rooms of a list in a draft.
    fn rooms(
        &self,
        names: &[String],
        list: &str,
        tenant: &TenantId,
    ) -> Result<Vec<Room>, Rejected> {
        let read = |(index, name): (usize, &String)| {
            let field = || format!("{list}[{index}]").into();
            let room = self.room(name);
            let room = room.map_err(|reason| Rejected::InvalidRoom {
                field: field(),
                reason,
            })?;
            let of_tenant = matches!(room.kind(), RoomKind::Team | RoomKind::Contacts);
            if of_tenant && room.id() != tenant.as_str() {
                return Err(Rejected::OtherTenant { field: field() });
            }
            Ok(room)
        };
        names.iter().enumerate().map(read).collect()
    }
}

impl Audience {
    /// The members of `base` and `added`, each room once; an error if there is none or too many.
    pub(crate) fn checked(
        base: Vec<Room>,
        added: Vec<Room>,
        except: Vec<Room>,
    ) -> Result<Self, Rejected> {
        let rooms = distinct(base.into_iter().chain(added));
        let except = distinct(except.into_iter());
        if rooms.is_empty() {
            return Err(Rejected::NoAudience);
        }
        check_count(rooms.len() + except.len())?;
        Ok(Self { rooms, except })
    }
}

/// The teams of all tenants, and nothing else.
fn everyone(entry: &Entry, draft: &Draft) -> Result<Audience, Rejected> {
    let field = match draft {
        _ if !entry.is_for_everyone() => "event",
        Draft { rooms: Some(_), .. } => "rooms",
        Draft { add_rooms, .. } if !add_rooms.is_empty() => "addRooms",
        Draft { except, .. } if !except.is_empty() => "except",
        _ => {
            let rooms = vec![Room::team(&TenantId::everyone())];
            return Ok(Audience {
                rooms,
                except: Vec::new(),
            });
        }
    };
    Err(Rejected::NotForEveryone { field })
}

fn check_sealed(entry: &Entry, draft: &Draft) -> Result<(), Rejected> {
    let field = match draft {
        Draft { rooms: Some(_), .. } => "rooms",
        Draft { add_rooms, .. } if !add_rooms.is_empty() => "addRooms",
        _ => return Ok(()),
    };
    Err(Rejected::SealedAudience {
        field,
        event: (*entry.name).into(),
    })
}

fn check_count(count: usize) -> Result<(), Rejected> {
    if count > AUDIENCE_ROOMS_MAX {
        return Err(Rejected::TooManyRooms {
            count,
            count_max: AUDIENCE_ROOMS_MAX,
        });
    }
    Ok(())
}

fn render(templates: &[Template], draft: &Draft, tenant: &TenantId) -> Result<Vec<Room>, Rejected> {
    templates
        .iter()
        .map(|template| template.render(tenant, &draft.data))
        .collect()
}

/// Leaves out the templates whose field is not there.
fn render_present(
    templates: &[Template],
    draft: &Draft,
    tenant: &TenantId,
) -> Result<Vec<Room>, Rejected> {
    let render = |template: &Template| match template.render(tenant, &draft.data) {
        Err(Rejected::MissingField { .. }) => None,
        room => Some(room),
    };
    templates.iter().filter_map(render).collect()
}

/// At most a few: comparing each with each is cheaper than hashing.
fn distinct(rooms: impl Iterator<Item = Room>) -> Vec<Room> {
    let mut distinct = Vec::new();
    for room in rooms {
        if !distinct.contains(&room) {
            distinct.push(room);
        }
    }
    distinct
}
