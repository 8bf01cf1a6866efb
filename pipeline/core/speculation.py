"""A reply that is prepared while its turn may yet go on, and kept back until the turn is over.

The model writes and the voice speaks the first clause, but what they report is only collected. When the turn
ends as it was foreseen, the collected facts are told to the response as if they came just now; when it does
not, they are dropped, and no client, and nothing in the conversation, ever knew of them.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from pipeline.commands import (
    GenerationFinished,
    ResponseRouted,
    SpeechFinished,
    SpeechSynthesized,
    TextGenerated,
    ToolCallGenerated,
    ToolCallOpened,
)
from pipeline.core.clauses import cutter_for
from pipeline.core.response import Response
from pipeline.core.state import State
from pipeline.effects import ReportSpeculation, Speak, StartGeneration, StopGeneration

__all__ = ["Fact", "Speculator"]

Fact = (
    ResponseRouted
    | TextGenerated
    | ToolCallOpened
    | ToolCallGenerated
    | GenerationFinished
    | SpeechSynthesized
    | SpeechFinished
)


class _Speculation:
    """The response is not announced; `facts` are what it will be told once it is."""

    def __init__(
        self, state: State, response: Response, order: StartGeneration, item_id: str, text: str
    ) -> None:
        self.response = response
        self.order = order
        self.item_id = item_id  # the turn that it answers
        self.text = text  # of that turn, as far as it is known
        self.facts: list[Fact] = []
        self.began = state.now
        self._state = state
        self._cutter = cutter_for(response.config)
        self.spoken = 0  # clauses that the voice was given already
        self._chars = 0

    def hold(self, fact: Fact) -> None:
        """Collect what the model and the voice report; let the voice begin with the first clause."""
        self.facts.append(fact)
        match fact:
            case TextGenerated(_, text):
                self._chars += len(text)
                clauses = self._cutter.feed(text)
                self._speak(clauses[0] if clauses else "")
            case ToolCallOpened() | GenerationFinished():
                # The response itself will cut here as well, so that the clauses are the same.
                self._speak(self._cutter.finish())

    @property
    def is_endless(self) -> bool:
        """Whether the model has written more than one response may hold."""
        limits = self._state.limits
        return self._chars > limits.max_reply_chars or len(self.facts) > limits.max_reply_chars

    def _speak(self, clause: str) -> None:
        if clause and not self.spoken and self.response.speaks:
            self.spoken = 1
            self._state.do(Speak(self.response.id, clause))


class Speculator:
    """At most one reply that is prepared, and what becomes of it."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._current: _Speculation | None = None
        self._given_up: tuple[str, str] | None = None  # a turn and its words, for which none could be made

    def has_answer(self, item_id: str, text: str) -> bool:
        """Whether nothing needs to be done about that turn with these words: it is in hand, or hopeless."""
        known = self._current
        return self._given_up == (item_id, text) or (
            known is not None and (known.item_id, known.text) == (item_id, text)
        )

    def start(self, response: Response, order: StartGeneration, item_id: str, text: str) -> None:
        """Have the reply made, and keep it back."""
        self._current = _Speculation(self._state, response, order, item_id, text)
        self._state.do(replace(order, speculative=True))

    def response_to(self, item_id: str) -> Response | None:
        """The response that is prepared for the turn of that item."""
        known = self._current
        return known.response if known is not None and known.item_id == item_id else None

    def hold(self, fact: Fact) -> bool:
        """Keep back what the model or the voice report, if it is of the reply that is prepared."""
        known = self._current
        if known is None or known.response.id != fact.response_id:
            return False
        known.hold(fact)
        if known.is_endless:
            self._state.do(StopGeneration(fact.response_id))
            self._drop_hopeless(known)
        return True

    def failed(self, response_id: str) -> bool:
        """Whether that failure is of the reply that is prepared, which is then given up."""
        known = self._current
        if known is None or known.response.id != response_id:
            return False
        self._drop_hopeless(known)
        return True

    def give_up(self, item_id: str, text: str) -> None:
        """No reply to that turn with these words can be prepared."""
        self._given_up = (item_id, text)

    def use(self, response: Response, order: StartGeneration) -> Sequence[Fact] | None:
        """What the announced `response` is to be told, if just that was prepared; else None."""
        known = self._current
        if known is None or known.response is not response:
            return None
        if known.order != order:
            self.revoke("outdated")
            return None
        self._current = None
        self._report(known, "used")
        response.skip_clauses(known.spoken)
        return known.facts

    def revoke(self, outcome: Literal["revoked", "outdated"]) -> None:
        """Drop what is prepared, if anything is."""
        known, self._current = self._current, None
        if known is not None:
            self._state.do(StopGeneration(known.response.id))
            self._report(known, outcome)

    def _drop_hopeless(self, known: _Speculation) -> None:
        self.give_up(known.item_id, known.text)
        self._current = None
        self._report(known, "failed")

    def _report(self, known: _Speculation, outcome: Literal["used", "revoked", "outdated", "failed"]) -> None:
        self._state.do(ReportSpeculation(known.response.id, outcome, self._state.now - known.began))
