//! What a message says, by its type: the contract's five types, and text that can be read.

use serde::Serialize;

use super::owned;
use crate::node::Node;

/// The part of a message's payload that depends on its type.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Content {
    r#type: &'static str,
    #[serde(rename = "content")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media: Option<Media>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<Reply>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<Location>,
}

/// A media object of the Cloud API, which a backend fetches by its id and with its own token.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Media {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    voice: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    animated: Option<bool>,
}

/// What was pressed: the id is what the sender of the buttons gave it.
#[derive(Serialize)]
struct Reply {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
}

#[derive(Serialize)]
struct Location {
    latitude: f64,
    longitude: f64,
}

impl Content {
    /// The content of `message`, which says that it is of the type `kind`.
    ///
    /// The body object has the type's name; one that is missing reads as if it were empty.
    pub(super) fn of(kind: &str, message: Node<'_>) -> Self {
        let body = message.at(kind);
        match kind {
            "text" => Self::text(owned(body.text("body"))),
            "image" => Self::media("Image", body, owned(body.text("caption"))),
            "sticker" => Self::media("Image", body, None),
            "video" => Self::media("Video", body, owned(body.text("caption"))),
            "audio" => Self::media("Audio", body, None),
            "document" => Self::media(
                "Document",
                body,
                owned(body.text("caption").or_else(|| body.text("filename"))),
            ),
            "location" => Self::location(body),
            "contacts" => Self::text(Some(cards(message))),
            "button" => Self::reply(owned(body.text("payload")), owned(body.text("text"))),
            "interactive" => Self::interactive(body),
            "order" => Self::text(Some(order(body))),
            _ => Self::text(Some(unsupported(message))),
        }
    }

    fn text(text: Option<String>) -> Self {
        Self {
            r#type: "Text",
            text,
            media: None,
            reply: None,
            location: None,
        }
    }

    fn media(r#type: &'static str, body: Node<'_>, content: Option<String>) -> Self {
        let media = body.is_object().then(|| Media {
            id: owned(body.text("id")),
            mime_type: owned(body.text("mime_type")),
            sha256: owned(body.text("sha256")),
            filename: owned(body.text("filename")),
            voice: body.bool("voice"),
            animated: body.bool("animated"),
        });
        Self {
            r#type,
            media,
            ..Self::text(content)
        }
    }

    fn reply(id: Option<String>, title: Option<String>) -> Self {
        let content = title.clone().or_else(|| id.clone());
        Self {
            reply: Some(Reply { id, title }),
            ..Self::text(content)
        }
    }

    fn interactive(body: Node<'_>) -> Self {
        for pressed in ["button_reply", "list_reply"] {
            let reply = body.at(pressed);
            if reply.is_object() {
                return Self::reply(owned(reply.text("id")), owned(reply.text("title")));
            }
        }
        // A form's answers may hold the flow's token, so only its summary is passed on.
        let form = body.at("nfm_reply");
        let content = form.text("body").or_else(|| form.text("name"));
        Self::text(Some(
            content.map_or_else(|| UNSUPPORTED.to_owned(), Into::into),
        ))
    }

    fn location(body: Node<'_>) -> Self {
        let point = body.number("latitude").zip(body.number("longitude"));
        let named = [body.text("name"), body.text("address")];
        let mut words: Vec<String> = named.into_iter().flatten().map(Into::into).collect();
        if let Some((latitude, longitude)) = point
            && words.is_empty()
        {
            words.push(format!("{latitude}, {longitude}"));
        }
        let location = point.map(|(latitude, longitude)| Location {
            latitude,
            longitude,
        });
        let content = if words.is_empty() {
            "Location".to_owned()
        } else {
            words.join(", ")
        };
        Self {
            location,
            ..Self::text(Some(content))
        }
    }
}

/// Contact cards, a line for each: the name and the phone numbers.
fn cards(message: Node<'_>) -> String {
    let lines: Vec<String> = message
        .items("contacts")
        .map(|card| {
            let name = card.at("name").text("formatted_name");
            let phones = card.items("phones").filter_map(|phone| phone.text("phone"));
            name.into_iter().chain(phones).collect::<Vec<_>>().join(" ")
        })
        .filter(|line| !line.is_empty())
        .collect();
    if lines.is_empty() {
        "Contact".to_owned()
    } else {
        lines.join("\n")
    }
}

/// An order: what the customer wrote, and how much was ordered.
fn order(body: Node<'_>) -> String {
    let count = match body.items("product_items").count() {
        1 => "Order of 1 product".to_owned(),
        count => format!("Order of {count} products"),
    };
    match body.text("text") {
        Some(text) => format!("{count}: {text}"),
        None => count,
    }
}

/// A message that WhatsApp, or we, cannot show: why, if the message says so.
fn unsupported(message: Node<'_>) -> String {
    let title = message
        .items("errors")
        .find_map(|error| error.text("title"));
    match title {
        Some(title) => format!("{UNSUPPORTED}: {title}"),
        None => UNSUPPORTED.to_owned(),
    }
}

const UNSUPPORTED: &str = "Unsupported message";
