"""The answering half of a session: which responses run, what each of them waits for, and how it ends.

At most one response writes to the conversation at a time; out-of-band ones run beside it. A response
begins at once for the client, but its generation starts only when the transcripts that it needs are there.
Facts about a response that is over are dropped here, in `_running`, and nowhere else.
"""

import re
from collections.abc import Callable, Collection, Sequence
from typing import Literal

from pipeline.commands import (
    CreateResponse,
    GenerationFailed,
    GenerationFinished,
    ResponseParams,
    ResponseRouted,
    SpeechFinished,
    SpeechSynthesized,
    TextGenerated,
    ToolAnswered,
    ToolCallGenerated,
    ToolCallOpened,
)
from pipeline.core.calls import Approved
from pipeline.core.context import build_messages
from pipeline.core.heard import HeardReplies
from pipeline.core.listings import Listings, Offer
from pipeline.core.reconfiguring import check_change
from pipeline.core.response import Response
from pipeline.core.running import Clip, Running
from pipeline.core.speculation import Fact, Speculator
from pipeline.core.speech_style import speech_style
from pipeline.core.standing import standing_instructions
from pipeline.core.state import State
from pipeline.core.truncation import ContextKeeper
from pipeline.effects import (
    ReportTruncation,
    StartGeneration,
    StopGeneration,
    StopPlayback,
)
from pipeline.errors import InvalidRequest
from pipeline.events import ResponseStatus, StatusDetails, Usage
from pipeline.items import InputAudio, Item, ItemReference, ItemStatus, MessageItem
from pipeline.sampling import generation_settings
from providers.contracts import LlmRequest, TextPart, UserMessage
from providers.errors import ContextTooLongError

__all__ = ["Clip", "Responder"]

_CALL_ID = re.compile(r"[a-zA-Z0-9_-]{1,32}")  # what the wire allows; some servers make longer ones


class Responder:
    def __init__(self, state: State, is_pending: Callable[[str, int], bool]) -> None:
        self._state = state
        self._is_pending = is_pending
        self._responses: dict[str, Running] = {}
        self._heard = HeardReplies(state)
        self._contexts = ContextKeeper(state.catalog, state.conversation)
        self._prepared = Speculator(state)
        self._tools_answered: str | None = (
            None  # the item in which the model made use of MCP tools, if the last
        )
        self.listings = Listings(state)

    @property
    def active(self) -> str | None:
        """The id of the response that writes to the conversation."""
        for id, running in self._responses.items():
            if running.response.in_conversation:
                return id
        return None

    @property
    def has_spoken(self) -> bool:
        """Whether the conversation holds audio of the assistant."""
        return bool(self._heard)

    # --- beginning ------------------------------------------------------------------------------------

    def check(self, command: CreateResponse) -> None:
        """Raise `InvalidRequest` where a response cannot be created now."""
        if command.params.in_conversation and (active := self.active) is not None:
            raise InvalidRequest(
                f"Conversation already has an active response in progress: {active}. "
                "Wait until the response is finished before creating a new one.",
                code="conversation_already_has_active_response",
            )
        if len(self._responses) >= self._state.limits.max_parallel_responses:
            raise InvalidRequest(
                f"{len(self._responses)} responses are running, which is the limit of this server.",
                code="too_many_responses",
            )

    def configure(self, params: ResponseParams, root: str) -> Response:
        """A response with its overrides applied, not announced yet; raises `InvalidRequest`."""
        state = self._state
        config = state.patched(params.overrides, root)
        if params.in_conversation:
            check_change(state.config, config, state.rules, has_spoken=self.has_spoken)
        return Response(
            state,
            state.new_id("resp"),
            config,
            in_conversation=params.in_conversation,
            metadata=params.metadata,
            asked_at=state.now,
        )

    def check_references(self, entries: Sequence[Item | ItemReference]) -> None:
        """Raise `InvalidRequest` where the input of a response names an item that does not exist."""
        for index, entry in enumerate(entries):
            if isinstance(entry, ItemReference) and entry.id not in self._state.conversation:
                raise InvalidRequest(
                    f"Item with id '{entry.id}' not found in the conversation.",
                    param=f"response.input[{index}].id",
                )

    def begin(
        self,
        response: Response,
        context: list[Item],
        *,
        explicit: bool = False,
        automatic: str | None = None,
        note: str | None = None,
        approved: Sequence[Approved] = (),
    ) -> None:
        """Announce the response; generate as soon as every transcript in its context is known.

        The context is the conversation, or `explicit`: the client put it together. Calls that were
        `approved` are made first.
        """
        if response.in_conversation:
            self._state.idle_since = None
            self._tools_answered = None
        waiting = {
            (item.id, index)
            for item in context
            if isinstance(item, MessageItem)
            for index, part in enumerate(item.content)
            if isinstance(part, InputAudio) and self._is_pending(item.id, index)
        }
        running = Running(response, context, waiting, explicit, automatic, note)
        self._responses[response.id] = running
        response.announce(self._state.now)
        for call in approved:
            running.goes_on = True
            response.run_approved(call)
        self._generate_if_ready(running)

    def has_answered(self, params: ResponseParams) -> bool:
        """Whether that wish is only to have the outputs of MCP tools answered, which has been done.

        Some SDKs ask for a response after each call of an MCP tool, since some servers do not go on by
        themselves. There is nothing new that a second answer could be about.
        """
        answered = self._tools_answered
        return (
            params == ResponseParams()
            and answered is not None
            and answered == self._state.conversation.last_id
        )

    def begin_nothing(self, response: Response) -> None:
        """A response that says nothing and is over at once."""
        self._tools_answered = None
        response.announce(self._state.now)
        response.close("completed", Usage(0, 0))

    def _generate_if_ready(self, running: Running) -> None:
        if running.is_ready:
            self._generate(running)

    def _generate(self, running: Running) -> None:
        response, config = running.response, running.response.config
        if running.automatic is not None and not self._was_heard(running):
            # A cough or a noise: there is nothing to answer, and a model made to would invent something.
            self._close(running, "completed")
            return
        running.offer = offer = self._next_offer(running)
        items = [self._current(item) for item in running.context]
        try:
            fitted = self._contexts.fit(config, offer.tools, items, remember=not running.explicit)
        except ContextTooLongError as error:
            self._fail(running, error.code, error.message)
            return
        if fitted.left:
            self._state.do(ReportTruncation(response.id, len(fitted.left), fitted.tokens))
        order = self._order(response, offer, fitted.items, running.note)
        running.request = order.request
        if not self._adopt(running, order):
            self._state.do(order)

    def _next_offer(self, running: Running) -> Offer:
        """The tools of the round that begins."""
        if running.offer is None:
            return self.listings.offer(running.response.config)
        if running.rounds >= self._state.limits.max_tool_rounds:
            return running.offer.without_calls()
        return running.offer.after_a_round(running.response.searches)

    def _order(
        self, response: Response, offer: Offer, items: Sequence[Item], note: str | None = None
    ) -> StartGeneration:
        config = response.config
        messages = build_messages(standing_instructions(config), items)
        if note is not None:
            messages = (*messages, UserMessage((TextPart(note),)))
        request = LlmRequest(
            messages=messages,
            tools=offer.tools,
            tool_choice=offer.choice,
            parallel_tool_calls=config.parallel_tool_calls,
            **generation_settings(config),
        )
        style = speech_style(config) if response.speaks else None
        return StartGeneration(response.id, config.model, request, style)

    def _current(self, item: Item) -> Item:
        """The item with what became known of it since the response was created."""
        return self._state.conversation.get(item.id) or item

    def _was_heard(self, running: Running) -> bool:
        item = self._state.conversation.get(running.automatic or "")
        if not isinstance(item, MessageItem):
            return False  # deleted before it could be answered
        return any(isinstance(part, InputAudio) and part.transcript for part in item.content)

    # --- in advance -----------------------------------------------------------------------------------

    def prepare(self, item_id: str, text: str) -> None:
        """Have a reply made to a turn that has probably ended with these words, and keep it back."""
        state = self._state
        if self._prepared.has_answer(item_id, text):
            return
        self._prepared.revoke("outdated")
        if self._responses or any(self._is_pending(item.id, 0) for item in state.conversation):
            return
        context = [*state.conversation, MessageItem(item_id, "user", (InputAudio(text),))]
        response = self.configure(ResponseParams(), "response")
        offer = self.listings.offer(response.config)
        try:
            fitted = self._contexts.fit(response.config, offer.tools, context, remember=False)
        except ContextTooLongError:
            self._prepared.give_up(item_id, text)  # told once the turn is over
        else:
            self._prepared.start(response, self._order(response, offer, fitted.items), item_id, text)

    def take_prepared(self, item_id: str) -> Response | None:
        """The response, not announced yet, that was prepared for the turn of that item."""
        return self._prepared.response_to(item_id)

    def revoke(self, outcome: Literal["revoked", "outdated"]) -> None:
        """Drop what was prepared, if anything was."""
        self._prepared.revoke(outcome)

    def _adopt(self, running: Running, order: StartGeneration) -> bool:
        """Tell the response what was prepared for it, if it is just what would be asked for now."""
        facts = self._prepared.use(running.response, order)
        for fact in facts or ():
            self.take(fact)
        return facts is not None

    # --- transcripts ----------------------------------------------------------------------------------

    def transcript_ready(self, clip: Clip, text: str) -> None:
        for running in list(self._responses.values()):
            if clip not in running.waiting:
                continue
            running.learn(clip, text)
            self._generate_if_ready(running)

    def transcription_broke(self, clip: Clip, code: str, message: str) -> None:
        for running in list(self._responses.values()):
            if clip in running.waiting:
                self._fail(running, code, message)

    # --- generation -----------------------------------------------------------------------------------

    def _running(self, response_id: str) -> Running | None:
        return self._responses.get(response_id)

    def _writing(self, response_id: str) -> Running | None:
        """The response whose model is at work."""
        running = self._running(response_id)
        if running is None or running.request is None or running.finished is not None:
            return None
        return running

    def take(self, fact: Fact) -> None:
        """What the model or the voice of some response has to tell."""
        if self._prepared.hold(fact):
            return
        match fact:
            case SpeechSynthesized():
                if running := self._running(fact.response_id):
                    running.response.add_speech(fact.pcm, fact.marks)
            case TextGenerated():
                self._text(fact)
            case ToolCallGenerated():
                self._call_grew(fact)
            case ToolCallOpened():
                self._call_opened(fact)
            case ResponseRouted():
                if running := self._running(fact.response_id):
                    running.response.add_route(fact.stage, fact.route)
            case GenerationFinished():
                self._finished(fact)
            case SpeechFinished():
                self._speech_finished(fact)

    def _text(self, fact: TextGenerated) -> None:
        if running := self._writing(fact.response_id):
            response = running.response
            response.add_text(fact.text, self._state.now)
            if response.in_conversation and response.speaks and response.message_id is not None:
                self._heard.add(response.message_id, response.spoken)
            self._stop_if_endless(running)

    def _call_opened(self, fact: ToolCallOpened) -> None:
        if running := self._writing(fact.response_id):
            target = running.offer.targets.get(fact.name) if running.offer is not None else None
            call_id = self._call_id(fact.call_id)
            running.response.open_call(fact.index, call_id, fact.name, fact.state, target)
            self._stop_if_endless(running)

    def _call_id(self, offered: str) -> str:
        """The model's own id of a call, unless clients could not send it back or it is taken."""
        if _CALL_ID.fullmatch(offered) and self._state.conversation.find_call(offered) is None:
            return offered
        return self._state.new_id("call")

    def _call_grew(self, fact: ToolCallGenerated) -> None:
        if running := self._writing(fact.response_id):
            running.response.add_arguments(fact.index, fact.arguments)
            self._stop_if_endless(running)

    def _finished(self, fact: GenerationFinished) -> None:
        running = self._writing(fact.response_id)
        if running is None:
            return
        running.finished = fact
        if fact.usage is not None and running.request is not None:
            self._contexts.learn(running.response.config.model, running.request, fact.usage.input_tokens)
        response, cut_off = running.response, fact.reason in ("length", "content_filter")
        status: ItemStatus = "incomplete" if cut_off else "completed"
        running.goes_on = response.finish_calls(status) == "ours" and not cut_off
        # What was said before a limit is still spoken; only then is the response over.
        running.speaking = response.finish_text(status)
        self._advance(running)

    def _speech_finished(self, fact: SpeechFinished) -> None:
        running = self._running(fact.response_id)
        if running is not None and running.finished is not None:
            running.response.spoken.finish()
            running.speaking = False
            self._advance(running)

    def tool_answered(self, fact: ToolAnswered) -> None:
        """A tool that the server ran has an output, or has failed: the model is to know of either."""
        if running := self._running(fact.response_id):
            running.response.tool_answered(fact.call_id, fact.output, fact.failure)
            self._advance(running)

    def _advance(self, running: Running) -> None:
        """Go on once the model, the voice and the server's own tools are done: another round, or the end."""
        if running.is_busy:
            return
        if not running.goes_on or running.rounds >= self._state.limits.max_tool_rounds:
            self._complete(running)
            return
        message_id = running.response.message_id
        running.next_round()
        if message_id is not None:
            self._heard.message_closed(message_id)
        self._generate_if_ready(running)

    def failed(self, fact: GenerationFailed) -> None:
        if self._prepared.failed(fact.response_id):
            return  # it is tried anew once the turn is over, and its failure told then
        if running := self._running(fact.response_id):
            if not fact.started:
                running.request = None
            self._fail(running, fact.code, fact.message)

    # --- ending ---------------------------------------------------------------------------------------

    def cancel(self, response_id: str | None) -> None:
        """The client's own cancel; raises `InvalidRequest` when that response does not run."""
        wanted = self.active if response_id is None else response_id
        running = self._running(wanted) if wanted else None
        if running is None:
            if response_id is None and self._state.rules.quiet_cancels:
                return
            raise InvalidRequest(
                "Cancellation failed: no active response found"
                + (f" with id '{response_id}'." if response_id else "."),
                code="response_cancel_not_active",
            )
        self._stop(running, "cancelled", StatusDetails(reason="client_cancelled"))

    def interrupt(self) -> None:
        """The user began to speak: the response in the conversation is over, and nothing more is played."""
        state = self._state
        running = self._running(self.active or "")
        if running is not None:
            self._stop(running, "cancelled", StatusDetails(reason="turn_detected"))
        if state.playback.ends_at > state.now:
            state.do(StopPlayback(state.playback.ends_at - state.now))
            state.playback.stop(state.now)

    def _fail(self, running: Running, code: str, message: str) -> None:
        self._stop(running, "failed", StatusDetails(code=code, message=message))

    def _stop_if_endless(self, running: Running) -> None:
        limits, response = self._state.limits, running.response
        if response.chars > limits.max_reply_chars or response.items > limits.max_output_items:
            self._stop(running, "incomplete", StatusDetails(reason="max_output_tokens"))

    def _stop(self, running: Running, status: ResponseStatus, details: StatusDetails) -> None:
        if running.request is not None or running.response.awaits_tools:
            self._state.do(StopGeneration(running.response.id))
        self._close(running, status, details)

    def _complete(self, running: Running) -> None:
        assert running.finished is not None
        match running.finished.reason:
            case "length":
                self._close(running, "incomplete", StatusDetails(reason="max_output_tokens"))
            case "content_filter":
                self._close(running, "incomplete", StatusDetails(reason="content_filter"))
            case _:
                self._close(running, "completed")

    def _close(self, running: Running, status: ResponseStatus, details: StatusDetails | None = None) -> None:
        response = running.response
        message_id = response.message_id
        response.close(status, running.usage(), details)
        del self._responses[response.id]
        if response.in_conversation:
            if response.ran_mcp and status == "completed":
                self._tools_answered = self._last_answer()
            self._state.idle_since = max(self._state.now, self._state.playback.ends_at)
        if message_id is not None:
            self._heard.message_closed(message_id)

    def _last_answer(self) -> str | None:
        """The newest item, if it is a message of the assistant; what comes behind it is something new."""
        conversation = self._state.conversation
        match conversation.get(conversation.last_id or ""):
            case MessageItem(id=id, role="assistant"):
                return id
        return None

    # --- truncation -----------------------------------------------------------------------------------

    def truncate(self, item_id: str, milliseconds: int) -> int:
        """Remove from a spoken message what was not heard; return how much of it there is, in ms.

        Beyond the end is no error: players report late, and clients treat a refusal as fatal.
        """
        still_open = any(running.response.message_id == item_id for running in self._responses.values())
        return self._heard.truncate(item_id, milliseconds, still_open=still_open)

    def spoke(self, item_id: str) -> bool:
        """Whether that item was spoken by the assistant."""
        return item_id in self._heard

    def leave_out(self, item_ids: Collection[str]) -> None:
        """Contexts to come do without these items."""
        self._prepared.revoke("outdated")
        self._contexts.leave_out(item_ids)

    def item_deleted(self, item_id: str) -> None:
        """Forget the item; a response that waited for its transcript waits no longer."""
        self._heard.forget(item_id)
        self._contexts.forget(item_id)
        for running in list(self._responses.values()):
            running.response.item_deleted(item_id)
            running.drop(item_id)
            self._generate_if_ready(running)
