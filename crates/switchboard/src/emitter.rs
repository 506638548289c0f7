//! The contract's events from Rust, organised by feature, without JSON.

use serde::Serialize;
use serde_json::value::to_raw_value;
use switchboard_event::payload::{
    CampaignCompleted, CampaignFailed, CampaignPaused, CampaignProgress, CampaignResumed,
    CampaignStarted, CampaignStatsUpdate, ContactCreated, ContactDeleted, ContactTyping,
    ContactUpdated, FlowCompleted, FlowFailed, FlowStarted, MessageDelivered, MessageFailed,
    MessageRead, MessageReceived, MessageSent, MessageStatusUpdate, SystemNotification,
    TeamActivity, WhatsappConnectionStatus, WhatsappDisconnected, WhatsappQrGenerated,
    WhatsappReady,
};
use switchboard_event::{Draft, EventId, Payload, ReceiptTimeout, Room, TenantId};
use switchboard_ingest::{Ingest, PublishError, Published, Refused};

/// Publishes events of one tenant, as a producer would: each call returns once its event is durable.
///
/// Cheap to clone. What is set with [`to`](Self::to) and the like holds for the value that it
/// returns, as in Socket.IO:
///
/// ```no_run
/// # use switchboard::Server;
/// # use switchboard::event::payload::{ContactDeleted, SystemNotification};
/// # async fn example(server: Server, gone: ContactDeleted, notice: SystemNotification)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// let emitter = server.emitter("acme".parse()?);
/// emitter.contacts().deleted(&gone).await?;
/// emitter.to("user:7".parse()?).system().notification(&notice).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Emitter {
    ingest: Ingest,
    tenant: TenantId,
    target: Target,
}

/// What an event is told apart by, and who hears it.
#[derive(Clone, Default)]
struct Target {
    id: Option<EventId>,
    rooms: Option<Vec<Room>>,
    add_rooms: Vec<Room>,
    except: Vec<Room>,
    receipt: Option<ReceiptTimeout>,
}

/// Why an event was not published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The catalogue or the journal refused it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The journal takes nothing right now: the same event with the same id can be tried again.
    #[error(transparent)]
    Unavailable(#[from] PublishError),
    /// A payload of one's own cannot be written as JSON.
    #[error("the payload cannot be written as JSON: {0}")]
    Payload(#[from] serde_json::Error),
}

impl Emitter {
    pub(crate) fn new(ingest: Ingest, tenant: TenantId) -> Self {
        Self {
            ingest,
            tenant,
            target: Target::default(),
        }
    }

    /// The same emitter, whose events are heard in this room, and those that were named before,
    /// instead of in their default rooms.
    #[must_use]
    pub fn to(&self, room: Room) -> Self {
        let mut to = self.clone();
        to.target.rooms.get_or_insert_default().push(room);
        to
    }

    /// The same emitter, whose events are heard in this room beside their default ones.
    #[must_use]
    pub fn also_to(&self, room: Room) -> Self {
        let mut to = self.clone();
        to.target.add_rooms.push(room);
        to
    }

    /// The same emitter, whose events nobody in this room hears.
    #[must_use]
    pub fn except(&self, room: Room) -> Self {
        let mut to = self.clone();
        to.target.except.push(room);
        to
    }

    /// The same emitter for one event with this id: whoever retries it makes no second one.
    #[must_use]
    pub fn with_id(&self, id: EventId) -> Self {
        let mut to = self.clone();
        to.target.id = Some(id);
        to
    }

    /// The same emitter, whose events ask those who hear them to acknowledge them within `timeout`.
    /// Who did is told by [`Server::receipt`](crate::Server::receipt), and at the end by the event
    /// `event:receipt`.
    #[must_use]
    pub fn with_receipt(&self, timeout: ReceiptTimeout) -> Self {
        let mut to = self.clone();
        to.target.receipt = Some(timeout);
        to
    }

    /// Publishes an event of the contract.
    ///
    /// # Errors
    ///
    /// [`EmitError`], which says whether trying again can help.
    pub async fn emit<P: Payload>(&self, payload: &P) -> Result<Published, EmitError> {
        self.publish(Draft::of(payload)?).await
    }

    /// Publishes an event that the settings declare.
    ///
    /// # Errors
    ///
    /// [`EmitError`], which says whether trying again can help.
    pub async fn emit_declared(
        &self,
        event: &str,
        payload: &impl Serialize,
    ) -> Result<Published, EmitError> {
        self.publish(Draft::new(event, to_raw_value(payload)?))
            .await
    }

    async fn publish(&self, draft: Draft) -> Result<Published, EmitError> {
        let names = |rooms: &[Room]| rooms.iter().map(|room| room.name().to_owned()).collect();
        let draft = Draft {
            id: self.target.id.clone(),
            rooms: self.target.rooms.as_deref().map(names),
            add_rooms: names(&self.target.add_rooms),
            except: names(&self.target.except),
            receipt: self.target.receipt,
            ..draft
        };
        let mut outcomes = self.ingest.publish(&self.tenant, vec![draft]).await?;
        let outcome = outcomes.pop().expect("one draft has one outcome");
        Ok(outcome?)
    }
}

/// Declares a feature: a handle, and a method for each of its events.
macro_rules! features {
    ($(
        $(#[doc = $docs:literal])+
        $feature:ident: $handle:ident {$(
            $(#[doc = $method_docs:literal])+
            $method:ident($payload:ident),
        )+}
    )+) => {
        impl Emitter {$(
            $(#[doc = $docs])+
            pub fn $feature(&self) -> $handle<'_> {
                $handle(self)
            }
        )+}

        $(
            $(#[doc = $docs])+
            #[derive(Clone, Copy)]
            pub struct $handle<'a>(&'a Emitter);

            impl $handle<'_> {$(
                $(#[doc = $method_docs])+
                pub async fn $method(&self, payload: &$payload) -> Result<Published, EmitError> {
                    self.0.emit(payload).await
                }
            )+}
        )+

        /// The events that have a method.
        #[cfg(test)]
        const EVENTS: &[&str] = &[$($($payload::EVENT),+),+];
    };
}

features! {
    /// Events of WhatsApp accounts.
    whatsapp: Whatsapp {
        /// A QR code was made; only who may pair the account sees it.
        qr_generated(WhatsappQrGenerated),
        /// The account is connected.
        ready(WhatsappReady),
        /// The state of the account's connection changed.
        connection_status(WhatsappConnectionStatus),
        /// The account was disconnected.
        disconnected(WhatsappDisconnected),
    }

    /// Events of messages.
    messages: Messages {
        /// A message came in.
        received(MessageReceived),
        /// A message went out.
        sent(MessageSent),
        /// The status of a message changed.
        status_update(MessageStatusUpdate),
        /// A message reached its recipient.
        delivered(MessageDelivered),
        /// A message was read.
        read(MessageRead),
        /// A message could not be sent.
        failed(MessageFailed),
    }

    /// Events of campaigns.
    campaigns: Campaigns {
        /// A campaign begins.
        started(CampaignStarted),
        /// How far a campaign is.
        progress(CampaignProgress),
        /// A campaign is over.
        completed(CampaignCompleted),
        /// What came of a campaign after its end.
        stats(CampaignStatsUpdate),
        /// A campaign pauses.
        paused(CampaignPaused),
        /// A campaign goes on.
        resumed(CampaignResumed),
        /// A campaign broke off.
        failed(CampaignFailed),
    }

    /// Events of contacts.
    contacts: Contacts {
        /// There is a new contact.
        created(ContactCreated),
        /// A contact changed.
        updated(ContactUpdated),
        /// A contact is gone.
        deleted(ContactDeleted),
        /// A contact types, or does so no more.
        typing(ContactTyping),
    }

    /// Events of flows.
    flows: Flows {
        /// A flow's execution begins.
        started(FlowStarted),
        /// A flow's execution is over.
        completed(FlowCompleted),
        /// A flow's execution broke off.
        failed(FlowFailed),
    }

    /// Events of the whole team.
    system: System {
        /// A notification for everybody.
        notification(SystemNotification),
        /// Somebody did something.
        activity(TeamActivity),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use switchboard_event::BUILT_IN;

    use super::*;
    use crate::settings::Environment;
    use crate::{Server, Settings, listener};

    #[test]
    fn every_event_that_producers_may_publish_has_a_method() {
        let producible = BUILT_IN.iter().filter(|event| event.is_producible());
        let producible: BTreeSet<_> = producible.map(|event| event.name).collect();

        assert_eq!(EVENTS.iter().copied().collect::<BTreeSet<_>>(), producible);
    }

    #[tokio::test]
    async fn an_emitter_asks_who_got_an_event_and_the_server_tells() {
        let text = "[auth]\nsecret = \"0123456789abcdef0123456789abcdef\"\n\
                    [journal]\nkind = \"memory\"";
        let file = Some((Path::new("switchboard.toml"), text));
        let settings = Settings::from_text(file, &Environment::default()).unwrap();
        let listener = listener::bind("127.0.0.1", 0).await.unwrap();
        let server = Server::start(&settings, listener).await.unwrap();
        let acme: TenantId = "acme".parse().unwrap();
        let emitter = server.emitter(acme.clone()).to("user:7".parse().unwrap());
        let emitter = emitter.with_receipt(ReceiptTimeout::new(ReceiptTimeout::MAX).unwrap());
        let deleted = ContactDeleted {
            contact_id: "42".parse().unwrap(),
            timestamp: None,
        };

        let Published { id, .. } = emitter.contacts().deleted(&deleted).await.unwrap();

        let receipt = server.receipt(&acme, &id).await.unwrap().unwrap();
        assert_eq!((receipt.state, receipt.counts.offline), ("open", 1));
        let globex = "globex".parse().unwrap();
        assert!(server.receipt(&globex, &id).await.unwrap().is_none());
        server.shutdown().await;
    }
}
