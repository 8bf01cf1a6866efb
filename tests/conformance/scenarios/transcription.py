"""Transcription sessions, and what transcripts tell beyond their text."""

from tests.conformance.client import RATE, Talk
from tests.conformance.hearing import VOICE_WORDS, voice, words
from tests.conformance.scenarios.registry import BETA, BOTH, scenario
from tests.conformance.scenarios.speech import KIND, TURN
from tests.conformance.scenarios.stages import UNHEARD
from tests.conformance.scenarios.steps import COMMITTED, TEXT, configure, order, order_since, speak, told, vad
from tests.speech import silence

LOGPROBS = "item.input_audio_transcription.logprobs"
TRANSCRIBE = {"intent": "transcription"}


@scenario(
    "A transcription session turns speech into text and answers nothing",
    variants=(*BOTH, BETA),
    query=TRANSCRIBE,
)
async def transcription(session: Talk) -> None:
    await configure(session, vad())
    begin = len(told(session))
    await speak(session)
    await session.until(f"{KIND}.completed")
    seen = order_since(session, begin, transcripts=True)
    assert [kind for kind in seen if kind != f"{KIND}.delta"] == [*TURN, f"{KIND}.completed"]
    completed = told(session)[-1]
    assert words(completed["transcript"]) == VOICE_WORDS
    assert completed["usage"]["type"] == "duration"
    await session.send("response.create")
    error = await session.error()
    assert (error["code"], error["param"]) == ("invalid_value", "type")


@scenario("A transcription session takes every setting that it has", query=TRANSCRIBE)
async def transcription_settings(session: Talk) -> None:
    wanted = {
        "include": [LOGPROBS],
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "noise_reduction": {"type": "far_field", "strength": 0.5},
                "transcription": {
                    "language": "en",
                    "prompt": "Two people wait.",
                    "keywords": ["Godot"],
                    "delay": "low",
                },
                "turn_detection": {
                    "type": "server_vad",
                    "threshold": 0.6,
                    "prefix_padding_ms": 200,
                    "silence_duration_ms": 700,
                },
            }
        },
    }
    model = {"audio": {"input": {"transcription": {"model": "whisper-1"}}}}
    await session.update(**model)
    shown = await session.update(**wanted)
    assert shown["include"] == wanted["include"]
    heard = shown["audio"]["input"]
    model_name = heard["transcription"].pop("model")
    assert "/" in model_name
    assert heard == wanted["audio"]["input"]  # type: ignore[index]


@scenario("Text streams before the commit, with the probability of each token", query=TRANSCRIBE)
async def transcription_by_hand(session: Talk) -> None:
    transcribed = {"audio": {"input": {"transcription": {"model": "whisper-1"}, "turn_detection": None}}}
    await session.update(include=[LOGPROBS], **transcribed)
    await session.append(voice(3_000) + silence(500, RATE))  # long enough for text to come meanwhile
    first = (await session.until(f"{KIND}.delta"))[-1]
    await session.send("input_audio_buffer.commit")
    completed = (await session.until(f"{KIND}.completed"))[-1]
    assert first["item_id"] == completed["item_id"]
    assert "".join(token["token"] for token in completed["logprobs"]).split() == (
        completed["transcript"].split()
    )


@scenario(
    "A model may tell speakers apart, name the language and count tokens", query=TRANSCRIBE, stage="remote"
)
async def transcription_by_speaker(session: Talk) -> None:
    transcribed = {"transcription": {"model": "remote/gpt-4o-transcribe-diarize"}}
    await session.update(audio={"input": transcribed | {"turn_detection": None}})
    await speak(session, 0)
    await session.send("input_audio_buffer.commit")
    events = await session.until(f"{KIND}.completed")
    segments = [event for event in events if event["type"] == f"{KIND}.segment"]
    assert [segment["speaker"] for segment in segments] == ["A", "B"]
    assert events[-1]["languages"] == [{"code": "en"}]
    assert events[-1]["usage"]["type"] == "tokens"


@scenario("A model may tell how sure it is of each piece of text", query=TRANSCRIBE, stage="remote")
async def transcription_by_token(session: Talk) -> None:
    transcribed = {"transcription": {"model": "remote/gpt-4o-transcribe"}, "turn_detection": None}
    await session.update(include=[LOGPROBS], audio={"input": transcribed})
    await speak(session, 0)
    await session.send("input_audio_buffer.commit")
    events = await session.until(f"{KIND}.completed")
    deltas = [event for event in events if event["type"] == f"{KIND}.delta"]
    tokens = [token["token"] for event in deltas for token in event["logprobs"]]
    assert tokens == [event["delta"] for event in deltas] == ["Ever", " tried.", " Ever", " failed."]


@scenario(
    "Where transcription fails, the turn is told so and the session goes on",
    variants=(*BOTH, BETA),
    stage="remote",
)
async def transcription_fails(session: Talk) -> None:
    await configure(
        session, TEXT, {"audio": {"input": {"transcription": {"model": UNHEARD}, "turn_detection": None}}}
    )
    begin = len(told(session))
    await speak(session, 0)
    await session.send("input_audio_buffer.commit")
    failed = (await session.until(f"{KIND}.failed"))[-1]
    assert order(told(session)[begin:]) == COMMITTED
    assert failed["error"]["message"]
    assert (await session.ask("Hello")).text == "You said: Hello"
