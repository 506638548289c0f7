use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{CloseReason, Config, MemberId, Session, Signal};
use crate::socket_io::Limits;

const PING_INTERVAL: Duration = Duration::from_secs(25);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(45);
const ATTACHMENTS_TIMEOUT: Duration = Duration::from_secs(30);

/// A session in simulated time.
struct Simulation {
    session: Session,
    now: Instant,
}

impl Simulation {
    #[expect(clippy::disallowed_methods, reason = "simulated time begins somewhere")]
    fn opened() -> Self {
        let now = Instant::now();
        let config = Config {
            socket_io: true,
            ping_interval: PING_INTERVAL,
            ping_timeout: PING_TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            attachments_timeout: ATTACHMENTS_TIMEOUT,
            attachments: Limits::default(),
            namespaces_max: 2,
            refusals_max: 3,
        };
        Self {
            session: Session::new(Arc::new(config), now),
            now,
        }
    }

    fn joined() -> Self {
        let mut this = Self::opened();
        this.join("40");
        this
    }

    fn join(&mut self, connect: &str) -> MemberId {
        let Some(Signal::Connect { member, .. }) = self.session.handle_text(self.now, connect)
        else {
            panic!("{connect} does not connect");
        };
        self.session.accept(member);
        member
    }

    fn send<'a>(&mut self, text: &'a str) -> Option<Signal<'a>> {
        self.session.handle_text(self.now, text)
    }

    /// Lets time pass in the steps that a driver would take; returns what was said last.
    fn advance(&mut self, duration: Duration) -> Option<Signal<'static>> {
        let end = self.now + duration;
        let mut said = None;
        while self.session.close_reason().is_none() && self.session.poll_timeout() <= end {
            self.now = self.session.poll_timeout();
            said = self.session.handle_timeout(self.now).or(said);
        }
        self.now = end;
        said
    }

    #[track_caller]
    fn assert_closed(&self, reason: CloseReason) {
        assert_eq!(self.session.close_reason(), Some(reason));
    }
}

#[test]
fn a_ping_follows_each_interval_after_the_pong() {
    let mut client = Simulation::joined();
    for _ in 0..3 {
        assert!(matches!(client.advance(PING_INTERVAL), Some(Signal::Ping)));
        assert!(client.session.is_awaiting_pong());
        client.send("3");
    }
}

#[test]
fn a_silent_client_is_closed_after_one_missed_pong() {
    let mut client = Simulation::joined();

    client.advance(PING_INTERVAL + PING_TIMEOUT);

    client.assert_closed(CloseReason::PingTimeout);
}

#[test]
fn a_ping_that_is_sent_late_gives_no_more_time_for_the_pong() {
    let mut client = Simulation::joined();
    let opened = client.now;
    let late = PING_INTERVAL + Duration::from_millis(4);
    assert_eq!(
        client.session.expires_at(),
        opened + PING_INTERVAL + PING_TIMEOUT
    );

    client.now = opened + late;
    assert!(matches!(
        client.session.handle_timeout(client.now),
        Some(Signal::Ping)
    ));

    assert_eq!(
        client.session.expires_at(),
        opened + PING_INTERVAL + PING_TIMEOUT
    );
    assert_eq!(client.session.poll_timeout(), client.session.expires_at());
}

#[test]
fn a_ping_that_is_sent_very_late_leaves_half_of_the_time_for_the_pong() {
    let mut client = Simulation::joined();
    client.now += PING_INTERVAL + 10 * PING_TIMEOUT;

    let ping = client.session.handle_timeout(client.now);

    assert!(matches!(ping, Some(Signal::Ping)));
    assert_eq!(client.session.expires_at(), client.now + PING_TIMEOUT / 2);
}

#[test]
fn other_traffic_is_no_pong() {
    let mut client = Simulation::joined();
    client.advance(PING_INTERVAL);
    client.send(r#"42["a"]"#);

    client.advance(PING_TIMEOUT);

    client.assert_closed(CloseReason::PingTimeout);
}

#[test]
fn a_pong_that_nobody_asked_for_postpones_nothing() {
    let mut client = Simulation::joined();
    client.advance(PING_INTERVAL / 2);
    client.send("3");

    assert!(matches!(
        client.advance(PING_INTERVAL / 2),
        Some(Signal::Ping)
    ));
}

#[test]
fn a_switch_of_transports_begins_the_heartbeat_anew() {
    let mut client = Simulation::joined();
    client.advance(PING_INTERVAL);

    client.session.handle_switch(client.now);

    assert!(matches!(client.advance(PING_INTERVAL), Some(Signal::Ping)));
}

#[test]
fn a_client_that_joins_nothing_is_closed() {
    let mut client = Simulation::opened();
    client.advance(PING_INTERVAL);
    client.send("3");

    client.advance(CONNECT_TIMEOUT.saturating_sub(PING_INTERVAL));

    client.assert_closed(CloseReason::ConnectTimeout);
}

#[test]
fn a_refusal_does_not_stop_the_connect_timeout() {
    let mut client = Simulation::opened();
    let Some(Signal::Connect { member, .. }) = client.send("40") else {
        panic!("no connect");
    };
    client.session.refuse(member);
    client.advance(PING_INTERVAL);
    client.send("3");

    client.advance(CONNECT_TIMEOUT.saturating_sub(PING_INTERVAL));

    client.assert_closed(CloseReason::ConnectTimeout);
}

#[test]
fn a_client_that_joined_once_may_be_in_no_namespace() {
    let mut client = Simulation::joined();
    assert!(matches!(client.send("41"), Some(Signal::Left(_))));
    client.advance(PING_INTERVAL);
    client.send("3");

    client.advance(PING_INTERVAL);

    assert_eq!(client.session.close_reason(), None);
}

#[test]
fn a_client_that_is_refused_too_often_is_closed_even_if_it_joined_meanwhile() {
    let mut client = Simulation::opened();
    let refuse = |client: &mut Simulation| {
        let Some(Signal::Connect { member, .. }) = client.send("40/no,") else {
            panic!("no wish to join")
        };
        client.session.refuse(member).is_some()
    };

    assert!(!refuse(&mut client));
    client.join("40");
    assert!(!refuse(&mut client));
    assert!(refuse(&mut client));

    client.assert_closed(CloseReason::RefusedTooOften);
}

#[test]
fn engine_packets_have_their_effect() {
    for (packet, reason) in [
        ("0", None),
        ("1", Some(CloseReason::TransportClosed)),
        ("2", Some(CloseReason::TransportError)),
        ("2probe", Some(CloseReason::TransportError)),
        ("3", None),
        ("5", None),
        ("6", None),
        ("", Some(CloseReason::ParseError)),
        ("7", Some(CloseReason::ParseError)),
        ("abc", Some(CloseReason::ParseError)),
        ("b*", Some(CloseReason::ParseError)),
    ] {
        let mut client = Simulation::joined();

        client.send(packet);

        assert_eq!(client.session.close_reason(), reason, "{packet}");
    }
}

#[test]
fn what_has_no_place_closes_the_session() {
    for packet in [
        "40",
        r#"42/admin,["a"]"#,
        "41/admin,",
        "43/admin,1[]",
        r#"44{"message":"x"}"#,
    ] {
        let mut client = Simulation::joined();

        client.send(packet);

        client.assert_closed(CloseReason::Misused);
    }
}

#[test]
fn an_event_before_the_decision_closes_the_session() {
    let mut client = Simulation::opened();
    client.send("40");

    client.send(r#"42["a"]"#);

    client.assert_closed(CloseReason::Misused);
}

#[test]
fn what_was_on_its_way_to_a_dismissed_member_is_ignored() {
    let mut client = Simulation::opened();
    let member = client.join("40");
    client.session.dismiss(member);

    assert!(client.send(r#"42["a"]"#).is_none());
    assert!(client.send("41").is_none());

    let again = client.join("40");
    assert_ne!(again, member);
    assert_eq!(client.session.close_reason(), None);
}

#[test]
fn one_namespace_too_many_closes_the_session() {
    let mut client = Simulation::joined();
    client.join("40/a");

    client.send("40/b");

    client.assert_closed(CloseReason::TooManyNamespaces);
}

#[test]
fn attachments_make_an_event_complete() {
    let mut client = Simulation::joined();
    assert!(
        client
            .send(r#"451-["a",{"_placeholder":true,"num":0}]"#)
            .is_none()
    );

    let signal = client.session.handle_binary(Cow::Borrowed(&[1, 2]));

    let Some(Signal::Event(_, event)) = signal else {
        panic!("{signal:?}");
    };
    assert_eq!(event.attachments, [&[1, 2][..]]);
}

#[test]
fn attachments_that_do_not_come_close_the_session() {
    let mut client = Simulation::joined();
    client.send(r#"451-["a",{"_placeholder":true,"num":0}]"#);
    client.advance(PING_INTERVAL);
    client.send("3");

    client.advance(ATTACHMENTS_TIMEOUT.saturating_sub(PING_INTERVAL));

    client.assert_closed(CloseReason::AttachmentsTimeout);
}

#[test]
fn attachments_of_a_stranger_close_the_session() {
    let mut client = Simulation::opened();

    client.send(r#"451-["a",{"_placeholder":true,"num":0}]"#);

    client.assert_closed(CloseReason::AttachmentsEarly);
}

#[test]
fn nothing_comes_after_the_end() {
    let mut client = Simulation::joined();
    assert!(matches!(
        client.send("1"),
        Some(Signal::Closed(CloseReason::TransportClosed))
    ));

    assert!(client.send(r#"42["a"]"#).is_none());
    assert!(client.session.handle_binary(Cow::Borrowed(&[1])).is_none());
    assert!(client.advance(PING_INTERVAL * 4).is_none());
    assert!(client.session.close(CloseReason::Requested).is_none());
}

#[test]
fn reasons_read_as_in_node() {
    for (reason, text) in [
        (CloseReason::TransportClosed, "transport close"),
        (CloseReason::TransportError, "transport error"),
        (CloseReason::PingTimeout, "ping timeout"),
        (CloseReason::ParseError, "parse error"),
        (CloseReason::PacketInvalid, "forced close"),
        (CloseReason::Misused, "forced server close"),
        (CloseReason::ShuttingDown, "server shutting down"),
    ] {
        assert_eq!(reason.to_string(), text);
    }
}
