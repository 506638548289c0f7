//! What the session says, told to the application, and what the application decides.

use std::sync::{Arc, atomic::Ordering};

use switchboard_protocol::{
    SocketId,
    session::{MemberId, Signal},
    socket_io::{self, Event},
};
use tracing::debug;

use super::{Connection, Decision, Joining, Socket, Work};
use crate::{
    AckId, Acked, Admission, Application, CloseReason, Connect, DisconnectReason, Handling,
    Incoming, Packet, Refusal, SocketHandle, application::Recovered, request::random,
};

impl<A: Application> Connection<A> {
    pub(super) fn handle_signal(&mut self, signal: Signal<'_>) {
        match signal {
            Signal::Ping => {
                self.outbox
                    .send_ahead(self.registration.shared().ping.clone());
            }
            Signal::Connect {
                member,
                namespace,
                auth,
            } => {
                let auth = auth.map(ToOwned::to_owned);
                self.connect(member, namespace, auth);
            }
            Signal::Event(member, event) => self.hand_event(member, event),
            Signal::Ack(member, ack) => {
                let ack = Acked {
                    id: ack.id.0,
                    args: ack.arguments.into_owned(),
                    attachments: ack.attachments,
                };
                if let Some(socket) = self.sockets.iter().find(|known| known.member == member) {
                    let handling = self
                        .registration
                        .shared()
                        .application
                        .acked(&socket.state, ack);
                    self.take_handling(handling);
                }
            }
            Signal::Left(member) => {
                if let Some(socket) = self.remove(member) {
                    self.leave(socket, DisconnectReason::ClientLeft);
                    self.outbox.forget(member);
                }
            }
            Signal::Text(text) => {
                self.outbox
                    .post(Arc::new(Packet::text(format!("4{text}"))), 0);
            }
            Signal::Binary(bytes) => {
                self.outbox
                    .post(Arc::new(Packet::binary(bytes.into_owned().into())), 0);
            }
            Signal::PacketInvalid(error) => {
                debug!(client = %self.handshake.client(), %error, "packet refused");
                self.end(CloseReason::PacketInvalid, None);
            }
            Signal::Closed(reason) => self.end(reason, reason.close_code()),
        }
    }

    fn connect(
        &mut self,
        member: MemberId,
        namespace: socket_io::Namespace<'static>,
        auth: Option<Box<serde_json::value::RawValue>>,
    ) {
        let Some(id) = random().map(SocketId::from_random) else {
            return self.close(CloseReason::Requested);
        };
        let handle = SocketHandle::new(id, namespace.clone(), member, self.outbox.clone());
        let request = Connect {
            namespace: namespace.clone(),
            auth,
            handshake: self.handshake.clone(),
            handle: handle.clone(),
        };
        let application = self.registration.shared().application.clone();
        self.outbox.hold();
        self.start(Work::Connecting(Joining {
            member,
            namespace,
            handle,
            decision: Box::pin(async move { application.connect(request).await }),
        }));
    }

    pub(super) fn decided(&mut self, joining: Joining<A>, decision: Decision<A>) {
        let Joining {
            member,
            namespace,
            handle,
            ..
        } = joining;
        match decision {
            Ok(admission) => {
                let Admission {
                    socket: state,
                    recovery,
                    recovered,
                } = admission;
                let missed = match recovered {
                    Some(Recovered { id, missed }) => {
                        handle.rename(id);
                        missed
                    }
                    None => Vec::new(),
                };
                debug!(
                    socket = %handle.id(),
                    namespace = namespace.as_str(),
                    "joined"
                );
                self.session.accept(member);
                self.registration.join();
                let id = handle.id();
                let reply = socket_io::encode_connect(&namespace, &id, recovery.as_ref());
                let reply = Arc::new(Packet::from_parts(reply, Vec::new()));
                self.outbox.release(Some(member), missed, reply);
                let left = handle.has_left();
                self.registration
                    .shared()
                    .sessions
                    .sockets
                    .fetch_add(1, Ordering::Relaxed);
                // Nearly every client joins one namespace and no other.
                self.sockets.reserve_exact(1);
                self.sockets.push(Socket {
                    member,
                    handle,
                    state,
                });
                if left {
                    self.dismiss(member);
                }
            }
            Err(refusal) => {
                handle.leave();
                self.outbox.forget(member);
                match refusal {
                    Refusal::ConnectError { message, data } => {
                        let end = self.session.refuse(member);
                        let reply =
                            socket_io::encode_connect_error(&namespace, &message, data.as_deref());
                        let reply = Arc::new(Packet::from_parts(reply, Vec::new()));
                        self.outbox.release(None, Vec::new(), reply);
                        if let Some(end) = end {
                            self.handle_signal(end);
                        }
                    }
                    Refusal::Close(reason) => self.close(reason),
                }
            }
        }
    }

    /// Takes a socket out of its namespace, as the application asked.
    pub(super) fn dismiss(&mut self, member: MemberId) {
        let Some(socket) = self.remove(member) else {
            return;
        };
        self.session.dismiss(member);
        let packet = socket_io::encode_disconnect(socket.handle.namespace());
        self.outbox
            .send_from(None, Arc::new(Packet::from_parts(packet, Vec::new())));
        self.leave(socket, DisconnectReason::ServerLeft);
    }

    fn hand_event(&mut self, member: MemberId, event: Event<'_>) {
        let Some(socket) = self.sockets.iter().find(|known| known.member == member) else {
            return;
        };
        let event = Incoming {
            name: event.name.into(),
            args: event.arguments.into_owned(),
            attachments: event.attachments,
            ack: event.ack_id.map(AckId),
        };
        let handling = self
            .registration
            .shared()
            .application
            .event(&socket.state, event);
        self.take_handling(handling);
    }

    fn take_handling(&mut self, handling: Handling) {
        match handling {
            Handling::Done => {}
            Handling::Later(work) => self.start(Work::Handling(work)),
            Handling::Close(reason) => self.close(reason),
        }
    }

    fn remove(&mut self, member: MemberId) -> Option<Socket<A>> {
        let index = self
            .sockets
            .iter()
            .position(|known| known.member == member)?;
        Some(self.sockets.remove(index))
    }
}
