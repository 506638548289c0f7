//! What clients ask for: any arguments are read or refused with a code.
//!
//! Input: the name of an event, a line break, and its arguments as a JSON array.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use switchboard_event::{Catalogue, CatalogueConfig};
use switchboard_gateway::{CLIENT_EVENTS, check_client_event};

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
    let config = CatalogueConfig {
        rooms: vec!["order".to_owned()],
        ..CatalogueConfig::default()
    };
    Catalogue::new(config).expect("valid settings")
});

fuzz_target!(|text: &str| {
    let Some((name, arguments)) = text.split_once('\n') else {
        return;
    };
    let Ok(arguments) = serde_json::from_str::<Vec<&RawValue>>(arguments) else {
        return;
    };

    match check_client_event(name, &arguments, &CATALOGUE) {
        Ok(()) => {
            let verb = name.split_once(':').map_or(name, |(verb, _)| verb);
            let is_known = |event: &&str| event.split(':').next() == Some(verb);
            assert!(CLIENT_EVENTS.iter().any(is_known), "{name}");
        }
        Err(code) => assert!(
            code.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
            "{code}"
        ),
    }
});
