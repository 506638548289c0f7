//! What is so for a moment, by sharded Pub/Sub. This node hears itself at once, unless it is cut off,
//! and the others when it comes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::{Mutex, RwLock};
use redis::{PushInfo, PushKind};
use switchboard_event::FleetingEvent;
use switchboard_journal::{FLEETING_QUEUE_MAX, Fleeting, Heard, Listener, Partition};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast, mpsc};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use crate::RedisJournal;
use crate::codec::{decode_fleeting, encode_fleeting};
use crate::core::Core;
use crate::dial;
use crate::error::Failure;
use crate::shard::{Shard, random};

/// Who listens on this node, and what is on its way to the others.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// This node, among those that say something.
    node: u64,
    /// `None` once closed: without a sender the listeners end.
    lines: RwLock<Option<Vec<Arc<Line>>>>,
    /// What a listener may be behind.
    queue_max: usize,
    outgoing: mpsc::Sender<Message>,
    /// Taken by the task that sends.
    to_send: Mutex<Option<mpsc::Receiver<Message>>>,
}

/// Which partition is told what.
type Message = (usize, Vec<u8>);

#[derive(Debug, Default)]
struct Line {
    /// Made for the first listener, because the ring is allocated whole.
    heard: Mutex<Option<broadcast::Sender<Heard>>>,
    /// Somebody listens.
    wanted: Notify,
    /// Counts what this node says, so that others see what they lost.
    said: AtomicU64,
}

impl Exchange {
    pub(crate) fn new(core: &Core) -> Result<Self, Failure> {
        let (outgoing, to_send) = mpsc::channel(FLEETING_QUEUE_MAX);
        let count = core.shards.len();
        Ok(Self {
            node: random()?,
            lines: RwLock::new(Some((0..count).map(|_| Arc::default()).collect())),
            queue_max: (QUEUES_MAX / count.max(1)).clamp(QUEUE_MIN, FLEETING_QUEUE_MAX),
            outgoing,
            to_send: Mutex::new(Some(to_send)),
        })
    }

    /// Begins to send, and to listen wherever somebody wants to.
    pub(crate) fn start(self: &Arc<Self>, core: &Arc<Core>, tasks: &mut JoinSet<()>) {
        let to_send = self.to_send.lock().take();
        if let Some(to_send) = to_send {
            tasks.spawn(publish(Arc::clone(core), to_send));
        }
        let lines = self.lines.read();
        let lines = lines.iter().flatten();
        for (shard, line) in core.shards.iter().zip(lines) {
            let (core, shard) = (Arc::clone(core), Arc::clone(shard));
            tasks.spawn(hear(core, shard, Arc::clone(line), self.node));
        }
    }

    pub(crate) fn close(&self) {
        for line in self.lines.write().take().iter().flatten() {
            line.heard.lock().take();
        }
    }

    fn send(&self, index: usize, event: Arc<FleetingEvent>) {
        let lines = self.lines.read();
        let Some(line) = lines.as_ref().and_then(|lines| lines.get(index)) else {
            return;
        };
        let mut message = Vec::with_capacity(MESSAGE_LEN + event.data.len());
        message.extend_from_slice(&self.node.to_be_bytes());
        let number = line.said.fetch_add(1, Ordering::Relaxed) + 1;
        message.extend_from_slice(&number.to_be_bytes());
        encode_fleeting(&event, &mut message);
        line.say(Heard::Event(event));
        // What finds no room is lost, and its number tells the others.
        let _ = self.outgoing.try_send((index, message));
    }

    /// Says to nobody what was to be said. Who is cut off does not hear whose rights have ended, so
    /// nobody here is told anything new either; and when it is over, all ask what they missed.
    fn lose(&self, index: usize) {
        let lines = self.lines.read();
        if let Some(line) = lines.as_ref().and_then(|lines| lines.get(index)) {
            line.said.fetch_add(1, Ordering::Relaxed);
            line.say(Heard::Lost(1));
        }
    }

    fn listen(&self, index: usize) -> Option<broadcast::Receiver<Heard>> {
        let lines = self.lines.read();
        let line = lines.as_ref()?.get(index)?;
        let mut heard = line.heard.lock();
        let sender = heard.get_or_insert_with(|| broadcast::channel(self.queue_max).0);
        let listener = sender.subscribe();
        line.wanted.notify_one();
        Some(listener)
    }
}

impl Line {
    fn say(&self, heard: Heard) {
        if let Some(line) = &*self.heard.lock() {
            // An error means that nobody listens.
            let _ = line.send(heard);
        }
    }
}

impl Fleeting for RedisJournal {
    fn send(&self, partition: Partition, event: Arc<FleetingEvent>) {
        let index = usize::from(partition.index());
        let Some(shard) = self.core.shards.get(index) else {
            return;
        };
        if self.core.router.is_cut_off(&shard.place) {
            self.exchange.lose(index);
        } else {
            self.exchange.send(index, event);
        }
    }

    fn listen(&self, partition: Partition) -> Box<dyn Listener> {
        let listener = self.exchange.listen(usize::from(partition.index()));
        Box::new(RedisListener(listener))
    }
}

/// `None` if there was nothing to listen to any more.
struct RedisListener(Option<broadcast::Receiver<Heard>>);

#[async_trait]
impl Listener for RedisListener {
    async fn next(&mut self) -> Option<Heard> {
        match self.0.as_mut()?.recv().await {
            Ok(heard) => Some(heard),
            Err(RecvError::Lagged(count)) => Some(Heard::Lost(count)),
            Err(RecvError::Closed) => None,
        }
    }
}

/// Sends what this node says, in its order.
async fn publish(core: Arc<Core>, mut to_send: mpsc::Receiver<Message>) {
    while let Some((index, message)) = to_send.recv().await {
        let place = &core.shards[index].place;
        let mut publish = redis::cmd("SPUBLISH");
        publish.arg(place.key("fleeting")).arg(message);
        if let Err(failure) = core.router.send(place, &publish).await {
            let reason = failure.reason();
            debug!(%reason, "what was said for a moment is lost");
        }
    }
}

/// Hears what other nodes say in a partition, once somebody here wants to know.
async fn hear(core: Arc<Core>, shard: Arc<Shard>, line: Arc<Line>, node: u64) {
    line.wanted.notified().await;
    let mut is_first = true;
    let mut pause = PAUSE_MIN;
    loop {
        match subscribe(&core, &shard).await {
            Ok((mut pushes, connection)) => {
                pause = PAUSE_MIN;
                if !is_first {
                    // How much was said meanwhile nobody knows.
                    line.say(Heard::Lost(1));
                }
                is_first = false;
                take(&core, &shard, &line, node, &mut pushes).await;
                drop(connection);
                debug!(partition = %shard.partition, "not listening any more");
            }
            Err(failure) => {
                // Whoever listened has read what lasts, and may have missed what changed since.
                is_first = false;
                let reason = failure.reason();
                debug!(partition = %shard.partition, %reason, "cannot listen");
            }
        }
        if core.config.cluster {
            let _ = core.router.refresh().await;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn subscribe(
    core: &Core,
    shard: &Shard,
) -> Result<(mpsc::Receiver<PushInfo>, redis::aio::MultiplexedConnection), Failure> {
    let (sender, pushes) = mpsc::channel(FLEETING_QUEUE_MAX);
    let mut connection = core.router.dedicated(&shard.place, Some(sender)).await?;
    let mut subscribe = redis::cmd("SSUBSCRIBE");
    subscribe.arg(shard.place.key("fleeting"));
    dial::ask(&mut connection, &subscribe, core.config.command_timeout).await?;
    Ok((pushes, connection))
}

/// Hands on what comes, until the connection ends.
async fn take(
    core: &Core,
    shard: &Shard,
    line: &Line,
    node: u64,
    pushes: &mut mpsc::Receiver<PushInfo>,
) {
    let mut heard: HashMap<u64, u64> = HashMap::new();
    while let Some(push) = pushes.recv().await {
        match push.kind {
            PushKind::SMessage => {}
            // The slot went to another server, or the connection is gone.
            PushKind::SUnsubscribe | PushKind::Disconnection => return,
            _ => continue,
        }
        let Some((_, message)) = crate::reply::message(push) else {
            continue;
        };
        // A node that starts tries whether it may say anything.
        if message.is_empty() {
            continue;
        }
        let allowed = |(_, _, event): &(u64, u64, FleetingEvent)| {
            core.partitions.allow(&event.tenant, shard.partition)
        };
        let Some((from, number, event)) = parse(&message).filter(allowed) else {
            warn!("what a node said for a moment is not readable");
            continue;
        };
        if from == node {
            continue;
        }
        if heard.len() >= NODES_MAX {
            heard.clear();
        }
        // Of a node that is heard for the first time, all before may be lost: it counts from 1.
        let before = heard.insert(from, number).unwrap_or(0);
        let lost = number.saturating_sub(before + 1);
        if lost > 0 {
            line.say(Heard::Lost(lost));
        }
        line.say(Heard::Event(Arc::new(event)));
    }
}

fn parse(message: &[u8]) -> Option<(u64, u64, FleetingEvent)> {
    let (from, rest) = message.split_first_chunk()?;
    let (number, rest) = rest.split_first_chunk()?;
    let event = decode_fleeting(rest)?;
    Some((
        u64::from_be_bytes(*from),
        u64::from_be_bytes(*number),
        event,
    ))
}

/// How many events all rings hold together, and how many one holds at least.
const QUEUES_MAX: usize = 16 * FLEETING_QUEUE_MAX;
const QUEUE_MIN: usize = 64;
/// How many nodes are told apart.
const NODES_MAX: usize = 1_024;
/// What a message takes beside its payload, about.
const MESSAGE_LEN: usize = 128;
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);
