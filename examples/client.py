"""A recording on a server: python examples/client.py 127.0.0.1:8765 talk.wav (start one with: turnstream serve)"""

import asyncio
import sys

import soundfile

from turnstream import Client, Revision, Speaker, Start, Turn


async def main(address: str, path: str) -> None:
    with soundfile.SoundFile(path) as recording:
        start = Start(sample_rate_hz=recording.samplerate, channels=recording.channels)
        async with Client(address, start) as client:

            async def show() -> None:
                async for event in client:
                    if isinstance(event, Turn | Revision | Speaker):
                        print(event)

            shown = asyncio.create_task(show())
            for block in recording.blocks(recording.samplerate // 10, dtype="int16", always_2d=True):
                await client.send(block.tobytes())  # waits if the server is behind
            final = await client.finish()
            await shown
            print(final.to_rttm("talk"), end="")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
