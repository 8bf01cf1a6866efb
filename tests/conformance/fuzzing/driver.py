"""Sends frames over real sockets of every kind of connection, and checks everything that comes back."""

import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.conformance.beta_client import BetaTalk
from tests.conformance.client import Event, SocketWire, Talk
from tests.conformance.fuzzing.mutations import mutate
from tests.conformance.published import DialectName

__all__ = ["KINDS", "FaultError", "Frame", "Kind", "frames_of", "play", "shortest"]

Frame = str | bytes
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to connect."""

    name: str
    query: str
    dialect: DialectName = "ga"

    @property
    def transcribes(self) -> bool:
        return "intent=transcription" in self.query


KINDS = (
    Kind("a session", "model=builtin/echo"),
    Kind("a strict session", "model=builtin/echo&profile=openai"),
    Kind("a transcription session", "intent=transcription"),
    Kind("a strict transcription session", "intent=transcription&profile=openai"),
    Kind("a beta session", "model=builtin/echo", "beta"),
    Kind("a beta transcription session", "intent=transcription", "beta"),
)

_PIPELINED = 100  # frames under way at once
_WATCHED = ("server", "pipeline", "providers", "asyncio", "uvicorn")  # loggers

# What each of these gets unless it gets an error. The others may cause events of their own accord.
_ANSWERS: Mapping[str, str] = {
    "session.update": "session.updated",
    "input_audio_buffer.clear": "input_audio_buffer.cleared",
    "conversation.item.retrieve": "conversation.item.retrieved",
    "conversation.item.delete": "conversation.item.deleted",
    "conversation.item.truncate": "conversation.item.truncated",
}


class FaultError(AssertionError):
    """The server did something that it must never do."""


class _Errors(logging.Handler):
    """What the server itself takes for an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.split(".")[0] in _WATCHED:
            self.lines.append(self.format(record))


def frames_of(bases: Sequence[Event], seed: int, variants: int) -> list[Frame]:
    """Each event as it is and so many near misses of it, all mixed."""
    random = Random(seed)
    frames = [
        frame
        for base in bases
        for frame in (json.dumps(base), *(mutate(base, random) for _ in range(variants)))
    ]
    random.shuffle(frames)  # so that different events meet
    return frames


async def play(server_url: str, kind: Kind, frames: Sequence[Frame]) -> None:
    """One connection from its beginning to a last written turn; raises `FaultError`."""
    errors = _Errors()
    logging.getLogger().addHandler(errors)
    try:
        async with _connected(server_url, kind) as session:
            for start in range(0, len(frames), _PIPELINED):
                await _send(session, frames[start : start + _PIPELINED], start)
            await _answer_once_more(session, kind)
    except ConnectionClosed as closed:
        raise FaultError(f"the connection was closed: {closed}") from closed
    except TimeoutError as late:
        raise FaultError("the server did not answer") from late
    except FaultError:
        raise
    except AssertionError as error:  # of the oracle and of the client
        raise FaultError(str(error)) from error
    finally:
        logging.getLogger().removeHandler(errors)
    if errors.lines:
        raise FaultError("the server logged an error:\n" + "\n".join(errors.lines))


@asynccontextmanager
async def _connected(server_url: str, kind: Kind) -> AsyncIterator[Talk]:
    url = f"{server_url.replace('http', 'ws', 1)}/v1/realtime?{kind.query}"
    beta = kind.dialect == "beta"
    headers = {"OpenAI-Beta": "realtime=v1"} if beta else {}
    async with connect(
        url, max_size=None, compression=None, proxy=None, ping_interval=None, additional_headers=headers
    ) as socket:
        session = (BetaTalk if beta else Talk)(SocketWire(socket))
        await session.receive()
        if beta:
            await session.until("conversation.created")
        yield session


async def _send(session: Talk, frames: Sequence[Frame], first: int) -> None:
    """Send them all, then see that each was answered once, or at most once where no answer is due."""
    nameless = 0
    kinds: dict[str, str] = {}
    for number, frame in enumerate(frames, first):
        named = _named(frame, f"frame_{number}")
        nameless += named is None
        if named is not None:
            session.oracle.sent(named)
            kinds[named["event_id"]] = str(named.get("type"))
        await session.send_frame(frame if named is None else json.dumps(named))
    answers = await session.settle()
    _check_answers(answers, kinds, nameless)
    for id in list(session.oracle.sequence.order):
        await session.send("conversation.item.delete", item_id=id)
    await session.settle()


def _check_answers(answers: Sequence[Event], kinds: Mapping[str, str], nameless: int) -> None:
    """`kinds`: the type of each event by its id; `nameless`: how many frames had no id to be named by."""
    errors = [answer["error"] for answer in answers if answer["type"] == "error"]
    for error in errors:
        if error["type"] != "invalid_request_error" or not error["code"] or not error["message"]:
            raise FaultError(f"an error that is not the client's: {error}")
    refused = [error["event_id"] for error in errors if error["event_id"]]
    if len(set(refused)) < len(refused):
        raise FaultError(f"one event was refused twice: {refused}")
    if len(errors) - len(refused) != nameless:
        raise FaultError(f"{nameless} frames were no events, {len(errors) - len(refused)} errors say so")
    due = Counter(kinds.values()) - Counter(kinds[id] for id in refused)
    seen = Counter(answer["type"].removeprefix("transcription_") for answer in answers)
    due["session.update"] += due.pop("transcription_session.update", 0)
    for kind, answer in _ANSWERS.items():
        if due[kind] != seen[answer]:
            raise FaultError(f"{due[kind]} times {kind} made {seen[answer]} times {answer}")


def _named(frame: Frame, event_id: str) -> Event | None:
    """The event in a frame, with an id of ours; None where there is none, or one that cannot have an id."""
    if isinstance(frame, bytes):
        return None
    try:
        event = json.loads(frame, parse_constant=lambda _: 1 / 0)
    except (ValueError, RecursionError, ZeroDivisionError):
        return None
    if not isinstance(event, dict) or not isinstance(event.get("event_id"), str | None):
        return None
    return event | {"event_id": event_id}


async def _answer_once_more(session: Talk, kind: Kind) -> None:
    """Whatever was sent before, the session still does what it is for."""
    if kind.transcribes:
        await session.send("input_audio_buffer.clear")
        await session.until("input_audio_buffer.cleared")
        return
    plain = {"output_modalities": ["text"], "tools": [], "tool_choice": "auto", "instructions": ""}
    quiet = {"audio": {"input": {"turn_detection": None}}, "prompt": None}
    await session.send("session.update", session={"type": "realtime", **plain, **quiet})
    await session.until("session.updated")
    for id, response in session.oracle.sequence.responses.items():
        if not response.over:
            await session.send("response.cancel", response_id=id)
    content = [{"type": "input_text", "text": "Still there?"}]
    own = {"input": [{"type": "message", "role": "user", "content": content}], "max_output_tokens": "inf"}
    await session.settle()
    reply = await session.respond(conversation="none", **own)
    if reply.text != "You said: Still there?":
        raise FaultError(f"the session does not answer any more: {reply.response}")


async def shortest(items: list[T], fails: Callable[[list[T]], Awaitable[bool]], tries: int = 60) -> list[T]:
    """As few of the items as still fail, found by leaving out halves, quarters and so on."""
    kept, step = list(items), max(1, len(items) // 2)
    while step:
        start = 0
        while start < len(kept) and tries:
            tries -= 1
            fewer = kept[:start] + kept[start + step :]
            if await fails(fewer):
                kept = fewer
            else:
                start += step
        step //= 2
    return kept
