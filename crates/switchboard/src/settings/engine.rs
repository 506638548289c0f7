//! The Engine.IO and Socket.IO side: heartbeats and limits.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;

use super::reader::Section;

/// `[engine]`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EngineSettings {
    /// How often a client is pinged. Default 25 s; raising it finds dead connections later.
    pub ping_interval: Duration,
    /// How long a client may take to answer a ping. Default 20 s.
    pub ping_timeout: Duration,
    /// How long a client may be connected without a namespace. Default 45 s; raising it lets
    /// strangers hold connections for longer.
    pub connect_timeout: Duration,
    /// How long an upgrade from polling may take. Default 10 s.
    pub upgrade_timeout: Duration,
    /// The longest message or request body of a client, in bytes. Default 1 MB, as Socket.IO has
    /// it; raising it lets one client hold as much memory.
    pub payload_max: u64,
    /// How many bytes may wait for one client before it is behind. Default 1 MiB; raising it costs
    /// that much memory for every slow client.
    pub outbox_bytes_max: u64,
    /// How many packets may wait for one client before it is behind. Default 1024.
    pub outbox_packets_max: u32,
    /// How many clients may be connected at once. Default 100,000; raising it costs memory and file
    /// descriptors.
    pub connections_max: u32,
    /// How many clients of one address may be connected at once: of an IPv4 address, or of the /64
    /// of an IPv6 one. Default 10,000; behind a proxy all clients have its address, so that this
    /// must be what one proxy may bring.
    pub connections_per_address_max: u32,
    /// How many clients may be connected that have joined no namespace yet. Default 10,000; raising
    /// it lets strangers hold more places.
    pub unjoined_max: u32,
    /// How often one connection may be refused before it is closed. Default 8; raising it lets one
    /// connection have more tokens verified.
    pub refusals_max: u32,
    /// How many clients may connect in a second, after a burst of twice as many. Default 10,000;
    /// raising it leaves less time for those that are connected when all come back at once.
    pub handshakes_per_second_max: u32,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(45),
            upgrade_timeout: Duration::from_secs(10),
            payload_max: ByteSize::mb(1).as_u64(),
            outbox_bytes_max: ByteSize::mib(1).as_u64(),
            outbox_packets_max: 1024,
            connections_max: 100_000,
            connections_per_address_max: 10_000,
            unjoined_max: 10_000,
            refusals_max: 8,
            handshakes_per_second_max: 10_000,
        }
    }
}

impl EngineSettings {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let default = Self::default();
        let settings = Self {
            ping_interval: section
                .duration("ping_interval", WAITS)
                .unwrap_or(default.ping_interval),
            ping_timeout: section
                .duration("ping_timeout", WAITS)
                .unwrap_or(default.ping_timeout),
            connect_timeout: section
                .duration("connect_timeout", WAITS)
                .unwrap_or(default.connect_timeout),
            upgrade_timeout: section
                .duration("upgrade_timeout", WAITS)
                .unwrap_or(default.upgrade_timeout),
            payload_max: section
                .size("payload_max", SIZES)
                .unwrap_or(default.payload_max),
            outbox_bytes_max: section
                .size("outbox_bytes_max", SIZES)
                .unwrap_or(default.outbox_bytes_max),
            outbox_packets_max: section
                .number("outbox_packets_max", 1..=1_000_000)
                .unwrap_or(default.outbox_packets_max),
            connections_max: section
                .number("connections_max", CONNECTIONS)
                .unwrap_or(default.connections_max),
            connections_per_address_max: section
                .number("connections_per_address_max", CONNECTIONS)
                .unwrap_or(default.connections_per_address_max),
            unjoined_max: section
                .number("unjoined_max", CONNECTIONS)
                .unwrap_or(default.unjoined_max),
            refusals_max: section
                .number("refusals_max", 1..=1_000_000)
                .unwrap_or(default.refusals_max),
            handshakes_per_second_max: section
                .number("handshakes_per_second_max", 1..=1_000_000)
                .unwrap_or(default.handshakes_per_second_max),
        };
        section.finish();
        settings
    }
}

const WAITS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_hours(1);
const CONNECTIONS: RangeInclusive<u32> = 1..=10_000_000;
const SIZES: RangeInclusive<ByteSize> = ByteSize::b(1024)..=ByteSize::mib(100);
