"""Configure a session: models, routers, voices, speech and transcription models, as a whole and in parts."""

import asyncio
from typing import Any

import aiohttp
import pytest

from tests.conformance.client import RATE, Event
from tests.conformance.hearing import voice
from tests.conformance.inworld.client import EDITIONS, TRANSCRIPTION, inworld, named
from tests.conformance.inworld.conftest import HEARD, Lab
from tests.fakes.openai_api import ChatReply, Reply, Until
from tests.speech import silence

pytestmark = pytest.mark.asyncio(loop_scope="package")

MINI, MAX = "inworld-tts-1.5-mini", "inworld-tts-1.5-max"
STT_MODELS = {
    "assemblyai/u3-rt-pro": "assemblyai",
    "assemblyai/universal-streaming-multilingual": "assemblyai",
    "assemblyai/universal-streaming-english": "assemblyai",
    "inworld/inworld-stt-1": "inworld",
    "soniox/stt-rt-v4": "soniox",
}


def narrator(edition: str) -> Event:
    """The first example of the guide."""
    return {
        "type": "realtime",
        **named(edition, "openai/gpt-4o-mini"),
        "instructions": "You are a friendly narrator.",
        "output_modalities": ["audio", "text"],
        "temperature": 0.8,
        "audio": {
            "input": {
                "turn_detection": {
                    "type": "semantic_vad",
                    "create_response": True,
                    "interrupt_response": True,
                }
            },
            "output": {"voice": "Clive", "model": MINI, "speed": 1.0},
        },
    }


async def changed(talk: Any, session: Event) -> Event:
    """Send a session.update exactly so; the session as session.updated shows it."""
    await talk.send("session.update", session=session)
    event = await talk.receive()
    assert event["type"] == "session.updated", event
    state: Event = event["session"]
    return state


# --- Configure a session ----------------------------------------------------------------------------------


@pytest.mark.parametrize("edition", EDITIONS)
async def test_the_first_example_configures_the_whole_session(lab: Lab, edition: str) -> None:
    async with inworld(lab.url) as talk:
        state = await changed(talk, narrator(edition))
        spoken = len(lab.voices())
        reply = await talk.ask("Tell me a story.")

    assert state["model"] == "openai/gpt-4o-mini"
    assert state["instructions"] == "You are a friendly narrator."
    assert state["output_modalities"] == ["audio", "text"]
    assert state["temperature"] == 0.8
    assert (state["audio"]["output"]["voice"], state["audio"]["output"]["speed"]) == ("Clive", 1.0)
    assert state["audio"]["output"]["model"] in (MINI, f"inworld/{MINI}")
    assert state["audio"]["input"]["turn_detection"]["type"] == "semantic_vad"
    request = lab.openai.chat.requests[-1].body
    assert (request["model"], request["temperature"]) == ("gpt-4o-mini", 0.8)
    assert request["messages"][0]["content"] == "You are a friendly narrator."
    assert reply.text == "gpt-4o-mini here."
    assert reply.audio
    assert lab.voices()[spoken:] == [(MINI, "Clive")]


async def test_session_created_comes_first_also_for_a_client_that_does_not_wait(lab: Lab) -> None:
    async with inworld(lab.url, {"type": "session.update", "session": {"instructions": "Hm."}}) as talk:
        assert [event["type"] for event in talk.events] == ["session.created"]
        assert (talk.session["object"], talk.session["instructions"] != "Hm.") == ("realtime.session", True)
        await talk.until("session.updated")
        assert talk.session["instructions"] == "Hm."


@pytest.mark.parametrize("modalities", [["audio", "text"], ["audio"], ["text"]])
async def test_a_reply_comes_in_the_modalities_of_the_session(lab: Lab, modalities: list[str]) -> None:
    async with inworld(lab.url) as talk:
        state = await changed(talk, {"model": "openai/gpt-4.1-nano", "output_modalities": modalities})
        reply = await talk.ask("Hello.")

    assert state["output_modalities"] == modalities
    assert reply.text == "gpt-4.1-nano here."
    assert bool(reply.audio) == ("audio" in modalities)
    kinds = set(reply.types)
    assert ("response.output_text.delta" in kinds) == ("audio" not in modalities)
    assert ("response.output_audio_transcript.delta" in kinds) == ("audio" in modalities)


@pytest.mark.parametrize("limit", ["inf", 1, 4096])
async def test_tokens_are_unlimited_or_have_a_ceiling(lab: Lab, limit: str | int) -> None:
    async with inworld(lab.url) as talk:
        state = await changed(talk, {"model": "openai/gpt-4o-mini", "max_output_tokens": limit})
        await talk.ask("Hello.", output_modalities=["text"])

    assert state["max_output_tokens"] == limit
    request = lab.openai.chat.requests[-1].body
    asked = request.get("max_completion_tokens", request.get("max_tokens"))
    assert asked == (None if limit == "inf" else limit)


@pytest.mark.parametrize(
    ("format", "shown"),
    [
        *(({"type": "audio/pcm", "rate": rate},) * 2 for rate in (8000, 16000, 24000, 32000, 44100, 48000)),
        *(({"type": "audio/float32", "rate": rate},) * 2 for rate in (16000, 48000)),
        ({"type": "audio/pcm"}, {"type": "audio/pcm", "rate": 24000}),
        ({"type": "audio/pcmu"},) * 2,
        ({"type": "audio/pcma"},) * 2,
        ("pcm16", {"type": "audio/pcm", "rate": 24000}),
        ("g711_ulaw", {"type": "audio/pcmu"}),
        ("g711_alaw", {"type": "audio/pcma"}),
        ("float32", {"type": "audio/float32", "rate": 24000}),
    ],
    ids=str,
)
async def test_formats_are_objects_however_they_were_sent(lab: Lab, format: Any, shown: Event) -> None:
    async with inworld(lab.url) as talk:
        state = await changed(talk, {"audio": {"input": {"format": format}, "output": {"format": format}}})

    assert state["audio"]["output"]["format"] == state["audio"]["input"]["format"] == shown


@pytest.mark.parametrize("edition", EDITIONS)
async def test_partial_updates_change_what_they_name_and_nothing_else(lab: Lab, edition: str) -> None:
    tools = [{"type": "function", "name": "roll", "parameters": {"type": "object", "properties": {}}}]
    async with inworld(lab.url) as talk:
        state = await changed(talk, narrator(edition))
        for part, path in (
            (named(edition, "openai/gpt-4.1-nano"), ("model",)),
            ({"audio": {"output": {"voice": "Olivia"}}}, ("audio", "output", "voice")),
            ({"audio": {"output": {"model": MAX}}}, ("audio", "output", "model")),
            ({"temperature": 0.2}, ("temperature",)),
            ({"tools": tools}, ("tools",)),
            ({"tool_choice": "none"}, ("tool_choice",)),
            ({"instructions": "Be brief."}, ("instructions",)),
        ):
            after = await changed(talk, part)
            assert _at(after, path) != _at(state, path)
            assert _without(after, path) == _without(state, path)
            state = after
        reply = await talk.ask("Go on.")

    assert state["id"] == talk.events[0]["session"]["id"]
    assert (reply.text, lab.voices()[-1]) == ("gpt-4.1-nano here.", (MAX, "Olivia"))


def _at(session: Event, path: tuple[str, ...]) -> Any:
    value: Any = session
    for name in path:
        value = value[name]
    return value


def _without(value: Any, path: tuple[str, ...]) -> Any:
    if not isinstance(value, dict):
        return value
    rest = {name: member for name, member in value.items() if name != path[0]}
    return rest | ({path[0]: _without(value[path[0]], path[1:])} if len(path) > 1 else {})


# --- Choose a router or a language model ------------------------------------------------------------------


async def test_without_a_model_the_documented_default_answers(lab: Lab) -> None:
    async with inworld(lab.url) as talk:
        reply = await talk.ask("Who are you?", output_modalities=["text"])

    assert talk.session["model"] == "google-ai-studio/gemini-2.5-flash"
    assert reply.text == "Google here."


@pytest.mark.parametrize("edition", EDITIONS)
@pytest.mark.parametrize(
    ("model", "answer"),
    [
        ("openai/gpt-4o-mini", "gpt-4o-mini here."),
        ("openai/gpt-4.1-nano", "gpt-4.1-nano here."),
        ("google-ai-studio/gemini-2.5-flash", "Google here."),
        ("inworld/latency-optimizer-ab-test", "inworld/latency-optimizer-ab-test here."),
        ("inworld/models/gemma-4-26b-a4b-it", "models/gemma-4-26b-a4b-it here."),
    ],
)
async def test_a_model_or_a_router_is_named_by_its_provider(
    lab: Lab, edition: str, model: str, answer: str
) -> None:
    async with inworld(lab.url) as talk:
        state = await changed(talk, named(edition, model))
        reply = await talk.ask("Who are you?", output_modalities=["text"])

    assert state["model"] == model
    assert reply.text == answer


@pytest.mark.parametrize("edition", EDITIONS)
async def test_a_new_model_takes_effect_on_the_next_response(lab: Lab, edition: str) -> None:
    go_on = asyncio.Event()
    whole = ChatReply(text="This goes on to its end.").render({"model": "gpt-4o-mini", "messages": []})
    lab.openai.chat.script(Reply((*whole.steps[:2], Until(go_on), *whole.steps[2:]), 200, whole.content_type))
    async with inworld(lab.url) as talk:
        await changed(talk, {**named(edition, "openai/gpt-4o-mini"), "output_modalities": ["text"]})
        id = await talk.start("Begin.")
        await talk.send("session.update", session=named(edition, "openai/gpt-4.1-nano"))
        await talk.until("session.updated")
        go_on.set()
        first = await talk.reply(id)
        second = await talk.ask("Who are you?")

    asked = [request.body["model"] for request in lab.openai.chat.requests[-2:]]
    assert asked == ["gpt-4o-mini", "gpt-4.1-nano"]
    assert (first.text, second.text) == ("This goes on to its end.", "gpt-4.1-nano here.")


# --- Choose a voice and a speech model --------------------------------------------------------------------


async def test_the_default_voice_is_dennis_and_another_can_be_chosen(lab: Lab) -> None:
    async with inworld(lab.url) as talk:
        assert talk.session["audio"]["output"]["voice"] == "Dennis"
        spoken = len(lab.voices())
        await talk.ask("Hello.")
        state = await changed(talk, {"audio": {"output": {"voice": "Olivia"}}})
        await talk.ask("Hello again.")
        one = await talk.ask("And once more.", voice="Clive")  # flat, in one response

    assert state["audio"]["output"]["voice"] == "Olivia"
    assert lab.voices()[spoken:] == [(MINI, "Dennis"), (MINI, "Olivia"), (MINI, "Clive")]
    assert one.status == "completed"


async def test_the_voices_of_the_list_can_be_chosen(lab: Lab) -> None:
    query = {"filter": 'source = "SYSTEM" AND lang_code = "en"', "orderBy": "display_name asc"}
    async with aiohttp.ClientSession() as http, http.get(f"{lab.url}/voices/v1/voices", params=query) as got:
        voices = [entry["voiceId"] for entry in (await got.json())["voices"] if entry["default"]]
    async with inworld(lab.url) as talk:
        for voice_id in voices:
            state = await changed(talk, {"audio": {"output": {"voice": voice_id}}})
            assert state["audio"]["output"]["voice"] == voice_id

    assert {"Dennis", "Clive", "Olivia"} <= set(voices)


@pytest.mark.parametrize("model", [MINI, MAX])
async def test_the_speech_model_can_be_chosen_alone_or_with_a_voice(lab: Lab, model: str) -> None:
    async with inworld(lab.url) as talk:
        assert talk.session["audio"]["output"]["model"] in (MINI, f"inworld/{MINI}")  # the default
        spoken = len(lab.voices())
        await changed(talk, {"audio": {"output": {"model": model}}})
        await talk.ask("Hello.")
        await changed(talk, {"audio": {"output": {"model": MAX, "voice": "Sarah"}}})
        await talk.ask("Hello again.")

    assert lab.voices()[spoken:] == [(model, "Dennis"), (MAX, "Sarah")]


# --- Choose a transcription model -------------------------------------------------------------------------


@pytest.mark.parametrize("model", STT_MODELS)
async def test_every_transcription_model_of_the_guide_hears(lab: Lab, model: str) -> None:
    fake: Any = getattr(lab, STT_MODELS[model])
    before = len(fake.exchanges)
    async with inworld(lab.url) as talk:
        state = await changed(talk, {"audio": {"input": {"transcription": {"model": model}}}})
        await changed(talk, {"audio": {"input": {"turn_detection": {"create_response": False}}}})
        await talk.append(voice() + silence(1_500, RATE))
        done = (await talk.until(f"{TRANSCRIPTION}.completed"))[-1]

    assert state["audio"]["input"]["transcription"]["model"] == model
    assert HEARD.startswith(done["transcript"].rstrip(".?! "))
    assert done["transcript"]
    assert len(fake.exchanges) > before
    wanted = model.partition("/")[2] if fake is not lab.inworld else model
    assert wanted in str((fake.exchanges[before].query, fake.exchanges[before].texts[:1]))


@pytest.mark.parametrize("model", ["assemblyai/", "acme/ears-1", "assemblyai-of-mine/u3-rt-pro"])
async def test_an_unknown_transcription_model_is_refused_and_nothing_is_applied(lab: Lab, model: str) -> None:
    async with inworld(lab.url) as talk:
        before = talk.session
        mine = await talk.send(
            "session.update",
            session={
                "instructions": "You are somebody else.",
                "temperature": 0.1,
                "audio": {
                    "input": {"transcription": {"model": model}, "turn_detection": None},
                    "output": {"voice": "Olivia"},
                },
            },
        )
        error = await talk.error()
        unchanged = await changed(talk, {})

    assert (error["type"], error["code"], error["param"], error["event_id"]) == (
        "invalid_request_error",
        "invalid_value",
        "session.audio.input.transcription.model",
        mine,
    )
    assert model in error["message"]
    assert unchanged == before


async def test_the_models_of_inworld_tell_what_the_voice_sounds_like(lab: Lab) -> None:
    wanted = {
        "audio": {"input": {"transcription": {"model": "inworld/inworld-stt-1"}}},
        "providerData": {"stt": {"voice_profile": True}},
    }
    async with inworld(lab.url) as talk:
        await changed(talk, wanted)
        await changed(talk, {"audio": {"input": {"turn_detection": {"create_response": False}}}})
        await talk.append(voice() + silence(4_500, RATE))
        done = (await talk.until(f"{TRANSCRIPTION}.completed"))[-1]

    profile = done["providerData"]["voiceProfile"]
    assert {"age", "emotion"} <= set(profile)
    assert all({"label", "confidence"} <= set(guess) for guess in profile["age"])


async def test_the_speed_of_the_speech_can_be_chosen(server_url: str) -> None:
    lengths = []
    async with inworld(server_url) as talk:
        for speed in (0.5, 1.0, 1.5):
            state = await changed(talk, {"audio": {"output": {"speed": speed}}})
            reply = await talk.ask("[[say One two three four five six seven.]]")
            assert state["audio"]["output"]["speed"] == speed
            lengths.append(len(reply.audio))

    assert lengths[0] > 1.5 * lengths[1] > 1.5 * 1.2 * lengths[2]
