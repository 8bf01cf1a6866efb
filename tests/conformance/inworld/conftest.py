"""One server for the whole guide, whose services are fakes of those that the guide names."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest_asyncio

from server.background import running_server
from server.settings import DefaultsSettings, ProviderTable, Settings
from tests.fakes.assemblyai_api import FakeAssemblyAI
from tests.fakes.gemini_api import ContentReply, FakeGemini
from tests.fakes.inworld_api import FakeInworld
from tests.fakes.inworld_replies import Heard, Turn
from tests.fakes.openai_api import ChatReply, FakeOpenAI
from tests.fakes.soniox_api import FakeSoniox

__all__ = ["HEARD", "Lab"]

HEARD = "Can you hear me?"  # what every transcription service hears


@dataclass(frozen=True)
class Lab:
    """A server with the keys of all the services of the guide. Each says who it is."""

    url: str
    google: FakeGemini
    openai: FakeOpenAI
    assemblyai: FakeAssemblyAI
    soniox: FakeSoniox
    inworld: FakeInworld

    def voices(self) -> list[tuple[str, str]]:
        """The model and the voice of everything that was spoken so far."""
        return [
            (message["create"]["modelId"], message["create"]["voiceId"])
            for exchange in self.inworld.exchanges
            for message in exchange.texts
            if "create" in message
        ]


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def lab() -> AsyncIterator[Lab]:
    async with AsyncExitStack() as stack:
        google = await stack.enter_async_context(FakeGemini())
        openai = await stack.enter_async_context(FakeOpenAI())
        assemblyai = await stack.enter_async_context(FakeAssemblyAI(default=(HEARD,)))
        soniox = await stack.enter_async_context(FakeSoniox(default=(HEARD,)))
        inworld = await stack.enter_async_context(FakeInworld())
        google.contents.default = ContentReply(text="Google here.")
        openai.chat.default = lambda request: ChatReply(text=f"{request.body['model']} here.")
        inworld.chat.default = lambda request: ChatReply(text=f"{request.body['model']} here.")
        inworld.default = Heard((Turn(HEARD),))
        tables = {
            "google-ai-studio": {"base_url": f"{google.base_url}/v1beta", "api_key": google.api_key},
            "openai": {"base_url": openai.base_url, "api_key": openai.api_key},
            "assemblyai": {"base_url": assemblyai.base_url, "api_key": assemblyai.api_key},
            "soniox": {"base_url": soniox.base_url, "api_key": soniox.api_key},
            "inworld": {"base_url": inworld.base_url, "api_key": inworld.api_key},
        }
        settings = Settings(
            providers={name: ProviderTable.model_validate(table) for name, table in tables.items()},
            defaults=DefaultsSettings(tts="inworld-tts-1.5-mini"),
        )
        server = running_server(settings, environ={})
        url = await asyncio.to_thread(server.__enter__)
        try:
            yield Lab(url, google, openai, assemblyai, soniox, inworld)
        finally:
            await asyncio.to_thread(server.__exit__, None, None, None)
