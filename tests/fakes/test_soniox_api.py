"""The fake of Soniox, driven by the official client, and held to its types."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from soniox import AsyncSonioxClient
from soniox.errors import SonioxRealtimeError
from soniox.types.realtime import RealtimeEvent, RealtimeSTTConfig

from tests.fakes.hearing import in_pieces, say
from tests.fakes.soniox_api import FakeSoniox, config_problem
from tests.fakes.websocket import Plan

RATE = 16_000
MODEL = "stt-rt-v4"


@pytest.fixture
async def fake() -> AsyncIterator[FakeSoniox]:
    async with FakeSoniox() as fake:
        yield fake


class Heard:
    """What the official client tells."""

    def __init__(self, fake: FakeSoniox, key: str | None = None) -> None:
        self.url = f"{fake.base_url.replace('http', 'ws')}/transcribe-websocket"
        self.client = AsyncSonioxClient(api_key=key or fake.api_key, websocket_base_url=self.url)
        self.events: list[RealtimeEvent] = []

    async def listen(self, pcm: bytes, *, finalize: bool = False, **options: Any) -> None:
        config = RealtimeSTTConfig(
            **{"model": MODEL, "audio_format": "pcm_s16le", "sample_rate": RATE, "num_channels": 1, **options}
        )
        async with asyncio.timeout(10), self.client.realtime.stt.connect(config=config) as session:
            for piece in in_pieces(pcm, rate=RATE):
                await session.send_byte_chunk(piece)
            if finalize:
                await session.finalize()
                await session.keep_alive()
            await session.finish()
            self.events = [event async for event in session.receive_events()]
        await self.client.aclose()

    @property
    def text(self) -> str:
        return "".join(token.text for event in self.events for token in event.tokens if token.is_final)


async def test_final_tokens_come_once_and_the_others_again_and_again(fake: FakeSoniox) -> None:
    heard = Heard(fake)

    await heard.listen(say("Hello wonderful world of voices.", rate=RATE))

    assert heard.text == "Hello wonderful world of voices."
    guesses = ["".join(token.text for token in event.tokens if not token.is_final) for event in heard.events]
    assert "Hello wond" in guesses
    assert heard.events[-1].finished
    assert [event.finished for event in heard.events].count(True) == 1
    settled = [event.final_audio_proc_ms for event in heard.events]
    assert settled == sorted(time for time in settled if time is not None)


async def test_turns_end_only_where_they_are_detected(fake: FakeSoniox) -> None:
    one, other = Heard(fake), Heard(fake)
    speech = say("Hello. Bye.", rate=RATE)

    await one.listen(speech, enable_endpoint_detection=True)
    await other.listen(speech)

    assert one.text == "Hello.<end> Bye.<end>"
    assert other.text == "Hello. Bye."


@pytest.mark.parametrize("pcm", [b"", bytes(RATE), say("and then", rate=RATE)])
async def test_finalizing_is_marked(fake: FakeSoniox, pcm: bytes) -> None:
    heard = Heard(fake)

    await heard.listen(pcm, finalize=True)

    assert heard.text == ("and then<fin>" if any(pcm) else "<fin>")


async def test_languages_are_told_where_they_are_wanted(fake: FakeSoniox) -> None:
    heard = Heard(fake)

    await heard.listen(say("Hello.", rate=RATE), enable_language_identification=True)

    assert {token.language for event in heard.events for token in event.tokens} == {"en"}


async def test_a_script_is_heard_in_any_audio(fake: FakeSoniox) -> None:
    fake.script(Plan(("Good morning.", "Nice to meet you.")))
    heard = Heard(fake)

    await heard.listen(bytes(RATE))

    assert heard.text == "Good morning. Nice to meet you."


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"model": "stt-rt-v9"}, 400),
        ({"endpoint_sensitivity": 0.5}, 400),
        ({"audio_format": "auto"}, 400),
    ],
)
async def test_what_the_service_refuses_is_refused(
    fake: FakeSoniox, options: dict[str, Any], code: int
) -> None:
    heard = Heard(fake)
    config = {"model": MODEL, "audio_format": "pcm_s16le", "sample_rate": RATE, "num_channels": 1, **options}
    session = heard.client.realtime.stt.connect(config=RealtimeSTTConfig.model_construct(**config))

    async with asyncio.timeout(5), session:
        [event] = [event async for event in session.receive_events()]
    await heard.client.aclose()

    assert event.error_code == code
    assert event.error_message


def test_a_key_in_the_configuration_is_refused() -> None:
    message = {"model": MODEL, "audio_format": "pcm_s16le", "sample_rate": RATE}

    assert config_problem(message) is None
    assert "API key" in (config_problem({**message, "api_key": "again"}) or "")
    assert config_problem(b"audio") is not None


async def test_a_wrong_key_is_refused_at_once_or_later(fake: FakeSoniox) -> None:
    with pytest.raises(SonioxRealtimeError):
        await Heard(fake, "wrong").listen(b"")
    fake.refuses_late = True
    heard = Heard(fake, "wrong")
    await heard.listen(b"")

    assert [event.error_code for event in heard.events] == [401]


async def test_a_silent_client_is_sent_away(fake: FakeSoniox) -> None:
    fake.idle_s = 0.05
    heard = Heard(fake)
    config = RealtimeSTTConfig(model=MODEL, audio_format="pcm_s16le", sample_rate=RATE, num_channels=1)

    async with asyncio.timeout(5), heard.client.realtime.stt.connect(config=config) as session:
        [event] = [event async for event in session.receive_events()]
    await heard.client.aclose()

    assert event.error_code == 408
