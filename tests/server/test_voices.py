"""Lists of voices: where they come from, what happens when a service fails, and both shapes over HTTP."""

import asyncio
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr

from providers.contracts import ModelInfo, Voice
from providers.provider import Provider, ProviderSettings
from providers.registry import Defaults, Registry, make_provider
from server.background import running_server
from server.settings import DefaultsSettings, ProviderTable, ServerSettings, Settings
from server.voices import ListedVoice, VoiceLists
from tests.conformance.client import talk
from tests.fakes.cartesia_api import FakeCartesia
from tests.fakes.elevenlabs_api import FakeElevenLabs
from tests.fakes.inworld_api import FakeInworld

pytestmark = pytest.mark.asyncio(loop_scope="module")

ESPEAK, INWORLD, ELEVEN, SONIC = (
    "local/espeak",
    "inworld/inworld-tts-1.5-mini",
    "elevenlabs/eleven_flash_v2_5",
    "cartesia/sonic-3",
)


class Clock:
    """Monotonic seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def provider(kind: str, fake: Any) -> Provider:
    return make_provider(kind, ProviderSettings(kind, {"base_url": fake.base_url}, fake.api_key))


@asynccontextmanager
async def registry(
    *providers: Provider, tts: str = ESPEAK, aliases: Mapping[str, str] | None = None
) -> AsyncIterator[Registry]:
    everyone = (make_provider("local", ProviderSettings("local")), *providers)
    defaults = Defaults("builtin/echo", "local/moonshine-tiny-en", tts, "local/silero-vad", "Dennis")
    made = Registry({one.name: one for one in everyone}, defaults=defaults, aliases=aliases or {})
    try:
        yield made
    finally:
        await made.aclose()


def by_provider(voices: tuple[ListedVoice, ...], name: str) -> dict[str, ListedVoice]:
    return {voice.id: voice for voice in voices if voice.provider == name}


# --- where they come from ---------------------------------------------------------------------------------


async def test_every_voice_of_the_default_model_can_be_spoken_with() -> None:
    async with registry(
        aliases={"narrator": "en-gb+m3", "teller": "narrator", "model": "local/espeak", "x": "y"}
    ) as known:
        voices = await VoiceLists(known).all()

        assert all(voice.is_default and voice.model == ESPEAK for voice in voices)
        engine = known.tts(ESPEAK)
        assert all(engine.knows_voice(known.resolve_voice(ESPEAK, voice.id)) for voice in voices)
        ids = [voice.id for voice in voices]
        assert len(ids) == len(set(ids))
        assert {"Dennis", "Olivia", "alloy", "marin", "en-us", "de", "narrator", "teller"} <= set(ids)
        assert not {"dennis", "Alloy", "model", "x"} & set(ids)
        found = by_provider(voices, "local")
        assert (found["Dennis"].gender, found["Dennis"].language) == ("MALE", "en-us")
        assert (found["Olivia"].gender, found["Olivia"].spoken_as) == ("FEMALE", "en-gb+f3")
        assert (found["narrator"].gender, found["narrator"].language) == ("MALE", "en-gb")
        assert (found["de"].name, found["de"].gender) == ("German", "")


async def test_accounts_are_asked_for_their_voices() -> None:
    async with (
        FakeInworld() as inworld,
        FakeElevenLabs() as eleven,
        FakeCartesia() as cartesia,
        registry(
            provider("inworld", inworld), provider("elevenlabs", eleven), provider("cartesia", cartesia)
        ) as known,
    ):
        voices = await VoiceLists(known).all()

        found = by_provider(voices, "inworld")
        assert list(found) == [entry["voiceId"] for entry in inworld.listed]
        assert found["Clive"].models == tuple(
            f"inworld/{name}" for name in ("inworld-tts-1.5-mini", "inworld-tts-1.5-max", "inworld-tts-2")
        )
        assert (found["Clive"].is_default, found["Clive"].language) == (False, "en-US")
        assert set(eleven.voices) <= set(by_provider(voices, "elevenlabs"))
        assert set(cartesia.voices) <= set(by_provider(voices, "cartesia"))
        for voice in voices:  # whoever sets the model finds the voice
            for model in voice.models:
                known.resolve_voice(model, voice.id)


async def test_with_another_default_model_its_voices_come_first_and_names_are_not_doubled() -> None:
    async with FakeInworld() as inworld, registry(provider("inworld", inworld), tts=INWORLD) as known:
        voices = await VoiceLists(known).all()

        first = [voice.id for voice in voices if voice.is_default]
        assert [voice.id for voice in voices][: len(first)] == first
        assert first.count("Dennis") == 1
        assert "alloy" in first
        assert "Craig" not in first  # the account has no such voice
        assert by_provider(voices, "inworld")["alloy"].spoken_as == "Ashley"


# --- when a service fails ---------------------------------------------------------------------------------


async def test_a_list_is_kept_for_a_minute() -> None:
    async with FakeInworld() as inworld:
        clock = Clock()
        async with registry(provider("inworld", inworld)) as known:
            lists = VoiceLists(known, clock=clock)
            await asyncio.gather(lists.all(), lists.all(), lists.all())
            clock.now += 59
            await lists.all()
            asked = len(inworld.listings)
            inworld.listed = inworld.listed[:2]
            clock.now += 1
            voices = await lists.all()

            assert asked == 1
            assert len(inworld.listings) == 2
            assert len(by_provider(voices, "inworld")) == 2


async def test_a_service_that_fails_costs_only_its_own_voices(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeInworld() as inworld, FakeElevenLabs() as eleven:
        eleven.voices_answer = {"nothing": "of use"}
        clock = Clock()
        async with registry(provider("inworld", inworld), provider("elevenlabs", eleven)) as known:
            lists = VoiceLists(known, clock=clock)
            voices = await lists.all()
            told = [record.message for record in caplog.records]
            await lists.all()
            asked = len(eleven.listings)
            eleven.voices_answer = None
            clock.now += 10
            again = await lists.all()

            assert len(by_provider(voices, "inworld")) == len(inworld.listed)
            assert by_provider(voices, "elevenlabs")  # those that every account has
            assert not set(eleven.voices) <= set(by_provider(voices, "elevenlabs"))
            assert ["voices of elevenlabs cannot be listed" in line for line in told] == [True]
            assert asked == 1  # who fails is not asked at once again
            assert set(eleven.voices) <= set(by_provider(again, "elevenlabs"))


async def test_what_was_listed_before_outlives_a_failure() -> None:
    async with FakeElevenLabs() as eleven:
        clock = Clock()
        async with registry(provider("elevenlabs", eleven)) as known:
            lists = VoiceLists(known, clock=clock)
            before = await lists.all()
            eleven.voices_answer = 5
            clock.now += 60

            assert await lists.all() == before


class Sleepy(Provider):
    """Never lists its voices; another one has a fault of its own."""

    def models(self) -> tuple[ModelInfo, ...]:
        return ()

    async def list_voices(self) -> tuple[Voice, ...]:
        if self.name == "faulty":
            raise RuntimeError("a fault of the adapter")
        await asyncio.Event().wait()
        return ()


async def test_nobody_waits_for_a_service_that_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    silent, faulty = (Sleepy(ProviderSettings(name)) for name in ("silent", "faulty"))
    async with registry(silent, faulty) as known:
        voices = await VoiceLists(known, deadline=0.01).all()

        assert by_provider(voices, "local")
        assert {record.levelname for record in caplog.records} == {"WARNING", "ERROR"}
        assert "no answer within 0.01 s" in caplog.text


# --- over HTTP --------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def houses() -> AsyncIterator[str]:
    """A server with Inworld's voices beside those of this machine, and a key."""
    async with FakeInworld() as inworld:
        inworld.listed.append(
            {"voiceId": "shop__Ann", "displayName": "Ann", "langCode": "DE_DE", "source": "IVC"}
        )
        table = ProviderTable.model_validate(
            {"kind": "inworld", "base_url": inworld.base_url, "api_key_env": "LAB_KEY"}
        )
        settings = Settings(
            providers={"inworld": table},
            defaults=DefaultsSettings(tts=ESPEAK, llm="builtin/echo", stt="local/moonshine-tiny-en"),
            server=ServerSettings(api_keys=(SecretStr("bTpz"), SecretStr("plain"))),
        )
        server = running_server(settings, environ={"LAB_KEY": inworld.api_key})
        url = await asyncio.to_thread(server.__enter__)
        try:
            yield url
        finally:
            await asyncio.to_thread(server.__exit__, None, None, None)


@pytest.fixture(scope="module")
def listed(server_url: str) -> Iterator[list[dict[str, Any]]]:
    """What a fresh server lists."""
    with urllib.request.urlopen(f"{server_url}/voices/v1/voices", timeout=10) as answer:
        yield json.load(answer)["voices"]


def _ask(url: str, authorization: str | None, query: list[tuple[str, str]]) -> tuple[int, Any]:
    headers = {"Authorization": authorization} if authorization else {}
    full = f"{url}?{urllib.parse.urlencode(query)}"
    try:
        with urllib.request.urlopen(urllib.request.Request(full, headers=headers), timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


async def ask(url: str, *query: tuple[str, str], authorization: str | None = "Basic bTpz") -> tuple[int, Any]:
    return await asyncio.to_thread(_ask, url, authorization, list(query))


async def test_a_list_has_inworlds_shape(houses: str) -> None:
    status, answer = await ask(f"{houses}/voices/v1/voices")

    assert (status, set(answer)) == (200, {"voices", "totalSize", "nextPageToken"})
    assert answer["totalSize"] == len(answer["voices"])
    assert answer["nextPageToken"] == ""
    found = {voice["name"]: voice for voice in answer["voices"]}
    assert found["workspaces/inworld/voices/Clive"] == {
        "name": "workspaces/inworld/voices/Clive",
        "voiceId": "Clive",
        "langCode": "EN_US",
        "displayName": "Clive",
        "description": "Spoken by inworld/inworld-tts-1.5-mini.",
        "tags": ["inworld", "male"],
        "categories": [],
        "promptLanguages": [],
        "source": "SYSTEM",
        "gender": "MALE",
        "provider": "inworld",
        "model": "inworld/inworld-tts-1.5-mini",
        "models": [f"inworld/inworld-tts-{name}" for name in ("1.5-mini", "1.5-max", "2")],
        "default": False,
    }
    ann = found["workspaces/inworld/voices/shop__Ann"]
    assert (ann["source"], ann["displayName"], ann["langCode"]) == ("IVC", "Ann", "DE_DE")
    assert "gender" not in ann
    dennis = found["workspaces/local/voices/Dennis"]
    assert (dennis["default"], dennis["model"]) == (True, ESPEAK)
    assert found["workspaces/local/voices/de"]["langCode"] == "DE_DE"
    assert found["workspaces/local/voices/en-gb-x-rp"]["langCode"] == "EN_GB_X_RP"


@pytest.mark.parametrize(
    ("filter", "ids"),
    [
        ('source = "IVC"', ["shop__Ann"]),
        (
            'source = "SYSTEM" AND lang_code = "en" AND provider = inworld AND display_name = "*i*"',
            ["Dennis", "Clive", "Olivia"],
        ),
        ('langCode = "de-DE"', ["de", "shop__Ann"]),
        ('displayName = "Dennis" AND default = true', ["Dennis"]),
        ('voice_id = "Dennis" AND model = "inworld/inworld-tts-2"', ["Dennis"]),
        ('name = "workspaces/inworld/voices/Luna"', ["Luna"]),
        ('provider = "inworld" AND NOT gender:*', ["shop__Ann"]),
    ],
)
async def test_filters_know_the_members_of_voices(houses: str, filter: str, ids: list[str]) -> None:
    status, answer = await ask(f"{houses}/voices/v1/voices", ("filter", filter))

    assert (status, [voice["voiceId"] for voice in answer["voices"]]) == (200, ids)


async def test_pages_go_on_where_the_last_one_ended(houses: str) -> None:
    url, order = f"{houses}/voices/v1/voices", ("orderBy", "lang_code desc, display_name asc")
    _, whole = await ask(url, order)
    pages: list[list[str]] = []
    tokens, token = [], ""
    while True:
        status, answer = await ask(url, order, ("pageSize", "70"), ("pageToken", token))
        assert (status, answer["totalSize"]) == (200, whole["totalSize"])
        pages.append([voice["name"] for voice in answer["voices"]])
        token = answer["nextPageToken"]
        if not token:
            break
        tokens.append(token)

    assert tokens[:2] == ["1-70", "2-70"]
    assert [len(page) for page in pages[:-1]] == [70] * (len(pages) - 1)
    assert [name for page in pages for name in page] == [voice["name"] for voice in whole["voices"]]
    codes = [voice["langCode"].lower() for voice in whole["voices"]]
    assert codes == sorted(codes, reverse=True)
    germans = [v["displayName"].lower() for v in whole["voices"] if v["langCode"] == "DE_DE"]
    assert germans == sorted(germans) == ["ann", "german"]


async def test_a_page_behind_the_last_is_empty(houses: str) -> None:
    status, answer = await ask(f"{houses}/voices/v1/voices", ("page_token", "900-20"))

    assert (status, answer["voices"], answer["nextPageToken"]) == (200, [], "")


async def test_languages_may_be_given_by_themselves(houses: str) -> None:
    _, answer = await ask(
        f"{houses}/voices/v1/voices",
        ("languages", "DE_DE"),
        ("languages", "fr-be"),
        ("filter", "gender:* OR -gender:*"),
    )

    assert {voice["langCode"] for voice in answer["voices"]} == {"DE_DE", "FR_BE"}


@pytest.mark.parametrize(
    ("query", "param", "says"),
    [
        (("filter", "lang_code < en"), "filter", 'An example: source = "SYSTEM" AND lang_code = "en".'),
        (("filter", "language ="), "filter", "found its end"),
        (("orderBy", "size"), "orderBy", "Members: source, lang_code"),
        (("order_by", "display_name up"), "orderBy", "asc or desc"),
        (("pageToken", "1"), "pageToken", "the nextPageToken of the page before"),
        (("pageToken", "0-20"), "pageToken", "the nextPageToken of the page before"),
        (("pageSize", "-1"), "pageSize", "greater than or equal to 0"),
        (("pageSize", "many"), "pageSize", "integer"),
        (("filter", "x" * 3000), "filter", "at most 2000"),
    ],
)
async def test_what_cannot_be_understood_is_refused_with_what_was_expected(
    houses: str, query: tuple[str, str], param: str, says: str
) -> None:
    status, answer = await ask(f"{houses}/voices/v1/voices", query)

    assert (status, answer["error"]["type"], answer["error"]["param"]) == (
        400,
        "invalid_request_error",
        param,
    )
    assert says in answer["error"]["message"]


async def test_one_voice_is_had_by_its_id(houses: str) -> None:
    mine = await ask(f"{houses}/voices/v1/voices/Dennis")
    cloned = await ask(f"{houses}/voices/v1/voices/shop__Ann")
    status, missing = await ask(f"{houses}/voices/v1/voices/Denis")

    assert (mine[0], mine[1]["provider"]) == (200, "local")
    assert (cloned[0], cloned[1]["provider"]) == (200, "inworld")
    assert (status, missing["error"]["code"]) == (404, "voice_not_found")
    assert "Did you mean 'Dennis'?" in missing["error"]["message"]


async def test_the_older_list_has_its_own_shape(houses: str) -> None:
    status, answer = await ask(f"{houses}/tts/v1/voices", ("filter", "language=de"))

    assert (status, set(answer)) == (200, {"voices"})
    german, ann = answer["voices"]
    assert (german["voiceId"], german["languages"]) == ("de", ["de"])
    assert {"voiceId", "displayName", "description", "tags", "languages"} <= set(ann)
    assert (await ask(f"{houses}/tts/v1/voices", ("filter", "age=5")))[0] == 400


@pytest.mark.parametrize("path", ["/voices/v1/voices", "/voices/v1/voices/Dennis", "/tts/v1/voices"])
async def test_voices_are_for_those_with_a_key(houses: str, path: str) -> None:
    for wrong in (None, "Bearer wrong", "Basic d3Jvbmc6eA=="):
        status, answer = await ask(houses + path, authorization=wrong)
        assert (status, answer["error"]["code"]) == (401, "invalid_api_key")
    for right in ("Basic bTpz", "Bearer m:s", "Bearer plain"):
        assert (await ask(houses + path, authorization=right))[0] == 200


async def test_a_session_can_speak_with_a_listed_voice(server_url: str, listed: list[dict[str, Any]]) -> None:
    names = [voice["voiceId"] for voice in listed if voice["default"]]
    async with talk(server_url) as session:
        for voice in names[::12]:
            state = await session.update(audio={"output": {"voice": voice}})
            assert state["audio"]["output"]["voice"] == voice
        reply = await session.ask("[[say Hello.]]")

    assert reply.audio
