"""What was asked of the server and not answered yet: asked again on every new connection, done once."""

from __future__ import annotations

from dataclasses import replace

from turnstream.errors import CorrectionError
from turnstream.events import Speaker
from turnstream.protocol.messages import Answer, Name, Request


class Requests:
    """Names and corrections of one session, in order. `begin` with every connection, then send what `take` gives."""

    def __init__(self) -> None:
        self._open: dict[int, Request] = {}
        self._unsent: list[int] = []
        self._answers: dict[int, Answer] = {}
        self._last = 0
        self.is_answered = False  # by a server that knows corrections

    def __len__(self) -> int:
        return len(self._unsent)

    def begin(self, is_answered: bool) -> None:
        """A new connection has carried none of them."""
        self._unsent, self.is_answered = list(self._open), is_answered

    def add(self, request: Request) -> int:
        """One more; its number."""
        self._last += 1
        self._open[self._last] = replace(request, id=self._last)
        self._unsent.append(self._last)
        return self._last

    def take(self) -> Request | None:
        """The next one to send."""
        request = self._open.get(self._unsent.pop(0))
        if isinstance(request, Name) and not self.is_answered:
            return replace(request, id=None, take=False)
        return request

    def answered(self, answer: Answer) -> None:
        """The server's answer."""
        if answer.id in self._open:
            del self._open[answer.id]
            self._answers[answer.id] = answer

    def named(self, event: Speaker) -> None:
        """A server that does not answer shows by its events what it did."""
        for number, request in list(self._open.items()):
            done = isinstance(request, Name) and (request.speaker, request.name) == (event.id, event.name)
            if done and not self.is_answered:
                del self._open[number]

    def has_answer(self, number: int) -> bool:
        """Whether the answer has come."""
        return number in self._answers

    def result(self, number: int) -> str | None:
        """The speaker whom the answer names. Raises CorrectionError where the request was refused."""
        answer = self._answers.pop(number)
        if answer.code is not None:
            raise CorrectionError(answer.code, answer.message or answer.code, answer.speaker)
        return answer.speaker
