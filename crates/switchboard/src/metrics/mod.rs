//! What an operator is told of one node, in the terms of Prometheus. docs/operations.md has the
//! table, and what to alert on.
//!
//! Every label has values that the code or the settings fix: no tenant, user, room, id or address.

mod bridge;
mod exposition;

use std::collections::BTreeMap;

use switchboard_event::{Timestamp, UnknownCounts};
use switchboard_ingest::IngestCounts;

use self::exposition::Exposition;

/// Everything that is told, as of one moment.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) process: Process,
    pub(crate) nodes: usize,
    pub(crate) engine: switchboard_engine::Stats,
    pub(crate) engine_counts: switchboard_engine::Counts,
    pub(crate) queued: switchboard_engine::Queued,
    pub(crate) gateway: switchboard_gateway::Stats,
    pub(crate) gateway_counts: switchboard_gateway::Counts,
    pub(crate) key_fetches: BTreeMap<&'static str, u64>,
    pub(crate) key_servers: Vec<switchboard_gateway::KeyServerStats>,
    /// None without TLS.
    pub(crate) certificate_not_after: Option<Timestamp>,
    pub(crate) certificate_reloads: Option<BTreeMap<&'static str, u64>>,
    pub(crate) access: switchboard_access::Counts,
    pub(crate) is_degraded: bool,
    pub(crate) ingest: IngestCounts,
    /// None if there is none.
    pub(crate) outbox: Option<switchboard_outbox::Counts>,
    /// None if nothing is bridged.
    pub(crate) bridge: Option<switchboard_bridge::Counts>,
    pub(crate) unknown: Vec<Unknown>,
    pub(crate) journal: switchboard_journal::Stats,
    pub(crate) is_journal_healthy: bool,
}

/// What is so of the process as a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    pub(crate) started_at: Timestamp,
    pub(crate) is_ready: bool,
}

/// What came for an event beyond the contract.
#[derive(Clone, Debug)]
pub(crate) struct Unknown {
    pub(crate) event: String,
    pub(crate) fields: u64,
    pub(crate) values: u64,
}

impl Unknown {
    pub(crate) fn of(counts: UnknownCounts<'_>) -> Self {
        Self {
            event: counts.event.to_owned(),
            fields: counts.fields,
            values: counts.values,
        }
    }
}

/// The snapshot as text.
pub(crate) fn text(snapshot: &Snapshot) -> String {
    let mut page = Exposition::default();
    process(&mut page, snapshot.process);
    page.gauge(
        "switchboard_nodes",
        "Nodes that share the journal, as far as this one knows; itself among them.",
        snapshot.nodes,
    );
    connections(&mut page, snapshot);
    sessions(&mut page, snapshot);
    keys(&mut page, snapshot);
    rights(&mut page, snapshot);
    access(&mut page, snapshot);
    deliveries(&mut page, snapshot);
    producers(&mut page, snapshot);
    if let Some(counts) = &snapshot.outbox {
        outbox(&mut page, counts);
    }
    if let Some(counts) = &snapshot.bridge {
        bridge::write(&mut page, counts);
    }
    journal(&mut page, snapshot);
    page.into_text()
}

fn process(page: &mut Exposition, process: Process) {
    let version = [(env!("CARGO_PKG_VERSION"), 1)];
    page.gauges(
        "switchboard_build_info",
        "1, and which version runs.",
        "version",
        version,
    );
    page.gauge(
        "switchboard_start_time_seconds",
        "When the server was started, in seconds since 1970.",
        seconds(process.started_at),
    );
    page.gauge(
        "switchboard_ready",
        "1 while /readyz says ready, else 0.",
        u8::from(process.is_ready),
    );
}

fn connections(page: &mut Exposition, snapshot: &Snapshot) {
    let Snapshot {
        engine,
        engine_counts: counts,
        queued,
        ..
    } = snapshot;
    page.gauges(
        "switchboard_connections",
        "Engine.IO sessions that are open, by transport.",
        "transport",
        [("websocket", engine.websocket), ("polling", engine.polling)],
    );
    page.gauge(
        "switchboard_http_connections",
        "TCP connections that speak HTTP, polling ones among them.",
        engine.http,
    );
    page.counter(
        "switchboard_http_connections_refused_total",
        "TCP connections that were closed at once, because there were too many.",
        counts.connections_refused,
    );
    page.counters(
        "switchboard_handshakes_total",
        "Requests to open an Engine.IO session, by result.",
        "result",
        &counts.handshakes,
    );
    page.counters(
        "switchboard_refused_total",
        "Connections, requests and sessions that were turned away, by reason.",
        "reason",
        &counts.refused,
    );
    certificate(page, snapshot);
    page.counters(
        "switchboard_closes_total",
        "Engine.IO sessions that ended, by reason.",
        "reason",
        &counts.closes,
    );
    page.counter(
        "switchboard_received_bytes_total",
        "Bytes from clients: WebSocket frames and polling bodies.",
        counts.bytes_in,
    );
    page.counter(
        "switchboard_sent_bytes_total",
        "Bytes to clients: WebSocket frames and polling bodies.",
        counts.bytes_out,
    );
    page.gauge(
        "switchboard_outbox_bytes",
        "Bytes of events that wait to be written, on all connections.",
        queued.bytes,
    );
    page.gauge(
        "switchboard_outbox_packets",
        "Events that wait to be written, on all connections.",
        queued.packets,
    );
}

fn certificate(page: &mut Exposition, snapshot: &Snapshot) {
    if let Some(reloads) = &snapshot.certificate_reloads {
        page.counters(
            "switchboard_certificate_reloads_total",
            "How often a changed certificate was read, by what came of it.",
            "result",
            reloads,
        );
    }
    if let Some(not_after) = snapshot.certificate_not_after {
        page.gauge(
            "switchboard_tls_certificate_not_after_seconds",
            "When the certificate of the public listener ends, in seconds since 1970.",
            seconds(not_after),
        );
    }
}

fn sessions(page: &mut Exposition, snapshot: &Snapshot) {
    let Snapshot {
        gateway,
        gateway_counts: counts,
        ..
    } = snapshot;
    page.gauge(
        "switchboard_sessions",
        "Clients that were let in.",
        gateway.connected,
    );
    page.gauge(
        "switchboard_users",
        "Users with at least one client.",
        gateway.users,
    );
    page.gauge(
        "switchboard_rooms",
        "Rooms with at least one client.",
        gateway.rooms,
    );
    page.gauge(
        "switchboard_sessions_behind",
        "Clients that read the journal, because they were too slow to be fed live.",
        gateway.behind,
    );
    page.counter(
        "switchboard_sessions_fell_behind_total",
        "How often a client fell behind, or came back with more to read than one page.",
        counts.falls,
    );
    receipts(page, snapshot);
    page.counters(
        "switchboard_authentication_failures_total",
        "Clients that were not let in, by code.",
        "code",
        &counts.unauthorized,
    );
    page.counters(
        "switchboard_rate_limited_total",
        "What was refused for being too much in too short a time, by the setting that says how much.",
        "limit",
        counts.limited.iter().chain(&snapshot.ingest.limited),
    );
    page.counters(
        "switchboard_recoveries_total",
        "Clients that were authenticated, by how their line went on.",
        "result",
        &counts.recoveries,
    );
    page.counters(
        "switchboard_subscriptions_total",
        "Subscriptions, by ok or the code of the refusal.",
        "code",
        &counts.subscriptions,
    );
}

fn receipts(page: &mut Exposition, snapshot: &Snapshot) {
    page.gauge(
        "switchboard_receipts_open",
        "Receipts of events that this node follows.",
        snapshot.gateway.receipts,
    );
    page.counters(
        "switchboard_receipt_acks_total",
        "Answers of clients to events with a receipt: counted, or ignored as late, repeated or made up.",
        "result",
        &snapshot.gateway_counts.receipt_acks,
    );
    page.counter(
        "switchboard_receipts_truncated_total",
        "How often this node had no space for all whom an event with a receipt was sent to.",
        snapshot.gateway_counts.receipts_truncated,
    );
}

fn keys(page: &mut Exposition, snapshot: &Snapshot) {
    page.counters(
        "switchboard_jwks_fetches_total",
        "How often key servers were asked for the keys of tokens, by what came of it.",
        "result",
        &snapshot.key_fetches,
    );
    let servers = &snapshot.key_servers;
    page.gauges(
        "switchboard_jwks_age_seconds",
        "How long ago a key server answered with keys, or since the start if it never did.",
        "issuer",
        servers
            .iter()
            .map(|one| (&one.issuer, one.age.as_secs_f64())),
    );
    page.gauges(
        "switchboard_jwks_keys",
        "Keys of tokens that are in use.",
        "issuer",
        servers.iter().map(|one| (&one.issuer, one.keys)),
    );
    page.gauges(
        "switchboard_jwks_keys_ignored",
        "Keys that a key server has and that nothing that is configured can use.",
        "issuer",
        servers.iter().map(|one| (&one.issuer, one.ignored)),
    );
}

fn rights(page: &mut Exposition, snapshot: &Snapshot) {
    let counts = &snapshot.gateway_counts;
    page.counters(
        "switchboard_sessions_ended_total",
        "Clients that were disconnected because a right of theirs ended, by reason.",
        "reason",
        &counts.ends,
    );
    page.counters(
        "switchboard_token_refreshes_total",
        "Tokens that were renewed on a live connection, by ok or the code of the refusal.",
        "code",
        &counts.refreshes,
    );
}

fn access(page: &mut Exposition, snapshot: &Snapshot) {
    let counts = &snapshot.access;
    page.gauge(
        "switchboard_access_degraded",
        "1 while somebody who decides about rooms cannot be asked, else 0.",
        u8::from(snapshot.is_degraded),
    );
    page.counters(
        "switchboard_access_decisions_total",
        "Decisions about rooms that are somebody else's, by how they were come by.",
        "result",
        &counts.decisions,
    );
    page.counters(
        "switchboard_access_questions_total",
        "Questions to whoever decides about rooms, by what came of them.",
        "result",
        &counts.questions,
    );
    page.histogram(
        "switchboard_access_question_duration_seconds",
        "How long a question about a room took.",
        &counts.took,
    );
    page.gauge(
        "switchboard_access_cached",
        "Answers about rooms that are kept.",
        counts.cached,
    );
    page.gauge(
        "switchboard_access_in_flight",
        "Questions about rooms that are under way or wait.",
        counts.in_flight,
    );
    page.gauge(
        "switchboard_access_leases",
        "Rooms of clients that are to be asked about again.",
        snapshot.gateway.leases,
    );
    page.gauge(
        "switchboard_access_leases_overdue",
        "Rooms of clients that should have been asked about again a second ago, and were not yet.",
        snapshot.gateway.leases_overdue,
    );
    page.gauge(
        "switchboard_access_undecided",
        "Rooms that clients hear nothing of while it is decided about an invalidated right.",
        snapshot.gateway.undecided,
    );
}

fn deliveries(page: &mut Exposition, snapshot: &Snapshot) {
    let counts = &snapshot.gateway_counts;
    page.counter(
        "switchboard_records_fanned_out_total",
        "Records that were handed to whoever hears them.",
        counts.records,
    );
    page.counters(
        "switchboard_deliveries_total",
        "Records and fleeting events handed to a client each, by path.",
        "path",
        &counts.deliveries,
    );
    page.counters(
        "switchboard_fleeting_events_total",
        "What was told that is so for a moment, by event.",
        "event",
        &counts.fleeting,
    );
    page.counter(
        "switchboard_fleeting_events_lost_total",
        "What was said for a moment and not heard, because too much was said at once.",
        counts.fleeting_lost,
    );
    page.histogram(
        "switchboard_fan_out_duration_seconds",
        "How long it took to hand one record to all who hear it.",
        &counts.fan_out,
    );
    page.histogram(
        "switchboard_delivery_lag_seconds",
        "How long after its acceptance a record was handed to those who hear it.",
        &counts.lag,
    );
}

fn producers(page: &mut Exposition, snapshot: &Snapshot) {
    let Snapshot {
        ingest, unknown, ..
    } = snapshot;
    page.counter(
        "switchboard_events_accepted_total",
        "Events that became records.",
        ingest.accepted,
    );
    page.counter(
        "switchboard_events_duplicate_total",
        "Events that were records already.",
        ingest.duplicate,
    );
    page.counter(
        "switchboard_events_fleeting_total",
        "Events of producers that were passed on for a moment, and made no record.",
        ingest.fleeting,
    );
    page.counters(
        "switchboard_events_refused_total",
        "Events that were refused, and requests without a known key, by code.",
        "code",
        &ingest.refused,
    );
    page.counters(
        "switchboard_publish_requests_total",
        "Requests to /v1/events, by accepted, partial, none or the code of the problem.",
        "code",
        &ingest.requests,
    );
    page.histogram(
        "switchboard_append_duration_seconds",
        "How long the journal took to answer an append.",
        &ingest.appends,
    );
    page.gauge(
        "switchboard_appends_in_flight",
        "What is being appended: what requests bring for one tenant each.",
        ingest.in_flight.appends,
    );
    page.gauge(
        "switchboard_append_bytes_in_flight",
        "Bytes of the payloads that are being appended.",
        ingest.in_flight.bytes,
    );
    page.counters(
        "switchboard_appends_refused_total",
        "Appends that were answered with 503 because too much was being appended, by setting.",
        "limit",
        &ingest.overloaded,
    );
    webhooks(page, ingest);
    page.counters(
        "switchboard_unknown_fields_total",
        "Fields of events that the contract does not have, by event.",
        "event",
        unknown.iter().map(|one| (&one.event, &one.fields)),
    );
    page.counters(
        "switchboard_unknown_values_total",
        "Discriminators of events that the contract does not have, by event.",
        "event",
        unknown.iter().map(|one| (&one.event, &one.values)),
    );
}

fn webhooks(page: &mut Exposition, ingest: &IngestCounts) {
    page.counter(
        "switchboard_webhooks_accepted_total",
        "Webhook requests that were answered with 200.",
        ingest.webhook_accepted,
    );
    page.counter(
        "switchboard_webhooks_refused_total",
        "Webhook requests that were answered with anything else.",
        ingest.webhook_refused,
    );
    page.counters(
        "switchboard_webhook_parts_ignored_total",
        "Parts of webhook bodies that made no event, by reason.",
        "reason",
        &ingest.webhook_ignored,
    );
}

fn outbox(page: &mut Exposition, counts: &switchboard_outbox::Counts) {
    page.gauge(
        "switchboard_outbox_table_connected",
        "1 while the outbox table can be read as far as is known, else 0.",
        u8::from(counts.is_connected),
    );
    page.gauge(
        "switchboard_outbox_table_lag_seconds",
        "How long the oldest row of the outbox table waits that can be taken.",
        counts.lag.as_secs_f64(),
    );
    page.counter(
        "switchboard_outbox_table_taken_total",
        "Rows of the outbox table that became events.",
        counts.taken,
    );
    page.counter(
        "switchboard_outbox_table_duplicates_total",
        "Rows of the outbox table whose events were there already.",
        counts.duplicates,
    );
    page.counters(
        "switchboard_outbox_table_refused_total",
        "Rows of the outbox table that were marked with an error, by code.",
        "code",
        &counts.refused,
    );
}

fn journal(page: &mut Exposition, snapshot: &Snapshot) {
    let Snapshot {
        journal,
        is_journal_healthy,
        ..
    } = snapshot;
    page.gauge(
        "switchboard_journal_healthy",
        "1 while the journal can append as far as is known, else 0.",
        u8::from(*is_journal_healthy),
    );
    page.counter(
        "switchboard_journal_records_total",
        "Records that were appended since the start.",
        journal.appended,
    );
    page.gauge(
        "switchboard_journal_bytes",
        "What the records that are kept take up, as the retention counts them.",
        journal.bytes,
    );
    page.gauge(
        "switchboard_journal_sessions",
        "Sessions that clients may come back to.",
        journal.sessions,
    );
    page.counters(
        "switchboard_journal_disk_reads_total",
        "Reads of the journal's storage, by what was read.",
        "what",
        &journal.reads,
    );
    page.counter(
        "switchboard_journal_disk_records_read_total",
        "Records that these brought.",
        journal.records_read,
    );
    page.histogram(
        "switchboard_journal_commit_duration_seconds",
        "How long it took to make a group of appends durable.",
        &journal.commits,
    );
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds of any year that matters are exact"
)]
fn seconds(time: Timestamp) -> f64 {
    time.as_millis() as f64 / 1_000.0
}

#[cfg(test)]
mod tests;
