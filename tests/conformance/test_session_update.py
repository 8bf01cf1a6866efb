"""session.update: how a session starts, partial changes, switching off, and updates that are refused."""

import time
from typing import Any

import pytest

from tests.conformance.client import ECHO, RATE, Event, talk
from tests.conformance.hearing import voice
from tests.speech import silence


def at(session: Event, path: str) -> Any:
    value: Any = session
    for name in path.split("."):
        value = value[name]
    return value


def nested(path: str, value: Any) -> Event:
    for name in reversed(path.split(".")):
        value = {name: value}
    assert isinstance(value, dict)
    return value


async def test_a_new_session_shows_everything_that_is_in_effect(server_url: str) -> None:
    async with talk(server_url, model="gpt-realtime") as session:
        shown = session.session

        assert shown["type"] == "realtime"
        assert shown["object"] == "realtime.session"
        assert shown["id"].startswith("sess_")
        assert shown["model"] == ECHO
        assert shown["output_modalities"] == ["audio"]
        assert shown["tools"] == []
        assert shown["tool_choice"] == "auto"
        assert shown["max_output_tokens"] == "inf"
        assert shown["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": RATE}
        assert shown["audio"]["output"]["format"] == {"type": "audio/pcm", "rate": RATE}
        assert shown["audio"]["output"]["voice"] == "Dennis"
        assert shown["audio"]["output"]["speed"] == 1.0
        assert shown["audio"]["input"]["noise_reduction"] is None
        assert shown["audio"]["input"]["transcription"]["model"] == "local/moonshine-tiny-en"
        assert shown["audio"]["input"]["turn_detection"] == {
            "type": "semantic_vad",
            "eagerness": "auto",
            "create_response": True,
            "interrupt_response": True,
        }
        for name in ("tracing", "prompt", "include"):
            assert shown[name] is None
        assert shown["truncation"] == "auto"
        assert shown["expires_at"] == pytest.approx(time.time() + 3600, abs=120)


async def test_an_empty_update_changes_nothing(server_url: str) -> None:
    async with talk(server_url) as session:
        before = session.session

        assert await session.update() == before


async def test_the_type_of_the_session_may_be_left_out(server_url: str) -> None:
    async with talk(server_url) as session:
        await session.send("session.update", session={"instructions": "Hi"})

        assert (await session.until("session.updated"))[-1]["session"]["instructions"] == "Hi"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("instructions", "Be brief."),
        ("instructions", ""),
        ("output_modalities", ["text"]),
        ("output_modalities", ["audio"]),
        ("max_output_tokens", 1),
        ("max_output_tokens", 4096),
        ("max_output_tokens", "inf"),
        ("temperature", 0.6),
        ("tools", [{"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}}]),
        ("tools", []),
        ("tool_choice", "required"),
        ("truncation", "disabled"),
        ("truncation", {"type": "retention_ratio", "retention_ratio": 0.5}),
        ("tracing", "auto"),
        ("tracing", {"workflow_name": "w", "group_id": "g", "metadata": {"a": 1}}),
        ("include", ["item.input_audio_transcription.logprobs"]),
        ("audio.input.format", {"type": "audio/pcm", "rate": 24000}),
        ("audio.input.format", {"type": "audio/pcm", "rate": 16000}),
        ("audio.output.format", {"type": "audio/pcm", "rate": 48000}),
        ("audio.input.format", {"type": "audio/pcmu"}),
        ("audio.output.format", {"type": "audio/pcma"}),
        ("audio.output.format", {"type": "audio/float32", "rate": 16000}),
        ("audio.input.turn_detection.threshold", 0),
        ("audio.input.turn_detection.threshold", 0.9),
        ("audio.input.turn_detection.silence_duration_ms", 200),
        ("audio.input.turn_detection.prefix_padding_ms", 0),
        ("audio.input.turn_detection.create_response", False),
        ("audio.input.turn_detection.interrupt_response", False),
        ("audio.input.turn_detection.idle_timeout_ms", 5000),
        ("audio.input.noise_reduction", {"type": "near_field"}),
        ("audio.input.noise_reduction", {"type": "far_field", "strength": 0.5}),
        ("audio.input.transcription.language", "en"),
        ("audio.input.transcription.prompt", "Beckett, Godot"),
        ("audio.output.speed", 1.5),
        ("audio.output.voice", "marin"),
    ],
)
async def test_a_change_shows_and_leaves_the_rest_alone(server_url: str, path: str, value: Any) -> None:
    server_vad = {"input": {"turn_detection": {"type": "server_vad"}}}
    async with talk(server_url, audio=server_vad) as session:
        before = session.session
        after = await session.update(**nested(path, value))

        shown = at(after, path)
        if isinstance(value, dict):
            assert value.items() <= shown.items()
        else:
            assert shown == value
        assert _without(after, path) == _without(before, path)


def _without(session: Event, path: str) -> Event:
    head, _, rest = path.partition(".")
    return {
        name: (_without(value, rest) if rest else "changed") if name == head else value
        for name, value in session.items()
        if name != path  # whose member may only show while it is set
    }


@pytest.mark.parametrize(
    ("path", "on"),
    [
        ("audio.input.turn_detection", {"type": "server_vad"}),
        ("audio.input.transcription", {"model": "whisper-1"}),
        ("audio.input.noise_reduction", {"type": "near_field"}),
        ("tracing", "auto"),
    ],
)
async def test_null_switches_off_and_a_value_switches_on_again(server_url: str, path: str, on: Any) -> None:
    async with talk(server_url) as session:
        await session.update(**nested(path, on))
        off = await session.update(**nested(path, None))
        kept_off = await session.update(instructions="unrelated")
        on_again = await session.update(**nested(path, on))

        assert at(off, path) is None
        assert at(kept_off, path) is None
        assert at(on_again, path) is not None


async def test_turn_detection_switched_on_again_starts_from_its_defaults(server_url: str) -> None:
    async with talk(server_url) as session:
        await session.update(audio={"input": {"turn_detection": {"silence_duration_ms": 321}}})
        await session.update(audio={"input": {"turn_detection": None}})
        on_again = await session.update(audio={"input": {"turn_detection": {"type": "server_vad"}}})

        assert on_again["audio"]["input"]["turn_detection"] == {
            "type": "server_vad",
            "threshold": 0.5,
            "prefix_padding_ms": 200,
            "silence_duration_ms": 1000,
            "idle_timeout_ms": None,
            "create_response": True,
            "interrupt_response": True,
        }


async def test_another_kind_of_turn_detection_replaces_the_object(server_url: str) -> None:
    async with talk(server_url) as session:
        await session.update(audio={"input": {"turn_detection": {"silence_duration_ms": 321}}})
        semantic = await session.update(audio={"input": {"turn_detection": {"type": "semantic_vad"}}})
        back = await session.update(audio={"input": {"turn_detection": {"type": "server_vad"}}})

        assert semantic["audio"]["input"]["turn_detection"] == {
            "type": "semantic_vad",
            "eagerness": "auto",
            "create_response": True,
            "interrupt_response": True,
        }
        assert back["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 1000


@pytest.mark.parametrize(
    "name",
    [
        "whisper-1",
        "gpt-4o-transcribe",
        "gpt-4o-mini-transcribe",
        "gpt-live-transcribe",
        "gpt-realtime-whisper",
        "local/moonshine-tiny-en",
    ],
)
async def test_transcription_models_of_the_public_service_find_a_model(server_url: str, name: str) -> None:
    async with talk(server_url) as session:
        after = await session.update(audio={"input": {"transcription": {"model": name}}})

        assert after["audio"]["input"]["transcription"]["model"] == "local/moonshine-tiny-en"


@pytest.mark.parametrize(
    "voice",
    ["alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar", "Dennis"],
)
async def test_voices_of_the_public_service_are_understood(server_url: str, voice: str) -> None:
    async with talk(server_url) as session:
        after = await session.update(audio={"output": {"voice": voice}})

        assert after["audio"]["output"]["voice"] == voice


async def test_the_same_model_may_be_sent_again(server_url: str) -> None:
    async with talk(server_url, model="gpt-realtime", text=True) as session:
        for name in ("gpt-realtime", ECHO):
            assert (await session.update(model=name))["model"] == ECHO

        assert (await session.ask("Hello")).text == "You said: Hello"


async def test_unknown_members_are_ignored(server_url: str) -> None:
    async with talk(server_url) as session:
        before = session.session
        after = await session.update(
            frobnicate=True, audio={"input": {"turn_detection": {"sparkle": 1}}, "through": {"put": None}}
        )

        assert after == before


async def test_a_change_in_mid_session_counts_from_the_next_response_on(server_url: str) -> None:
    async with talk(server_url, instructions="[[say one]]") as session:
        first = await session.respond()
        await session.update(instructions="[[say two]]", output_modalities=["text"])
        second = await session.respond()

        assert (first.text, bool(first.audio)) == ("one", True)
        assert (second.text, bool(second.audio)) == ("two", False)


async def test_the_voice_may_change_after_the_session_has_spoken(server_url: str) -> None:
    async with talk(server_url) as session:
        first = await session.ask("[[say Hello there.]]")
        await session.update(audio={"output": {"voice": "coral"}})
        second = await session.ask("[[say Hello there.]]")

        assert first.audio != second.audio
        assert second.response["audio"]["output"]["voice"] == "coral"


async def test_a_running_response_keeps_what_it_started_with(server_url: str) -> None:
    async with talk(server_url, text=True) as session:
        id = await session.start("[[words 60]] [[pace 10]]")
        await session.update(output_modalities=["audio"], max_output_tokens=1)
        reply = await session.reply(id)

        assert reply.status == "completed"
        assert len(reply.text.split()) == 60
        assert reply.audio == b""


async def test_an_update_between_the_end_of_speech_and_the_answer_shapes_the_answer_or_comes_after_it(
    server_url: str,
) -> None:
    async with talk(server_url) as session:
        await session.append(voice() + silence(1_500, RATE))
        await session.until("input_audio_buffer.speech_stopped")
        await session.send("session.update", session={"type": "realtime", "output_modalities": ["text"]})
        reply = await session.reply()

        assert reply.status == "completed"
        assert bool(reply.audio) == (reply.response["output_modalities"] == ["audio"])


@pytest.mark.parametrize(
    ("bad", "param"),
    [
        ({"max_output_tokens": 0}, "session.max_output_tokens"),
        ({"audio": {"output": {"speed": 9}}}, "session.audio.output.speed"),
        (
            {"audio": {"input": {"turn_detection": {"threshold": 2}}}},
            "session.audio.input.turn_detection.threshold",
        ),
        ({"tool_choice": "perhaps"}, "session.tool_choice"),
        ({"model": "nobody/nothing"}, "session.model"),
        ({"audio": {"output": {"voice": "nobody at all"}}}, "session.audio.output.voice"),
    ],
)
async def test_a_refused_update_changes_nothing_at_all(server_url: str, bad: Event, param: str) -> None:
    async with talk(server_url) as session:
        before = session.session
        good = {
            "type": "realtime",
            "instructions": "Changed",
            "output_modalities": ["text"],
            "temperature": 0.1,
        }
        await session.send("session.update", session=good | bad, event_id="half")
        error = await session.error()

        assert (error["type"], error["param"], error["event_id"]) == ("invalid_request_error", param, "half")
        assert await session.update() == before


async def test_push_to_talk_can_be_switched_on_in_mid_session(server_url: str) -> None:
    async with talk(server_url) as session:
        await session.append(silence(200, RATE))
        await session.update(audio={"input": {"turn_detection": None}})
        await session.append(voice())
        await session.send("input_audio_buffer.commit")
        completed = (await session.until("conversation.item.input_audio_transcription.completed"))[-1]

        assert completed["transcript"].lower().startswith("ever tried")
