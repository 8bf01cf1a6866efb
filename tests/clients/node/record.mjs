// Loaded before a program (node --import): notes every event on its sockets in the file PARLEY_RECORD, one line
// each, in the order in which the client sent or received it. Changes nothing on the way.
import { appendFileSync } from "node:fs";
import { WebSocket } from "ws";

const note = (side, data) => appendFileSync(process.env.PARLEY_RECORD, `${side} ${data}\n`);

const { send, emit } = WebSocket.prototype;

WebSocket.prototype.send = function (data, ...rest) {
  note("sent", data);
  return send.call(this, data, ...rest);
};

WebSocket.prototype.emit = function (name, ...rest) {
  if (name === "message") note("received", rest[0]);
  return emit.call(this, name, ...rest);
};
