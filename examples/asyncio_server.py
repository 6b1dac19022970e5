"""The engine inside an asyncio program: python examples/asyncio_server.py 9000

A TCP server, one diarization session a connection: it reads 16 kHz mono 16-bit PCM until the client shuts down its
side, and writes one JSON line an event. Try: ffmpeg -i talk.mp3 -f s16le -ar 16000 -ac 1 - | nc -N 127.0.0.1 9000
"""

import asyncio
import sys
from collections.abc import AsyncIterator

from turnstream import Diarizer, TurnstreamError, to_json


async def chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while chunk := await reader.read(16_000):
        yield chunk


async def serve(port: int) -> None:
    with Diarizer() as diarizer:

        async def diarize(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                async for event in diarizer.session().stream(chunks(reader)):
                    writer.write(to_json(event).encode() + b"\n")
                    await writer.drain()
            except (ConnectionError, TurnstreamError) as error:
                print(f"a session ended early: {error}", file=sys.stderr)
            finally:
                writer.close()

        server = await asyncio.start_server(diarize, "127.0.0.1", port)
        print(f"listening on port {server.sockets[0].getsockname()[1]}", flush=True)
        async with server:
            await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
