"""Providers fail in spoken turns: with a router the user is answered all the same, without one told why."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from server.background import running_server
from server.settings import ProviderTable, Settings
from tests.conformance.client import RATE, Reply, Talk, talk
from tests.conformance.hearing import VOICE_WORDS, loudness, seconds, voice, words
from tests.fakes.openai_replies import CUT, HANG, ChatReply, SpeechReply, Step
from tests.fakes.upstreams import FAULTS, HEARD, SAID, UPSTREAMS, FaultName, Upstream
from tests.speech import silence

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRANSCRIPTION = "conversation.item.input_audio_transcription"
DETECTION = {"type": "server_vad", "silence_duration_ms": 300}
EARS, MODEL, VOICE = "local/moonshine-tiny-en", "builtin/echo", "local/espeak"

UNTOLD: tuple[FaultName, ...] = ("mute", "stalled")  # faults that only a deadline finds
HURRIED = (*UNTOLD, "corrupted")  # faults that a deadline may find

# What a client may be told of each fault, by a router's list of attempts and without a router.
CODES: Mapping[FaultName, set[str]] = {
    "throttled": {"rate_limit_exceeded"},
    "overloaded": {"provider_overloaded"},
    "mute": {"provider_timeout"},
    "stalled": {"provider_timeout"},
    "killed": {"provider_connection_failed"},
    # What cannot be read may also look like an answer that ends too early.
    "corrupted": {"provider_bad_answer", "provider_connection_failed", "provider_timeout"},
}

CHAT, SPEECH = "openai-compatible/gpt-5-mini", "openai-compatible/gpt-4o-mini-tts"

# Bytes that are no speech cannot be told from speech where that is all that comes.
UNNOTICED = {(SPEECH, "corrupted")}


def faults_of(label: str) -> list[FaultName]:
    return [fault for fault in FAULTS if (label, fault) not in UNNOTICED]


def labels(kind: str) -> list[str]:
    return [label for label, upstream in UPSTREAMS.items() if upstream.kind == kind]


def table_of(label: str, state: str) -> str:
    return f"{state}-{label.replace('/', '-').replace('.', '-')}"


def model_of(label: str, state: str = "healthy") -> str:
    """The upstream in that state as sessions name it."""
    return f"{table_of(label, state)}/{UPSTREAMS[label].model}"


def other_of(label: str) -> str:
    """An upstream for the same stage of another kind."""
    here = UPSTREAMS[label]
    known = labels(here.kind)
    turned = known[known.index(label) :] + known
    return next(name for name in turned if UPSTREAMS[name].provider_kind != here.provider_kind)


def second_of(label: str) -> str:
    """Who takes over: whoever hears the real words, or another service."""
    return EARS if UPSTREAMS[label].kind == "stt" else model_of(other_of(label))


@dataclass(frozen=True)
class Ward:
    """A server with every upstream in every state, and a router in front of each."""

    url: str
    fakes: Mapping[str, Any]  # by their tables


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ward() -> AsyncIterator[Ward]:
    async with AsyncExitStack() as stack:
        fakes: dict[str, Any] = {}
        tables, routers = {}, {}
        for label, upstream in UPSTREAMS.items():
            for state in ("healthy", *FAULTS):
                name = table_of(label, state)
                fakes[name] = fake = await stack.enter_async_context(upstream.fake())
                if state in FAULTS:
                    upstream.suffer(fake, state)
                    patience = "300ms" if state in UNTOLD else "5s"
                    routers[name] = router(upstream, patience, model_of(label, state), second_of(label))
                options = upstream.table(fake.base_url.removesuffix("/v1"))
                if state not in HURRIED:  # and not to be given up because the machine is busy
                    options = {"base_url": options["base_url"], "gap_timeout": 2.0}
                tables[name] = ProviderTable.model_validate(
                    {"kind": upstream.provider_kind, "api_key": fake.api_key, **options}
                )
        for label in (CHAT, SPEECH):
            name = table_of(label, "healthy")
            routers[name] = router(UPSTREAMS[label], "5s", model_of(label), second_of(label))
        server = running_server(Settings(providers=tables, routers=routers), environ={})
        url = await asyncio.to_thread(server.__enter__)
        try:
            yield Ward(url, fakes)
        finally:
            await asyncio.to_thread(server.__exit__, None, None, None)


def router(upstream: Upstream, patience: str, *models: str) -> dict[str, Any]:
    return {
        "kind": upstream.kind,
        "defaults": {"fallback": {"ttft_timeout": patience}},
        "default_route": {"variants": [{"variant": {"model_selection": {"models": list(models)}}}]},
    }


@asynccontextmanager
async def session_of(
    ward: Ward, *, llm: str = MODEL, stt: str = EARS, tts: str = VOICE, text: bool = False
) -> AsyncIterator[Talk]:
    audio_in = {"transcription": {"model": stt}, "turn_detection": DETECTION}
    async with talk(ward.url, llm, text=text, audio={"input": audio_in, "output": {"model": tts}}) as session:
        yield session


async def each_fault(label: str, turn: Callable[[str, FaultName], Awaitable[None]]) -> None:
    """The same in as many sessions as there are faults, at once."""

    async def one(fault: FaultName) -> None:
        try:
            await turn(label, fault)
        except Exception as error:
            error.add_note(f"{label} {fault}")
            raise

    async with asyncio.TaskGroup() as tasks:
        for fault in faults_of(label):
            tasks.create_task(one(fault))


async def spoken_turn(session: Talk) -> tuple[str, Reply]:
    """Somebody speaks and is answered: the transcript and the answer."""
    before = len(session.events)
    await session.append(voice() + silence(700, RATE))
    reply = await session.reply()
    (completed,) = (e for e in session.events[before:] if e["type"] == f"{TRANSCRIPTION}.completed")
    return completed["transcript"], reply


def failure(reply: Reply) -> str:
    assert reply.status == "failed"
    error = reply.response["status_details"]["error"]
    assert error["message"]
    return str(error["code"])


@pytest.mark.parametrize("label", labels("llm"))
async def test_another_model_answers(ward: Ward, label: str) -> None:
    async def turn(label: str, fault: FaultName) -> None:
        async with session_of(ward, llm=f"router/{table_of(label, fault)}") as session:
            transcript, reply = await spoken_turn(session)

        assert words(transcript) == VOICE_WORDS
        assert (reply.status, reply.text) == ("completed", SAID)
        assert 0.8 < seconds(reply.audio, RATE) < 4
        assert reply.response["metadata"]["llm.model"] == second_of(label)
        check_attempts(reply, label, fault)

    await each_fault(label, turn)


@pytest.mark.parametrize("label", labels("stt"))
async def test_other_ears_hear_all_of_it(ward: Ward, label: str) -> None:
    async def turn(label: str, fault: FaultName) -> None:
        name = table_of(label, fault)
        async with session_of(ward, stt=f"router/{name}") as session:
            transcript, reply = await spoken_turn(session)

        assert words(transcript) == VOICE_WORDS  # from the beginning of the audio to its end
        assert (reply.status, reply.text) == ("completed", f"You said: {transcript}")
        assert seconds(reply.audio, RATE) > 0.8
        assert was_asked(ward.fakes[name])

    await each_fault(label, turn)


@pytest.mark.parametrize("label", labels("tts"))
async def test_another_voice_speaks(ward: Ward, label: str) -> None:
    async def turn(label: str, fault: FaultName) -> None:
        async with session_of(ward, tts=f"router/{table_of(label, fault)}") as session:
            _, reply = await spoken_turn(session)

        assert (reply.status, words(reply.text)) == ("completed", ["you", "said", *VOICE_WORDS])
        assert 0.02 < seconds(reply.audio, RATE) < 4
        assert loudness(reply.audio) > 0.01
        check_attempts(reply, label, fault)

    await each_fault(label, turn)


@pytest.mark.parametrize("label", labels("llm"))
async def test_a_model_that_is_out_fails_the_response_and_not_the_session(ward: Ward, label: str) -> None:
    async def turn(label: str, fault: FaultName) -> None:
        async with session_of(ward, llm=model_of(label, fault), text=True) as session:
            assert failure(await session.ask("Hello?")) in CODES[fault]

            await session.update(model=model_of(label))
            assert (await session.ask("Hello?")).text == SAID

    await each_fault(label, turn)


@pytest.mark.parametrize("label", labels("stt"))
async def test_ears_that_are_out_fail_the_transcription_and_not_the_session(ward: Ward, label: str) -> None:
    async def turn(label: str, fault: FaultName) -> None:
        async with session_of(ward, stt=model_of(label, fault), text=True) as session:
            await session.append(voice() + silence(700, RATE))
            failed = (await session.until(f"{TRANSCRIPTION}.failed"))[-1]
            assert failed["error"]["code"] in CODES[fault]
            await session.settle()
            while session.oracle.sequence.finished():
                await session.receive()

            await session.update(audio={"input": {"transcription": {"model": model_of(label)}}})
            transcript, reply = await spoken_turn(session)
            assert (transcript, reply.text) == (HEARD, f"You said: {HEARD}")

    await each_fault(label, turn)


@pytest.mark.parametrize("label", labels("tts"))
async def test_a_voice_that_is_out_fails_the_response_and_not_the_session(ward: Ward, label: str) -> None:
    async def turn(label: str, fault: FaultName) -> None:
        async with session_of(ward, tts=model_of(label, fault)) as session:
            assert failure(await session.ask("[[say Can you hear this sentence?]]")) in CODES[fault]

            await session.update(audio={"output": {"model": model_of(label)}})
            reply = await session.ask("[[say Still here.]]")
            assert (reply.status, reply.text) == ("completed", "Still here.")
            assert seconds(reply.audio, RATE) > 0.02

    await each_fault(label, turn)


@pytest.mark.parametrize(("step", "fault"), [(CUT, "killed"), (HANG, "stalled")])
async def test_what_was_said_cannot_be_taken_back(ward: Ward, step: Step, fault: FaultName) -> None:
    name = table_of(CHAT, "healthy")
    async with session_of(ward, llm=f"router/{name}", text=True) as session:
        ward.fakes[name].chat.script(ChatReply(text=SAID, break_after=3, break_with=(step,)))
        broken = await session.ask("Hello?")
        assert failure(broken) in CODES[fault]
        assert broken.text
        assert SAID.startswith(broken.text)

        assert (await session.ask("Hello?")).text == SAID


@pytest.mark.parametrize(("step", "fault"), [(CUT, "killed"), (HANG, "stalled")])
async def test_what_was_heard_cannot_be_taken_back(ward: Ward, step: Step, fault: FaultName) -> None:
    name = table_of(SPEECH, "healthy")
    async with session_of(ward, tts=f"router/{name}") as session:
        ward.fakes[name].speech.script(SpeechReply(break_after=1, break_with=(step,)))
        broken = await session.ask("[[say Can you hear this sentence?]]")
        assert failure(broken) in CODES[fault]
        assert broken.audio

        whole = await session.ask("[[say Can you hear this sentence?]]")
        assert whole.status == "completed"
        assert len(whole.audio) > len(broken.audio)


def check_attempts(reply: Reply, label: str, fault: FaultName) -> None:
    """The metadata tells whom the router has asked, and what became of it."""
    told = reply.response["metadata"][f"{UPSTREAMS[label].kind}.attempts"]
    (first, code), second = (attempt.split(": ") for attempt in told.split(", "))
    assert first == model_of(label, fault)
    assert code in CODES[fault]
    assert second == [second_of(label), "ok"]


def was_asked(fake: Any) -> bool:
    """Whether anybody has come to an endpoint of transcription."""
    return bool(getattr(fake, "exchanges", None) or fake.transcriptions.requests)
