"""A client for tests: the real `openai` package, or a bare socket, with the oracle hearing every frame."""

import asyncio
import base64
import functools
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from websockets.asyncio.client import ClientConnection, connect

from pipeline.audio.codecs import bytes_per_sample, encode
from pipeline.config import FormatType
from tests.conformance.oracle import Oracle

__all__ = ["ECHO", "FENCE", "RATE", "Event", "Reply", "Talk", "bare_socket", "openai_client", "talk"]

Event = dict[str, Any]

ECHO = "builtin/echo"
RATE = 24_000  # Hertz: PCM on the wire unless a session says otherwise
FENCE = "resp_fence"  # a response that never was, see `Talk.settle`

FRAME_LIMIT = 1024 * 1024  # bytes: the default of the websockets package, under which pipecat reads

# Seconds. Guards against a server that never answers; nothing ever waits for this to pass.
PATIENCE = 20.0


class Wire(Protocol):
    """One connection, however it was made."""

    async def send(self, data: str | bytes) -> None:
        """Send one frame: text or binary."""

    async def send_event(self, event: Event) -> None:
        """Send one event the way this kind of client does it."""

    async def receive(self) -> str | bytes:
        """The next frame."""


class SdkWire:
    """The real SDK's asynchronous connection."""

    def __init__(self, connection: AsyncRealtimeConnection) -> None:
        self.connection = connection

    async def send(self, data: str | bytes) -> None:
        await self.connection.send_raw(data)

    async def send_event(self, event: Event) -> None:
        await self.connection.send(event)  # type: ignore[arg-type]  # a plain dict of the right shape

    async def receive(self) -> bytes:
        data = await self.connection.recv_bytes()
        parsed = self.connection.parse_event(data)
        assert parsed.type == json.loads(data)["type"]  # the SDK itself can read what it got
        return data


class SocketWire:
    """A bare WebSocket, for what the SDK would never send."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def send(self, data: str | bytes) -> None:
        await self.socket.send(data)

    async def send_event(self, event: Event) -> None:
        await self.socket.send(json.dumps(event))

    async def receive(self) -> str | bytes:
        return await self.socket.recv()


# Events of a response that name only their item.
_BY_ITEM = ("conversation.item.added", "conversation.item.done", "response.mcp_call.")


@dataclass(frozen=True, slots=True)
class Reply:
    """One response, from response.created to response.done."""

    events: list[Event]  # only those of this response and its items
    response: Event  # as in response.done

    @property
    def types(self) -> list[str]:
        """The types of its events, in order; runs of the same type count once."""
        kinds = [event["type"] for event in self.events]
        return [kind for index, kind in enumerate(kinds) if index == 0 or kinds[index - 1] != kind]

    @property
    def text(self) -> str:
        """What was said or written."""
        kinds = ("response.output_text.delta", "response.output_audio_transcript.delta")
        return "".join(event["delta"] for event in self.events if event["type"] in kinds)

    @property
    def audio(self) -> bytes:
        """The speech, in the output format."""
        kind = "response.output_audio.delta"
        return b"".join(base64.b64decode(event["delta"]) for event in self.events if event["type"] == kind)

    @property
    def calls(self) -> list[Event]:
        """The function calls among its output."""
        return [item for item in self.response["output"] if item["type"] == "function_call"]

    @property
    def status(self) -> str:
        return str(self.response["status"])

    @property
    def reason(self) -> str | None:
        """Why it did not complete."""
        return (self.response["status_details"] or {}).get("reason")


@dataclass(slots=True)
class Talk:
    """One connection: everything that it receives goes through the oracle, which fails the test."""

    wire: Wire
    oracle: Oracle = field(default_factory=Oracle)
    events: list[Event] = field(default_factory=list)  # everything received, in order
    session: Event = field(default_factory=dict)  # as the server showed it last
    sent: list[Event] = field(default_factory=list)  # every event, in order

    # --- sending --------------------------------------------------------------------------------------

    async def send(self, type: str, **members: Any) -> str:
        """Send an event; returns its `event_id`, made up unless given."""
        event = {"type": type, "event_id": f"mine_{len(self.sent) + 1}"} | members
        self.sent.append(event)
        self.oracle.sent(event)
        await self.wire.send_event(event)
        return str(event["event_id"])

    async def send_frame(self, data: str | bytes) -> None:
        """Send any frame, however broken."""
        await self.wire.send(data)

    async def append(
        self, pcm: bytes, chunk_ms: int = 100, rate: int = RATE, type: FormatType = "audio/pcm"
    ) -> None:
        """Send PCM16 at `rate` as samples of that format, faster than real time."""
        data, size = encode(pcm, type), bytes_per_sample(type) * rate * chunk_ms // 1000
        for start in range(0, len(data), size):
            audio = base64.b64encode(data[start : start + size]).decode()
            await self.send("input_audio_buffer.append", audio=audio)

    # --- receiving ------------------------------------------------------------------------------------

    async def receive(self) -> Event:
        """The next event, judged by the oracle."""
        async with asyncio.timeout(PATIENCE):
            data = await self.wire.receive()
        event: Event = json.loads(data)
        # A retrieved item is as long as its audio; any other frame has to suit clients that stop at 1 MiB.
        assert len(data) < FRAME_LIMIT or event["type"] == "conversation.item.retrieved"
        self.events.append(event)
        self.oracle.received(event)
        if event["type"] in ("session.created", "session.updated"):
            self.session = event["session"]
        return event

    async def until(self, wanted: str | Callable[[Event], bool]) -> list[Event]:
        """All events up to the one of that type, or for which `wanted` holds; it is the last of them."""
        received: list[Event] = []
        while True:
            event = await self.receive()
            received.append(event)
            if event["type"] == wanted if isinstance(wanted, str) else wanted(event):
                return received

    async def settle(self) -> list[Event]:
        """Everything that the server sends until it has handled all that was sent so far.

        Events are handled in the order of their arrival, so the answer to a cancellation of a response that
        never was comes last.
        """
        fence = await self.send("response.cancel", response_id=FENCE)
        return (await self.until(lambda event: _answers(event, fence)))[:-1]

    async def error(self) -> Event:
        """The next event, which has to be an error: its inner object."""
        event = await self.receive()
        assert event["type"] == "error", f"expected an error, got {event}"
        inner: Event = event["error"]
        return inner

    # --- whole exchanges ------------------------------------------------------------------------------

    async def update(self, **session: Any) -> Event:
        """Change the session; its new state."""
        id = await self.send("session.update", session={"type": self.session["type"]} | session)
        for event in await self.settle():
            assert not _answers(event, id), f"the update was refused: {event}"
        return self.session

    async def add(self, item: Event, **members: Any) -> Event:
        """Add an item to the conversation; the item as the server keeps it."""
        id = await self.send("conversation.item.create", item=item, **members)
        event = await self.receive()
        while event["type"] != "conversation.item.added" or event["item"]["type"] != item["type"]:
            assert not _answers(event, id), f"the item was refused: {event}"
            event = await self.receive()
        item_id = event["item"]["id"]
        done = await self.until(
            lambda e: e["type"] == "conversation.item.done" and e["item"]["id"] == item_id
        )
        kept: Event = done[-1]["item"]
        return kept

    async def type(self, text: str, **members: Any) -> Event:
        """Add a typed user message."""
        content = [{"type": "input_text", "text": text}]
        return await self.add({"type": "message", "role": "user", "content": content}, **members)

    async def respond(self, **response: Any) -> Reply:
        """Ask for a response and wait for its end."""
        await self.send("response.create", **({"response": response} if response else {}))
        return await self.reply()

    async def ask(self, text: str, **response: Any) -> Reply:
        """Type something and wait for the whole answer."""
        await self.type(text)
        return await self.respond(**response)

    async def start(self, text: str | None = None, **response: Any) -> str:
        """Begin a response, after typing something; its id, once the server has announced it."""
        if text is not None:
            await self.type(text)
        await self.send("response.create", **({"response": response} if response else {}))
        return str((await self.until("response.created"))[-1]["response"]["id"])

    async def reply(self, id: str | None = None) -> Reply:
        """The response with this id, or the next to be created, once it is done."""
        if id is None:
            id = (await self.until("response.created"))[-1]["response"]["id"]
        if not self.oracle.sequence.responses[id].over:
            await self.until(lambda e: e["type"] == "response.done" and e["response"]["id"] == id)
        while self.oracle.sequence.limits_owed:
            await self.receive()
        return self.reply_so_far(id)

    def reply_so_far(self, id: str) -> Reply:
        """What was received of a response until now."""
        events = []
        items: set[str] = set()
        response: Event = {}
        for event in self.events:
            item = event.get("item") or {}
            if event.get("response_id") == id and item:
                items.add(item["id"])
            if event.get("response", {}).get("id") == id:
                response = event["response"]
                events.append(event)
            elif event.get("response_id") == id or _item_of(event) in items:
                events.append(event)
        return Reply(events, response)

    async def items(self) -> list[str]:
        """The ids of the conversation, in order, each of them known to the server as well."""
        for id in self.oracle.sequence.order:
            await self.send("conversation.item.retrieve", item_id=id)
            (await self.until("conversation.item.retrieved"))[-1]
        return list(self.oracle.sequence.order)


def _item_of(event: Event) -> str | None:
    """The item of an event that names only that, not the response that it belongs to."""
    if not event["type"].startswith(_BY_ITEM):
        return None
    return str(event["item_id"] if "item_id" in event else event["item"]["id"])


def _answers(event: Event, event_id: str) -> bool:
    """Whether this is an error about that client event."""
    return bool(event["type"] == "error" and event["error"]["event_id"] == event_id)


def openai_client(server_url: str, api_key: str = "not needed") -> AsyncOpenAI:
    """The real SDK, pointed at a server of ours."""
    return AsyncOpenAI(api_key=api_key, base_url=f"{server_url}/v1", max_retries=0)


@functools.cache
def _shared_client(server_url: str) -> AsyncOpenAI:
    """Its HTTP side is never used, so event loops may share it; making one takes longer than many a test."""
    return openai_client(server_url)


@asynccontextmanager
async def talk(
    server_url: str,
    model: str | None = ECHO,
    *,
    text: bool = False,
    query: Mapping[str, str] | None = None,
    **session: Any,
) -> AsyncIterator[Talk]:
    """A connection of the real SDK; `session` (and `text` for written replies) is applied first.

    `query` is added to the URL, such as `{"profile": "openai"}`.
    """
    options: Any = {"model": model} if model else {}
    extra = dict(query or {})
    async with _shared_client(server_url).realtime.connect(extra_query=extra, **options) as connection:
        talk = Talk(SdkWire(connection))
        await _converse(talk)
        if text or session:
            await talk.update(**({"output_modalities": ["text"]} if text else {}) | session)
        yield talk
        await _part(talk)


@asynccontextmanager
async def bare_socket(server_url: str, model: str = ECHO) -> AsyncIterator[Talk]:
    """A connection without the SDK, for frames that it would not send."""
    url = f"{server_url.replace('http', 'ws', 1)}/v1/realtime?model={model}"
    async with connect(url, max_size=None, compression=None, proxy=None) as socket:
        talk = Talk(SocketWire(socket))
        await _converse(talk)
        yield talk
        await _part(talk)


async def _converse(talk: Talk) -> None:
    first = await talk.receive()
    assert first["type"] == "session.created"


async def _part(talk: Talk) -> None:
    """Leave only once everything is over, so that the oracle sees all of it."""
    await talk.settle()
    while talk.oracle.sequence.finished():
        await talk.receive()
