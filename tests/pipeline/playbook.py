"""Scripts for the pure engine: commands in, one short line per effect out, compared as a story.

    play.tell(CreateResponse()).expect("response.created resp_1", "> start generation resp_1")

Ids count up per kind (`item_1`, `resp_1`), time stands still unless a script moves it, and speech is made of
frames with a given probability. A script whose answers nobody looked at fails, so none can rot unread.
"""

import difflib
import re
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from itertools import count
from typing import Any, Self

import pytest

from pipeline.commands import AudioAppended, Command, FrameScored, GenerationFinished, SpeechFinished
from pipeline.config import (
    AudioConfig,
    AudioInputConfig,
    AudioOutputConfig,
    Patch,
    SessionConfig,
    Transcription,
    merge,
)
from pipeline.core.engine import Engine
from pipeline.core.reconfiguring import Rules
from pipeline.core.state import EngineLimits
from pipeline.effects import Effect, ReportTurnDecision, StartGeneration
from pipeline.ids import NewId
from pipeline.items import InputText, MessageItem
from pipeline.tools import ServerTools
from pipeline.turn_taking import TurnTaking
from providers.contracts import LlmRequest, LlmUsage
from providers.errors import UnknownModelError
from tests.pipeline.telling import line_of

__all__ = [
    "FRAME",
    "PLAIN",
    "FakeCatalog",
    "Playbook",
    "counting_ids",
    "session_config",
    "snapshot",
    "text_of",
    "user",
]

# Every sound interrupts the assistant at once; the rules for that have playbooks of their own.
PLAIN = TurnTaking(min_interruption_ms=0, echo_guard=False)

FRAME = 512  # ticks per frame of speech detection: 32 ms
Lines = str | Iterable[str]
_NO_MEMORY = ("new_id", "now")  # members of the engine's state that come from outside


class FakeCatalog:
    """Everything under `lab/` exists, and every voice but `nobody`. The models hold 800 tokens."""

    def context_tokens(self, name: str) -> int:
        return 800

    def resolve_llm(self, name: str) -> str:
        return self._resolve(name)

    def resolve_stt(self, name: str) -> str:
        return self._resolve(name)

    def resolve_tts(self, name: str) -> str:
        return self._resolve(name)

    def resolve_voice(self, tts: str, voice: str) -> str:
        if voice == "nobody":
            raise UnknownModelError(f"'{tts}' has no voice '{voice}'")
        return voice

    def _resolve(self, name: str) -> str:
        if not name.startswith("lab/"):
            raise UnknownModelError(f"no model '{name}'")
        return name


def counting_ids() -> NewId:
    """`item_1`, `item_2`, `resp_1` and so on."""
    counters: dict[str, count[int]] = {}
    return lambda prefix: f"{prefix}_{next(counters.setdefault(prefix, count(1)))}"


def session_config(patch: Patch | None = None) -> SessionConfig:
    """A session with every default, changed by a patch as a client's update would."""
    config = SessionConfig(
        model="lab/llm",
        audio=AudioConfig(
            AudioInputConfig(Transcription("lab/stt")), AudioOutputConfig(voice="Ann", model="lab/tts")
        ),
    )
    changed: SessionConfig = merge(config, patch or {})
    return changed


def user(text: str, id: str = "") -> MessageItem:
    return MessageItem(id, "user", (InputText(text),))


def text_of(request: LlmRequest) -> list[str]:
    """The messages of a request, one readable line each."""
    lines = []
    for message in request.messages:
        role = type(message).__name__.removesuffix("Message").lower()
        text = getattr(message, "text", None)
        calls = [f"{call.name}({call.arguments})" for call in getattr(message, "tool_calls", ())]
        if role == "tool":
            text = f"{message.name}: {message.output}"  # type: ignore[union-attr]
        lines.append(" ".join([f"{role}:", *([text] if text else []), *calls]))
    return lines


class Playbook:
    """One engine on its way through a script."""

    def __init__(
        self,
        patch: Patch | None = None,
        *,
        limits: EngineLimits | None = None,
        rules: Rules | None = None,
        turn_taking: TurnTaking = PLAIN,
        config: SessionConfig | None = None,
        server_tools: ServerTools | None = None,
    ) -> None:
        self.engine = Engine(
            config or session_config(patch),
            FakeCatalog(),
            default_stt="lab/default-stt",
            limits=limits,
            rules=rules,
            turn_taking=turn_taking,
            server_tools=server_tools,
            new_id=counting_ids(),
        )
        self.now = 0.0
        self.effects: list[Effect] = []  # all of them
        self.story: list[str] = []  # commands, and the effects that somebody looked at
        self._unseen: list[str] = []
        self._expectations = 0
        self._heard = 0  # ticks of audio so far

    # --- in -------------------------------------------------------------------------------------------

    def tell(self, *commands: Command) -> Self:
        for command in commands:
            self.story.append(f"<< {_command_line(command)}")
            for effect in self.engine.handle(command, self.now):
                self.effects.append(effect)
                if not isinstance(effect, ReportTurnDecision):  # each pause has some; see `decisions`
                    self._unseen.append(line_of(effect))
        return self

    def speak(self, ms: int, probability: float = 0.9) -> Self:
        """Speech: audio arrives and is judged, frame by frame; `ms` is a multiple of 32."""
        assert ms % 32 == 0
        for _ in range(ms // 32):
            start = self._heard
            self.append(32)
            self.tell(FrameScored(start, self._heard, probability))
        return self

    def pause(self, ms: int) -> Self:
        """Silence, judged frame by frame; `ms` is a multiple of 32."""
        return self.speak(ms, 0.0)

    def append(self, ms: int) -> Self:
        """Audio that nobody judges."""
        self._heard += 16 * ms
        return self.tell(AudioAppended(self._heard))

    def finish(self, response_id: str, *, usage: LlmUsage | None = None) -> Self:
        """The model stops, and so does its voice."""
        return self.tell(GenerationFinished(response_id, "stop", usage), SpeechFinished(response_id))

    # --- out ------------------------------------------------------------------------------------------

    def expect(self, *lines: Lines) -> Self:
        """What came since the last look, line by line; `...` inside a line stands for anything."""
        expected = [line for entry in lines for line in ([entry] if isinstance(entry, str) else entry)]
        told, self._unseen = self._unseen, []
        self._expectations += 1
        matched = [
            got if _matches(wanted, got) else wanted
            for wanted, got in zip(expected, [*told, *[""] * len(expected)], strict=False)
        ]
        if matched != told:
            diff = difflib.ndiff(matched, told)
            story = "\n".join(self.story[-12:])
            pytest.fail(f"after\n{story}\nexpected (-) and told (+):\n" + "\n".join(diff), pytrace=False)
        self.story.extend(told)
        return self

    def skip(self) -> Self:
        """The story up to here is told elsewhere."""
        self.story.extend(self._unseen)
        self._unseen = []
        return self

    def close(self) -> None:
        """Fail a script that was never looked at, or whose end was not."""
        if not self._expectations:
            pytest.fail("this playbook expected nothing", pytrace=False)
        if self._unseen:
            pytest.fail("nobody expected:\n" + "\n".join(self._unseen), pytrace=False)

    # --- looking inside -------------------------------------------------------------------------------

    def decisions(self, item_id: str) -> list[ReportTurnDecision]:
        """What was decided in the pauses of that turn."""
        reports = [effect for effect in self.effects if isinstance(effect, ReportTurnDecision)]
        return [report for report in reports if report.item_id == item_id]

    def request(self, response_id: str) -> LlmRequest:
        """What the model was asked last for that response."""
        for effect in reversed(self.effects):
            if isinstance(effect, StartGeneration) and effect.response_id == response_id:
                return effect.request
        raise AssertionError(f"{response_id} was never generated")

    def context(self, response_id: str) -> list[str]:
        """The messages that the model read for that response."""
        return text_of(self.request(response_id))


def snapshot(engine: object) -> Any:
    """Everything that an engine, or a part of it, remembers, as plain data, to compare two moments."""
    return _plain(vars(engine))


def _plain(value: Any) -> Any:
    if isinstance(value, str | int | float | bytes | re.Pattern) or value is None or callable(value):
        return value
    if isinstance(value, FakeCatalog):
        return "catalog"
    if isinstance(value, Mapping):
        # Pairs, because order matters in a conversation.
        return [(_plain(key), _plain(entry)) for key, entry in value.items()]
    if isinstance(value, set | frozenset):
        return sorted(map(repr, value))
    if isinstance(value, list | tuple | deque):
        return [_plain(entry) for entry in value]
    if is_dataclass(value):
        return [
            type(value).__name__,
            *((f.name, _plain(getattr(value, f.name))) for f in fields(value) if f.name not in _NO_MEMORY),
        ]
    return [type(value).__name__, _plain(vars(value))]


def _matches(wanted: str, got: str) -> bool:
    pattern = ".*".join(re.escape(piece) for piece in wanted.split("..."))
    return re.fullmatch(pattern, got, re.DOTALL) is not None


def _command_line(command: Command) -> str:
    text = repr(command)
    return text if len(text) <= 160 else text[:160] + "…"
