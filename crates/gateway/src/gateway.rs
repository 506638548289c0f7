//! The engine's application: one entry for each thing that a client does.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use serde_json::value::RawValue;
use switchboard_engine::{
    Acked, Admission, Application, CloseReason, Connect, DisconnectReason, Handling, Handshake,
    Incoming, Refusal,
};
use switchboard_event::{Catalogue, Clock, Offset, Room, Timestamp};
use switchboard_journal::{Journal, Leases, ReadError};
use tokio::time::MissedTickBehavior;
use tracing::{debug, error, info, warn};

use crate::access::Access;
use crate::audit;
use crate::auth::{Authenticator, Identity, KeyServerStats};
use crate::catch_up::Behind;
use crate::command::Command;
use crate::counters::{Continuation, Counters, Counts};
use crate::credentials::Credentials;
use crate::floor::{Floor, FloorConfig, attend};
use crate::lane::Lane;
use crate::lifetime::{Lifetime, OnExpiry};
use crate::limits::{Kind, LimitConfig, Limits};
use crate::ports::{self, Ports};
use crate::receipts::clerk;
use crate::recovery::{Claim, NotAdmitted, Recovery};
use crate::reply::{Refused, answer};
use crate::requests::{self, Asked};
use crate::session::Session;
use crate::unauthorized::Unauthorized;

/// Serves the clients of a journal: authenticates, grants, fans out.
pub struct Gateway {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) leases: Arc<dyn Leases>,
    pub(crate) recovery: Recovery,
    pub(crate) behind: Arc<Behind>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) authenticator: Authenticator,
    pub(crate) access: Access,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) config: Config,
    pub(crate) lanes: Box<[Arc<Lane>]>,
}

/// Limits of the clients' side.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How much a user may do in a time; may change while the gateway runs.
    pub limits: LimitConfig,
    /// How long a client that went away may come back, default 24 h; at least three quarters of
    /// it are kept. Each session that is kept costs a few hundred bytes on disk.
    pub session_ttl: Duration,
    /// How often each session is told how far its line has come, default 30 s. A shorter time
    /// costs one write of every connection that much more often.
    pub sync_interval: Duration,
    /// What becomes of a client whose token ends while it is connected. Default: it is
    /// disconnected.
    pub on_expiry: OnExpiry,
    /// How long before its token ends a client is told, default 60 s; of a short token it is told
    /// when a quarter is left. Zero: it is not told.
    pub expiry_notice: Duration,
    /// How much longer than it says a token is good, as [`AuthConfig::leeway`](crate::AuthConfig).
    /// Default: 0 s.
    pub expiry_leeway: Duration,
    /// How long things are so that end by themselves.
    pub floor: FloorConfig,
}

/// How many clients, rooms and users this node has now.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize)]
pub struct Stats {
    /// Clients that were let in.
    pub connected: usize,
    /// Rooms with at least one client.
    pub rooms: usize,
    /// Users with at least one client.
    pub users: usize,
    /// Clients that read the journal, because they were too slow to be fed live.
    pub behind: usize,
    /// Rooms that clients are in by somebody else's yes, which is asked for again.
    pub leases: usize,
    /// Those of them that should have been asked for a second ago.
    pub leases_overdue: usize,
    /// Rooms of which clients hear nothing while it is decided about an invalidated right.
    pub undecided: usize,
    /// Open receipts of events.
    pub receipts: usize,
}

impl Gateway {
    /// Begins at the head of each partition; [`run`](Self::run) then fans out what comes.
    pub async fn new(
        ports: Ports,
        catalogue: Arc<Catalogue>,
        authenticator: Authenticator,
        access: Access,
        clock: Clock,
        config: Config,
    ) -> Result<Self, ReadError> {
        let Ports {
            journal,
            sessions,
            leases,
            fleeting,
        } = ports;
        let counters = Arc::<Counters>::default();
        let holder = ports::random_holder()?;
        let mut lanes = Vec::new();
        for partition in journal.partitions().all() {
            let head = journal.head(partition).await?;
            let floor = Floor::new(
                partition,
                Arc::clone(&fleeting),
                clock.clone(),
                holder,
                config.floor,
            );
            let lane = Lane::new(partition, head, Arc::clone(&counters), floor);
            lanes.push(Arc::new(lane));
        }
        let recovery = Recovery {
            journal: Arc::clone(&journal),
            sessions,
            access: access.clone(),
            clock: clock.clone(),
            ttl: config.session_ttl,
            lifetime: Lifetime {
                on_expiry: config.on_expiry,
                notice: config.expiry_notice,
                leeway: config.expiry_leeway,
            },
        };
        Ok(Self {
            journal,
            leases,
            recovery,
            behind: Arc::default(),
            counters,
            catalogue,
            authenticator,
            access,
            limits: Limits::new(&config.limits),
            clock,
            config,
            lanes: lanes.into(),
        })
    }

    /// Fans out what the journal says, until it is closed; one task per partition. Ends early only
    /// if one of them dies, and then the server cannot go on.
    pub async fn run(&self) {
        let mut tasks = tokio::task::JoinSet::new();
        for lane in &self.lanes {
            let (lane, recovery) = (Arc::clone(lane), self.recovery.clone());
            let sync_interval = self.config.sync_interval;
            tasks.spawn(async move { lane.run(&recovery, sync_interval).await });
        }
        let mut clerks = clerk::start(&self.lanes, &self.journal, &self.catalogue, &self.clock);
        let fan_out = async {
            // A partition that nobody fans out would be silent, and look alive: the first task
            // that dies ends them all.
            while let Some(ended) = tasks.join_next().await {
                if let Err(failure) = ended {
                    error!(error = %failure, "a fan-out task died");
                    return;
                }
            }
        };
        tokio::select! {
            () = fan_out => {}
            () = attend(&self.lanes, &self.leases, &self.clock) => {}
            Some(ended) = clerks.join_next() => error!(?ended, "a task of receipts died"),
            () = self.keep_alive() => {}
            () = self.authenticator.keep_fresh() => {}
            () = self.expire() => {}
            () = self.access.run() => {}
            () = self.recovery.renew_leases(&self.lanes) => {}
        }
    }

    /// How many clients, rooms and users there are now.
    pub fn stats(&self) -> Stats {
        self.lanes
            .iter()
            .map(|lane| lane.hub.stats())
            .fold(Stats::default(), |sum, hub| Stats {
                connected: sum.connected + hub.sessions,
                rooms: sum.rooms + hub.rooms,
                users: sum.users + hub.users,
                behind: self.behind.count(),
                receipts: self.lanes.iter().map(|lane| lane.receipts.count()).sum(),
                leases: self.lanes.iter().map(|lane| lane.leases.lock().len()).sum(),
                leases_overdue: self.lanes.iter().map(|lane| lane.leases_overdue()).sum(),
                undecided: sum.undecided + hub.suspended,
            })
    }

    /// What was done since the gateway was made.
    pub fn counts(&self) -> Counts {
        Counts {
            limited: self.limits.counts(),
            ..self.counters.counts()
        }
    }

    /// Holds users to other limits from now on.
    pub fn set_limits(&self, limits: &LimitConfig) {
        self.limits.set(limits);
    }

    /// How often key servers were asked, by what came of it.
    pub fn key_fetches(&self) -> BTreeMap<&'static str, u64> {
        self.authenticator.key_fetches()
    }

    /// How the key servers of tokens are.
    pub fn key_servers(&self) -> Vec<KeyServerStats> {
        self.authenticator.key_servers()
    }

    async fn authenticate(
        &self,
        from_payload: Option<&str>,
        handshake: &Handshake,
    ) -> Result<Identity, Unauthorized> {
        let from_header = || {
            let (scheme, token) = handshake.header("authorization")?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        };
        let token = from_payload
            .or_else(from_header)
            .ok_or(Unauthorized::Missing)?;
        self.authenticate_token(token).await
    }

    /// Whom a token names, if it is good.
    pub(crate) async fn authenticate_token(&self, token: &str) -> Result<Identity, Unauthorized> {
        self.authenticator
            .authenticate(token, self.clock.now())
            .await
    }

    pub(crate) fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Lets a client go on where it was, or begin.
    async fn admit(
        &self,
        identity: Identity,
        credentials: &Credentials,
        request: &Connect,
    ) -> Result<Admission<Arc<Session>>, NotAdmitted> {
        let partition = self.journal.partitions().of(identity.rights.tenant());
        let lane = &self.lanes[usize::from(partition.index())];
        if let Err(excess) = self.limits.connect(&identity.rights, lane) {
            let client = request.handshake.client();
            audit::connect_refused(client, Some(&identity), excess.kind.setting());
            return Err(NotAdmitted::Limited);
        }
        let offset = credentials.offset.as_deref();
        let claim = credentials
            .pid
            .as_deref()
            .and_then(|id| Claim::parse(id, offset));
        let resumed = match &claim {
            Some(claim) => self.recovery.resume(claim, &identity, request, lane).await,
            None => Ok(None),
        };
        self.counters.go_on(match (&claim, &resumed) {
            (None, _) => Continuation::New,
            (Some(_), Ok(None)) => Continuation::Unknown,
            (Some(_), Ok(Some(admission))) if admission.is_recovered() => Continuation::Recovered,
            (Some(_), Ok(Some(_))) => Continuation::HistoryLost,
            (Some(_), Err(_)) => Continuation::Refused,
        });
        let admitted = match resumed {
            Ok(Some(admission)) => Ok(admission),
            Ok(None) => self.recovery.begin(&identity, &[], request, lane).await,
            Err(not_admitted) => Err(not_admitted),
        };
        admitted.inspect_err(|not_admitted| {
            if let NotAdmitted::Unavailable = not_admitted {
                let client = request.handshake.client();
                audit::connect_refused(client, Some(&identity), "unavailable");
            }
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether a client may hear `room`, which it is not in.
    pub(crate) async fn may_hear(&self, session: &Session, room: Room) -> Result<(), Refused> {
        self.access.grant(&session.identity(), room.clone()).await?;
        session.check_kept(&room)
    }

    /// Keeps alive what belongs to connected clients, for ever.
    async fn keep_alive(&self) {
        let mut due = tokio::time::interval(self.recovery.keep_alive_interval());
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick comes at once, when nobody is connected.
        due.tick().await;
        loop {
            due.tick().await;
            for lane in &self.lanes {
                self.recovery.keep_alive(lane).await;
            }
        }
    }

    /// Does what is due about tokens that end, for ever.
    async fn expire(&self) {
        let mut due = tokio::time::interval(EXPIRY_INTERVAL);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            for lane in &self.lanes {
                let lifetime = &self.recovery.lifetime;
                lane.expire(self.clock.now(), lifetime).await;
            }
        }
    }

    /// Counts and logs why a token was not taken; the client learns the code that a new token cures.
    /// What passes by itself closes the transport, so that the client comes back with the same token.
    fn turn_away(&self, reason: &Unauthorized, handshake: &Handshake) -> Refusal {
        let client = handshake.client();
        self.counters.refuse(reason);
        audit::connect_refused(client, None, reason.code());
        if reason.passes() {
            warn!(%client, code = reason.code(), %reason, "authentication put off");
            return Refusal::Close(CloseReason::Requested);
        }
        error!(%client, code = reason.code(), %reason, "authentication failed");
        let data = json!({ "code": reason.code() }).to_string();
        Refusal::ConnectError {
            message: reason.message(),
            data: RawValue::from_string(data).ok(),
        }
    }

    fn pong(&self, session: &Session, ack: Asked) {
        let timestamp = self.clock.now().as_millis();
        let pong = json!({ "timestamp": timestamp }).to_string();
        session.handle.emit("pong", &[pong.as_bytes()], Vec::new());
        let reply = json!({ "ok": true, "timestamp": timestamp });
        answer(&session.handle, "ping", ack, Ok(reply));
    }
}

impl Application for Gateway {
    type Socket = Arc<Session>;

    async fn connect(
        self: &Arc<Self>,
        request: Connect,
    ) -> Result<Admission<Arc<Session>>, Refusal> {
        if !request.namespace.is_root() {
            return Err(Refusal::invalid_namespace());
        }
        let credentials = Credentials::of(request.auth.as_deref());
        let token = credentials.token.as_deref();
        let identity = match self.authenticate(token, &request.handshake).await {
            Ok(identity) => identity,
            Err(reason) => return Err(self.turn_away(&reason, &request.handshake)),
        };
        let admission = match self.admit(identity, &credentials, &request).await {
            Ok(admission) => admission,
            Err(NotAdmitted::Revoked) => {
                return Err(self.turn_away(&Unauthorized::Revoked, &request.handshake));
            }
            Err(NotAdmitted::Limited) => return Err(Refusal::Close(CloseReason::RateLimited)),
            Err(NotAdmitted::Unavailable) => return Err(Refusal::Close(CloseReason::Requested)),
        };
        let session = admission.socket();
        info!(
            client = %request.handshake.client(),
            socket = %session.socket_id(),
            tenant = %session.tenant(),
            user = %session.user(),
            recovered = admission.is_recovered(),
            "connected"
        );
        audit::connected(session, admission.is_recovered());
        let now = self.clock.now();
        let came_back = admission.is_recovered();
        session.lane.floor.enter(&session.speaker(), came_back, now);
        Ok(admission)
    }

    fn event(self: &Arc<Self>, session: &Arc<Session>, mut event: Incoming) -> Handling {
        let ack = event.ack.take();
        if let Err(excess) = self.limits.event(session, &event.name) {
            if excess.kind == Kind::Subscriptions {
                self.counters.subscribe(Err(&excess.into()));
            }
            return excess.refuse(session, &event.name, ack);
        }
        let args: Vec<&RawValue> = event.args.iter().take(Command::ARGS_MAX).collect();
        let ack = match requests::asked(session, &event.name, &args, ack) {
            Ok(asked) => asked,
            Err(handling) => return handling,
        };
        match Command::parse(&event.name, &args, &self.catalogue) {
            Ok(Command::Subscribe { room, after }) => {
                return self.subscribe(session, &event, room, after, ack);
            }
            Ok(Command::Unsubscribe { room }) => {
                return self.unsubscribe(session, &event, room, ack);
            }
            Ok(Command::Refresh { token }) => {
                return self.refresh(session, &event, token, ack);
            }
            Ok(Command::Replay(wanted)) => return self.replay(session, &event, wanted, ack),
            Ok(Command::Floor(command)) => return self.floor(session, &event, command, ack),
            Ok(Command::Ping) => self.pong(session, ack),
            Err(refused) => {
                if event.name.starts_with("subscribe") {
                    self.counters.subscribe(Err(&refused));
                }
                return refuse(session, &event.name, ack, refused);
            }
        }
        Handling::Done
    }

    fn acked(self: &Arc<Self>, session: &Arc<Session>, ack: Acked) -> Handling {
        let (offset, now) = (Offset::new(ack.id), self.clock.now());
        let receipts = &session.lane.receipts;
        let acknowledged = receipts.acknowledge(offset, session.tenant(), &session.user(), now);
        self.counters.acknowledge(acknowledged);
        Handling::Done
    }

    fn behind(self: &Arc<Self>, session: &Arc<Session>) -> Handling {
        let (journal, clock) = (Arc::clone(&self.journal), self.clock.clone());
        self.behind.start(journal, clock, Arc::clone(session));
        Handling::Done
    }

    fn disconnect(self: &Arc<Self>, session: Arc<Session>, reason: DisconnectReason) {
        info!(
            socket = %session.handle.id(),
            tenant = %session.tenant(),
            user = %session.user(),
            %reason,
            "disconnected"
        );
        audit::disconnected(&session, reason);
        session.lane.unregister(&session);
        let now = self.clock.now();
        session.lane.floor.leave(&session.speaker(), now);
        if matches!(
            reason,
            DisconnectReason::ClientLeft | DisconnectReason::ServerLeft
        ) {
            self.recovery.forget(session.credential());
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: LimitConfig::default(),
            session_ttl: Duration::from_hours(24),
            sync_interval: Duration::from_secs(30),
            on_expiry: OnExpiry::default(),
            expiry_notice: Duration::from_mins(1),
            expiry_leeway: Duration::ZERO,
            floor: FloorConfig::default(),
        }
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Gateway")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

pub(crate) fn refuse(
    session: &Session,
    event: &str,
    ack: impl Into<Asked>,
    refused: Refused,
) -> Handling {
    let (socket, code) = (session.handle.id(), refused.code());
    match &refused {
        Refused::Denied(reason) => warn!(
            %socket,
            tenant = %session.tenant(),
            user = %session.user(),
            code,
            room = reason.room().name(),
            %reason,
            "refused"
        ),
        Refused::History(reason) => warn!(%socket, code, %reason, "refused"),
        _ => debug!(%socket, code, reason = %refused, "refused"),
    }
    answer::<()>(&session.handle, event, ack, Err(refused));
    Handling::Done
}

/// How late a token's end may be noticed.
const EXPIRY_INTERVAL: Duration = Duration::from_millis(250);
