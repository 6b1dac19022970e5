"""Corrections over real sockets: one session told and corrected by clients, lost connections and servers included."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from server_kit import STOP, Listener, follow, hear_out, pcm, run, serving
from silent_diarizer import steady
from tcp_proxy import proxy_to
from test_snapshot import hums
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

from turnstream.clients.remote.client import Client
from turnstream.clients.remote.connection import ClientError
from turnstream.clients.remote.session import RemoteSession
from turnstream.errors import CorrectionError
from turnstream.events import Final, Revision, Speaker, Turn
from turnstream.protocol.messages import Answer, Assign, Merge, Name, Start, Undo, encode

START = Start(sample_rate_hz=8000)


@pytest.fixture
def diarizer() -> Any:
    return steady()


@pytest.fixture(scope="module")
def audio() -> bytes:
    return pcm(hums(5, 21.0), "pcm_s16le", 8000)


class Told:
    """What the events of a client say by now."""

    def __init__(self, client: Client):
        self.client = client
        self.table: dict[str, Turn] = {}
        self.speakers: dict[str, Speaker] = {}

    async def until(self, speakers: int) -> None:
        """Listens until so many speakers have turns."""
        while len({turn.speaker for turn in self.table.values()} - {None}) < speakers:
            await asyncio.sleep(0.02)
            self.read()

    def read(self) -> None:
        for event in self.client.waiting():
            follow(event, self.table)
            if isinstance(event, Speaker):
                self.speakers[event.id] = event

    def turn_of(self, speaker: str) -> Turn:
        return next(turn for turn in self.table.values() if turn.speaker == speaker)


def test_a_client_merges_moves_and_takes_back(diarizer: Any, audio: bytes) -> None:
    async def session() -> tuple[Final, Turn]:
        async with serving(diarizer) as (_, url), Client(url, START) as client:
            told = Told(client)
            await client.send(audio[: len(audio) * 2 // 3])
            await told.until(3)
            before = dict(told.table)
            with pytest.raises(CorrectionError, match="expected a correction to undo, got none"):
                await client.undo()
            await client.merge("S3", "S2")
            told.read()
            assert {turn.speaker for turn in told.table.values()} == {"S1", "S2"}
            assert (told.speakers["S3"].state, told.speakers["S3"].into) == ("merged", "S2")
            await client.undo()
            told.read()
            assert {id_: told.table[id_].speaker for id_ in before} == {i: t.speaker for i, t in before.items()}
            turn = told.turn_of("S2")
            assert await client.assign(turn.id, "new") == "S4"
            await client.name("S1", "Anna")
            with pytest.raises(CorrectionError) as caught:
                await client.name("S4", "anna")
            assert (caught.value.code, caught.value.speaker) == ("name_in_use", "S1")
            await client.merge("S4", "S1")
            with pytest.raises(CorrectionError, match="expected a turn of this stream, got T999"):
                await client.assign("T999", "S1")
            await client.send(audio[len(audio) * 2 // 3 :])
            return await client.finish(), turn

    final, turn = asyncio.run(asyncio.wait_for(session(), 60))
    assert {talk.speaker for talk in final.speakers} == {"S1", "S2", "S3"}
    here = [t for t in final.turns if t.start_s < turn.end_s - 0.3 and turn.start_s + 0.3 < t.end_s]
    assert "S1" in {t.speaker for t in here}
    assert "S2" not in {t.speaker for t in here}
    assert {t.name for t in final.turns if t.speaker == "S1"} == {"Anna"}


def test_a_request_that_came_before_is_not_done_again(diarizer: Any, audio: bytes) -> None:
    """A merge, taken back, whose answers never reach the client: it asks again on the next connection."""

    async def session() -> tuple[list[Answer], list[Revision], Final]:
        async with serving(diarizer) as (_, url):
            listener = Listener()
            async with connect(url + "/v1", max_size=None) as socket:
                await socket.send(encode(START))
                await socket.send(audio)
                while not any(turn.speaker == "S3" for turn in listener.table.values()):
                    listener.hear(await socket.recv())
                turn = next(turn.id for turn in listener.table.values() if turn.speaker == "S3")
                for request in (Merge("S3", "S1", id=1), Undo(id=2), Assign(turn, "S2", id=3)):
                    await socket.send(encode(request))
                while not any(isinstance(message, Answer) for message in listener.messages):
                    listener.hear(await socket.recv())
                await asyncio.sleep(0.3)
            async with connect(url + "/v1", max_size=None) as socket:
                await socket.send(encode(Start(session=listener.started.session, seq=listener.seq)))
                for request in (Undo(id=2), Assign(turn, "S2", id=3), Name("S1", "S", id=4)):
                    await socket.send(encode(request))
                await socket.send(STOP)
                assert await hear_out(socket, listener) == 1000
            answers = [message for message in listener.messages if isinstance(message, Answer)]
            revisions = [m for m in listener.messages if isinstance(m, Revision) and m.reason == "corrected"]
            return answers, revisions, listener.final

    answers, revisions, final = asyncio.run(asyncio.wait_for(session(), 60))
    assert [(answer.id, answer.request, answer.code) for answer in answers] == [
        (1, "merge", None),
        (2, "undo", None),
        (3, "assign", None),
        (4, "name", None),
    ]
    assert [(revision.old, revision.new) for revision in revisions] == [("S3", "S1"), ("S1", "S3"), ("S3", "S2")]
    assert {talk.speaker for talk in final.speakers} == {"S1", "S2", "S3"}


def test_who_knows_no_answers_is_refused_a_name_in_use_and_goes_on(diarizer: Any, audio: bytes) -> None:
    """A client of before: `name` as it always was, messages of unknown types ignored."""

    async def session() -> Listener:
        async with serving(diarizer) as (_, url), connect(url + "/v1", max_size=None) as socket:
            listener = Listener()
            await socket.send(encode(START))
            await socket.send(audio)
            while not any(turn.speaker == "S2" for turn in listener.table.values()):
                listener.hear(await socket.recv())
            for speaker in ("S1", "S2"):
                await socket.send(json.dumps({"type": "name", "speaker": speaker, "name": "Anna"}))
            await socket.send(STOP)
            assert await hear_out(socket, listener) == 1000
            return listener

    listener = asyncio.run(asyncio.wait_for(session(), 60))
    (answer,) = [message for message in listener.messages if isinstance(message, Answer)]
    assert (answer.id, answer.request, answer.code, answer.speaker) == (None, "name", "name_in_use", "S1")
    assert answer.message == "S1 is called Anna already: merge S2 into S1, or take the name from S1"
    assert {talk.speaker: talk.name for talk in listener.final.speakers if talk.name} == {"S1": "Anna"}


def test_corrections_survive_the_server(diarizer: Any, audio: bytes, tmp_path: Path) -> None:
    async def session() -> Final:
        options = {"store": str(tmp_path), "snapshot_s": 60.0, "status_s": 0.1}
        async with (
            serving(diarizer, **options) as (_, first),
            serving(diarizer, **options) as (_, second),
            proxy_to(first) as proxy,
            Client(proxy.url, START) as client,
        ):
            told = Told(client)
            await client.send(audio[: len(audio) * 2 // 3])
            await told.until(3)
            await client.merge("S3", "S1")
            await client.merge("S2", "S1")
            await client.undo()
            await asyncio.sleep(0.4)
            proxy.server_port = int(second.rsplit(":", 1)[1])
            proxy.cut()
            await client.send(audio[len(audio) * 2 // 3 :])
            return await client.finish()

    final = asyncio.run(asyncio.wait_for(session(), 60))
    assert [talk.speaker for talk in final.speakers] == ["S1", "S2"]
    assert final.statistics
    assert final.statistics.resumes == 1


def test_the_session_without_asyncio_corrects_as_well(diarizer: Any, audio: bytes) -> None:
    async def session() -> None:
        async with serving(diarizer) as (_, url):
            await asyncio.to_thread(correct, url)

    def correct(url: str) -> None:
        samples = hums(5)[:, None].astype("f4")
        with RemoteSession(url, sample_rate_hz=16_000, channels=1) as remote:
            events = remote.feed(samples)
            while not any(isinstance(event, Speaker) and event.id == "S2" for event in events):
                events += remote.feed(samples[:800])
            assert any(isinstance(event, Speaker) for event in remote.merge("S2", "S1"))
            remote.undo()
            remote.assign("T1", "new")
            remote.name("S2", "Anna")
            remote.flush()
            assert "Anna" in {talk.name for talk in remote.close().speakers}

    run(session())


def test_who_leaves_while_the_connection_closes_leaves_none_open(
    diarizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    closing: list[ClientConnection] = []

    async def unanswered(socket: ClientConnection) -> None:
        closing.append(socket)
        await asyncio.Event().wait()

    def leave(url: str) -> None:
        with RemoteSession(url, sample_rate_hz=16_000, channels=1) as remote:
            remote.feed(hums(5)[:8000, None].astype("f4"))
            remote.flush()
            while not closing:
                time.sleep(0.001)

    async def session() -> None:
        async with serving(diarizer) as (_, url):
            await asyncio.to_thread(leave, url)

    monkeypatch.setattr(ClientConnection, "close", unanswered)
    run(session())
    (socket,) = closing
    assert socket.transport.is_closing()


def test_a_server_of_before_is_asked_only_what_it_knows() -> None:
    """It refuses fields that it does not know; names are told to it as they always were."""
    config = {"encoding": "pcm_s16le", "sample_rate": 8000, "channels": 1, "latency": 1.0, "provisional": True}
    model = {"name": "turnstream 0", "segmentation": "", "embedding": "", "hop": 0.5}
    limits = {"message_bytes": 65536, "idle": 60.0, "session": 60.0, "resume": 60.0}
    head = {"version": 1, "session": "s", "resumed": False, "position": 0, "model": model, "limits": limits}
    appeared = {"speaker": "S1", "state": "appeared", "name": None, "confidence": None, "into": None, "at": 1.0}
    heard: list[dict[str, Any]] = []

    async def old(socket: ServerConnection) -> None:
        async for frame in socket:
            heard.append(json.loads(frame))
            if heard[-1]["type"] == "start":
                started = {**head, "config": {**config, "activity": False, "speakers": []}}
                await socket.send(json.dumps({"type": "started", "seq": 1, **started}))
                await socket.send(json.dumps({"type": "speaker", "seq": 2, **appeared}))

    async def session() -> None:
        async with serve(old, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            async with Client(f"ws://127.0.0.1:{port}", START) as client:
                async for event in client:
                    if isinstance(event, Speaker):
                        break
                await client.name("S1", "Anna", take=True)
                with pytest.raises(ClientError, match="does not take corrections"):
                    await client.merge("S2", "S1")
                while len(heard) < 2:
                    await asyncio.sleep(0.01)

    run(session())
    assert heard[1:] == [{"type": "name", "speaker": "S1", "name": "Anna"}]
