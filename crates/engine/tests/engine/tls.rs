use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, LazyLock},
    time::Duration,
};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
};
use switchboard_engine::{Config, Listener};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    client::{PATIENCE, until},
    server::{Server, echo, quiet},
};

#[tokio::test]
async fn requests_are_answered_over_tls() {
    let server = start(quiet());
    let mut stream = connect(server.address).await;

    let target = "/socket.io/?EIO=4&transport=polling";
    for _ in 0..2 {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_until(&mut stream, b"}").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("0{\"sid\":"), "{answer}");
    }
}

#[tokio::test]
async fn all_that_was_written_reaches_a_reader_that_pauses() {
    let server = start(echo(quiet()));
    let tcp = socket().connect(server.address).await.unwrap();
    let mut stream = TLS.connect(name(), tcp).await.unwrap();
    let upgrade = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\n\
        Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n";
    stream.write_all(upgrade.as_bytes()).await.unwrap();
    read_until(&mut stream, b"}").await;

    for message_len in [10, 100, 200_000, 10, 70_000, 30_000] {
        stream.write_all(&frame(message_len)).await.unwrap();
        stream.flush().await.unwrap();

        let mut echo = vec![0; head_len(message_len) + message_len];
        let read = timeout(PATIENCE, stream.read_exact(&mut echo)).await;
        read.unwrap().unwrap();
        assert!(echo.ends_with(b"xxxxx"));
    }
}

#[tokio::test]
async fn whoever_speaks_something_else_is_closed_and_counted() {
    let server = start(quiet());
    for (number, garbage) in [
        &b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        b"\x00\x01\x02\x03\x04\x05\x06\x07",
        b"\x16\x03\x01\xff\xff\xff\xff\xff\xff\xff",
        &vec![0xff; 100_000],
    ]
    .into_iter()
    .enumerate()
    {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        // It may be over before all is said.
        let _ = stream.write_all(garbage).await;

        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer))
            .await
            .unwrap();

        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
        until("it counts", || refused(&server) == number as u64 + 1).await;
    }
    until("nobody to be left", || server.engine.stats().http == 0).await;
}

#[tokio::test]
async fn whoever_says_nothing_is_closed_in_time_and_who_leaves_is_no_fault() {
    let server = start(Config {
        tls_timeout: Duration::from_millis(100),
        ..quiet()
    });
    let left = TcpStream::connect(server.address).await.unwrap();
    drop(left);
    let mut silent = TcpStream::connect(server.address).await.unwrap();

    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, silent.read_to_end(&mut answer))
        .await
        .unwrap();

    until("it counts", || refused(&server) == 1).await;
    until("nobody to be left", || server.engine.stats().http == 0).await;
}

#[tokio::test]
async fn unfinished_handshakes_count_among_the_connections() {
    let mut server = start(Config {
        http_connections_max: 2,
        ..quiet()
    });
    let _silent = [
        TcpStream::connect(server.address).await.unwrap(),
        TcpStream::connect(server.address).await.unwrap(),
    ];
    until("both to be there", || server.engine.stats().http == 2).await;

    let third = TcpStream::connect(server.address).await.unwrap();
    let refused = TLS.connect(name(), third).await;

    assert!(refused.is_err());
    // They do not hold up a drain either.
    server.stop();
    timeout(Duration::from_secs(3), server.served())
        .await
        .unwrap();
}

fn start(config: Config) -> Server {
    let tcp = socket();
    tcp.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let tcp = tcp.listen(16).unwrap();
    let address = tcp.local_addr().unwrap();
    Server::start_on(config, address, Listener::with_tls(tcp, IDENTITY.1.clone()))
}

/// A socket that takes little at once, so that TLS has to keep the rest.
fn socket() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(4_096).unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket
}

async fn connect(address: SocketAddr) -> TlsStream<TcpStream> {
    let tcp = TcpStream::connect(address).await.unwrap();
    TLS.connect(name(), tcp).await.unwrap()
}

async fn read_until(stream: &mut TlsStream<TcpStream>, end: &[u8]) -> String {
    let mut read = Vec::new();
    let reading = async {
        while !read.ends_with(end) {
            stream.read_buf(&mut read).await.unwrap();
        }
    };
    timeout(PATIENCE, reading).await.unwrap();
    String::from_utf8_lossy(&read).into_owned()
}

/// A masked text frame with a message of `len` bytes, the mask being nothing.
fn frame(len: usize) -> Vec<u8> {
    let mut frame = vec![0x81];
    match len {
        ..126 => frame.push(0x80 | u8::try_from(len).unwrap()),
        126..=0xffff => {
            frame.push(0xfe);
            frame.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        _ => {
            frame.push(0xff);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.push(b'4');
    frame.resize(frame.len() + len - 1, b'x');
    frame
}

fn head_len(len: usize) -> usize {
    match len {
        ..126 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

fn refused(server: &Server) -> u64 {
    server.engine.counts().refused["tls_handshake"]
}

fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

static IDENTITY: LazyLock<(CertificateDer<'static>, Arc<ServerConfig>)> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = CertificateDer::from(made.cert);
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key);
    (certificate, Arc::new(config.unwrap()))
});

static TLS: LazyLock<TlsConnector> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add(IDENTITY.0.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
});
