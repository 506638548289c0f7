use std::sync::Arc;
use std::time::Duration;

use switchboard_engine::{AckId, CloseReason, Config, DisconnectReason, Namespace, Packet};

use super::{
    client::{Frame, WebSocket},
    server::{Server, config, quiet},
};

#[tokio::test]
async fn a_client_joins_the_main_namespace_with_its_payload() {
    let server = Server::start(quiet()).await;
    let mut socket = WebSocket::open(&server).await;

    socket.send(r#"40{"token":"123"}"#).await;

    let Frame::Text(reply) = socket.next().await else {
        panic!("no reply")
    };
    assert_eq!(
        reply.len(),
        r#"40{"sid":"01234567890123456789"}"#.len(),
        "{reply}"
    );
    assert_eq!(
        socket.next().await,
        Frame::text(r#"42["auth",{"token":"123"}]"#)
    );
    assert_eq!(server.engine.stats().sockets, 1);
}

#[tokio::test]
async fn a_client_joins_a_namespace_with_or_without_a_comma() {
    for (connect, auth) in [
        ("40/custom,", "{}"),
        ("40/custom", "{}"),
        (r#"40/custom,{"token":"abc"}"#, r#"{"token":"abc"}"#),
    ] {
        let server = Server::start(quiet()).await;
        let mut socket = WebSocket::open(&server).await;

        socket.send(connect).await;

        let Frame::Text(reply) = socket.next().await else {
            panic!("no reply")
        };
        assert!(reply.starts_with(r#"40/custom,{"sid":""#), "{reply}");
        assert_eq!(
            socket.next().await,
            Frame::Text(format!(r#"42/custom,["auth",{auth}]"#))
        );
    }
}

#[tokio::test]
async fn a_refused_client_is_told_and_stays() {
    let server = Server::start(quiet()).await;
    let mut socket = WebSocket::open(&server).await;

    socket.send("40/random").await;
    socket.send("40/private,").await;
    socket.send("40").await;

    assert_eq!(
        socket.next().await,
        Frame::text(r#"44/random,{"message":"Invalid namespace"}"#)
    );
    assert_eq!(
        socket.next().await,
        Frame::text(r#"44/private,{"message":"no","data":{"code":"unauthorized"}}"#)
    );
    assert!(matches!(socket.next().await, Frame::Text(reply) if reply.starts_with("40{")));
}

#[tokio::test]
async fn a_client_that_is_refused_for_now_loses_its_transport() {
    let server = Server::start(quiet()).await;
    let mut socket = WebSocket::open(&server).await;

    socket.send("40/closed,").await;

    socket.assert_closed(None).await;
}

#[tokio::test]
async fn a_client_that_joins_nothing_is_closed() {
    let server = Server::start(Config {
        connect_timeout: Duration::from_millis(100),
        ..quiet()
    })
    .await;
    let mut socket = WebSocket::open(&server).await;
    socket.send("40/random").await;
    socket.next().await;

    socket.assert_closed(None).await;
}

#[tokio::test]
async fn events_and_acks_come_back_as_they_were_sent() {
    let server = Server::start(quiet()).await;
    let mut socket = WebSocket::join(&server).await;
    for (sent, received) in [
        (
            r#"42["message",1,"2",{"3":[true]}]"#,
            r#"42["message-back",1,"2",{"3":[true]}]"#,
        ),
        (
            r#"42456["message-with-ack",1,"2",{"3":[false]}]"#,
            r#"43456[1,"2",{"3":[false]}]"#,
        ),
        (r#"420["message-with-ack"]"#, "430[]"),
        (
            r#"42["message",1e400,{"b":1,"a":"\u0000"}]"#,
            r#"42["message-back",1e400,{"b":1,"a":"\u0000"}]"#,
        ),
    ] {
        socket.send(sent).await;

        assert_eq!(socket.next().await, Frame::text(received));
    }
}

#[tokio::test]
async fn attachments_come_back_whole() {
    let server = Server::start(quiet()).await;
    let mut socket = WebSocket::join(&server).await;
    let values = r#"{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}"#;
    for (sent, received) in [
        (
            format!(r#"452-["message",{values}]"#),
            format!(r#"452-["message-back",{values}]"#),
        ),
        (
            format!(r#"452-789["message-with-ack",{values}]"#),
            format!("462-789[{values}]"),
        ),
    ] {
        socket.send(&sent).await;
        socket.send_binary(&[1, 2, 3]).await;
        socket.send_binary(&[4, 5, 6]).await;

        assert_eq!(socket.next().await, Frame::Text(received));
        assert_eq!(socket.next().await, Frame::Binary(vec![1, 2, 3]));
        assert_eq!(socket.next().await, Frame::Binary(vec![4, 5, 6]));
    }
}

#[tokio::test]
async fn attachments_travel_over_polling_too() {
    let server = Server::start(quiet()).await;
    let sid = server.open().await;
    server.push(&sid, "40").await;
    server.poll(&sid).await;

    server
        .push(
            &sid,
            "451-[\"message\",{\"_placeholder\":true,\"num\":0}]\x1ebAQID",
        )
        .await;

    assert_eq!(
        server.poll(&sid).await.body,
        "451-[\"message-back\",{\"_placeholder\":true,\"num\":0}]\x1ebAQID"
    );
}

#[tokio::test]
async fn a_client_answers_an_event() {
    let server = Server::start(quiet()).await;
    let mut socket = WebSocket::join(&server).await;
    socket.send(r#"42["ask"]"#).await;
    assert_eq!(socket.next().await, Frame::text(r#"420["asked"]"#));

    socket
        .send(r#"461-0["yes",{"_placeholder":true,"num":0}]"#)
        .await;
    socket.send_binary(&[7]).await;

    assert_eq!(socket.next().await, Frame::text(r#"42["thanks"]"#));
    let acked = server.engine.application().acked.lock().unwrap().clone();
    let args = r#""yes",{"_placeholder":true,"num":0}"#.to_owned();
    assert_eq!(acked, [(0, args, vec![bytes::Bytes::from_static(&[7])])]);
}

#[tokio::test]
async fn one_packet_asks_many_under_a_number_of_the_application() {
    let server = Server::start(quiet()).await;
    let mut sockets = [
        WebSocket::join(&server).await,
        WebSocket::join(&server).await,
    ];
    let ack = AckId::of_event(42);
    let packet = Packet::event(&Namespace::ROOT, Some(&ack), "asked", &[b"1"], Vec::new());
    let packet = Arc::new(packet);
    let handles = server.engine.application().sockets.lock().unwrap().clone();
    for handle in &handles {
        handle.post(Arc::clone(&packet), 2);
    }

    for socket in &mut sockets {
        assert_eq!(socket.next().await, Frame::text(r#"4242["asked",1]"#));
        socket.send("4342[]").await;
        assert_eq!(socket.next().await, Frame::text(r#"42["thanks"]"#));
    }

    let acked = server.engine.application().acked.lock().unwrap().clone();
    assert_eq!(
        acked.iter().map(|(id, ..)| *id).collect::<Vec<_>>(),
        [42, 42]
    );
}

#[tokio::test]
async fn a_client_leaves_one_namespace_and_keeps_the_other() {
    let server = Server::start(quiet()).await;
    let mut socket = WebSocket::join(&server).await;
    socket.send("40/custom,").await;
    socket.next().await;
    socket.next().await;

    socket.send("41/custom,").await;

    assert_eq!(server.next_end().await, DisconnectReason::ClientLeft);
    socket.send(r#"42["message","still here"]"#).await;
    assert_eq!(
        socket.next().await,
        Frame::text(r#"42["message-back","still here"]"#)
    );
    assert_eq!(server.engine.stats().sockets, 1);
}

#[tokio::test]
async fn a_client_without_a_namespace_keeps_its_connection() {
    let server = Server::start(config()).await;
    let mut socket = WebSocket::join(&server).await;

    socket.send("41").await;

    assert_eq!(socket.next().await, Frame::text("2"));
}

#[tokio::test]
async fn the_server_takes_a_client_out_of_a_namespace() {
    let server = Server::start(quiet()).await;
    let mut socket = WebSocket::join(&server).await;

    socket.send(r#"42["leave"]"#).await;
    assert_eq!(socket.next().await, Frame::text("41"));
    assert_eq!(server.next_end().await, DisconnectReason::ServerLeft);

    // What was on its way is ignored, and the client may come back.
    socket.send(r#"42["message","late"]"#).await;
    socket.send("40").await;
    assert!(matches!(socket.next().await, Frame::Text(reply) if reply.starts_with("40{")));
}

#[tokio::test]
async fn what_has_no_place_or_no_form_closes_the_connection() {
    let server = Server::start(quiet()).await;
    for text in [
        "4abc",
        "40{}x",
        "40",
        "40/custom,\"invalid\"",
        r#"42/custom,["a"]"#,
        "41/custom,",
        r#"44{"message":"x"}"#,
        "42{}",
        "42",
        r#"42abc["message-with-ack"]"#,
        r#"42["some","data""#,
        r#"42[{"toString":"foo"}]"#,
        r#"42[true,"foo"]"#,
        r#"42["connect"]"#,
        r#"42["disconnect","123"]"#,
        "41{}",
        "45",
        "451",
        "45a-[]",
        "451.23-[]",
        r#"4511-["a"]"#,
        r#"4599999999999999999999-["a"]"#,
        r#"451-["a",{"_placeholder":true,"num":1}]"#,
        r#"451-["a",{"_placeholder":true,"num":"splice"}]"#,
        "4999",
    ] {
        let mut socket = WebSocket::join(&server).await;

        socket.send(text).await;

        socket.assert_closed(None).await;
        assert!(
            matches!(
                server.next_end().await,
                DisconnectReason::Closed(CloseReason::PacketInvalid | CloseReason::Misused)
            ),
            "{text}"
        );
    }
}

#[tokio::test]
async fn attachments_that_nobody_announced_close_the_connection() {
    let server = Server::start(quiet()).await;
    let mut socket = WebSocket::join(&server).await;
    socket.send_binary(&[1]).await;
    socket.assert_closed(None).await;

    let mut socket = WebSocket::join(&server).await;
    socket
        .send(r#"451-["a",{"_placeholder":true,"num":0}]"#)
        .await;
    socket.send(r#"42["a"]"#).await;
    socket.assert_closed(None).await;
}

#[tokio::test]
async fn attachments_are_held_for_nobody_who_has_not_joined() {
    let server = Server::start(quiet()).await;
    let mut socket = WebSocket::open(&server).await;

    socket
        .send(r#"451-["a",{"_placeholder":true,"num":0}]"#)
        .await;

    socket.assert_closed(None).await;
}

#[tokio::test]
async fn a_violation_over_polling_is_told_to_the_next_poll() {
    let server = Server::start(quiet()).await;
    let sid = server.open().await;

    let answer = server.push(&sid, "4abc").await;

    assert_eq!((answer.status, &*answer.body), (200, "ok"));
    assert_eq!(server.poll(&sid).await.body, "6\x1e1");
    server.assert_unknown(&sid).await;
}

#[tokio::test]
async fn what_is_queued_goes_out_before_the_end() {
    let server = Server::start(quiet()).await;
    let sid = server.open().await;
    server.push(&sid, "40").await;
    server.poll(&sid).await;

    server
        .push(&sid, "42[\"message\",1]\x1e42[\"close\"]")
        .await;

    assert_eq!(
        server.next_end().await,
        DisconnectReason::Closed(CloseReason::Requested)
    );
    assert_eq!(server.poll(&sid).await.body, r#"42["message-back",1]"#);
    assert_eq!(server.poll(&sid).await.body, "6\x1e1");
}

#[tokio::test]
async fn an_end_is_told_to_the_poll_that_waits() {
    let server = Server::start(quiet()).await;
    let sid = server.open().await;
    server.push(&sid, "40").await;
    server.poll(&sid).await;
    let poll = server.start_poll(&sid).await;
    server.assert_open(&sid).await;

    server.socket().close(CloseReason::Requested);

    assert_eq!(poll.body().await, "1");
}

#[tokio::test]
async fn a_client_waits_its_turn_while_the_application_is_busy() {
    let server = Server::start(config()).await;
    let mut socket = WebSocket::join(&server).await;
    socket.send(r#"427["later"]"#).await;
    socket.send(r#"42["message",1]"#).await;
    // Heartbeats go on meanwhile, and a pong that waits behind the work is not late.
    assert_eq!(socket.next().await, Frame::text("2"));
    socket.send("3").await;

    server.socket().emit("meanwhile", &[], Vec::new());
    assert_eq!(socket.next().await, Frame::text(r#"42["meanwhile"]"#));
    server.engine.application().go_on.notify_one();

    assert_eq!(socket.next().await, Frame::text("437[]"));
    assert_eq!(socket.next().await, Frame::text(r#"42["message-back",1]"#));
}

#[tokio::test]
async fn what_is_posted_to_a_client_that_joins_comes_after_the_reply() {
    let server = Server::start(quiet()).await;
    let mut socket = WebSocket::join(&server).await;
    let main = server.socket();
    socket.send("40/slow,").await;
    main.emit("held", &[], Vec::new());

    server.engine.application().go_on.notify_one();

    let mut frames = Vec::new();
    for _ in 0..3 {
        let Frame::Text(text) = socket.next().await else {
            panic!("no text")
        };
        frames.push(text.split(['{', '[']).next().unwrap().to_owned());
    }
    let reply = frames.iter().position(|frame| frame == "40/slow,");
    let event = frames.iter().position(|frame| frame == "42/slow,");
    assert!(reply < event, "{frames:?}");
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_sockets() {
    let server = Server::start(quiet()).await;
    let socket = WebSocket::join(&server).await;

    drop(socket);

    assert_eq!(
        server.next_end().await,
        DisconnectReason::Closed(CloseReason::TransportClosed)
    );
    assert_eq!(server.engine.stats().sockets, 0);
}
