//! What else happens: the address book, the automations, the team.

use serde_json::json;

use super::scene::{Scene, Turn};
use super::script::{ACTIVITIES, CONTACTS, FLOWS, NAMES, NOTIFICATIONS, TEAM};

/// The address book: contacts are made, corrected and deleted.
#[derive(Debug, Default)]
pub(super) struct Contacts {
    /// The contact that was made last and is still there.
    visitor: Option<String>,
}

impl Contacts {
    pub(super) fn act(&mut self, scene: &mut Scene) -> Turn {
        let wait = scene.chance.wait(4_000, 9_000);
        let (first, last) = scene.chance.pick(NAMES);
        let name = format!("{first} {last}");
        let email = format!(
            "{}.{}@example.com",
            first.to_lowercase(),
            last.to_lowercase()
        );
        let timestamp = scene.time();
        match self.visitor.take() {
            None => {
                let id = scene.id("contact");
                let phone = format!("+1555{:07}", scene.chance.below(10_000_000));
                let contact = json!({"id": id, "name": name, "phone": phone, "email": email});
                self.visitor = Some(id);
                Turn::say(
                    "contact:created",
                    json!({"contact": contact, "timestamp": timestamp}),
                    wait,
                )
            }
            Some(id) if scene.chance.once_in(3) => Turn::say(
                "contact:deleted",
                json!({"contactId": id, "timestamp": timestamp}),
                wait,
            ),
            Some(id) => {
                // A contact of the conversations is corrected as often as the new one.
                let known = scene.chance.pick(CONTACTS).id;
                let corrected = if scene.chance.once_in(2) {
                    known
                } else {
                    id.as_str()
                };
                let updates = json!({"name": name, "email": email});
                let payload =
                    json!({"contactId": corrected, "updates": updates, "timestamp": timestamp});
                self.visitor = Some(id);
                Turn::say("contact:updated", payload, wait)
            }
        }
    }
}

/// Automations: one runs at a time.
#[derive(Debug, Default)]
pub(super) struct Flow {
    running: Option<(&'static str, String)>,
}

impl Flow {
    pub(super) fn act(&mut self, scene: &mut Scene) -> Turn {
        let timestamp = scene.time();
        let Some((flow, execution)) = self.running.take() else {
            let (flow, execution) = (scene.chance.pick(FLOWS), scene.id("run"));
            let payload = json!({"flowId": flow, "executionId": execution, "timestamp": timestamp});
            self.running = Some((flow, execution));
            return Turn::say(
                "flow:execution:started",
                payload,
                scene.chance.wait(1_000, 4_000),
            );
        };
        let wait = scene.chance.wait(5_000, 12_000);
        let mut payload = json!({"flowId": flow, "executionId": execution, "timestamp": timestamp});
        if scene.chance.once_in(6) {
            payload["error"] = json!("Step 2: the order number was not found");
            return Turn::say("flow:execution:failed", payload, wait);
        }
        payload["result"] = json!({"status": "Completed", "steps": 2 + scene.chance.below(5)});
        Turn::say("flow:execution:completed", payload, wait)
    }
}

/// What colleagues do, and what the system tells them.
#[derive(Debug)]
pub(super) struct Team;

impl Team {
    #[expect(
        clippy::unused_self,
        reason = "an actor without a memory is an actor all the same"
    )]
    pub(super) fn act(&self, scene: &mut Scene) -> Turn {
        let wait = scene.chance.wait(4_000, 10_000);
        if scene.chance.once_in(4) {
            let (kind, title, message, url) = scene.chance.pick(NOTIFICATIONS);
            let notification = json!({
                "type": kind,
                "title": title,
                "message": message,
                "action": {"label": "View Details", "url": url},
            });
            let payload = json!({"notification": notification, "timestamp": scene.time()});
            return Turn::say("system:notification", payload, wait);
        }
        let (id, name) = scene.chance.pick(TEAM);
        let (action, resource) = scene.chance.pick(ACTIVITIES);
        let activity = json!({
            "userId": id,
            "userName": name,
            "action": action,
            "resource": resource,
            "metadata": {},
        });
        Turn::say(
            "team:activity",
            json!({"activity": activity, "timestamp": scene.time()}),
            wait,
        )
    }
}
