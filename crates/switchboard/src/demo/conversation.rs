//! One customer who writes, and the agent who answers.

use std::time::Duration;

use serde_json::{Value, json};

use super::scene::{Scene, Turn};
use super::script::{ACCOUNTS, ANSWERS, CONTACTS, Contact, QUESTIONS};

/// The conversation with one contact. One message is on its way at a time.
#[derive(Debug)]
pub(super) struct Conversation {
    contact: Contact,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nobody waits for anybody.
    Quiet,
    /// The customer is writing something.
    Typing,
    /// The customer has asked something.
    Asked,
    /// The answer has one tick.
    Sent { message: String },
    /// The answer has two ticks.
    Delivered { message: String },
}

impl Conversation {
    pub(super) fn new(index: usize) -> Self {
        Self {
            contact: CONTACTS[index],
            state: State::Quiet,
        }
    }

    pub(super) fn act(&mut self, scene: &mut Scene) -> Turn {
        if !scene.is_connected[self.contact.account] {
            return Turn::wait(scene.chance.wait(1_000, 3_000));
        }
        match std::mem::replace(&mut self.state, State::Quiet) {
            State::Quiet => self.begin(scene),
            State::Typing => self.ask(scene),
            State::Asked => self.answer(scene),
            State::Sent { message } if scene.chance.once_in(12) => self.fail(scene, &message),
            State::Sent { message } => {
                let turn = self.tick(
                    scene,
                    &message,
                    "message:delivered",
                    "deliveredAt",
                    "Delivered",
                );
                self.state = State::Delivered { message };
                turn
            }
            State::Delivered { message } => {
                let turn = self.tick(scene, &message, "message:read", "readAt", "Read");
                Turn {
                    wait: scene.chance.wait(4_000, 20_000),
                    ..turn
                }
            }
        }
    }

    fn begin(&mut self, scene: &mut Scene) -> Turn {
        self.state = State::Typing;
        let payload = json!({
            "contactId": self.contact.id,
            "whatsappAccountId": ACCOUNTS[self.contact.account].id,
            "isTyping": true,
            "kind": "typing",
            "timestamp": scene.time(),
        });
        Turn::say("contact:typing", payload, scene.chance.wait(800, 3_000))
    }

    fn ask(&mut self, scene: &mut Scene) -> Turn {
        // Sometimes the customer writes twice before anybody answers.
        let wait = if scene.chance.once_in(4) {
            scene.chance.wait(1_000, 3_000)
        } else {
            self.state = State::Asked;
            scene.chance.wait(3_000, 8_000)
        };
        let (kind, content, media) = scene.chance.pick(QUESTIONS);
        let payload = json!({
            "message": {
                "id": scene.id("msg"),
                "contactId": self.contact.id,
                "whatsappAccountId": ACCOUNTS[self.contact.account].id,
                "direction": "Inbound",
                "type": kind,
                "content": content,
                "mediaUrl": media,
                "createdAt": scene.time(),
            },
            "timestamp": scene.time(),
        });
        Turn::say("message:received", payload, wait)
    }

    fn answer(&mut self, scene: &mut Scene) -> Turn {
        let message = scene.id("msg");
        let payload = json!({
            "message": {
                "id": message,
                "contactId": self.contact.id,
                "whatsappAccountId": ACCOUNTS[self.contact.account].id,
                "direction": "Outbound",
                "type": "Text",
                "content": scene.chance.pick(ANSWERS),
                "status": "Sent",
                "sentAt": scene.time(),
            },
            "timestamp": scene.time(),
        });
        let status = self.status(scene, &message, "Sent");
        self.state = State::Sent { message };
        Turn::say("message:sent", payload, scene.chance.wait(600, 2_000)).and(STATUS, status)
    }

    fn tick(
        &self,
        scene: &mut Scene,
        message: &str,
        event: &'static str,
        at: &str,
        status: &str,
    ) -> Turn {
        let payload = json!({"messageId": message, at: scene.time(), "timestamp": scene.time()});
        let wait = scene.chance.wait(1_500, 6_000);
        Turn::say(event, payload, wait).and(STATUS, self.status(scene, message, status))
    }

    fn fail(&self, scene: &mut Scene, message: &str) -> Turn {
        let payload = json!({
            "messageId": message,
            "error": "The recipient cannot be reached on WhatsApp",
            "timestamp": scene.time(),
        });
        let wait = scene.chance.wait(4_000, 20_000).max(Duration::from_secs(4));
        Turn::say("message:failed", payload, wait)
            .and(STATUS, self.status(scene, message, "Failed"))
    }

    fn status(&self, scene: &Scene, message: &str, status: &str) -> Value {
        json!({
            "messageId": message,
            "status": status,
            "contactId": self.contact.id,
            "whatsappAccountId": ACCOUNTS[self.contact.account].id,
            "timestamp": scene.time(),
        })
    }
}

const STATUS: &str = "message:status:update";
