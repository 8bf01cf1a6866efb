"""Responses that nobody asks for: what the client gave us makes the model go on.

A client's output for its function does so where `auto_tool_response` says it; the answer to an approval
request always does. Both wait until everything that the model asked in its last turn is answered, and until
no other response runs.
"""

from collections.abc import Iterator

from pipeline.core.calls import Approved
from pipeline.core.listings import Listings
from pipeline.core.state import State
from pipeline.errors import InvalidRequest
from pipeline.extensions import extensions_of
from pipeline.items import (
    FunctionCall,
    FunctionCallOutput,
    Item,
    McpApprovalRequest,
    McpApprovalResponse,
    MessageItem,
)

__all__ = ["Followups"]


class Followups:
    def __init__(self, state: State, listings: Listings) -> None:
        self._state = state
        self._listings = listings
        self._approved: list[Approved] = []
        self._outputs_came = False  # of the client's functions, all that the model waits for
        self._approvals_came = False

    @property
    def wanted(self) -> bool:
        return self._outputs_came or self._approvals_came

    @property
    def has_approvals(self) -> bool:
        """Whether it is not only the client's own outputs that are to be read."""
        return self._approvals_came

    def check(self, item: Item) -> None:
        """Raise `InvalidRequest` for an answer to an approval request that nobody made, or that has one."""
        if not isinstance(item, McpApprovalResponse):
            return
        conversation = self._state.conversation
        request = conversation.get(item.request_id)
        answered = any(
            isinstance(known, McpApprovalResponse) and known.request_id == item.request_id
            for known in conversation
        )
        if not isinstance(request, McpApprovalRequest) or answered:
            problem = "has already been answered" if answered else "does not exist"
            raise InvalidRequest(
                f"Error adding item: the approval request with id '{item.request_id}' {problem}.",
                param="item.approval_request_id",
            )

    def item_created(self, item: Item) -> None:
        """A client put that item into the conversation."""
        match item:
            case FunctionCallOutput():
                automatic = extensions_of(self._state.config.provider_data).auto_tool_response
                self._outputs_came = automatic and not self._waits_for_outputs
            case McpApprovalResponse(request_id=request_id, approve=approve):
                request = self._state.conversation.get(request_id)
                assert isinstance(request, McpApprovalRequest)
                target = self._listings.target(request.label, request.name)
                if approve and target is not None:
                    self._approved.append(Approved(request, target))
                self._approvals_came = not self._waits_for_approval

    def take(self) -> list[Approved]:
        """The calls to make first; nothing is wanted any more."""
        approved, self._approved = self._approved, []
        self._outputs_came = self._approvals_came = False
        return approved

    def outputs_read(self) -> None:
        """Some response begins in the conversation, so its model will read the outputs anyway."""
        self._outputs_came = False

    @property
    def _waits_for_outputs(self) -> bool:
        recent = list(self._since_the_user_spoke())
        answered = {item.call_id for item in recent if isinstance(item, FunctionCallOutput)}
        # A call that is still being written will want its output, too.
        return any(
            isinstance(item, FunctionCall) and item.status != "incomplete" and item.call_id not in answered
            for item in recent
        )

    @property
    def _waits_for_approval(self) -> bool:
        recent = list(self._since_the_user_spoke())
        answered = {item.request_id for item in recent if isinstance(item, McpApprovalResponse)}
        return any(isinstance(item, McpApprovalRequest) and item.id not in answered for item in recent)

    def _since_the_user_spoke(self) -> Iterator[Item]:
        """The newest items, back to the last message of the user; questions from before are forgotten."""
        for item in reversed(list(self._state.conversation)):
            if isinstance(item, MessageItem) and item.role == "user":
                return
            yield item
