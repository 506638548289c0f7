//! What is told of the bridge to Node's Socket.IO.

use super::exposition::Exposition;

pub(super) fn write(page: &mut Exposition, counts: &switchboard_bridge::Counts) {
    page.gauge(
        "switchboard_bridge_connected",
        "1 while Redis answers the bridge on all connections as far as is known, else 0.",
        u8::from(counts.is_connected),
    );
    page.gauge(
        "switchboard_bridge_connections",
        "Connections of the bridge to Redis that work.",
        counts.connections as u64,
    );
    page.gauge(
        "switchboard_bridge_held",
        "Bridged namespaces that this node works for.",
        counts.held as u64,
    );
    page.counter(
        "switchboard_bridge_taken_total",
        "Broadcasts of Node emitters and servers that became events.",
        counts.taken,
    );
    page.counter(
        "switchboard_bridge_duplicates_total",
        "Broadcasts of Node emitters and servers whose events were there already.",
        counts.duplicates,
    );
    page.counters(
        "switchboard_bridge_invalid_total",
        "Broadcasts that passed with a payload that is not as declared, by code.",
        "code",
        &counts.invalid,
    );
    page.counters(
        "switchboard_bridge_dropped_total",
        "Messages on Redis that became nothing, by reason.",
        "reason",
        &counts.dropped,
    );
    page.counters(
        "switchboard_bridge_ignored_total",
        "Messages on Redis that are not for us, by what they are.",
        "what",
        &counts.ignored,
    );
    page.counter(
        "switchboard_bridge_told_total",
        "Records that were told to Node servers.",
        counts.told,
    );
    page.counters(
        "switchboard_bridge_untold_total",
        "Records that were not told to Node servers, by reason.",
        "reason",
        &counts.untold,
    );
    page.counter(
        "switchboard_bridge_gaps_total",
        "How often the bridge could not go on where it had stopped.",
        counts.gaps,
    );
}
