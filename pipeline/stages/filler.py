"""Filler speech: while the model is slow, the reply begins with a short phrase such as "Let me see."

The phrase goes into the reply as if the model had written it, so that its speech, its transcript, what is
cut when the user interrupts, and what the model reads of it later need nothing of their own.
"""

import asyncio
import logging

from pipeline.commands import Command, TextGenerated
from pipeline.config import SessionConfig
from pipeline.effects import Effect, Emit, ReportSpeculation, StartGeneration
from pipeline.events import (
    IdleTimeout,
    ItemAdded,
    OutputItemAdded,
    ResponseCreated,
    ResponseDone,
    ResponseState,
    TranscriptDelta,
    TranscriptionCompleted,
)
from pipeline.extensions import Filler, extensions_of
from pipeline.items import MessageItem
from pipeline.stages.contracts import Host
from pipeline.stages.filler_rules import FillerRules
from pipeline.stages.phrases import Rotation, as_sentence, fillers, language_of, one_line
from pipeline.stages.small_model import SmallModelError, ask, said_in
from providers.contracts import SystemMessage, TextPart, UserMessage

__all__ = ["FillerStage"]

log = logging.getLogger(__name__)

_PROMPT = (
    "You are the voice of an assistant whose answer takes a moment. Write one short phrase of at most eight "
    "words that it says meanwhile, in the language of the user, fitting what was said. Do not answer, do not "
    "ask, do not promise anything. Write the phrase alone."
)
_TASK = "The conversation so far:\n{said}\n\nThe phrase that fills the wait:"


class FillerStage:
    """A `Stage`."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._settings = Filler()
        self._rules = FillerRules()
        self._own = Rotation()
        self._detected: str | None = None  # the language that the user spoke last
        self._silence = ""  # the item that stands for it, where the user has not spoken for a long time
        self._timer: asyncio.TimerHandle | None = None
        self._search: asyncio.Task[None] | None = None  # for a phrase
        self._saying = False
        self._complaint = ""  # what was logged last; the same trouble would come with each reply

    # --- what the session tells -----------------------------------------------------------------------

    def configure(self, config: SessionConfig) -> bool:
        self._settings = extensions_of(config.provider_data).filler
        self._rules.configure(self._settings)
        self._plan()
        return self._settings.enabled and config.type == "realtime"

    def took(self, command: Command) -> None:
        pass

    def saw(self, effect: Effect) -> None:
        rules = self._rules
        match effect:
            case Emit(ResponseCreated(response)) if _is_heard(response):
                first = not any(
                    isinstance(i, MessageItem) and i.role == "assistant" for i in self._host.items
                )
                rules.announced(response.id, self._now, is_first_reply=first)
            case StartGeneration(response_id=id, speculative=False) | ReportSpeculation(id, "used"):
                rules.model_asked(id)
            case Emit(OutputItemAdded(response_id=id)) if not self._saying:
                rules.over(id)
            case Emit(TranscriptDelta(part)) if not self._saying:
                rules.over(part.response_id)
            case Emit(ResponseDone(response)):
                rules.over(response.id)
            case Emit(IdleTimeout(item_id)):
                self._silence = item_id
            case Emit(ItemAdded(MessageItem(id=id, role="user"))):
                rules.turn_began(is_silence=id == self._silence)
            case Emit(TranscriptionCompleted(languages=languages)) if languages:
                self._detected = languages[0]
                return
            case _:
                return
        self._plan()

    def close(self) -> None:
        self._stop_timer()
        self._stop_search()

    # --- what it does ---------------------------------------------------------------------------------

    @property
    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _plan(self) -> None:
        """Have the timer ring when a phrase is due, and a search end that nobody waits for."""
        self._stop_timer()
        if not self._rules.finding:
            self._stop_search()
        if (due := self._rules.due) is not None:
            self._timer = asyncio.get_running_loop().call_at(due, self._ring)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop_search(self) -> None:
        if self._search is not None:
            self._search.cancel()
            self._search = None

    def _ring(self) -> None:
        response_id = self._rules.take(self._now)
        if response_id is None:
            self._plan()
        elif self._settings.small_model:
            search = self._find(response_id, self._settings.small_model)
            self._search = self._host.spawn(search, f"filler for {response_id}")
        else:
            self._say(response_id, self._own_phrase())

    async def _find(self, response_id: str, model: str) -> None:
        settings = self._settings
        said = said_in(self._host.items, settings.history_tail_items)
        messages = (
            SystemMessage(settings.prompt_template or _PROMPT),
            UserMessage((TextPart(_TASK.format(said=said)),)),
        )
        began, deadline = self._now, settings.hard_deadline_ms / 1000
        try:
            answer = await ask(
                self._host,
                model,
                messages,
                temperature=settings.temperature,
                max_tokens=settings.max_tokens,
                deadline=deadline,
            )
        except SmallModelError as error:
            self._complain(str(error))
            answer = ""
        self._search = None
        if self._now - began < deadline:
            self._say(response_id, one_line(answer) or self._own_phrase())
        else:
            self._rules.over(response_id)  # so late a phrase would only keep the answer waiting

    def _own_phrase(self) -> str:
        given = one_line(self._settings.pause_text or "")
        return given or self._own.next(fillers(language_of(self._host.config, self._detected)))

    def _say(self, response_id: str, phrase: str) -> None:
        if self._rules.say(response_id, self._now):
            self._saying = True
            try:
                self._host.dispatch(TextGenerated(response_id, as_sentence(phrase)))
            finally:
                self._saying = False
        self._plan()

    def _complain(self, problem: str) -> None:
        if problem != self._complaint:
            self._complaint = problem
            log.warning("filler speech: %s", problem)


def _is_heard(response: ResponseState) -> bool:
    return response.conversation_id is not None and "audio" in response.output_modalities
