use super::{
    client::{Frame, WebSocket, frame},
    server::{Server, echo, quiet},
};

#[tokio::test]
async fn text_and_binary_come_back() {
    let server = Server::start(echo(quiet())).await;
    let mut socket = WebSocket::open(&server).await;

    socket.send("4hello").await;
    socket.send_binary(&[1, 2, 3]).await;

    assert_eq!(socket.next().await, Frame::text("4hello"));
    assert_eq!(socket.next().await, Frame::Binary(vec![1, 2, 3]));
}

#[tokio::test]
async fn messages_in_pieces_are_joined() {
    let server = Server::start(echo(quiet())).await;
    let mut socket = WebSocket::open(&server).await;
    let mut bytes = frame(0x01, b"4he");
    bytes.extend(frame(0x89, b"now"));
    bytes.extend(frame(0x00, b""));
    bytes.extend(frame(0x80, b"llo"));

    for byte in bytes {
        socket.send_raw(&[byte]).await;
    }

    assert_eq!(socket.next().await, Frame::Pong(b"now".to_vec()));
    assert_eq!(socket.next().await, Frame::text("4hello"));
}

#[tokio::test]
async fn a_large_message_comes_back_whole() {
    let server = Server::start(echo(quiet())).await;
    let mut socket = WebSocket::open(&server).await;
    let text = format!("4{}", "a".repeat(900_000));

    socket.send(&text).await;

    assert_eq!(socket.next().await, Frame::Text(text));
}

#[tokio::test]
async fn a_client_without_binary_gets_base64() {
    let server = Server::start(echo(quiet())).await;
    let mut socket = WebSocket::connect(&server, "EIO=4&transport=websocket&b64=1").await;
    socket.next().await;

    socket.send("bAQID").await;
    socket.send("b4AAA").await;
    socket.send_binary(&[1, 2, 3, 4]).await;

    assert_eq!(socket.next().await, Frame::text("bAQID"));
    // Not the type of a packet of version 3.
    assert_eq!(socket.next().await, Frame::text("b4AAA"));
    assert_eq!(socket.next().await, Frame::text("bAQIDBA=="));
}

#[tokio::test]
async fn a_close_frame_is_answered() {
    let server = Server::start(echo(quiet())).await;
    let mut socket = WebSocket::open(&server).await;

    socket.send_frame(0x88, &1001_u16.to_be_bytes()).await;

    socket.assert_closed(Some(1001)).await;
}

#[tokio::test]
async fn a_close_packet_closes_at_once() {
    let server = Server::start(echo(quiet())).await;
    let mut socket = WebSocket::open(&server).await;

    socket.send("1").await;

    socket.assert_closed(None).await;
}

#[tokio::test]
async fn garbage_closes_only_the_connection_that_sent_it() {
    let server = Server::start(echo(quiet())).await;
    let mut other = WebSocket::open(&server).await;
    let too_long = [&[0x81, 0xFF][..], &1_000_001_u64.to_be_bytes(), &[0; 4]].concat();
    let enormous = [&[0x82, 0xFF][..], &(i64::MAX as u64).to_be_bytes(), &[0; 4]].concat();
    for (bytes, code) in [
        (&b"test"[..], Some(1002)),
        (b"GET / HTTP/1.1\r\n\r\n", Some(1002)),
        (&[0x81, 0x01, b'2'], Some(1002)),
        (&[0xC1, 0x80], Some(1002)),
        (&[0x83, 0x80], Some(1002)),
        (&frame(0x80, b"continued"), Some(1002)),
        (&frame(0x81, b"4\xff"), Some(1007)),
        (&too_long, Some(1009)),
        (&enormous, Some(1009)),
        (&frame(0x81, b""), None),
        (&frame(0x81, b"abc"), None),
        (&frame(0x81, b"2"), None),
    ] {
        let mut socket = WebSocket::open(&server).await;

        socket.send_raw(bytes).await;

        socket.assert_closed(code).await;
    }
    other.send("4still here").await;
    assert_eq!(other.next().await, Frame::text("4still here"));
}

#[tokio::test]
async fn garbage_right_after_the_handshake_harms_nobody() {
    let server = Server::start(echo(quiet())).await;
    let mut other = WebSocket::open(&server).await;
    for _ in 0..10 {
        let mut socket = WebSocket::connect(&server, "EIO=4&transport=websocket").await;
        socket.send_raw(b"test").await;
        socket.reset();
    }

    other.send("4still here").await;

    assert_eq!(other.next().await, Frame::text("4still here"));
}

#[tokio::test]
async fn a_message_of_endless_fragments_is_refused() {
    let server = Server::start(echo(quiet())).await;
    let mut socket = WebSocket::open(&server).await;
    let mut bytes = frame(0x01, b"4");
    for _ in 0..1024 {
        bytes.extend(frame(0x00, b""));
    }

    socket.send_raw(&bytes).await;

    socket.assert_closed(Some(1008)).await;
}

#[tokio::test]
async fn packets_without_a_meaning_are_ignored() {
    let server = Server::start(echo(quiet())).await;
    let mut socket = WebSocket::open(&server).await;

    for text in ["0", "5", "6", "3", "4a"] {
        socket.send(text).await;
    }

    assert_eq!(socket.next().await, Frame::text("4a"));
}
