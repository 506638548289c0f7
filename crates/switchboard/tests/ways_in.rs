//! Every way in that there is, is in docs/wire.md: the end-to-end test of tenants walks that list.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use switchboard::health;
use switchboard_gateway::CLIENT_EVENTS;
use switchboard_ingest::Ingest;

#[test]
fn the_page_lists_every_client_event_and_every_route_and_no_other() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/wire.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, section) = page.split_once("Ways in\n\n").unwrap();
    let listed: BTreeSet<_> = section
        .lines()
        .skip_while(|line| !line.starts_with("| `"))
        .map_while(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(way, _)| way)
        .collect();

    let of_clients = ["CONNECT"].into_iter().chain(CLIENT_EVENTS);
    let routes = health::PATHS.into_iter().chain(Ingest::paths());
    let there: BTreeSet<_> = of_clients.chain(routes).collect();

    assert_eq!(listed, there);
}
