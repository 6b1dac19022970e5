"""What clients ask of a session besides hearing audio: names and corrections, each done once and answered."""

from __future__ import annotations

from typing import cast

from ..errors import CorrectionError, TurnstreamError
from ..events import Event, Revision, Speaker
from ..people.naming import check_name
from ..protocol.messages import Answer, Assign, Merge, Name, Request, RequestType
from ..session import Session
from ..wire import ProtocolError
from .client_view import ClientView


def check_request(request: Request, view: ClientView) -> None:
    """Raises ProtocolError for a name for a speaker who has not appeared, and for one that nobody can have."""
    if isinstance(request, Name):
        view.check_speaker(request.speaker)
        if request.name is not None:
            _check_name(request.name)


def answer_request(request: Request, engine: Session, view: ClientView) -> list[Event | Answer]:
    """Do it, where it is no repetition; the events of that for the client, and the answer, if it waits for one."""
    if not view.is_new(request.id):
        return []
    try:
        events = _do(request, engine)
    except CorrectionError as error:
        return [Answer(request.id, _type(request), error.code, str(error), error.speaker)]
    answer = Answer(request.id, _type(request), None, None, _speaker(request, events))
    return [*view.select(events), *([] if request.id is None else [answer])]


def _do(request: Request, engine: Session) -> list[Event]:
    match request:
        case Name():
            return engine.name(request.speaker, request.name, take=request.take)
        case Merge():
            return engine.merge(request.speaker, request.into)
        case Assign():
            return engine.assign(request.turn, request.speaker)
        case _:
            return engine.undo()


def _speaker(request: Request, events: list[Event]) -> str | None:
    """Whom the answer names: those who were asked for may have been merged into others before."""
    if isinstance(request, Merge):
        return next(event.into for event in events if isinstance(event, Speaker) and event.state == "merged")
    if isinstance(request, Assign):
        return next((event.new for event in events if isinstance(event, Revision)), request.speaker)
    return None


def _type(request: Request) -> RequestType:
    return cast(RequestType, type(request).__name__.lower())


def _check_name(name: str) -> None:
    try:
        check_name(name)
    except TurnstreamError:
        raise ProtocolError("a name that is not what turnstream calls speakers itself", name, "name") from None
