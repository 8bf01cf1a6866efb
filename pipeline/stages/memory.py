"""The memory of a session: facts and a summary that a model writes every few turns, beside the conversation.

    turns ──(turn_interval)──► asking the model ──► new state ──► session.updated, and what every model reads
                                    │ late, failed, no sense, disabled, or the client sent a newer state
                                    ▼
                               the state stays as it was, until the next interval

The state lives in the session's own configuration (`provider_data`, `memory`, `state`), so the engine that
reads it there needs nothing of this stage, and a client can give it to a later session.
"""

import asyncio
import logging
from dataclasses import asdict, replace
from typing import Any

from pipeline.commands import Command, LeaveOut, UpdateSession
from pipeline.config import Patch, SessionConfig, merge
from pipeline.effects import Effect, Emit
from pipeline.errors import InvalidRequest
from pipeline.events import ItemDeleted, ResponseCreated, ResponseDone, ResponseState
from pipeline.extensions import Memory, MemoryState, extensions_of
from pipeline.items import InputAudio, InputText, MessageItem
from pipeline.stages.contracts import Host
from pipeline.stages.memory_notes import Transcript, messages_for, read_notes, renewed, transcribe
from pipeline.stages.memory_trim import to_leave_out
from pipeline.stages.small_model import SmallModelError, ask

__all__ = ["MemoryStage"]

log = logging.getLogger(__name__)

_DEADLINE_S = 20.0  # nobody waits for the notes, but one request must not outlive the next interval by much
_MAX_TOKENS = 4096  # twice what the longest notes take, since models that reason count that, too


class MemoryStage:
    """Writes the memory of one session. At most one request runs at a time."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._memory = Memory()  # as the session is configured now
        self._state = MemoryState()  # what the configuration should hold, once it is switched on
        self._replaced = False  # whether a stale state of the client was just replaced by ours
        self._task: asyncio.Task[None] | None = None
        self._total = 0  # turns, those of earlier sessions included
        self._since = 0  # turns that the state does not know of
        self._due = self._memory.turn_interval  # when there are so many of them, the model is asked
        self._answered: str | None = None  # the user's message whose turn was counted last
        self._responses: set[str] = set()  # that are running
        self._asked: set[str] = set()  # items that are being summarized
        self._covered: set[str] = set()  # items that the summary tells of
        self._left: set[str] = set()  # of them, those that were taken out of the contexts
        self._leaving: set[str] = set()  # that will be, once no response runs
        self._complained = False

    # --- what the session tells -----------------------------------------------------------------------

    def configure(self, config: SessionConfig) -> bool:
        memory = extensions_of(config.provider_data).memory
        is_new, self._memory = memory.turn_interval != self._memory.turn_interval, memory
        if not memory.enabled:
            self._stop()
            return False
        if is_new:
            self._due = memory.turn_interval
        self._compare(memory.state)
        return True

    def took(self, command: Command) -> None:
        pass

    def saw(self, effect: Effect) -> None:
        match effect:
            case Emit(ResponseCreated(response)):
                self._responses.add(response.id)
            case Emit(ResponseDone(response)):
                self._responses.discard(response.id)
                self._count(response)
                self._leave()
            case Emit(ItemDeleted(item_id)):
                # Its id may come back as another item.
                for ids in (self._asked, self._covered, self._left, self._leaving):
                    ids.discard(item_id)

    def close(self) -> None:
        pass

    # --- the state ------------------------------------------------------------------------------------

    def _compare(self, given: MemoryState) -> None:
        """Take a state that the client sent, or put back ours where it sent an older one."""
        ours = self._state
        if given == ours:
            self._replaced = False
        elif given.version > ours.version or _is_empty(ours) or _is_empty(given) or self._replaced:
            # An empty one was taken away on purpose. One that we could not replace is left to the client:
            # a session must not argue with itself.
            self._replaced = False
            self._take(given)
        else:
            self._replaced = True
            if not self._publish(ours):
                self._replaced = False

    def _take(self, given: MemoryState) -> None:
        self._cancel()  # what is being written builds upon another state
        self._state = given
        self._total, self._since = given.total_turns, given.turns_since_gen
        self._due = self._memory.turn_interval

    def _publish(self, state: MemoryState) -> bool:
        """Make it the session's, and tell the clients; False where their own data leaves no room for it."""
        patch: Patch = {"provider_data": {"memory": {"state": _as_json(state)}}}
        try:
            merge(self._host.config, patch)
        except InvalidRequest as error:
            self._complain(str(error))
            return False
        self._state = state
        self._host.dispatch(UpdateSession(patch))
        return True

    # --- turns ----------------------------------------------------------------------------------------

    def _count(self, response: ResponseState) -> None:
        """Count the turn that this response ends, and ask the model when it is time."""
        if response.conversation_id is None or response.status == "failed":
            return
        if response.output and not isinstance(response.output[-1], MessageItem):
            return  # a call, whose output the answer is still waiting for
        message = self._last_message()
        if message is None or message == self._answered:
            return
        self._answered = message
        self._total += 1
        self._since += 1
        if self._since >= self._due and self._task is None:
            self._start()

    def _last_message(self) -> str | None:
        """The id of the last message of the user that says anything."""
        for item in reversed(list(self._host.items)):
            if isinstance(item, MessageItem) and item.role == "user" and _says_anything(item):
                return item.id
        return None

    # --- the request ----------------------------------------------------------------------------------

    def _start(self) -> None:
        # Should it fail, it is tried again only after as many turns more.
        self._due = self._since + self._memory.turn_interval
        transcript = transcribe(self._host.items, self._memory.max_transcript_items)
        if transcript.lines:
            self._asked = set(transcript.item_ids)
            work = self._renew(self._state, transcript, self._since)
            self._task = self._host.spawn(work, "memory")

    async def _renew(self, state: MemoryState, transcript: Transcript, turns: int) -> None:
        try:
            answer = await ask(
                self._host,
                self._host.config.model,
                messages_for(self._memory, state, transcript),
                max_tokens=_MAX_TOKENS,
                deadline=_DEADLINE_S,
            )
            self._write(answer, turns)
        except SmallModelError as error:
            self._complain(str(error))
        except Exception:
            log.exception("session %s: its memory could not be written", self._host.caller.session_id)
        finally:
            if self._task is asyncio.current_task():
                self._task = None

    def _write(self, answer: str, turns: int) -> None:
        notes = read_notes(answer)
        if notes is None:
            self._complain("the answer of the model made no sense")
            return
        covered = self._covered | self._asked
        leaving: set[str] = set()
        if self._memory.trim_after_summarize:
            leaving = to_leave_out(list(self._host.items), covered) - self._left
        state = replace(
            renewed(self._memory, self._state, notes),
            turns_since_gen=self._since - turns,  # some may have come while the model wrote
            total_turns=self._total,
            items_trimmed=self._state.items_trimmed + len(leaving),
        )
        if not self._publish(state):
            return
        self._since, self._due = state.turns_since_gen, self._memory.turn_interval
        self._covered = covered
        self._left |= leaving
        self._leaving |= leaving
        self._leave()
        log.debug(
            "session %s: memory version %d with %d facts, %d items left the contexts",
            self._host.caller.session_id,
            self._state.version,
            len(self._state.facts),
            len(leaving),
        )

    def _complain(self, reason: str) -> None:
        level = logging.DEBUG if self._complained else logging.WARNING
        self._complained = True
        log.log(level, "session %s: memory stays as it is: %s", self._host.caller.session_id, reason)

    # --- contexts -------------------------------------------------------------------------------------

    def _leave(self) -> None:
        """Take items out of the contexts to come.

        One of a running response may still be put together, from what the memory was when it began.
        """
        if self._leaving and not self._responses:
            self._host.dispatch(LeaveOut(frozenset(self._leaving)))
            self._leaving.clear()

    # --- the end --------------------------------------------------------------------------------------

    def _stop(self) -> None:
        """Nothing is read or written any more, until the next configuration; the state stays."""
        self._cancel()
        self._responses.clear()
        self._left -= self._leaving
        self._leaving.clear()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None


def _is_empty(state: MemoryState) -> bool:
    return not (state.version or state.facts or state.summary or state.context_text)


def _says_anything(item: MessageItem) -> bool:
    for part in item.content:
        match part:
            case InputText(text):
                if text.strip():
                    return True
            case InputAudio(transcript):
                if transcript:
                    return True
            case _:
                return True  # a picture
    return False


def _as_json(state: MemoryState) -> dict[str, Any]:
    return {**asdict(state), "facts": list(state.facts)}
