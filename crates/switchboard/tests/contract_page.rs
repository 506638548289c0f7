//! The contract is in docs/wire.md as it is in the catalogue.

use std::fs;
use std::path::Path;

use switchboard_event::shape::{ObjectShape, Shape};
use switchboard_event::{BUILT_IN, DefaultAudience};

#[test]
fn the_page_lists_every_event_that_can_be_published_with_its_fields_values_and_rooms() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/wire.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, section) = page.split_once("\n## 3. Events\n").unwrap();
    let (section, _) = section.split_once("\n## 4. ").unwrap();

    for event in BUILT_IN.iter().filter(|event| event.is_producible()) {
        let name = format!("`{}`", event.name);
        let is_its = |row: &&str| row.split(" | ").next().unwrap().contains(&name);
        let rows = section.lines().filter(|line| line.starts_with("| "));
        let row = rows.clone().find(is_its);
        let row = row.unwrap_or_else(|| panic!("{name} is not on the page"));

        check(event.payload, event.name, row, section);
        if let DefaultAudience::Rooms(rooms) | DefaultAudience::Team(rooms) = event.audience {
            for room in rooms {
                assert!(row.contains(room), "{name} goes to {room}: {row}");
            }
        }
    }
}

/// Whether a row has these fields. A `timestamp` is said once for all, and what is ours (`Any`) may
/// be said below the table.
fn check(object: &ObjectShape, event: &str, row: &str, section: &str) {
    for field in object
        .fields
        .iter()
        .filter(|field| field.name != "timestamp")
    {
        let name = format!("`{}`", field.name);
        let optional = format!("{name}?");
        let is_there = match (field.required, field.shape) {
            (true, _) => row.replace(&optional, "").contains(&name),
            (false, Shape::Any) => section.contains(name.trim_end_matches('`')),
            (false, _) => row.contains(&optional),
        };
        assert!(
            is_there,
            "{event} has {}, required: {}",
            field.name, field.required
        );
        match field.shape {
            Shape::Object(inner) => check(inner, event, row, section),
            Shape::Choice(choice) => {
                for value in choice.values {
                    assert!(section.contains(&format!("`{value}`")), "{event}: {value}");
                }
            }
            _ => {}
        }
    }
}
