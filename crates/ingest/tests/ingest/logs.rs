//! Nothing of what is logged tells a message, an address, an id of WhatsApp's, or a key.

use std::io::{self, Write};
use std::sync::{Arc, LazyLock, Mutex};

use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::bodies;
use crate::world::{ACME_KEY, EVERYONE_KEY, World, paused};

#[tokio::test]
async fn no_payload_address_message_id_or_key_is_logged() {
    let world = World::new();

    for (name, _) in bodies::all() {
        world.webhook("acme-cloud", bodies::bytes(&name)).await;
        world.webhook("open-cloud", bodies::bytes(&name)).await;
    }
    world.webhook("acme-cloud", "15550100002 is not json").await;
    world
        .publish(&json!({"event": "message:read", "data": {"messageId": "wamid.UNKNOWN"}}))
        .await;
    world
        .publish(&json!([paused("wamid.ID"), {"event": "message:secret", "data": {}}]))
        .await;
    world
        .publish(&json!({"event": "campaign:paused", "data": {}}))
        .await;
    world
        .publish(&json!({"event": "campaign:paused", "data": {}, "secret": 1}))
        .await;
    world.publish_as("key-of-nobody", &paused("one")).await;
    world.webhook("nobodys-cloud", "{}").await;

    let log = LOG.text();
    for line in [
        "took a webhook",
        "published",
        "refused a producer",
        "refused a request",
        "code=\"missing_field\" event=\"campaign:paused\" field=\"data.campaignId\"",
        "code=\"unknown_field\" event=\"campaign:paused\"",
        "refused an event producer=\"acme-backend\" code=\"unknown_event\" field=\"event\"",
        "refused events of a request producer=\"acme-backend\" refused=1 count=2",
        "refused a webhook endpoint=\"nobodys-cloud\" code=\"unknown_endpoint\"",
    ] {
        assert!(log.contains(line), "{line} is missing in {log}");
    }
    let mut secrets = vec![
        "155501", "wamid.", "US.9", "Ana", "Hello", "secret", "key-of", "sha256=",
    ];
    secrets.extend([ACME_KEY, EVERYONE_KEY, "not json"]);
    for secret in secrets {
        assert!(!log.contains(secret), "{secret} is in {log}");
    }
}

/// What this process logs at any level, whichever test it is.
///
/// There is one for all, because a call site that is first met without a subscriber may stay silent.
pub(crate) static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .without_time()
        .with_writer(log.clone())
        .init();
    log
});

/// Lines that were written, for a test to read.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
