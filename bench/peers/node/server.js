// Node's socket.io with ws, doing the same work as Switchboard for the same commands:
// a token checked at CONNECT, three rooms for each socket, and POST /v1/events to publish.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import jwt from "jsonwebtoken";
import { Server } from "socket.io";

const publicKey = process.env.BENCH_PUBLIC_KEY_FILE;
const key = publicKey ? readFileSync(publicKey) : process.env.BENCH_SECRET;
const algorithms = [publicKey ? "ES256" : "HS256"];
const recovery = process.argv.includes("--recovery");
// The numbers stand in for Switchboard's positions: the last argument of every event.
let published = 0;

const http = createServer((request, response) => {
  if (request.method !== "POST" || request.url !== "/v1/events") {
    response.writeHead(404).end();
    return;
  }
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const body = JSON.parse(Buffer.concat(chunks).toString());
    const drafts = Array.isArray(body) ? body : [body];
    for (const { rooms, event, data } of drafts) {
      published += 1;
      // With recovery, socket.io itself appends an offset.
      if (recovery) io.to(rooms).emit(event, data);
      else io.to(rooms).emit(event, data, `0123456789abcdef-${published}`);
    }
    response.writeHead(202, { "content-length": 0 }).end();
  });
});

const io = new Server(http, {
  serveClient: false,
  ...(recovery ? { connectionStateRecovery: { skipMiddlewares: false } } : {}),
});

// What its documentation advises for many connections: let go of the upgrade request.
io.engine.on("connection", (raw) => {
  raw.request = null;
});

io.use((socket, next) => {
  jwt.verify(socket.handshake.auth.token, key, { algorithms }, (error, claims) => {
    if (error) return next(new Error("unauthorized"));
    socket.data = claims;
    next();
  });
});

io.on("connection", (socket) => {
  const { userId, tenantId } = socket.data;
  socket.join([`user:${userId}`, `team:${tenantId}`]);
  socket.on("subscribe:whatsapp", (id, ack) => {
    const room = `whatsapp:${id}`;
    if (!socket.data.rooms.includes("whatsapp:*") && !socket.data.rooms.includes(room)) {
      return ack({ ok: false, error: { code: "forbidden" } });
    }
    socket.join(room);
    ack({ ok: true, room });
  });
});

http.listen(0, "127.0.0.1", () => {
  const { address, port } = http.address();
  console.error(JSON.stringify({ message: "listening", address: `${address}:${port}` }));
});
