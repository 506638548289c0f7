//! One client's session: whatever comes in whatever order, nothing reaches a namespace that was
//! not joined, nothing comes after the end, and time always leads somewhere.
//!
//! Input: steps with a zero byte between them. The first byte says what is done with the rest:
//! `b` is a binary message, `w` waits (a second for each byte), `s` switches the transport, `d`
//! ends the oldest membership; everything else is a text packet of Engine.IO as a whole.

#![no_main]

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use switchboard_protocol::session::{CloseReason, Config, MemberId, Session, Signal};
use switchboard_protocol::socket_io::{Limits, Namespace};

const NAMESPACES_MAX: usize = 3;

fuzz_target!(|data: &[u8]| {
    let now = Instant::now();
    let mut driver = Driver {
        session: Session::new(Arc::new(config()), now),
        now,
        joined: Vec::new(),
        namespaces: HashMap::new(),
        is_closed: false,
    };
    for step in data.split(|&byte| byte == 0) {
        driver.step(step);
    }
    // Whoever says nothing more is gone after a while.
    driver.wait(Duration::from_mins(1));
    assert!(driver.is_closed, "a silent session lives on");
});

fn config() -> Config {
    Config {
        socket_io: true,
        ping_interval: Duration::from_secs(25),
        ping_timeout: Duration::from_secs(20),
        connect_timeout: Duration::from_secs(45),
        attachments_timeout: Duration::from_secs(30),
        attachments: Limits {
            attachments_max: 2,
            attachment_bytes_max: 32,
        },
        namespaces_max: NAMESPACES_MAX,
        refusals_max: 3,
    }
}

/// Does what a driver must, and knows what a session may say.
struct Driver {
    session: Session,
    now: Instant,
    joined: Vec<MemberId>,
    namespaces: HashMap<MemberId, Namespace<'static>>,
    is_closed: bool,
}

impl Driver {
    fn step(&mut self, step: &[u8]) {
        match step {
            [b'b', bytes @ ..] => {
                let signal = self.session.handle_binary(Cow::Borrowed(bytes));
                self.take(signal);
            }
            [b'w', time @ ..] => self.wait(Duration::from_secs(1 + time.len() as u64)),
            [b's', ..] => self.session.handle_switch(self.now),
            [b'd', ..] => {
                if !self.joined.is_empty() {
                    let member = self.joined.remove(0);
                    self.session.dismiss(member);
                }
            }
            _ => {
                // Not UTF-8 ends the connection before a session sees it.
                let Ok(text) = str::from_utf8(step) else {
                    return;
                };
                let signal = self.session.handle_text(self.now, text);
                self.take(signal);
            }
        }
        assert_eq!(self.session.close_reason().is_some(), self.is_closed);
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while !self.is_closed && self.session.poll_timeout() <= until {
            let due = self.session.poll_timeout();
            self.now = self.now.max(due);
            let signal = self.session.handle_timeout(self.now);
            self.take(signal);
            let next = self.session.poll_timeout();
            assert!(self.is_closed || next > self.now, "time leads nowhere");
        }
        self.now = until;
    }

    fn take(&mut self, signal: Option<Signal<'_>>) {
        let Some(signal) = signal else {
            return;
        };
        assert!(!self.is_closed, "{signal:?} after the end");
        match signal {
            Signal::Ping => assert!(self.session.is_awaiting_pong()),
            Signal::Connect {
                member, namespace, ..
            } => self.connect(member, namespace),
            Signal::Event(member, _) | Signal::Ack(member, _) => {
                assert!(self.joined.contains(&member), "from a namespace not joined");
            }
            Signal::Left(member) => {
                let index = self.joined.iter().position(|joined| *joined == member);
                self.joined
                    .remove(index.expect("only who joined can leave"));
            }
            Signal::Text(_) | Signal::Binary(_) => panic!("{signal:?} below Socket.IO"),
            Signal::PacketInvalid(_) => {
                let reason = self.session.close_reason();
                assert_eq!(reason, Some(CloseReason::PacketInvalid));
                self.is_closed = true;
            }
            Signal::Closed(reason) => {
                assert_eq!(self.session.close_reason(), Some(reason));
                self.is_closed = true;
            }
        }
    }

    /// Lets it in unless the name of the namespace says not to.
    fn connect(&mut self, member: MemberId, namespace: Namespace<'static>) {
        let is_joined = |joined: &MemberId| self.namespaces[joined] == namespace;
        assert!(!self.joined.iter().any(is_joined), "joined twice");
        if namespace.as_str().starts_with("/no") {
            let end = self.session.refuse(member);
            return self.take(end);
        }
        self.session.accept(member);
        let earlier = self.namespaces.insert(member, namespace);
        assert_eq!(earlier, None, "two memberships of one name");
        self.joined.push(member);
        assert!(self.joined.len() <= NAMESPACES_MAX);
    }
}
