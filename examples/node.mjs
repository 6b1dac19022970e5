// A recording on a server, without packages (Node 22; Node 20 needs --experimental-websocket):
//   ffmpeg -i talk.mp3 -f s16le -ar 16000 -ac 1 talk.pcm
//   node examples/node.mjs ws://127.0.0.1:8765/v1 talk.pcm
import { readFile } from "node:fs/promises";

const [url, path, sampleRate = "16000"] = process.argv.slice(2);
const audio = await readFile(path);
const turns = new Map();
const socket = new WebSocket(url, "turnstream.v1");

socket.onopen = async () => {
  socket.send(JSON.stringify({ type: "start", encoding: "pcm_s16le", sample_rate: Number(sampleRate), latency: 1 }));
  for (let at = 0; at < audio.length; at += 32000) {
    while (socket.bufferedAmount > 64000) await new Promise((done) => setTimeout(done, 20));
    socket.send(audio.subarray(at, at + 32000));
  }
  socket.send(JSON.stringify({ type: "stop" }));
};

socket.onmessage = ({ data }) => {
  const message = JSON.parse(data);
  switch (message.type) {
    case "turn":
      if (message.state === "retracted") turns.delete(message.id);
      else turns.set(message.id, message);
      if (message.state === "committed") console.error(`${message.start} - ${message.end} ${message.speaker ?? "?"}`);
      break;
    case "revision":
      for (const id of message.turns) if (turns.has(id)) turns.get(id).speaker = message.to;
      console.error(`${message.turns}: ${message.from ?? "?"} -> ${message.to ?? "?"}`);
      break;
    case "final":
      process.stdout.write(message.rttm);
      break;
    case "error":
      console.error(message.message);
      process.exitCode = 1;
  }
};

socket.onclose = ({ code }) => process.exit(code === 1000 ? process.exitCode ?? 0 : 1);
