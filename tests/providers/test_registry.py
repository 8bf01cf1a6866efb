"""Names of models and voices: what they mean, and what is said about those that mean nothing."""

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import pytest

from providers.builtin import BuiltinProvider
from providers.contracts import Llm, ModelInfo
from providers.errors import UnknownModelError
from providers.llm.echo import EchoLlm
from providers.local import LocalProvider
from providers.names import VOICES, WELL_KNOWN_NAMES
from providers.openai_compatible import OpenAICompatibleProvider
from providers.provider import Provider, ProviderSettings
from providers.registry import Defaults, ProviderSetupError, Registry, make_provider
from providers.router import RouterProvider, WithRouters
from providers.routing.routers import Routers
from providers.tts.openai_speech import OPENAI_VOICES

DEFAULTS = Defaults(
    "builtin/echo", "local/moonshine-tiny-en", "local/espeak", "local/silero-vad", voice="Dennis"
)


class Build(Protocol):
    """Makes a registry that is closed after the test."""

    def __call__(self, aliases: Mapping[str, str] | None = None, *extra: Provider) -> Registry: ...


@pytest.fixture(scope="module")
def build() -> Iterator[Build]:
    """Registries with the engines in process, an upstream "lab" that lists two models, and OpenAI.

    Nothing is contacted.
    """
    made: list[Registry] = []

    def build(aliases: Mapping[str, str] | None = None, *extra: Provider) -> Registry:
        lab = {"base_url": "http://127.0.0.1:9/v1", "models": ["llama-3.1-8b", "org/deep/model"]}
        providers: list[Provider] = [
            BuiltinProvider(ProviderSettings("builtin")),
            LocalProvider(ProviderSettings("local")),
            OpenAICompatibleProvider(ProviderSettings("lab", lab)),
            OpenAICompatibleProvider(
                ProviderSettings("openai", {"base_url": "http://127.0.0.1:9/v1"}, "sk-1")
            ),
            *extra,
        ]
        named = {provider.name: provider for provider in providers}
        made.append(Registry(named, defaults=DEFAULTS, aliases=aliases or {}))
        return made[-1]

    yield build
    for registry in made:
        asyncio.run(registry.aclose())


@pytest.fixture(scope="module")
def registry(build: Build) -> Registry:
    return build()


@pytest.mark.parametrize(
    "name",
    [
        "",
        "gpt-realtime",
        "gpt-realtime-mini",
        "gpt-realtime-2025-08-28",
        "gpt-4o-realtime-preview",
        "gpt-4o-mini-realtime-preview-2024-12-17",
        "gpt-audio-mini",
        "builtin/echo",
        "echo",
    ],
)
def test_names_of_realtime_models_mean_the_default_language_model(registry: Registry, name: str) -> None:
    assert registry.resolve_llm(name) == "builtin/echo"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "whisper-1",
        "gpt-4o-transcribe",
        "gpt-4o-mini-transcribe-2025-12-15",
        "gpt-transcribe",
        "gpt-live-transcribe",
        "gpt-realtime-whisper",
        "a-model-of-next-year",
        "local/moonshine-tiny-en",
    ],
)
def test_any_bare_name_means_the_default_transcription_model(registry: Registry, name: str) -> None:
    assert registry.resolve_stt(name) == "local/moonshine-tiny-en"


@pytest.mark.parametrize(
    "name", ["", "tts-1", "tts-1-hd", "gpt-4o-mini-tts", "inworld-tts-1.5-mini", "local/espeak", "espeak"]
)
def test_names_of_speech_models_mean_the_default_one(registry: Registry, name: str) -> None:
    assert registry.resolve_tts(name) == "local/espeak"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lab/llama-3.1-8b", "lab/llama-3.1-8b"),
        ("lab/org/deep/model", "lab/org/deep/model"),
        ("lab/not-listed", "lab/not-listed"),
        ("llama-3.1-8b", "lab/llama-3.1-8b"),
    ],
)
def test_a_provider_and_a_model_name_themselves(registry: Registry, name: str, expected: str) -> None:
    assert registry.resolve_llm(name) == expected


def test_aliases_of_the_user_come_first_and_may_point_to_each_other(build: Build) -> None:
    registry = build({"gpt-realtime": "fast", "fast": "lab/llama-3.1-8b", "whisper-1": "openai/whisper-1"})

    assert registry.resolve_llm("gpt-realtime") == "lab/llama-3.1-8b"
    assert registry.resolve_llm("gpt-realtime-mini") == "builtin/echo"
    assert registry.resolve_stt("whisper-1") == "openai/whisper-1"


def test_an_alias_may_mean_a_built_in_name(build: Build) -> None:
    assert build({"mine": "gpt-realtime"}).resolve_llm("mine") == "builtin/echo"


def test_a_full_name_can_be_redirected(build: Build) -> None:
    assert build({"lab/old": "builtin/echo"}).resolve_llm("lab/old") == "builtin/echo"


@pytest.mark.parametrize("aliases", [{"a": "a"}, {"a": "b", "b": "c", "c": "b"}])
def test_aliases_that_go_round_in_a_circle_are_refused(build: Build, aliases: dict[str, str]) -> None:
    with pytest.raises(UnknownModelError, match="circle: 'a' -> "):
        build(aliases)


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("llm", "llama-3.1-8c", "did you mean 'llama-3.1-8b'|did you mean 'lab/llama-3.1-8b'"),
        ("llm", "mixtral", "Available: .*builtin/echo"),
        ("llm", "lap/llama", r"no provider 'lap' \(did you mean 'lab'\?\).*\[providers.lap\]"),
        ("llm", "google-ai-studio/gemini-2.5-flash", "set GEMINI_API_KEY or GOOGLE_API_KEY"),
        ("llm", "groq/llama", "set GROQ_API_KEY in the server.s environment"),
        ("llm", "local/espeak", "provider 'local' has no language models"),
        ("llm", "builtin/eco", "it has: echo"),
        ("stt", "local/whisper", "moonshine-tiny-en"),
        ("stt", "local/moonshine-base-en", "cannot be used: .*parley download local/moonshine-base-en"),
        ("tts", "builtin/echo", "no text-to-speech models"),
        ("llm", "lab/", "the name of the model is missing"),
        ("llm", "/x", "no provider ''"),
    ],
)
def test_an_unknown_model_is_refused_with_what_there_is(
    registry: Registry, kind: str, name: str, expected: str
) -> None:
    with pytest.raises(UnknownModelError, match=expected):
        getattr(registry, f"resolve_{kind}")(name)


def test_a_name_without_end_is_not_repeated_in_full(registry: Registry) -> None:
    for name in ("x" * 100_000, "x" * 100_000 + "/y"):
        with pytest.raises(UnknownModelError) as caught:
            registry.resolve_llm(name)
        assert len(str(caught.value)) < 2000


def test_a_bare_name_that_two_providers_list_is_ambiguous(build: Build) -> None:
    other = OpenAICompatibleProvider(
        ProviderSettings("spare", {"base_url": "http://127.0.0.1:9/v1", "models": ["llama-3.1-8b"]})
    )

    with pytest.raises(UnknownModelError, match=r"ambiguous: lab/llama-3\.1-8b, spare/llama"):
        build(None, other).resolve_llm("llama-3.1-8b")


def test_engines_are_made_once(registry: Registry) -> None:
    assert isinstance(registry.llm("gpt-realtime"), EchoLlm)
    assert registry.llm("gpt-realtime") is registry.llm("builtin/echo")
    assert registry.llm("lab/x") is registry.llm("lab/x")
    assert registry.vad() is registry.vad()
    assert registry.stt("whisper-1") is registry.stt("local/moonshine-tiny-en")


def test_many_threads_that_ask_at_once_get_the_same_engine(build: Build) -> None:
    class Slow(Provider):
        made = 0
        gate = threading.Barrier(4, timeout=10)

        def models(self) -> Sequence[ModelInfo]:
            return (ModelInfo("one", "llm"),)

        def llm(self, model: str) -> Llm:
            Slow.made += 1
            return EchoLlm("slow")

    registry = build(None, Slow(ProviderSettings("slow")))

    def ask(_: int) -> Llm:
        Slow.gate.wait()
        return registry.llm("slow/one")

    with ThreadPoolExecutor(4) as pool:
        engines = set(pool.map(ask, range(4)))

    assert len(engines) == 1
    assert Slow.made == 1


def test_names_that_clients_invent_do_not_fill_the_memory(registry: Registry) -> None:
    for number in range(2000):
        registry.resolve_llm(f"lab/invented-{number}")

    assert len(registry._engines) <= 512
    assert registry.stt("whisper-1") is registry.stt("whisper-1")


@pytest.mark.parametrize(
    ("voice", "expected"),
    [("en-gb", "en-gb"), ("en-us+f3", "en-us+f3"), ("Dennis", "en-us+m3"), ("alloy", "en-us+f2")],
)
def test_voices_are_known_by_their_own_and_by_foreign_names(
    registry: Registry, voice: str, expected: str
) -> None:
    assert registry.resolve_voice("local/espeak", voice) == expected
    assert registry.resolve_voice("tts-1", voice) == expected


def test_the_voices_of_openai_stay_distinct(registry: Registry) -> None:
    voices = {registry.resolve_voice("local/espeak", voice.id) for voice in OPENAI_VOICES}

    assert len(voices) == len(OPENAI_VOICES)


def test_every_built_in_voice_can_be_spoken(registry: Registry) -> None:
    espeak, openai = VOICES["en-us+m3"], VOICES["alloy"]

    for name, target in espeak.items():
        assert registry.resolve_voice("local/espeak", name) == target
    for name, target in openai.items():
        assert registry.resolve_voice("openai/tts-1", name) == target


def test_a_voice_of_the_user_comes_before_the_built_in_ones(build: Build) -> None:
    registry = build({"Dennis": "Boss", "Boss": "en-gb+m7", "Odd": "shimmer"})

    assert registry.resolve_voice("local/espeak", "Dennis") == "en-gb+m7"
    assert registry.resolve_voice("local/espeak", "Odd") == "en-us+f4"


def test_an_engine_that_cannot_list_its_voices_gets_the_name_as_it_is(registry: Registry) -> None:
    assert registry.resolve_voice("lab/kokoro", "af_heart") == "af_heart"


def test_an_unknown_voice_is_refused_with_what_there_is(registry: Registry) -> None:
    with pytest.raises(UnknownModelError, match=r"Unknown voice 'Zaphod' of 'local/espeak'.*\[aliases\]"):
        registry.resolve_voice("local/espeak", "Zaphod")
    with pytest.raises(UnknownModelError, match="did you mean 'en-us'"):
        registry.resolve_voice("local/espeak", "en-use")


def test_every_listed_name_resolves(build: Build) -> None:
    registry = build(
        {"gpt-realtime": "lab/x", "dictation": "whisper-1", "Boss": "en-gb+m7", "dead": "gone/x"}
    )

    listed = registry.models()

    resolvers = {"llm": registry.resolve_llm, "stt": registry.resolve_stt, "tts": registry.resolve_tts}
    for name, kind in listed:
        if kind not in ("vad", "turn"):  # sessions do not choose those
            assert resolvers[kind](name)
    names = {name for name, _ in listed}
    assert {"builtin/echo", "local/silero-vad", "local/moonshine-tiny-en", "local/espeak"} <= names
    assert {"lab/llama-3.1-8b", "lab/org/deep/model", "dictation"} <= names
    assert {name for names in WELL_KNOWN_NAMES.values() for name in names} <= names
    assert names.isdisjoint({"Boss", "dead"})
    assert [kind for name, kind in listed if name == "gpt-realtime"] == ["llm"]
    assert len(listed) == len(set(listed))


async def test_closing_reaches_every_provider_also_when_one_fails() -> None:
    closed: list[str] = []

    class Closing(Provider):
        async def aclose(self) -> None:
            closed.append(self.name)
            if self.name == "first":
                raise RuntimeError("stuck")

    providers = {name: Closing(ProviderSettings(name)) for name in ("first", "second")}
    registry = Registry(providers, defaults=DEFAULTS, aliases={})

    with pytest.raises(RuntimeError, match="stuck"):
        await registry.aclose()
    assert closed == ["first", "second"]


@pytest.mark.parametrize("kind", ["builtin", "local"])
def test_kinds_are_found_as_entry_points(kind: str) -> None:
    provider = make_provider(kind, ProviderSettings("mine"))

    assert provider.name == "mine"
    assert provider.models()


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("openai-compatibel", {}, r"no kind 'openai-compatibel' \(did you mean 'openai-compatible'\?\)"),
        ("anything", {}, "installed kinds: .*local, openai-compatible"),
        ("builtin", {"volume": 11}, "provider 'mine': unknown option 'volume'"),
        ("openai-compatible", {"base_ulr": "x"}, "did you mean 'base_url'"),
        ("openai-compatible", {}, "base_url is missing"),
    ],
)
def test_a_provider_that_cannot_be_made_says_why(
    kind: str, options: dict[str, object], expected: str
) -> None:
    with pytest.raises(ProviderSetupError, match=expected):
        make_provider(kind, ProviderSettings("mine", options))


FOREIGN = ("Dennis", "alloy", "marin", "Ashley", "Wendy", "cedar")


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("inworld", "inworld-tts-1.5-mini"),
        ("elevenlabs", "eleven_flash_v2_5"),
        ("cartesia", "sonic-3"),
        ("deepgram", "aura-2"),
        ("deepgram", "aura"),
    ],
)
def test_names_of_other_services_have_a_voice_everywhere(kind: str, model: str) -> None:
    provider = make_provider(kind, ProviderSettings(kind, {}, "key-of-nobody"))
    registry = Registry({kind: provider}, defaults=DEFAULTS, aliases={})

    found = {name: registry.resolve_voice(f"{kind}/{model}", name) for name in FOREIGN}

    engine = registry.tts(f"{kind}/{model}")
    assert all(engine.knows_voice(voice) for voice in found.values())
    assert "en-us" not in " ".join(found.values())
    assert len(set(found.values())) >= 4


def test_names_of_inworlds_engines_mean_the_defaults_where_it_is_not_configured(build: Build) -> None:
    routers = RouterProvider(Routers(), "router")
    registry = build({}, WithRouters("inworld", routers))
    for name in ("inworld/inworld-stt-1", "inworld/inworld-stt-2"):
        assert registry.resolve_stt(name) == DEFAULTS.stt
    assert registry.resolve_tts("inworld/inworld-tts-1.5-max") == DEFAULTS.tts
    for name in ("inworld/other", "assemblyai/u3-rt-pro"):
        with pytest.raises(UnknownModelError):
            registry.resolve_stt(name)


def test_names_of_inworlds_engines_mean_just_those_where_it_is() -> None:
    own = make_provider("inworld", ProviderSettings("inworld", {}, "key-of-nobody"))
    provider = WithRouters("inworld", RouterProvider(Routers(), "router"), own)
    registry = Registry({"inworld": provider}, defaults=DEFAULTS, aliases={})
    assert registry.resolve_stt("inworld/inworld-stt-1") == "inworld/inworld-stt-1"
    assert registry.resolve_tts("inworld/inworld-tts-1.5-max") == "inworld/inworld-tts-1.5-max"


def test_a_bare_name_means_the_provider_that_lists_it_before_the_default() -> None:
    provider = make_provider("inworld", ProviderSettings("inworld", {}, "key-of-nobody"))
    registry = Registry({"inworld": provider}, defaults=DEFAULTS, aliases={})

    assert registry.resolve_tts("inworld-tts-1.5-mini") == "inworld/inworld-tts-1.5-mini"
    assert registry.resolve_tts("tts-1") == DEFAULTS.tts
