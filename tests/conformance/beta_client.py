"""The beta client of the real `openai` package for tests, with the oracle hearing every frame."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from openai import AsyncOpenAI
from openai.resources.beta.realtime.realtime import AsyncRealtimeConnection

from tests.conformance.client import ECHO, Event, Reply, Talk
from tests.conformance.oracle import Oracle

__all__ = ["BetaTalk", "beta_openai_client", "beta_talk"]


class BetaWire:
    """The SDK's asynchronous connection in the beta dialect."""

    def __init__(self, connection: AsyncRealtimeConnection) -> None:
        self.connection = connection

    async def send(self, data: str | bytes) -> None:
        raise NotImplementedError  # this client sends events only

    async def send_event(self, event: Event) -> None:
        await self.connection.send(event)  # type: ignore[arg-type]  # a plain dict of the right shape

    async def receive(self) -> bytes:
        data = await self.connection.recv_bytes()
        assert self.connection.parse_event(data).type == json.loads(data)["type"]
        return data


@dataclass(slots=True)
class BetaTalk(Talk):
    """One connection. Events are as they came; replies show theirs as the GA dialect has them."""

    oracle: Oracle = field(default_factory=lambda: Oracle("beta"))

    async def receive(self) -> Event:
        # Not super(): a dataclass with slots is another class than the one that the word would mean.
        event = await Talk.receive(self)
        if event["type"] in ("transcription_session.created", "transcription_session.updated"):
            self.session = event["session"]
        return event

    async def update(self, **session: Any) -> Event:
        """Change the session by flat members; its new state."""
        transcribes = self.session["object"] == "realtime.transcription_session"
        kind = "transcription_session.update" if transcribes else "session.update"
        id = await self.send(kind, session=session)
        for event in await self.settle():
            assert event["type"] != "error" or event["error"]["event_id"] != id, f"refused: {event}"
        return self.session

    async def add(self, item: Event, **members: Any) -> Event:
        """Add an item to the conversation; the item as the server keeps it."""
        await self.send("conversation.item.create", item=item, **members)
        while True:
            event = await self.receive()
            assert event["type"] != "error", f"the item was refused: {event}"
            if event["type"] == "conversation.item.created" and event["item"]["type"] == item["type"]:
                kept: Event = event["item"]
                return kept

    def reply_so_far(self, id: str) -> Reply:
        """What was received of a response until now."""
        return Talk(self.wire, self.oracle, self.oracle.told).reply_so_far(id)


def beta_openai_client(server_url: str) -> AsyncOpenAI:
    """The real SDK, pointed at a server of ours; its beta client wants TLS unless told where sockets are."""
    sockets = server_url.replace("http", "ws", 1)
    return AsyncOpenAI(
        api_key="not needed",
        base_url=f"{server_url}/v1",
        websocket_base_url=f"{sockets}/v1",
        max_retries=0,
    )


@asynccontextmanager
async def beta_talk(
    server_url: str,
    model: str = ECHO,
    *,
    text: bool = False,
    query: Mapping[str, str] | None = None,
    **session: Any,
) -> AsyncIterator[BetaTalk]:
    """A connection of the SDK's beta client; `session` (and `text` for written replies) is applied first."""
    async with (
        beta_openai_client(server_url) as client,
        client.beta.realtime.connect(model=model, extra_query=dict(query or {})) as connection,
    ):
        talk = BetaTalk(BetaWire(connection))
        first, second = await talk.receive(), await talk.receive()
        assert first["type"] in ("session.created", "transcription_session.created")
        assert second["type"] == "conversation.created"
        if text or session:
            await talk.update(**({"modalities": ["text"]} if text else {}) | session)
        yield talk
        await talk.settle()
        while talk.oracle.sequence.finished():
            await talk.receive()
