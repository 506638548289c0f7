//! What goes on while a future of the application is in flight, and what waits for it.

use std::{pin::pin, time::Duration};

use switchboard_engine::{CloseReason, Config, DisconnectReason};

use super::{
    client::{Frame, Pending, SESSION_UNKNOWN, WebSocket, request},
    server::{Server, quiet},
};

/// Opens a polling session and joins the main namespace.
async fn join(server: &Server) -> String {
    let sid = server.open().await;
    assert_eq!(server.push(&sid, "40").await.body, "ok");
    let body = server.poll(&sid).await.body;
    assert!(body.starts_with(r#"40{"sid":""#), "{body}");
    assert!(body.ends_with("\x1e42[\"auth\",{}]"), "{body}");
    sid
}

/// Lets a WebSocket probe a session, up to where the stock client polls no more.
async fn probe(server: &Server, sid: &str) -> WebSocket {
    let mut socket =
        WebSocket::connect(server, &format!("EIO=4&transport=websocket&sid={sid}")).await;
    socket.send("2probe").await;
    assert_eq!(socket.next().await, Frame::text("3probe"));
    socket
}

async fn start_push(server: &Server, sid: &str, body: &str) -> Pending {
    let target = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
    Pending::send(server.address, &request("POST", &target, "", body)).await
}

async fn assert_pages(socket: &mut WebSocket, ack: &str) {
    for page in 1..=3 {
        let text = format!(r#"42["page",{page}]"#);
        assert_eq!(socket.next().await, Frame::Text(text));
    }
    assert_eq!(socket.next().await, Frame::text(ack));
}

#[tokio::test]
async fn work_that_waits_for_its_events_to_be_written_gets_the_websocket() {
    let server = Server::start(quiet()).await;
    let sid = join(&server).await;
    let mut socket = probe(&server, &sid).await;

    // No GET comes any more, and `5` only after this.
    let answer = server.push(&sid, r#"421["history"]"#).await;
    socket.send("5").await;

    assert_eq!((answer.status, &*answer.body), (200, "ok"));
    assert_pages(&mut socket, "431[]").await;
}

#[tokio::test]
async fn work_that_began_before_the_probe_does_not_hold_it_up() {
    let server = Server::start(quiet()).await;
    let sid = join(&server).await;

    assert_eq!(server.push(&sid, r#"421["history"]"#).await.body, "ok");
    let mut socket = probe(&server, &sid).await;
    socket.send("5").await;

    assert_pages(&mut socket, "431[]").await;
}

#[tokio::test]
async fn a_push_in_flight_when_the_probe_is_answered_is_let_in_behind_the_one_that_waits() {
    let server = Server::start(quiet()).await;
    let sid = join(&server).await;
    for body in [r#"421["history"]"#, r#"422["history"]"#] {
        assert_eq!(server.push(&sid, body).await.body, "ok");
    }
    let push = start_push(&server, &sid, r#"423["history"]"#).await;

    let mut socket = probe(&server, &sid).await;
    assert_eq!(push.body().await, "ok");
    socket.send("5").await;

    for ack in ["431[]", "432[]", "433[]"] {
        assert_pages(&mut socket, ack).await;
    }
}

#[tokio::test]
async fn what_was_pushed_before_the_switch_is_handled_before_what_comes_after_it() {
    let server = Server::start(quiet()).await;
    let sid = join(&server).await;
    let mut socket = probe(&server, &sid).await;

    server
        .push(
            &sid,
            "421[\"later\"]\x1e42[\"message\",1]\x1e42[\"message\",2]",
        )
        .await;
    server.push(&sid, r#"42["message",3]"#).await;
    socket.send("5").await;
    socket.send(r#"422["later"]"#).await;
    socket.send(r#"42["message",4]"#).await;

    for (ack, messages) in [("431[]", 1..=3), ("432[]", 4..=4)] {
        server.engine.application().go_on.notify_one();
        assert_eq!(socket.next().await, Frame::text(ack));
        for message in messages {
            let text = format!(r#"42["message-back",{message}]"#);
            assert_eq!(socket.next().await, Frame::Text(text));
        }
    }
}

#[tokio::test]
async fn nothing_but_the_answer_is_said_to_a_probe_before_it_takes_over() {
    let server = Server::start(quiet()).await;
    let sid = join(&server).await;
    server.push(&sid, r#"421["history"]"#).await;
    let mut socket = probe(&server, &sid).await;
    server.push(&sid, r#"42["message",1]"#).await;

    socket.send_frame(0x89, b"still there?").await;

    assert_eq!(socket.next().await, Frame::Pong(b"still there?".to_vec()));
    socket.send("5").await;
    assert_pages(&mut socket, "431[]").await;
    assert_eq!(socket.next().await, Frame::text(r#"42["message-back",1]"#));
}

#[tokio::test]
async fn a_probe_given_up_while_the_application_is_busy_leaves_the_session_alone() {
    let server = Server::start(Config {
        upgrade_timeout: Duration::from_millis(50),
        ..quiet()
    })
    .await;
    let sid = join(&server).await;
    server.push(&sid, r#"421["later"]"#).await;

    let mut socket = probe(&server, &sid).await;

    assert_eq!(socket.next().await, Frame::Close(Vec::new()));
    server.engine.application().go_on.notify_one();
    assert_eq!(server.poll(&sid).await.body, "431[]");
}

#[tokio::test]
async fn a_push_is_answered_while_the_application_is_busy_and_handled_after() {
    let server = Server::start(quiet()).await;
    let sid = join(&server).await;

    let busy = server
        .push(&sid, "421[\"later\"]\x1e42[\"message\",1]")
        .await;
    let poll = server.start_poll(&sid).await;

    assert_eq!((busy.status, &*busy.body), (200, "ok"));
    server.engine.application().go_on.notify_one();
    assert_eq!(poll.body().await, "431[]\x1e42[\"message-back\",1]");
}

#[tokio::test]
async fn pushes_are_answered_late_once_enough_of_them_wait() {
    let server = Server::start(quiet()).await;
    let sid = join(&server).await;
    let other = join(&server).await;
    for body in [r#"421["later"]"#, r#"42["message",1]"#] {
        assert_eq!(server.push(&sid, body).await.body, "ok");
    }

    let mut late = pin!(
        start_push(&server, &sid, r#"42["message",2]"#)
            .await
            .answer()
    );

    tokio::select! {
        answer = &mut late => panic!("{answer:?}"),
        () = async {
            for _ in 0..20 {
                server.assert_open(&other).await;
            }
        } => {}
    }
    server.engine.application().go_on.notify_one();
    assert_eq!(late.await.unwrap().body, "ok");
    assert_eq!(
        server.poll(&sid).await.body,
        "431[]\x1e42[\"message-back\",1]\x1e42[\"message-back\",2]"
    );
}

#[tokio::test]
async fn work_that_takes_no_time_is_done_before_the_push_is_answered() {
    let server = Server::start(quiet()).await;
    let sid = server.open().await;

    server
        .push(&sid, "40\x1e42[\"message\",1]\x1e42[\"message\",2]")
        .await;

    let body = server.poll(&sid).await.body;
    let (_connect, rest) = body.split_once('\x1e').unwrap();
    assert_eq!(
        rest,
        "42[\"auth\",{}]\x1e42[\"message-back\",1]\x1e42[\"message-back\",2]"
    );
}

#[tokio::test]
async fn an_undecodable_packet_is_refused_at_once_and_those_before_it_are_delivered() {
    for last in ["", "abc", "bnot*base64", "2"] {
        let server = Server::start(quiet()).await;
        let sid = join(&server).await;

        let answer = server
            .push(&sid, &format!("421[\"later\"]\x1e437[1]\x1e{last}"))
            .await;

        assert_eq!((answer.status, &*answer.body), (400, ""), "{last:?}");
        let poll = server.start_poll(&sid).await;
        server.engine.application().go_on.notify_one();
        assert!(
            matches!(
                server.next_end().await,
                DisconnectReason::Closed(CloseReason::ParseError | CloseReason::TransportError)
            ),
            "{last:?}"
        );
        drop(poll);
        let acked = server.engine.application().acked.lock().unwrap();
        assert_eq!(*acked, [(7, "1".to_owned(), Vec::new())], "{last:?}");
    }
}

#[tokio::test]
async fn a_close_packet_behind_work_is_taken_and_ends_the_session_after_it() {
    let server = Server::start(quiet()).await;
    let sid = join(&server).await;

    let answer = server.push(&sid, "421[\"later\"]\x1e1\x1eabc").await;

    assert_eq!((answer.status, &*answer.body), (200, "ok"));
    server.engine.application().go_on.notify_one();
    assert_eq!(
        server.next_end().await,
        DisconnectReason::Closed(CloseReason::TransportClosed)
    );
    server.assert_unknown(&sid).await;
}

#[tokio::test]
async fn a_push_that_waits_is_answered_when_the_session_ends() {
    let server = Server::start(quiet()).await;
    let sid = join(&server).await;
    for body in [r#"421["later"]"#, r#"42["message",1]"#] {
        assert_eq!(server.push(&sid, body).await.body, "ok");
    }
    let push = start_push(&server, &sid, r#"42["message",2]"#).await;
    let poll = server.start_poll(&sid).await;

    // The second one ends the session.
    server.poll(&sid).await;

    let answer = push.answer().await.unwrap();
    assert_eq!((answer.status, &*answer.body), (400, SESSION_UNKNOWN));
    assert_eq!(poll.body().await, "1");
}

/// Pushes `count` events that want acks in one body.
async fn push_many(server: &Server, sid: &str, count: usize) {
    let events: Vec<_> = (0..count)
        .map(|id| format!(r#"42{id}["message-with-ack",1]"#))
        .collect();
    assert_eq!(server.push(sid, &events.join("\x1e")).await.body, "ok");
}

fn acks(ids: std::ops::Range<usize>) -> Vec<String> {
    ids.map(|id| format!("43{id}[1]")).collect()
}

#[tokio::test]
async fn a_whole_body_of_events_that_want_acks_gets_all_its_acks() {
    let server = Server::start(quiet()).await;
    let sid = join(&server).await;

    push_many(&server, &sid, 400).await;

    assert_eq!(server.poll(&sid).await.body, acks(0..400).join("\x1e"));
}

#[tokio::test]
async fn events_wait_for_a_poll_to_take_the_acks_of_those_before_them() {
    let server = Server::start(Config {
        controls_max: 8,
        ..quiet()
    })
    .await;
    let sid = join(&server).await;

    push_many(&server, &sid, 100).await;

    let mut seen = Vec::new();
    while seen.len() < 100 {
        let body = server.poll(&sid).await.body;
        let packets: Vec<_> = body.split('\x1e').map(str::to_owned).collect();
        assert!(packets.len() < 8, "{packets:?}");
        seen.extend(packets);
    }
    assert_eq!(seen, acks(0..100));
}

/// It is handled after the first, and then has no place.
#[tokio::test]
async fn a_second_connect_while_the_first_is_pending_ends_the_session_after_it() {
    let server = Server::start(quiet()).await;
    let mut socket = WebSocket::join(&server).await;
    socket.send("40/slow,").await;
    socket.send("40/slow,").await;

    server.engine.application().go_on.notify_one();

    let reply = socket.next_message().await;
    assert!(
        matches!(&reply, Frame::Text(text) if text.starts_with("40/slow,{")),
        "{reply:?}"
    );
    assert_eq!(
        socket.next_message().await,
        Frame::text(r#"42/slow,["auth",{}]"#)
    );
    socket.assert_closed(None).await;
    assert_eq!(server.engine.counts().closes["misused"], 1);
}

/// The application is told of every reply, and knows which it waits for.
#[tokio::test]
async fn a_reply_that_nobody_waits_for_is_ignored_by_the_engine() {
    let server = Server::start(quiet()).await;
    let mut socket = WebSocket::join(&server).await;

    for reply in ["43999[]", r#"430["late"]"#, r#"430["again"]"#] {
        socket.send(reply).await;
        assert_eq!(socket.next_message().await, Frame::text(r#"42["thanks"]"#));
    }

    socket.send(r#"42["message",1]"#).await;
    assert_eq!(
        socket.next_message().await,
        Frame::text(r#"42["message-back",1]"#)
    );
    let acked = server.engine.application().acked.lock().unwrap().clone();
    let ids: Vec<_> = acked.iter().map(|(id, ..)| *id).collect();
    assert_eq!(ids, [999, 0, 0]);
}
