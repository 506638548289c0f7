//! A WhatsApp account: paired by a QR code, connected, now and then lost.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::scene::{Scene, Turn};
use super::script::ACCOUNTS;

/// One of the shop's two accounts.
#[derive(Debug)]
pub(super) struct Account {
    index: usize,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Shows codes until somebody scans one.
    Unpaired {
        codes: u32,
    },
    /// Scanned, and not connected yet.
    Connecting,
    Connected,
    Reconnecting,
}

impl Account {
    pub(super) fn new(index: usize) -> Self {
        Self {
            index,
            state: State::Unpaired { codes: 0 },
        }
    }

    pub(super) fn act(&mut self, scene: &mut Scene) -> Turn {
        let chance = &mut scene.chance;
        let wait = match self.state {
            State::Unpaired { codes: 0 } => chance.wait(6_000, 9_000),
            State::Unpaired { .. } | State::Connecting => chance.wait(2_000, 4_000),
            State::Connected => chance.wait(60_000, 120_000),
            State::Reconnecting => chance.wait(3_000, 6_000),
        };
        match self.state {
            State::Unpaired { codes } if codes < CODES => {
                self.state = State::Unpaired { codes: codes + 1 };
                self.code(scene, wait)
            }
            State::Unpaired { .. } => {
                self.state = State::Connecting;
                let status = self.status(scene, "Connecting", "Linking the device");
                Turn::say(STATUS, status, wait)
            }
            State::Connecting | State::Reconnecting => self.connect(scene),
            State::Connected if scene.chance.once_in(3) => self.log_out(scene, wait),
            State::Connected => {
                self.state = State::Reconnecting;
                scene.is_connected[self.index] = false;
                let status = self.status(scene, "Reconnecting", "The phone has no network");
                Turn::say(STATUS, status, Duration::from_secs(5))
            }
        }
    }

    fn code(&self, scene: &mut Scene, wait: Duration) -> Turn {
        let code: Vec<u8> = (0..6)
            .flat_map(|_| scene.chance.next().to_be_bytes())
            .collect();
        let payload = json!({
            "accountId": ACCOUNTS[self.index].id,
            "qrCode": STANDARD.encode(code),
            "expiresAt": scene.time_in(CODE_LIFETIME),
            "timestamp": scene.time(),
        });
        Turn::say("whatsapp:qr:generated", payload, wait)
    }

    fn connect(&mut self, scene: &mut Scene) -> Turn {
        self.state = State::Connected;
        scene.is_connected[self.index] = true;
        let account = ACCOUNTS[self.index];
        let ready = json!({
            "accountId": account.id,
            "accountInfo": {"phoneNumber": account.phone, "displayName": account.name},
            "timestamp": scene.time(),
        });
        let wait = scene.chance.wait(60_000, 120_000);
        Turn::say(STATUS, self.status(scene, "Connected", "Connected"), wait)
            .and("whatsapp:ready", ready)
    }

    fn log_out(&mut self, scene: &mut Scene, wait: Duration) -> Turn {
        self.state = State::Unpaired { codes: 0 };
        scene.is_connected[self.index] = false;
        let disconnected = json!({
            "accountId": ACCOUNTS[self.index].id,
            "reason": "Logged out on the phone",
            "timestamp": scene.time(),
        });
        let status = self.status(scene, "Disconnected", "Logged out on the phone");
        Turn::say(
            "whatsapp:disconnected",
            disconnected,
            wait.min(LOGGED_OUT_MAX),
        )
        .and(STATUS, status)
    }

    fn status(&self, scene: &Scene, status: &str, message: &str) -> Value {
        json!({
            "accountId": ACCOUNTS[self.index].id,
            "status": status,
            "message": message,
            "timestamp": scene.time(),
        })
    }
}

const STATUS: &str = "whatsapp:connection:status";
/// How many codes are shown before one is scanned.
const CODES: u32 = 2;
const CODE_LIFETIME: Duration = Duration::from_secs(20);
const LOGGED_OUT_MAX: Duration = Duration::from_secs(10);
