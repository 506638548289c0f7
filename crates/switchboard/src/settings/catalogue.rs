//! Events beyond the contract's, and who hears what.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;
use switchboard_event::{Catalogue, CatalogueConfig, CatalogueError, CustomEvent};

use super::reader::Section;

/// Reads `[catalogue]` and `[audience]`, and checks that they make a catalogue.
pub(super) fn read(mut section: Section<'_>, mut audience: Section<'_>) -> Option<CatalogueConfig> {
    let mut sources = BTreeMap::new();
    for event in audience.keys() {
        sources.insert(
            event.clone(),
            (format!("audience.{event:?}"), audience.source_of(&event)),
        );
    }
    let strict = section.flag("strict").unwrap_or(false);
    let rooms_source = section.source_of("rooms");
    let rooms = section.list("rooms").unwrap_or_default();
    let mut events = Vec::new();
    for (index, mut event) in section.sections("events").into_iter().enumerate() {
        let source = event.source_of("name");
        let event = custom_event(&mut event);
        if let Some(CustomEvent { name, .. }) = &event {
            let path = format!("catalogue.events[{index}]");
            sources.insert(name.clone(), (path, source));
        }
        events.push(event);
    }
    section.finish();
    let audience = audience.lists();

    let events = events.into_iter().collect::<Option<_>>()?;
    let config = CatalogueConfig {
        strict,
        audience,
        rooms,
        events,
        ..CatalogueConfig::default()
    };
    match Catalogue::new(config.clone()) {
        Ok(_) => Some(config),
        Err(error) => {
            let (key, source) = match culprit(&error).and_then(|event| sources.get(event)) {
                Some((key, source)) => (key.as_str(), source),
                None => ("catalogue.rooms", &rooms_source),
            };
            section.refuse_path(source, key, &format!("is refused: {error}"));
            None
        }
    }
}

fn custom_event(section: &mut Section<'_>) -> Option<CustomEvent> {
    let name_is_set = section.has("name");
    let name = section.text("name");
    if !name_is_set {
        section.missing("name");
    }
    let audience = section.list("audience").unwrap_or_default();
    let schema = schema(section);
    section.finish();
    Some(CustomEvent {
        name: name?,
        schema: schema?,
        audience,
    })
}

/// The schema in the file that `schema_file` names. The outer `None` means that it was refused.
#[expect(clippy::option_option, reason = "absent is not refused")]
fn schema(section: &mut Section<'_>) -> Option<Option<Value>> {
    let (is_set, source) = (section.has("schema_file"), section.source_of("schema_file"));
    let Some(path) = section.path("schema_file") else {
        return if is_set { None } else { Some(None) };
    };
    let read = fs::read(&path).map_err(|error| format!("cannot be read: {error}"));
    let schema = read.and_then(|bytes| {
        serde_json::from_slice(&bytes).map_err(|error| format!("is not JSON: {error}"))
    });
    match schema {
        Ok(schema) => Some(Some(schema)),
        Err(problem) => {
            let path = path.display().to_string();
            section.refuse(
                &source,
                "schema_file",
                &format!("is {path:?}, which {problem}"),
            );
            None
        }
    }
}

/// The event that an error is about.
fn culprit(error: &CatalogueError) -> Option<&str> {
    match error {
        CatalogueError::UnknownEvent { event }
        | CatalogueError::FixedAudience { event }
        | CatalogueError::Template { event, .. }
        | CatalogueError::TooManyTemplates { event, .. }
        | CatalogueError::EventName { event, .. }
        | CatalogueError::Schema { event, .. } => Some(event),
        _ => None,
    }
}
