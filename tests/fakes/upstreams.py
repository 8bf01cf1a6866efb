"""Every remote service that there is a fake of, in one form: for tests that go over all of them.

async with opened(UPSTREAMS["deepgram/nova-3"]) as upstream:
    upstream.suffer("death")
    upstream.provider.stt(upstream.model) ...
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from providers.names import EngineKind
from providers.provider import Provider, ProviderSettings
from providers.registry import make_provider
from providers.tts.cartesia import VOICES as CARTESIA_VOICES
from tests.fakes.anthropic_api import FakeAnthropic
from tests.fakes.anthropic_replies import MessageReply
from tests.fakes.assemblyai_api import FakeAssemblyAI
from tests.fakes.cartesia_api import FakeCartesia
from tests.fakes.deepgram_api import FakeDeepgram
from tests.fakes.elevenlabs_api import FakeElevenLabs
from tests.fakes.gemini_api import ContentReply, FakeGemini
from tests.fakes.inworld_api import FakeInworld
from tests.fakes.inworld_replies import Heard, Turn
from tests.fakes.openai_api import FakeOpenAI
from tests.fakes.openai_replies import (
    CUT,
    HANG,
    ChatReply,
    Reply,
    SpeechReply,
    Step,
    TranscriptionReply,
)
from tests.fakes.soniox_api import FakeSoniox
from tests.fakes.websocket import Cut, FakeSockets, Fault, Garbage, NoHandshake, Plan, Refusal, Stall

__all__ = ["FAULTS", "HEARD", "SAID", "UPSTREAMS", "FaultName", "Opened", "Upstream", "opened"]

FaultName = Literal["throttled", "overloaded", "mute", "stalled", "killed", "corrupted"]
FAULTS: tuple[FaultName, ...] = ("throttled", "overloaded", "mute", "stalled", "killed", "corrupted")

HEARD = "Can you hear me?"  # what every transcription service hears
SAID = "Yes, I can hear you well."  # what every language model says

MANY = 20  # connections that suffer, so that trying again does not help
QUICK = {"connect_timeout": 1.0, "first_byte_timeout": 0.4, "gap_timeout": 0.4}
QUICK_STT = {"connect_timeout": 0.5, "gap_timeout": 0.4, "final_timeout": 0.4}


@dataclass(frozen=True, slots=True)
class Upstream:
    """One service in one of its parts. `suffer` makes its fake misbehave from now on."""

    name: str  # provider/model, with the provider's kind as its name
    kind: EngineKind
    fake: Callable[[], Any]
    suffer: Callable[[Any, FaultName], None]
    options: Mapping[str, Any] = field(default_factory=dict)
    path: str = ""  # behind the fake's address
    voice: str | None = None
    label: str = ""  # where one model is reached in two ways

    @property
    def provider_kind(self) -> str:
        return self.name.partition("/")[0]

    @property
    def model(self) -> str:
        return self.name.partition("/")[2]

    def table(self, base_url: str) -> dict[str, Any]:
        """The options of a settings table for the fake at that address."""
        return {"base_url": base_url + self.path, **self.options}


@dataclass(slots=True)
class Opened:
    """An upstream that runs, and a provider that is its client."""

    upstream: Upstream
    fake: Any
    provider: Provider

    def suffer(self, fault: FaultName) -> None:
        self.upstream.suffer(self.fake, fault)

    @property
    def engine(self) -> Any:
        return getattr(self.provider, self.upstream.kind)(self.upstream.model)


@asynccontextmanager
async def opened(upstream: Upstream, *, key: str | None = None, **options: Any) -> AsyncIterator[Opened]:
    """Start the fake and make its client, with the right key or with that one."""
    async with AsyncExitStack() as stack:
        fake = await stack.enter_async_context(upstream.fake())
        base_url = fake.base_url.removesuffix("/v1")
        settings = ProviderSettings(
            upstream.provider_kind, upstream.table(base_url) | options, key or fake.api_key
        )
        provider = make_provider(upstream.provider_kind, settings)
        stack.push_async_callback(provider.aclose)
        yield Opened(upstream, fake, provider)


def _sockets(start: int = 1) -> Callable[[FakeSockets, FaultName], None]:
    """For services over WebSocket; `start`: messages of a connection before anything is heard or said."""
    faults: Mapping[FaultName, Fault] = {
        "throttled": Refusal(429, retry_after=2),
        "overloaded": Refusal(503),
        "mute": NoHandshake(),
        "stalled": Stall(sent=start),
        "killed": Cut(sent=start, code=1011),
        "corrupted": Garbage(sent=start),
    }

    def suffer(fake: FakeSockets, fault: FaultName) -> None:
        fake.script(*(Plan(fake.default, faults[fault]) for _ in range(MANY)))

    return suffer


def _http(
    endpoint: str, reply: Any, content_type: str = "text/event-stream", start: int = 1
) -> Callable[[Any, FaultName], None]:
    """For services over HTTP: the name of the fake's endpoint, and what it answers by default.

    `start`: pieces of the answer before anything is heard or said.
    """

    def broken(*steps: Step) -> Any:
        return replace(reply, break_after=start, break_with=steps)

    def suffer(fake: Any, fault: FaultName) -> None:
        headers = {"retry-after": "2"}
        replies: Mapping[FaultName, Any] = {
            "throttled": Reply((b"{}",), 429, headers=headers),
            "overloaded": Reply((b"{}",), 503),
            "mute": Reply((HANG,), content_type=content_type),
            "stalled": broken(HANG),
            "killed": broken(CUT),
            "corrupted": broken(b"\n\ndata: {\x00\n\n", b'event: {"\n\n{\n'),
        }
        getattr(fake, endpoint).script(*(replies[fault] for _ in range(MANY)))

    return suffer


def _openai() -> FakeOpenAI:
    fake = FakeOpenAI()
    fake.chat.default = ChatReply(text=SAID)
    fake.transcriptions.default = TranscriptionReply(text=HEARD)
    return fake


def _anthropic() -> FakeAnthropic:
    fake = FakeAnthropic()
    fake.messages.default = MessageReply(text=SAID)
    return fake


def _gemini() -> FakeGemini:
    fake = FakeGemini()
    fake.contents.default = ContentReply(text=SAID)
    return fake


def _inworld() -> FakeInworld:
    fake = FakeInworld()
    fake.chat.default = ChatReply(text=SAID)
    fake.default = Heard((Turn(HEARD),))
    return fake


def _cartesia() -> FakeCartesia:
    return FakeCartesia(voices={voice.id: voice.name for voice in CARTESIA_VOICES})


_ALL = (
    Upstream(
        "openai-compatible/gpt-5-mini",
        "llm",
        _openai,
        _http("chat", ChatReply(text=SAID)),
        QUICK,
        "/v1",
    ),
    Upstream(
        "anthropic/claude-haiku-4-5", "llm", _anthropic, _http("messages", MessageReply(text=SAID)), QUICK
    ),
    Upstream(
        "gemini/gemini-2.5-flash",
        "llm",
        _gemini,
        _http("contents", ContentReply(text=SAID), start=0),
        QUICK,
        "/v1beta",
    ),
    Upstream("inworld/shop", "llm", _inworld, _http("chat", ChatReply(text=SAID)), QUICK),
    Upstream(
        "openai-compatible/gpt-transcribe",
        "stt",
        _openai,
        _http("transcriptions", TranscriptionReply(text=HEARD), start=0),
        QUICK,
        "/v1",
    ),
    Upstream(
        "assemblyai/u3-rt-pro",
        "stt",
        lambda: FakeAssemblyAI(default=(HEARD,)),
        _sockets(),
        QUICK_STT | {"first_byte_timeout": 0.4},
    ),
    Upstream(
        "assemblyai/universal-streaming-english",
        "stt",
        lambda: FakeAssemblyAI(default=(HEARD,)),
        _sockets(),
        QUICK_STT | {"first_byte_timeout": 0.4},
    ),
    Upstream("soniox/stt-rt-v4", "stt", lambda: FakeSoniox(default=(HEARD,)), _sockets(0), QUICK_STT),
    Upstream("deepgram/nova-3", "stt", lambda: FakeDeepgram(default=(HEARD,)), _sockets(0), QUICK_STT),
    Upstream(
        "deepgram/flux-general-en", "stt", lambda: FakeDeepgram(default=(HEARD,)), _sockets(), QUICK_STT
    ),
    Upstream("inworld/inworld-stt-1", "stt", _inworld, _sockets(0), QUICK),
    Upstream(
        "openai-compatible/gpt-4o-mini-tts",
        "tts",
        _openai,
        _http("speech", SpeechReply(), "audio/pcm", start=0),
        QUICK,
        "/v1",
    ),
    Upstream("deepgram/aura-2", "tts", FakeDeepgram, _sockets(), QUICK),
    Upstream("elevenlabs/eleven_flash_v2_5", "tts", FakeElevenLabs, _sockets(0), QUICK),
    Upstream("cartesia/sonic-3", "tts", _cartesia, _sockets(0), QUICK),
    Upstream("inworld/inworld-tts-1.5-mini", "tts", FakeInworld, _sockets(), QUICK),
)

UPSTREAMS: Mapping[str, Upstream] = {upstream.label or upstream.name: upstream for upstream in _ALL}
