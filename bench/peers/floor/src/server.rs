//! The one loop of the floor.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};

use crate::Mode;
use crate::connection::{self, Asked, Connection};
use crate::draft::{self, Message, text_frame};
use crate::is_later;

const LISTENER: Token = Token(usize::MAX);
const BUFFER_LEN: usize = 64 * 1024;
const EVENTS_MAX: usize = 1024;

/// Connections by number, and rooms as lists of numbers.
pub(crate) struct Server {
    poll: Poll,
    listener: TcpListener,
    mode: Mode,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    rooms: HashMap<String, Vec<usize>>,
    published: u64,
}

impl Server {
    pub(crate) fn bind(address: SocketAddr, mode: Mode) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(address)?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            poll,
            listener,
            mode,
            connections: Vec::new(),
            free: Vec::new(),
            rooms: HashMap::new(),
            published: 0,
        })
    }

    pub(crate) fn run(&mut self) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut buffer = vec![0; BUFFER_LEN];
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                if event.token() == LISTENER {
                    self.accept()?;
                } else {
                    self.serve(event.token().0, event.is_writable(), &mut buffer);
                }
            }
        }
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if is_later(&error) => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let number = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll
                .registry()
                .register(&mut stream, Token(number), interest)?;
            self.connections[number] = Some(Connection::new(stream));
        }
    }

    fn serve(&mut self, number: usize, writable: bool, buffer: &mut [u8]) {
        let Some(connection) = self.connections.get_mut(number).and_then(Option::as_mut) else {
            return;
        };
        let asked = if writable {
            connection.flush().and_then(|()| connection.read(buffer))
        } else {
            connection.read(buffer)
        };
        let answered = asked.and_then(|asked| {
            asked
                .into_iter()
                .try_for_each(|asked| self.answer(number, asked))
        });
        if answered.is_err() {
            self.close(number);
        }
    }

    fn answer(&mut self, number: usize, asked: Asked) -> io::Result<()> {
        let answer = match asked {
            Asked::Upgrade { key } => connection::accepted(&key, number),
            Asked::Connect => text_frame(format!("40{{\"sid\":\"{number:020}\"}}").as_bytes()),
            Asked::Subscribe { room, ack } => {
                self.rooms.entry(room).or_default().push(number);
                text_frame(format!("43{ack}[{{\"ok\":true}}]").as_bytes())
            }
            Asked::Publish(body) => {
                let messages = draft::read(&body, &mut self.published)?;
                self.fan_out(&messages);
                b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n".to_vec()
            }
        };
        match self.connections[number].as_mut() {
            Some(connection) => connection.write(&answer),
            None => Ok(()),
        }
    }

    /// All messages of one request go to the rooms of the first: the bench publishes no others.
    fn fan_out(&mut self, messages: &[Message]) {
        let Some(first) = messages.first() else {
            return;
        };
        let frames: Vec<&[u8]> = messages.iter().map(|it| it.frame.as_slice()).collect();
        let mut broken = Vec::new();
        for member in first
            .rooms
            .iter()
            .filter_map(|room| self.rooms.get(room))
            .flatten()
        {
            let Some(connection) = self.connections[*member].as_mut() else {
                continue;
            };
            let written = match self.mode {
                Mode::Vectored => connection.write_vectored(&frames),
                Mode::Single => frames.iter().try_for_each(|frame| connection.write(frame)),
            };
            if written.is_err() {
                broken.push(*member);
            }
        }
        for number in broken {
            self.close(number);
        }
    }

    fn close(&mut self, number: usize) {
        let Some(mut connection) = self.connections[number].take() else {
            return;
        };
        let _ = self.poll.registry().deregister(connection.stream_mut());
        for members in self.rooms.values_mut() {
            // Linear, so that a member costs eight bytes: the floor is not about closing.
            members.retain(|member| *member != number);
        }
        self.free.push(number);
    }
}
