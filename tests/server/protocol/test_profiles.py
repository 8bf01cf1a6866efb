"""What the strict profile refuses that the default one takes, event by event."""

import json
import logging
from typing import Any

import pytest

from pipeline.commands import Refuse
from pipeline.config import SessionType
from pipeline.core.reconfiguring import Rules
from server.protocol.decoding import AppendAudio, Decoder
from server.protocol.profiles import PARLEY, PROFILES, Profile
from tests.server.protocol.samples import AUDIO

OPENAI = PROFILES["openai"]


def decode(event: Any, profile: Profile, session_type: SessionType = "realtime", **options: Any) -> Any:
    decoder = Decoder(
        max_append_bytes=10_000,
        max_item_bytes=10_000,
        profile=profile,
        session_type=session_type,
        **options,
    )
    return decoder.decode(json.dumps(event))


def update(path: str, value: Any, **more: Any) -> dict[str, Any]:
    for name in reversed(path.split(".")):
        value = {name: value}
    return {"type": "session.update", "session": {"type": "realtime", **value, **more}}


def item(*content: Any, role: str = "user") -> dict[str, Any]:
    return {
        "type": "conversation.item.create",
        "item": {"type": "message", "role": role, "content": list(content)},
    }


def respond(**members: Any) -> dict[str, Any]:
    return {"type": "response.create", "response": members}


TEXT = {"type": "input_text", "text": "Hello"}
UNKNOWN, MISSING = "unknown_parameter", "missing_required_parameter"
IN, OUT = "session.audio.input", "session.audio.output"

BEYOND = {
    "an unknown event member": ({"type": "response.cancel", "why": "bored"}, UNKNOWN, "why"),
    "an unknown member of a bare event": ({"type": "input_audio_buffer.clear", "now": True}, UNKNOWN, "now"),
    "an unknown member of an append": (
        {"type": "input_audio_buffer.append", "audio": AUDIO, "rate": 8000},
        UNKNOWN,
        "rate",
    ),
    "an unknown member of an update": (update("mood", "good") | {"also": 1}, UNKNOWN, "session.mood"),
    "an unknown member beside the session": (update("instructions", "Hi") | {"also": 1}, UNKNOWN, "also"),
    "an unknown session member": (update("mood", "good"), UNKNOWN, "session.mood"),
    "an unknown nested member": (update("audio.input.x", 1), UNKNOWN, f"{IN}.x"),
    "an unknown member of a tool": (
        update("tools", [{"type": "function", "name": "f"}, {"type": "function", "name": "g", "x": 1}]),
        UNKNOWN,
        "session.tools[1].x",
    ),
    "an unknown member of a part": (item(TEXT | {"x": 1}), UNKNOWN, "item.content[0].x"),
    "a server's own member": (update("id", "sess_1"), UNKNOWN, "session.id"),
    "temperature": (update("temperature", 0.8), UNKNOWN, "session.temperature"),
    "modelId": (update("modelId", "gpt-realtime"), UNKNOWN, "session.modelId"),
    "providerData": (update("providerData", {"a": 1}), UNKNOWN, "session.providerData"),
    "a speech model": (update("audio.output.model", "tts-1"), UNKNOWN, f"{OUT}.model"),
    "no session type": (
        {"type": "session.update", "session": {"instructions": "Hi"}},
        MISSING,
        "session.type",
    ),
    "both modalities": (
        update("output_modalities", ["audio", "text"]),
        "invalid_value",
        "session.output_modalities",
    ),
    "another PCM rate": (
        update("audio.input.format", {"type": "audio/pcm", "rate": 16000}),
        "invalid_value",
        f"{IN}.format.rate",
    ),
    "a rate of G.711": (
        update("audio.input.format", {"type": "audio/pcmu", "rate": 8000}),
        UNKNOWN,
        f"{IN}.format.rate",
    ),
    "floats": (
        update("audio.output.format", {"type": "audio/float32"}),
        "invalid_value",
        f"{OUT}.format.type",
    ),
    "a format by name": (update("audio.input.format", "pcm16"), "invalid_type", f"{IN}.format"),
    "a format without type": (
        update("audio.output.format", {"rate": 24000}),
        MISSING,
        f"{OUT}.format.type",
    ),
    "eagerness of server_vad": (
        update("audio.input.turn_detection", {"type": "server_vad", "eagerness": "low"}),
        UNKNOWN,
        f"{IN}.turn_detection.eagerness",
    ),
    "a threshold of semantic_vad": (
        update("audio.input.turn_detection", {"type": "semantic_vad", "threshold": 0.4}),
        UNKNOWN,
        f"{IN}.turn_detection.threshold",
    ),
    "a tool without type": (update("tools", [{"name": "f"}]), MISSING, "session.tools[0].type"),
    "a short content type": (item({"type": "text", "text": "Hi"}), "invalid_value", "item.content[0].type"),
    "speech of the assistant": (
        item({"type": "output_audio", "transcript": "Hi"}, role="assistant"),
        "invalid_value",
        "item.content[0].type",
    ),
    "a flat voice": (respond(voice="alloy"), UNKNOWN, "response.voice"),
    "flat modalities": (respond(modalities=["text"]), UNKNOWN, "response.modalities"),
    "the temperature of a response": (respond(temperature=1), UNKNOWN, "response.temperature"),
    "the speed of a response": (
        respond(audio={"output": {"speed": 1.2}}),
        UNKNOWN,
        "response.audio.output.speed",
    ),
    "an unknown member of an input item": (
        respond(input=[{"type": "message", "role": "user", "content": [TEXT], "mood": "good"}]),
        UNKNOWN,
        "response.input[0].mood",
    ),
}


@pytest.mark.parametrize(("event", "code", "param"), list(BEYOND.values()), ids=list(BEYOND))
def test_what_goes_beyond_openai_is_refused_where_openai_is_followed(
    event: Any, code: str, param: str
) -> None:
    assert not isinstance(decode(event, PARLEY), Refuse)

    refused = decode(event | {"event_id": "mine"}, OPENAI)

    assert isinstance(refused, Refuse)
    assert (refused.error.code, refused.error.param, refused.event_id) == (code, param, "mine")
    assert param in refused.error.message or code == "invalid_value"


ALLOWED = {
    "every member of a session": update(
        "instructions",
        "Hi",
        model="gpt-realtime",
        output_modalities=["audio"],
        tools=[{"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}}],
        tool_choice={"type": "function", "name": "f"},
        max_output_tokens="inf",
        tracing={"workflow_name": "w", "metadata": {"any": "thing"}},
        truncation={
            "type": "retention_ratio",
            "retention_ratio": 0.5,
            "token_limits": {"post_instructions": 9},
        },
        reasoning={"effort": "low"},
        parallel_tool_calls=True,
        include=["item.input_audio_transcription.logprobs"],
        audio={
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "transcription": {"model": "whisper-1", "language": "en", "prompt": "names"},
                "noise_reduction": {"type": "near_field"},
                "turn_detection": {"type": "server_vad", "threshold": 0.5, "idle_timeout_ms": 6000},
            },
            "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin", "speed": 1.1},
        },
    ),
    "G.711": update("audio", {name: {"format": {"type": "audio/pcma"}} for name in ("input", "output")}),
    "an item with everything": {
        "type": "conversation.item.create",
        "previous_item_id": "root",
        "item": {
            "id": "mine",
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [TEXT, {"type": "input_audio", "audio": AUDIO, "transcript": "Hello"}],
        },
    },
    "a response with everything": respond(
        conversation="none",
        input=[{"type": "item_reference", "id": "mine"}],
        instructions="Hi",
        output_modalities=["text"],
        audio={"output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin"}},
        metadata={"a": "b"},
        max_output_tokens=7,
    ),
    "an append": {"type": "input_audio_buffer.append", "audio": AUDIO, "event_id": "mine"},
    "free parameters of a tool": update(
        "tools", [{"type": "function", "name": "f", "parameters": {"type": "object", "x": {"y": 1}}}]
    ),
}


@pytest.mark.parametrize("event", list(ALLOWED.values()), ids=list(ALLOWED))
@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_what_openai_knows_passes_in_every_profile(profile: Profile, event: Any) -> None:
    assert not isinstance(decode(event, profile), Refuse)


@pytest.mark.parametrize(
    ("event", "code", "param"),
    [
        (
            {"type": "session.update", "session": {"type": "transcription", "model": "x"}},
            UNKNOWN,
            "session.model",
        ),
        (
            {
                "type": "session.update",
                "session": {
                    "type": "transcription",
                    "audio": {"input": {"turn_detection": {"type": "server_vad", "create_response": True}}},
                },
            },
            UNKNOWN,
            f"{IN}.turn_detection.create_response",
        ),
        (
            {"type": "session.update", "session": {"type": "transcription", "audio": {"output": {}}}},
            UNKNOWN,
            "session.audio.output",
        ),
    ],
)
def test_a_transcription_session_has_fewer_members(event: Any, code: str, param: str) -> None:
    assert not isinstance(decode(event, PARLEY, "transcription"), Refuse)
    refused = decode(event, OPENAI, "transcription")

    assert (refused.error.code, refused.error.param) == (code, param)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
@pytest.mark.parametrize("mine", ["realtime", "transcription"])
def test_the_type_of_a_session_never_changes(profile: Profile, mine: SessionType) -> None:
    other = "transcription" if mine == "realtime" else "realtime"

    refused = decode({"type": "session.update", "session": {"type": other}}, profile, mine)

    assert (refused.error.code, refused.error.param) == ("invalid_value", "session.type")


@pytest.mark.parametrize("name", ["response.create", "response.cancel"])
def test_a_transcription_session_knows_no_responses(name: str) -> None:
    refused = decode({"type": name}, PARLEY, "transcription")

    assert (refused.error.code, refused.error.param) == ("invalid_value", "type")
    assert "input_audio_buffer.append" in refused.error.message
    assert "response" not in refused.error.message.partition("Supported values")[2]


def test_what_is_ignored_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    decoder = Decoder(max_append_bytes=0, max_item_bytes=0, on_ignored=told.append)
    events = [
        update("mood", "good"),
        update("mood", "bad"),
        update("audio.input.x", 1),
        item(TEXT | {"x": 1}),
        {"type": "response.cancel", "why": "bored"},
    ]

    with caplog.at_level(logging.WARNING):
        for event in events * 2:
            decoder.decode(json.dumps(event))

    assert told == ["session.mood", "session.audio.input.x", "item.content[0].x", "why"]
    assert [record.getMessage() for record in caplog.records] == [
        f"ignoring the unknown member '{path}'" for path in told
    ]


def test_a_client_cannot_fill_the_log_with_unknown_members() -> None:
    told: list[str] = []
    decoder = Decoder(max_append_bytes=0, max_item_bytes=0, on_ignored=told.append)

    for number in range(1000):
        decoder.decode(json.dumps(update(f"member_{number}" + "x" * 5000, 1)))

    assert len(told) == 64
    assert max(map(len, told)) <= 200


def test_appends_are_not_slowed_down_by_being_strict() -> None:
    assert isinstance(decode({"type": "input_audio_buffer.append", "audio": AUDIO}, OPENAI), AppendAudio)


def test_only_the_default_profile_is_generous() -> None:
    assert PARLEY.rules == Rules()
    assert PARLEY.defaults == {}
    assert OPENAI.rules != Rules()
