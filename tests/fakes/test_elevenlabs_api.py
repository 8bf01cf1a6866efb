"""The fake of ElevenLabs against the official client: both understand each other, and the types agree."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import httpx
import pytest
from elevenlabs.client import ElevenLabs
from elevenlabs.core.api_error import ApiError
from elevenlabs.types import (
    AudioOutputMulti,
    FinalOutputMulti,
    GetVoicesResponse,
    GetVoicesV2Response,
    VoiceSettings,
)

from tests.fakes.elevenlabs_api import FakeElevenLabs, Voiced, ramp

KEY = "el-key-0123456789"
GEORGE = "JBFqnCBsd6RMkjVDRZzb"
PER_CHAR = 24 * 40  # samples
OLD_WORDS = pytest.mark.filterwarnings("ignore:ConnectionClosed:DeprecationWarning")  # in the official client


@pytest.fixture
async def fake() -> AsyncGenerator[FakeElevenLabs, None]:
    async with FakeElevenLabs(api_key=KEY) as server:
        yield server


@contextmanager
def client(fake: FakeElevenLabs, key: str = KEY) -> Iterator[ElevenLabs]:
    with httpx.Client() as http:
        made = ElevenLabs(api_key=key, base_url=fake.base_url, httpx_client=http)
        # The client insists on TLS for sockets.
        made.text_to_speech._ws_base_url = fake.base_url
        yield made


@OLD_WORDS
async def test_the_official_client_streams_text_and_gets_its_speech(fake: FakeElevenLabs) -> None:
    def speak() -> bytes:
        def text() -> Iterator[str]:
            yield "Hello there, "
            yield "how are you?"

        settings = VoiceSettings(stability=0.5, speed=1.0)
        with client(fake) as api:
            chunks = api.text_to_speech.convert_realtime(
                GEORGE,
                text=text(),
                model_id="eleven_flash_v2_5",
                output_format="pcm_24000",
                voice_settings=settings,
            )
            return b"".join(chunks)

    pcm = await asyncio.to_thread(speak)

    said = "".join(message["text"] for message in fake.exchanges[0].texts[1:])
    assert said.split() == ["Hello", "there,", "how", "are", "you?"]
    assert pcm == ramp(0, PER_CHAR * len(said))


@OLD_WORDS
async def test_the_official_client_hears_what_is_wrong(fake: FakeElevenLabs) -> None:
    def speak() -> None:
        with client(fake) as api:
            stream = api.text_to_speech.convert_realtime(
                "nobody", text=iter(["Hello."]), model_id="m", output_format="pcm_24000"
            )
            list(stream)

    with pytest.raises(ApiError, match="does not exist"):
        await asyncio.to_thread(speak)


async def test_the_official_client_lists_voices(fake: FakeElevenLabs) -> None:
    def search(key: str = KEY, **options: Any) -> GetVoicesV2Response:
        with client(fake, key) as api:
            page: GetVoicesV2Response = api.voices.search(page_size=2, **options)
            return page

    def get_all() -> GetVoicesResponse:
        with client(fake) as api:
            voices: GetVoicesResponse = api.voices.get_all()
            return voices

    first = await asyncio.to_thread(search)
    assert [voice.name for voice in first.voices] == ["George", "Sarah"]
    assert first.has_more
    second = await asyncio.to_thread(search, next_page_token=first.next_page_token)
    assert [voice.name for voice in second.voices] == ["Mine"]
    assert not second.has_more
    assert len((await asyncio.to_thread(get_all)).voices) == 3
    with pytest.raises(ApiError) as caught:
        await asyncio.to_thread(search, "wrong")
    assert caught.value.status_code == 401


# --- Contexts, which the official client does not offer ----------------------------------------------


class Caller:
    """A socket with contexts."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def send(self, **message: Any) -> None:
        await self._socket.send_json(message)

    async def receive(self) -> dict[str, Any]:
        message: dict[str, Any] = await self._socket.receive_json(timeout=2)
        return message

    async def until_final(self) -> list[dict[str, Any]]:
        messages = [await self.receive()]
        while not messages[-1].get("isFinal"):
            messages.append(await self.receive())
        return messages

    async def refused(self) -> tuple[dict[str, Any], int | None]:
        told = await self.receive()
        assert (await self._socket.receive()).type is aiohttp.WSMsgType.CLOSE
        return told, self._socket.close_code


@pytest.fixture
async def session() -> AsyncGenerator[aiohttp.ClientSession, None]:
    async with aiohttp.ClientSession() as made:
        yield made


async def call(fake: FakeElevenLabs, session: aiohttp.ClientSession, **query: str) -> Caller:
    address = f"{fake.base_url}/v1/text-to-speech/{query.pop('voice', GEORGE)}/multi-stream-input"
    params = {"model_id": "eleven_flash_v2_5", "output_format": "pcm_24000", **query}
    return Caller(await session.ws_connect(address, params=params, headers={"xi-api-key": KEY}))


async def test_messages_have_the_official_types(fake: FakeElevenLabs, session: aiohttp.ClientSession) -> None:
    caller = await call(fake, session)
    await caller.send(text=" ", context_id="one")
    await caller.send(text="Hello there. ", context_id="one", flush=True)
    await caller.send(context_id="one", close_context=True)

    *sounds, final = await caller.until_final()
    assert not FinalOutputMulti.model_validate(final).model_extra
    for sound in sounds:
        typed = AudioOutputMulti.model_validate(sound)
        assert typed.context_id == "one"
        assert set(typed.model_extra or {}) <= {"isFinal"}
        assert typed.alignment is not None
        assert typed.alignment.chars
        assert typed.alignment.char_start_times_ms is not None
        # Times begin anew with each message.
        assert typed.alignment.char_start_times_ms[0] == 0


async def test_text_waits_for_a_flush_or_the_end_of_a_word(
    fake: FakeElevenLabs, session: aiohttp.ClientSession
) -> None:
    fake.default = Voiced(chunk_chars=1000)
    caller = await call(fake, session, auto_mode="true")
    await caller.send(text=" ", context_id="one")
    await caller.send(text="Hello th", context_id="one")
    assert "".join((await caller.receive())["alignment"]["chars"]) == "Hello "
    await caller.send(text="ere", context_id="one", flush=True)
    assert "".join((await caller.receive())["alignment"]["chars"]) == "there"
    # What was not flushed goes with its context.
    await caller.send(text="lost", context_id="one")
    await caller.send(context_id="one", close_context=True)
    assert await caller.receive() == {"isFinal": True, "contextId": "one"}

    patient = await call(fake, session)
    await patient.send(text=" ", context_id="one")
    await patient.send(text="Hello there. ", context_id="one")
    await patient.send(close_socket=True)
    assert "".join((await patient.receive())["alignment"]["chars"]) == "Hello there. "


async def test_contexts_speak_side_by_side(fake: FakeElevenLabs, session: aiohttp.ClientSession) -> None:
    caller = await call(fake, session)
    for context in ("one", "two"):
        await caller.send(text=" ", context_id=context)
    for context in ("one", "two"):
        await caller.send(text="A longer text for both. ", context_id=context, flush=True)
        await caller.send(context_id=context, close_context=True)
    order = [message["contextId"] for message in await caller.until_final() + await caller.until_final()]
    assert order != sorted(order)


@pytest.mark.parametrize(
    ("query", "messages", "error"),
    [
        ({"voice": "nobody"}, [], "voice_id_does_not_exist"),
        ({"output_format": "mp3_44100_128"}, [], "invalid_output_format"),
        ({"inactivity_timeout": "600"}, [], "invalid_inactivity_timeout"),
        ({"inactivity_timeout": "0.05"}, [], "input_timeout_exceeded"),
        ({"model_id": "eleven_multilingual_v2", "language_code": "de"}, [], "unsupported_language"),
        ({"language_code": "tlh"}, [], "unsupported_language"),
        ({}, [{"text": "Hello ", "context_id": "a"}], "invalid_initialization"),
        ({}, [{"text": " ", "context_id": "a", "voice_settings": {"speed": 2}}], "invalid_voice_settings"),
        (
            {},
            [{"text": " ", "context_id": "a"}, {"text": "b ", "context_id": "a", "voice_settings": {}}],
            "voice_settings_not_first",
        ),
        ({}, [{"text": " ", "context_id": str(number)} for number in range(6)], "max_active_conversations"),
    ],
)
async def test_mistakes_are_refused(
    fake: FakeElevenLabs,
    session: aiohttp.ClientSession,
    query: dict[str, str],
    messages: list[dict[str, Any]],
    error: str,
) -> None:
    caller = await call(fake, session, **query)
    for message in messages:
        await caller.send(**message)
    told, code = await caller.refused()
    assert told["error"] == error
    assert code == told["code"] == 1008
