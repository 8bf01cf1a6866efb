"""Whatever a client sends, in whatever order and at whatever moment: the oracle finds no fault."""

import base64
import random
from collections.abc import Awaitable, Callable

import pytest

from pipeline.config import G711, AudioFormat
from server.talk.wav import encode_wav
from tests.conformance.client import RATE, Event, Talk, talk
from tests.conformance.hearing import voice
from tests.speech import silence

SEEDS = [*((seed, "parley") for seed in range(8)), *((seed, "openai") for seed in range(100, 104))]
STEPS = 60

TOOL = {"type": "function", "name": "clock", "parameters": {"type": "object", "properties": {}}}
TEXTS = [
    "Hello",
    "[[words 30]] [[pace 4]]",
    "[[words 200]] [[pace 2]]",
    "[[say One moment.]] [[call clock]]",
    "[[call clock]] [[call clock]] [[pace 5]]",
    "[[think 40]]",
    "[[say Some words before it breaks.]] [[fail drop]]",
    "[[fail rate_limit]]",
    "[[finish length]]",
    "[[say ]]",
]
DETECTION = [
    None,
    {"type": "server_vad"},
    {"type": "server_vad", "silence_duration_ms": 200},
    {"type": "server_vad", "interrupt_response": False},
    {"type": "server_vad", "create_response": False},
    {"type": "semantic_vad"},
]


FORMATS = [
    AudioFormat("audio/pcm", 24_000),
    AudioFormat("audio/pcm", 8_000),
    AudioFormat("audio/pcmu", 8_000),
    AudioFormat("audio/pcma", 8_000),
    AudioFormat("audio/float32", 16_000),
]


def shown(format: AudioFormat) -> Event:
    return {"type": format.type} if format.type in G711 else {"type": format.type, "rate": format.rate}


class Chaos:
    """Sends one random thing after the other over one connection."""

    def __init__(self, session: Talk, seed: int) -> None:
        self.session = session
        self.random = random.Random(seed)
        self.ids = ["item_nobody"]  # items that exist, did exist, or never did
        self.format = AudioFormat()  # of what is said

    async def step(self) -> None:
        often = [self.type, self.respond, self.speak]
        seldom = [
            self.update,
            self.retune,
            self.play,
            self.hush,
            self.commit,
            self.clear,
            self.cancel,
            self.answer,
        ]
        with_items = [self.delete, self.retrieve, self.truncate]
        actions: list[Callable[[], Awaitable[None]]] = [*often, *often, *seldom, *with_items]
        action = self.random.choice(actions)
        await action()
        if self.random.random() < 0.3:
            await self.session.settle()
        for event in self.session.events[-20:]:
            if event["type"] == "conversation.item.added":
                self.ids.append(event["item"]["id"])

    def some_id(self) -> str:
        return self.random.choice(self.ids[-6:])

    async def update(self) -> None:
        changes: list[Event] = [
            {"output_modalities": [self.random.choice(["audio", "text"])]},
            {"audio": {"input": {"turn_detection": self.random.choice(DETECTION)}}},
            {"audio": {"input": {"transcription": self.random.choice([None, {"model": "whisper-1"}])}}},
            {"audio": {"output": {"format": shown(self.random.choice(FORMATS))}}},
            {"audio": {"output": {"voice": self.random.choice(["alloy", "marin", "nobody"])}}},
            {"tools": self.random.choice([[], [TOOL]])},
            {"max_output_tokens": self.random.choice([3, "inf", 0])},
        ]
        await self.session.send("session.update", session={"type": "realtime"} | self.random.choice(changes))

    async def retune(self) -> None:
        self.format = self.random.choice(FORMATS)
        audio = {"input": {"format": shown(self.format)}}
        await self.session.send("session.update", session={"type": "realtime", "audio": audio})

    async def play(self) -> None:
        file = encode_wav(voice(self.random.choice([200, 1_000])), RATE)
        data = self.random.choice([file, file, file[:50], b"odd"])
        part = {"type": "input_audio", "audio": base64.b64encode(data).decode()}
        item = {"type": "message", "role": "user", "content": [part]}
        await self.session.send("conversation.item.create", item=item)

    async def type(self) -> None:
        content = [{"type": "input_text", "text": self.random.choice(TEXTS)}]
        item = {"type": "message", "role": "user", "content": content}
        place = self.random.choice(
            [{}, {}, {}, {"previous_item_id": "root"}, {"previous_item_id": self.some_id()}]
        )
        await self.session.send("conversation.item.create", item=item, **place)

    async def answer(self) -> None:
        calls = [e["call_id"] for e in self.session.events[-200:] if e["type"].endswith("arguments.done")]
        item = {"type": "function_call_output", "call_id": (calls or ["nobody"])[-1], "output": "noon"}
        await self.session.send("conversation.item.create", item=item)

    async def respond(self) -> None:
        content = [{"type": "input_text", "text": self.random.choice(TEXTS)}]
        own = {"input": [{"type": "message", "role": "user", "content": content}]}
        outside: Event = {"conversation": "none"}
        forced = {"tools": [TOOL], "tool_choice": "required"}
        reference = {"input": [{"type": "item_reference", "id": self.some_id()}]}
        choices: list[Event] = [{}, {}, own, outside, outside | own | {"metadata": {"k": "v"}}]
        choices += [{"output_modalities": ["text"]}, forced, outside | reference]
        response = self.random.choice(choices)
        await self.session.send("response.create", response=response)

    async def speak(self) -> None:
        await self.append(voice(self.random.choice([200, 1_000, 2_000]), self.format.rate))

    async def hush(self) -> None:
        await self.append(silence(self.random.choice([100, 700, 1_500]), self.format.rate))

    async def append(self, pcm: bytes) -> None:
        await self.session.append(pcm, rate=self.format.rate, type=self.format.type)

    async def commit(self) -> None:
        await self.session.send("input_audio_buffer.commit")

    async def clear(self) -> None:
        await self.session.send("input_audio_buffer.clear")

    async def cancel(self) -> None:
        running = [id for id, response in self.session.oracle.sequence.responses.items() if not response.over]
        named = {"response_id": self.random.choice([*running, "resp_nobody"])}
        await self.session.send("response.cancel", **self.random.choice([{}, {}, named]))

    async def delete(self) -> None:
        await self.session.send("conversation.item.delete", item_id=self.some_id())

    async def retrieve(self) -> None:
        await self.session.send("conversation.item.retrieve", item_id=self.some_id())

    async def truncate(self) -> None:
        end = self.random.choice([0, 300, 10**6])
        await self.session.send(
            "conversation.item.truncate", item_id=self.some_id(), content_index=0, audio_end_ms=end
        )


@pytest.mark.parametrize(("seed", "profile"), SEEDS)
async def test_a_random_session_keeps_to_the_protocol(server_url: str, seed: int, profile: str) -> None:
    async with talk(server_url, query={"profile": profile}) as session:
        chaos = Chaos(session, seed)
        for _ in range(STEPS):
            await chaos.step()
        # Switch the ears off, so that nothing begins any more, and stop what is running.
        await session.send("input_audio_buffer.clear")
        await session.update(audio={"input": {"turn_detection": None}})
        for id, response in session.oracle.sequence.responses.items():
            if not response.over:
                await session.send("response.cancel", response_id=id)
        while session.oracle.sequence.finished():
            await session.receive()

        errors = [event["error"] for event in session.events if event["type"] == "error"]
        assert {error["type"] for error in errors} <= {"invalid_request_error"}
        assert all(error["code"] and error["event_id"] for error in errors)
        await session.update(output_modalities=["text"], tools=[], max_output_tokens="inf")
        assert (await session.ask("Hello")).text == "You said: Hello"
