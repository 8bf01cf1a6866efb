"""The order of server events: what has to come before what, over the whole life of one connection.

The rules are those of the public service. A connection is three interleaved threads that this file follows:
the conversation (items added, finished, deleted), the user's turns (speech, commit, transcription) and the
responses, each with its items and their parts. Every handler returns the rules that its event broke.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.conformance.listener_sounds import EVENTS as LISTENER_SOUNDS
from tests.conformance.listener_sounds import ListenerSounds
from tests.conformance.responses import Response

__all__ = ["Sequence"]

Event = Mapping[str, Any]


@dataclass(slots=True)
class _Turn:
    """What one user audio item has been through."""

    started_ms: int | None = None
    stopped: bool = False
    committed: bool = False
    transcribed: bool = False
    suggested: bool = False  # and not revoked since
    idle: bool = False  # nobody spoke; it is the silence itself


@dataclass(slots=True)
class Sequence:
    """Follows one connection."""

    session_id: str | None = None
    session_type: str | None = None
    event_ids: set[str] = field(default_factory=set)
    order: list[str] = field(default_factory=list)  # the default conversation
    known_items: set[str] = field(default_factory=set)  # every id ever used for an item
    added: dict[str, str | None] = field(default_factory=dict)  # not yet done -> previous item when added
    inserts: list[str | None] = field(default_factory=list)  # places that the client asked for
    turns: dict[str, _Turn] = field(default_factory=dict)
    speaking: str | None = None  # item id of the speech that has started and not stopped
    awaiting_commit: str | None = None  # timed out, not yet committed
    awaiting_item: str | None = None  # committed, not yet added
    responses: dict[str, Response] = field(default_factory=dict)
    suggests: bool = False  # whether the client has asked for suggestions
    turns_over: int = 0  # committed, but for those in which nobody spoke
    listings: dict[str, str] = field(default_factory=dict)  # lists of tools: how far they are, by item id
    sounds: ListenerSounds = field(default_factory=ListenerSounds)
    limits_owed: int = 0  # responses that are done, and whose rate_limits.updated has not come yet

    def sent(self, event: Event) -> None:
        """Note the inserts that a client asks for."""
        previous = event.get("previous_item_id")
        if event.get("type") == "conversation.item.create" and isinstance(previous, str):
            self.inserts.append(None if previous == "root" else previous)

    def received(self, event: Event) -> list[str]:
        """Follow one well-formed event; the rules that it breaks."""
        kind: str = event["type"]
        problems = []
        event_id = event["event_id"]
        if event_id in self.event_ids:
            problems.append(f"event_id {event_id} was used before")
        self.event_ids.add(event_id)
        if self.session_id is None and kind not in ("session.created", "error"):
            problems.append("the first frame has to be session.created")
        if kind in LISTENER_SOUNDS:
            problems += self.sounds.received(event, self.speaking)
        elif kind.startswith("response."):
            problems += self._response(event)
        elif handler := _HANDLERS.get(kind):
            problems += handler(self, event)
        return problems

    def finished(self) -> list[str]:
        """What is still open."""
        open_responses = [id for id, response in self.responses.items() if not response.over]
        return (
            [f"{id} has no response.done" for id in open_responses]
            + [f"{id} was added and is not done" for id in self.added]
            + ([f"{self.awaiting_commit} timed out and was not committed"] if self.awaiting_commit else [])
            + ([f"{self.awaiting_item} was committed and not added"] if self.awaiting_item else [])
            + (["response.done without rate_limits.updated"] if self.limits_owed else [])
        )

    # --- session and conversation ---------------------------------------------------------------------

    def _session_created(self, event: Event) -> list[str]:
        problems = ["a second session.created"] if self.session_id else []
        self.session_id = event["session"]["id"]
        self.session_type = event["session"]["type"]
        self._note_wishes(event["session"])
        return problems

    def _session_updated(self, event: Event) -> list[str]:
        self._note_wishes(event["session"])
        return [] if event["session"]["id"] == self.session_id else ["the session changed its id"]

    def _note_wishes(self, session: Event) -> None:
        self.sounds.session(session)
        self.suggests = (session.get("providerData") or {}).get("turn_suggestions") is True
        if not self.suggests and self.speaking:
            self.turns[self.speaking].suggested = False  # a revocation is not told either

    def _item_added(self, event: Event) -> list[str]:
        item, previous = event["item"], event.get("previous_item_id")
        problems = []
        id = item.get("id")
        if "previous_item_id" not in event:
            problems.append("previous_item_id is missing; null says that there is none")
        if not id:
            return [*problems, "an item in the conversation has an id"]
        if id in self.order:
            return [*problems, f"{id} is in the conversation already"]
        last = self.order[-1] if self.order else None
        if previous != last:
            if previous not in self.inserts:
                problems.append(
                    f"previous_item_id is {previous}, the last item {last}, and nobody asked for it"
                )
            else:
                self.inserts.remove(previous)
            if previous is not None and previous not in self.order:
                return [*problems, f"previous_item_id {previous} is not in the conversation"]
        self.order.insert(0 if previous is None else self.order.index(previous) + 1, id)
        self.known_items.add(id)
        self.added[id] = previous
        if self.awaiting_item and self._is_user_audio(item):
            if id != self.awaiting_item:
                problems.append(f"{self.awaiting_item} was committed, but {id} added")
            self.awaiting_item = None
        for response in self.responses.values():
            problems += response.item_joined(id)
        return problems

    def _item_done(self, event: Event) -> list[str]:
        id, previous = event["item"].get("id"), event.get("previous_item_id")
        if id not in self.added:
            return [f"conversation.item.done of {id}, which was not added or is done already"]
        at_added = self.added.pop(id)
        index = self.order.index(id)
        now = self.order[index - 1] if index else None
        problems = []
        if previous not in (at_added, now):
            problems.append(f"previous_item_id is {previous}, but {id} stands behind {now}")
        if event["item"].get("status") == "in_progress":
            problems.append("a finished item is in progress")
        for response in self.responses.values():
            problems += response.item_left(id, event["item"])
        return problems

    def _item_deleted(self, event: Event) -> list[str]:
        id = event["item_id"]
        if id not in self.order:
            return [f"{id} was deleted without being in the conversation"]
        self.order.remove(id)
        self.added.pop(id, None)
        for response in self.responses.values():
            response.item_deleted(id)
        return []

    def _item_named(self, event: Event) -> list[str]:
        id = event["item_id"] if "item_id" in event else event["item"].get("id")
        return [] if id in self.order else [f"{id} is not in the conversation"]

    @staticmethod
    def _is_user_audio(item: Event) -> bool:
        return item.get("role") == "user" and any(p["type"] == "input_audio" for p in item["content"])

    # --- the user's turns -----------------------------------------------------------------------------

    def _speech_started(self, event: Event) -> list[str]:
        id = event["item_id"]
        problems = [f"{self.speaking} is still speaking"] if self.speaking else []
        if id in self.known_items or id in self.turns:
            problems.append(f"item id {id} was used before")
        self.speaking = id
        self.turns[id] = _Turn(started_ms=event["audio_start_ms"])
        return problems

    def _speech_stopped(self, event: Event) -> list[str]:
        id = event["item_id"]
        if id != self.speaking:
            return [f"speech of {id} stopped, but {self.speaking} was speaking"]
        self.speaking = None
        turn = self.turns[id]
        turn.stopped = True
        if event["audio_end_ms"] <= (turn.started_ms or 0):
            return ["speech ended before it began"]
        return []

    def _suggestion(self, event: Event) -> list[str]:
        """A suggestion or its revocation: one after the other, while their turn is spoken."""
        id, revoked = event["item_id"], event["type"] == "turn_suggestion_revoked"
        if id != self.speaking:
            return [f"{event['type']} of {id}, but {self.speaking} was speaking"]
        turn = self.turns[id]
        problems = [] if self.suggests else ["nobody asked for suggestions"]
        if turn.suggested != revoked:
            problems.append(
                f"{event['type']} of {id}, which {'is' if turn.suggested else 'is not'} suggested"
            )
        if event["utterance_index"] != self.turns_over:
            problems.append(f"utterance_index {event['utterance_index']} of turn {self.turns_over}")
        turn.suggested = not revoked
        if revoked:
            return problems
        if not 0 <= event["probability"] <= 1:
            problems.append(f"a probability of {event['probability']}")
        if not 0 <= event["trailing_silence_ms"] <= event["audio_duration_ms"] or event["inference_ms"] < 0:
            problems.append("impossible durations")
        return problems

    def _timeout(self, event: Event) -> list[str]:
        id = event["item_id"]
        problems = [f"nobody has spoken, but {self.speaking} is speaking"] if self.speaking else []
        if id in self.known_items or id in self.turns:
            problems.append(f"item id {id} was used before")
        if busy := [r.id for r in self.responses.values() if r.in_band and not r.over]:
            problems.append(f"nobody has spoken, but {busy[0]} is writing to the conversation")
        if event["audio_end_ms"] < event["audio_start_ms"]:
            problems.append("the silence ended before it began")
        self.turns[id] = _Turn(idle=True)
        self.awaiting_commit = id
        return problems

    def _committed(self, event: Event) -> list[str]:
        id = event["item_id"]
        turn = self.turns.setdefault(id, _Turn())
        problems = []
        if self.awaiting_commit not in (None, id):
            problems.append(f"{self.awaiting_commit} timed out and was not committed")
        self.awaiting_commit = None
        self.turns_over += not turn.idle
        if self.awaiting_item:
            problems.append(f"{self.awaiting_item} was committed and not added")
        if turn.committed or id in self.order:
            problems.append(f"{id} was committed before")
        if id == self.speaking:  # the client's own commit, in mid-speech, ends the speech without an event
            self.speaking, turn.stopped = None, True
        if turn.started_ms is not None and not turn.stopped:
            problems.append(f"{id} was committed before its speech stopped")
        last = self.order[-1] if self.order else None
        if event.get("previous_item_id") != last:
            problems.append(f"previous_item_id is {event.get('previous_item_id')}, the last item {last}")
        turn.committed = True
        self.awaiting_item = id
        return problems

    def _cleared(self, event: Event) -> list[str]:
        self.speaking = None
        return []

    def _transcription(self, event: Event) -> list[str]:
        id = event["item_id"]
        turn = self.turns.get(id)
        if turn is None:
            # Audio that came inside a client's item may be transcribed as well.
            turn = self.turns.setdefault(id, _Turn(committed=True)) if id in self.order else None
        if turn is None and self.session_type == "transcription" and event["type"].endswith(".delta"):
            turn = self.turns.setdefault(id, _Turn())  # text streams before the commit
        if turn is None:
            return [f"transcription of {id}, which nothing announced"]
        if turn.transcribed:
            return [f"the transcription of {id} was finished before"]
        if event["type"].endswith((".delta", ".segment")):
            return []
        turn.transcribed = True
        problems = [] if turn.committed else [f"the transcription of {id} is final before its commit"]
        usage = event.get("usage") or {}
        if usage.get("type") == "tokens":
            problems += _sum(usage, "total_tokens", "input_tokens", "output_tokens")
            details = usage.get("input_token_details")
            if not isinstance(details, dict) or not {"text_tokens", "audio_tokens"} <= details.keys():
                problems.append("usage.input_token_details needs text_tokens and audio_tokens")
            elif details["text_tokens"] + details["audio_tokens"] != usage["input_tokens"]:
                problems.append("usage.input_token_details do not add up to input_tokens")
        return problems

    # --- responses ------------------------------------------------------------------------------------

    def _response(self, event: Event) -> list[str]:
        if event["type"] == "response.created":
            return self._response_created(event["response"])
        id = event["response"].get("id") if event["type"] == "response.done" else self._response_of(event)
        response = self.responses.get(id)
        if response is None:
            return [f"{id} was not created"]
        problems = response.received(event)
        if event["type"] == "response.output_item.added":
            item_id = event["item"].get("id")
            if item_id in self.known_items:
                problems.append(f"item id {item_id} was used before")
            self.known_items.add(item_id)
        elif event["type"] == "response.done":
            self.limits_owed += 1
        return problems

    def _response_of(self, event: Event) -> Any:
        """The response that an event belongs to: some tell only the item."""
        if "response_id" in event:
            return event["response_id"]
        owners = (r.id for r in self.responses.values() if any(i.id == event["item_id"] for i in r.items))
        return next(owners, None)

    # --- lists of tools -------------------------------------------------------------------------------

    def _listing(self, event: Event) -> list[str]:
        """A list of a server's tools begins, after its item, and ends, once."""
        id, step = event["item_id"], event["type"].rpartition(".")[2]
        before = self.listings.get(id)
        self.listings[id] = step
        if step == "in_progress":
            problems = [] if before is None else [f"the list {id} began before"]
            return problems + ([] if id in self.added else [f"the list {id} begins without its item"])
        problems = [] if before == "in_progress" else [f"the list {id} is {step} after {before}"]
        return problems + ([f"{id} is {step} before its item is done"] if id in self.added else [])

    def _rate_limits(self, event: Event) -> list[str]:
        problems = [] if self.limits_owed else ["no response was done since the last rate_limits.updated"]
        self.limits_owed = max(0, self.limits_owed - 1)
        if [entry["name"] for entry in event["rate_limits"]] != ["requests", "tokens"]:
            problems.append("rate_limits has to be of requests and tokens")
        return problems + [
            f"impossible figures: {entry}"
            for entry in event["rate_limits"]
            if not 0 <= entry["remaining"] <= entry["limit"] or entry["reset_seconds"] < 0
        ]

    def _response_created(self, opened: Event) -> list[str]:
        id = opened.get("id")
        problems = []
        if not id or id in self.responses:
            problems.append(f"response id {id} is missing or was used before")
        if self.awaiting_item:
            problems.append(f"{self.awaiting_item} was committed and not added before the response")
        if self.limits_owed:
            problems.append("a response was created before the rate_limits.updated of the one before")
        response = Response.opened(opened)
        if response.in_band and (busy := [r.id for r in self.responses.values() if r.in_band and not r.over]):
            problems.append(f"{busy[0]} is still writing to the conversation")
        problems += response.problems_when_opened(opened)
        self.responses[response.id] = response
        return problems


def _sum(usage: Event, total: str, *parts: str) -> list[str]:
    return (
        []
        if usage[total] == sum(usage[part] for part in parts)
        else [f"usage.{total} is not the sum of its parts"]
    )


_HANDLERS: Mapping[str, Callable[[Sequence, Event], list[str]]] = {
    "session.created": Sequence._session_created,
    "session.updated": Sequence._session_updated,
    "conversation.item.added": Sequence._item_added,
    "conversation.item.done": Sequence._item_done,
    "conversation.item.deleted": Sequence._item_deleted,
    "conversation.item.truncated": Sequence._item_named,
    "conversation.item.retrieved": Sequence._item_named,
    "input_audio_buffer.speech_started": Sequence._speech_started,
    "input_audio_buffer.speech_stopped": Sequence._speech_stopped,
    "turn_suggestion": Sequence._suggestion,
    "turn_suggestion_revoked": Sequence._suggestion,
    "input_audio_buffer.timeout_triggered": Sequence._timeout,
    "input_audio_buffer.committed": Sequence._committed,
    "input_audio_buffer.cleared": Sequence._cleared,
    "conversation.item.input_audio_transcription.delta": Sequence._transcription,
    "conversation.item.input_audio_transcription.segment": Sequence._transcription,
    "conversation.item.input_audio_transcription.completed": Sequence._transcription,
    "conversation.item.input_audio_transcription.failed": Sequence._transcription,
    "rate_limits.updated": Sequence._rate_limits,
    "mcp_list_tools.in_progress": Sequence._listing,
    "mcp_list_tools.completed": Sequence._listing,
    "mcp_list_tools.failed": Sequence._listing,
}
