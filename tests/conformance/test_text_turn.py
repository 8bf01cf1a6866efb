"""Typed messages and their answers: written and spoken, cut short, and shaped by the session's settings."""

import pytest

from tests.conformance.client import RATE, openai_client, talk
from tests.conformance.hearing import loudness, seconds, transcript_of, word_errors


async def test_a_typed_message_gets_a_spoken_answer_whose_audio_says_its_words(server_url: str) -> None:
    async with talk(server_url) as session:
        said = "Good morning. Please tell me what time it is."
        reply = await session.ask(f"[[say {said}]]")

        assert reply.status == "completed"
        assert reply.text == said
        assert reply.response["output"][0]["content"] == [{"type": "output_audio", "transcript": said}]
        assert 1.5 < seconds(reply.audio, RATE) < 6
        assert loudness(reply.audio) > 0.01
        assert word_errors(await transcript_of(reply.audio, RATE), said) <= 0.34


async def test_with_both_modalities_the_text_still_goes_out_as_a_transcript(server_url: str) -> None:
    async with talk(server_url, output_modalities=["audio", "text"]) as session:
        reply = await session.ask("Hello")

        assert sorted(session.session["output_modalities"]) == ["audio", "text"]
        assert not any(kind.startswith("response.output_text") for kind in reply.types)
        assert reply.text == "You said: Hello"
        assert reply.audio


async def test_one_response_may_answer_in_writing_where_the_session_speaks(server_url: str) -> None:
    async with talk(server_url) as session:
        written = await session.ask("Hello", output_modalities=["text"])
        spoken = await session.ask("Hello again")

        assert (written.audio, written.text) == (b"", "You said: Hello")
        assert spoken.audio
        assert spoken.text == "You said: Hello again"


async def test_turns_follow_each_other_in_one_conversation(server_url: str) -> None:
    async with talk(server_url, text=True) as session:
        for text in ("one", "two", "three"):
            reply = await session.ask(text)
            assert reply.text == f"You said: {text}"

        assert len(await session.items()) == 6


async def test_instructions_reach_the_model(server_url: str) -> None:
    async with talk(server_url, text=True, instructions="[[say Ahoy, sailor.]]") as session:
        own = await session.respond()
        replaced = await session.respond(instructions="[[say Good day.]]")
        again = await session.respond()

        assert [own.text, replaced.text, again.text] == ["Ahoy, sailor.", "Good day.", "Ahoy, sailor."]


async def test_a_limit_on_tokens_ends_the_response_as_incomplete(server_url: str) -> None:
    async with talk(server_url, text=True, max_output_tokens=5) as session:
        reply = await session.ask("[[words 50]]")
        longer = await session.ask("[[words 20]]", max_output_tokens="inf")

        assert (reply.status, reply.reason) == ("incomplete", "max_output_tokens")
        assert len(reply.text.split()) == 5
        assert reply.response["output"][0]["status"] == "incomplete"
        assert reply.response["usage"]["output_tokens"] == 5
        assert longer.status == "completed"
        assert longer.response["max_output_tokens"] == "inf"


@pytest.mark.parametrize(
    ("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
async def test_a_model_that_stops_early_ends_the_response_as_incomplete(
    server_url: str, finish: str, reason: str
) -> None:
    async with talk(server_url, text=True) as session:
        reply = await session.ask(f"[[say Well then]] [[finish {finish}]]")

        assert (reply.status, reply.reason) == ("incomplete", reason)


async def test_usage_counts_what_was_read_and_written(server_url: str) -> None:
    async with talk(server_url, text=True, instructions="Be brief.") as session:
        first = await session.ask("one two three")
        second = await session.ask("four")

        assert first.response["usage"]["output_tokens"] == len(first.text.split())
        assert first.response["usage"]["input_tokens"] >= 3
        assert second.response["usage"]["input_tokens"] > first.response["usage"]["input_tokens"]


async def test_the_temperature_of_a_session_is_shown_and_used(server_url: str) -> None:
    async with talk(server_url, text=True, temperature=0.3) as session:
        assert session.session["temperature"] == 0.3
        assert (await session.ask("Hello")).status == "completed"


@pytest.mark.parametrize(
    ("format", "bytes_per_second"),
    [
        ({"type": "audio/pcm", "rate": 24000}, 48_000),
        ({"type": "audio/pcm", "rate": 16000}, 32_000),
        ({"type": "audio/pcm", "rate": 48000}, 96_000),
    ],
    ids=["pcm 24 kHz", "pcm 16 kHz", "pcm 48 kHz"],
)
async def test_speech_comes_in_the_format_that_was_asked_for(
    server_url: str, format: dict[str, object], bytes_per_second: int
) -> None:
    async with talk(server_url) as session:
        usual = await session.ask("[[say One two three four five.]]")
        await session.update(audio={"output": {"format": format}})
        shaped = await session.ask("[[say One two three four five.]]")

        assert session.session["audio"]["output"]["format"] == format
        assert shaped.response["audio"]["output"]["format"] == format
        assert len(shaped.audio) / bytes_per_second == pytest.approx(seconds(usual.audio, RATE), abs=0.05)


async def test_speed_shortens_the_speech(server_url: str) -> None:
    async with talk(server_url) as session:
        usual = await session.ask("[[say One two three four five six seven.]]")
        await session.update(audio={"output": {"speed": 1.5}})
        quick = await session.ask("[[say One two three four five six seven.]]")

        assert seconds(quick.audio, RATE) < 0.85 * seconds(usual.audio, RATE)


async def test_a_voice_of_one_response_changes_how_it_sounds_and_not_the_session(server_url: str) -> None:
    async with talk(server_url) as session:
        usual = await session.ask("[[say Hello there.]]")
        other = await session.ask("[[say Hello there.]]", audio={"output": {"voice": "marin"}})

        assert other.response["audio"]["output"]["voice"] == "marin"
        assert other.audio != usual.audio
        assert (await session.update())["audio"]["output"]["voice"] == "Dennis"


async def test_a_long_answer_keeps_its_order(server_url: str) -> None:
    async with talk(server_url, text=True) as session:
        reply = await session.ask("[[words 300]]")

        assert len(reply.text.split()) == 300
        assert sum(e["type"] == "response.output_text.delta" for e in reply.events) > 50


@pytest.mark.parametrize(
    "text", ["", " ", "日本語 🙂 naïve", '\u2028\u0000\\"', "a" * 20_000, "<b>&amp;</b>"]
)
async def test_any_text_survives_the_round_trip(server_url: str, text: str) -> None:
    async with talk(server_url, text=True) as session:
        item = await session.type(text)
        reply = await session.respond()

        assert item["content"] == [{"type": "input_text", "text": text}]
        assert reply.status == "completed"
        if text.strip():
            assert reply.text == f"You said: {text.strip()}"


@pytest.mark.parametrize("text", ["😀😀😀", "...", "3.14159 USD @ #1 <b>&amp;", "x" * 500, "\n\n"])
async def test_text_that_is_hard_to_speak_does_no_harm(server_url: str, text: str) -> None:
    async with talk(server_url) as session:
        assert (await session.ask(f"[[say {text}]]")).status == "completed"
        assert (await session.ask("Hello")).audio


async def test_model_names_of_the_public_service_find_a_model(server_url: str) -> None:
    for name in ("gpt-realtime", "gpt-realtime-2.1", "gpt-4o-realtime-preview"):
        async with talk(server_url, model=name, text=True) as session:
            assert session.session["model"] == "builtin/echo"
            assert (await session.ask("Hello")).text == "You said: Hello"


async def test_the_models_are_listed(server_url: str) -> None:
    async with openai_client(server_url) as client:
        listed = [model.id async for model in client.models.list()]

        assert {"builtin/echo", "local/moonshine-tiny-en", "local/espeak"} <= set(listed)
