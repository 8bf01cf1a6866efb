"""A reply that is prepared while its turn may yet go on, and kept back until the turn is over.

The model writes and the voice speaks the first clause, but what they report is only collected. When the turn
ends as it was foreseen, the collected facts are told to the response as if they came just now; when it does
not, they are dropped, and no client, and nothing in the conversation, ever knew of them.
"""

from pipeline.commands import (
    GenerationFinished,
    SpeechFinished,
    SpeechSynthesized,
    TextGenerated,
    ToolCallGenerated,
    ToolCallOpened,
)
from pipeline.core.clauses import ClauseCutter
from pipeline.core.response import Response
from pipeline.core.state import State
from pipeline.effects import Speak, StartGeneration

__all__ = ["Fact", "Speculation"]

Fact = (
    TextGenerated
    | ToolCallOpened
    | ToolCallGenerated
    | GenerationFinished
    | SpeechSynthesized
    | SpeechFinished
)


class Speculation:
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
        self._cutter = ClauseCutter()
        self._spoken = 0  # clauses
        self._chars = 0

    @property
    def spoken(self) -> int:
        """How many clauses the voice was given already."""
        return self._spoken

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
        if clause and not self._spoken and self.response.speaks:
            self._spoken = 1
            self._state.do(Speak(self.response.id, clause))
