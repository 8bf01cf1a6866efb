"""The calls that a model makes in one response, from the first piece of a name to the output of the tool.

client's function:   opened ─► arguments ─► closed                          (the client answers, later)
MCP tool:            opened ─► arguments ─► running ─► completed | failed   (the server runs it)
MCP tool, guarded:             arguments ─► an approval request             (the client agrees or not)
web search:                    arguments ─► running ─► known to the model   (no client sees an item)
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from pipeline.core.listings import McpTarget, SearchTarget
from pipeline.core.state import State
from pipeline.effects import ReportToolCall, RunTool
from pipeline.events import (
    CallArgumentsDelta,
    CallArgumentsDone,
    McpArgumentsDelta,
    McpArgumentsDone,
    McpCallProgress,
    Part,
)
from pipeline.items import (
    FunctionCall,
    FunctionCallOutput,
    Item,
    ItemStatus,
    McpApprovalRequest,
    McpCall,
    ToolFailure,
)

__all__ = ["Approved", "Calls"]

_CANCELLED = ToolFailure("tool_execution_error", "The response was cancelled before the tool had answered.")


@dataclass(frozen=True, slots=True)
class Approved:
    """A call that the client has agreed to."""

    request: McpApprovalRequest
    target: McpTarget


@dataclass(slots=True)
class _Call:
    item_id: str
    call_id: str
    name: str  # as the model knows it
    state: str
    target: McpTarget | SearchTarget | None  # None: a function of the client
    arguments: list[str] = field(default_factory=list)
    approval_request_id: str | None = None
    output_index: int = -1  # once clients know of it
    started_at: float = 0.0

    @property
    def text(self) -> str:
        # Clients parse it, and an empty text is not JSON.
        return "".join(self.arguments) or "{}"


class Calls:
    """Of one response. `open_item` and `close_item` tell clients of its output items, each at its index."""

    def __init__(
        self,
        state: State,
        response_id: str,
        take_index: Callable[[], int],
        open_item: Callable[[int, Item], None],
        close_item: Callable[[int, Item], None],
    ) -> None:
        self._state = state
        self._response_id = response_id
        self._take_index = take_index
        self._open_item = open_item
        self._close_item = close_item
        self._open: dict[int, _Call] = {}  # being written, by the model's own count
        self._running: dict[str, _Call] = {}  # by call id
        self._searched: list[Item] = []  # calls and outputs that no client sees
        self.searches = 0
        self.ran_mcp = False  # whether any call to an MCP server was made

    @property
    def item_ids(self) -> set[str]:
        """Of the items that are open."""
        return {call.item_id for call in (*self._open.values(), *self._running.values())}

    @property
    def running(self) -> bool:
        """Whether a tool of the server's own has not answered yet."""
        return bool(self._running)

    def take_searched(self) -> list[Item]:
        """What the model knows from searches since the last time, as items of no conversation."""
        searched, self._searched = self._searched, []
        return searched

    # --- while the model writes -----------------------------------------------------------------------

    def begin(
        self,
        index: int,
        call_id: str,
        name: str,
        state: str,
        target: McpTarget | SearchTarget | None,
    ) -> None:
        call = _Call(self._state.new_id("item"), call_id, name, state, target)
        self._open[index] = call
        if target is None:
            self._show(call, FunctionCall(call.item_id, call_id, name, "", "in_progress"))
        elif isinstance(target, McpTarget) and not target.needs_approval:
            self._show(call, _mcp_call(call, ""))

    def _show(self, call: _Call, item: Item) -> None:
        """From now on clients know of the call; what they never see takes no place among the output items."""
        call.output_index = self._take_index()
        self._open_item(call.output_index, item)

    def __contains__(self, index: int) -> bool:
        return index in self._open

    def add_arguments(self, index: int, arguments: str) -> None:
        call = self._open[index]
        call.arguments.append(arguments)
        if call.target is None:
            self._state.emit(CallArgumentsDelta(self._part(call), call.call_id, arguments))
        elif isinstance(call.target, McpTarget) and not call.target.needs_approval:
            self._state.emit(McpArgumentsDelta(self._part(call), arguments))

    # --- once it has written them ---------------------------------------------------------------------

    def finish(self, status: ItemStatus) -> Literal["nothing", "ours", "theirs"]:
        """Close what the model wrote, and run the server's own tools if it finished.

        Says with whom the response goes on: our own tools, or the client, who has a call to answer.
        """
        outcome: Literal["nothing", "ours", "theirs"] = "nothing"
        for call in list(self._open.values()):
            is_ours = self._finish(call, status)
            if not is_ours:
                outcome = "theirs"
            elif outcome == "nothing":
                outcome = "ours"
        self._open.clear()
        return outcome

    def _finish(self, call: _Call, status: ItemStatus) -> bool:
        match call.target:
            case None:
                arguments = call.text if status == "completed" else "".join(call.arguments)
                self._state.emit(CallArgumentsDone(self._part(call), call.call_id, call.name, arguments))
                item = FunctionCall(call.item_id, call.call_id, call.name, arguments, status, call.state)
                self._close_item(call.output_index, item)
                return False
            case McpTarget(needs_approval=True) as target:
                if status == "completed":
                    request = McpApprovalRequest(
                        call.item_id, target.server.label, target.tool.name, call.text, call.state
                    )
                    self._show(call, request)
                    self._close_item(call.output_index, request)
                return False
            case McpTarget():
                self._state.emit(McpArgumentsDone(self._part(call), call.text))
        if status == "completed":
            self._run(call)
        elif isinstance(call.target, McpTarget):
            self._settle_mcp(call, None, _CANCELLED)
        return True

    def run_approved(self, approved: Approved) -> None:
        """Make a call that the client has agreed to."""
        request, target = approved.request, approved.target
        item_id = self._state.new_id("item")
        call = _Call(
            item_id, item_id, target.tool.name, request.state, target, [request.arguments], request.id
        )
        self._show(call, _mcp_call(call, ""))
        self._state.emit(McpArgumentsDelta(self._part(call), call.text))
        self._state.emit(McpArgumentsDone(self._part(call), call.text))
        self._run(call)

    def _run(self, call: _Call) -> None:
        assert call.target is not None
        call.started_at = self._state.now
        self._running[call.call_id] = call
        if isinstance(call.target, McpTarget):
            self.ran_mcp = True
            self._state.emit(McpCallProgress(self._part(call), "in_progress"))
            target, name = call.target.server, call.target.tool.name
            self._state.do(RunTool(self._response_id, call.call_id, target, name, call.text))
        else:
            search = call.target.search
            self.searches += 1
            if self.searches > search.max_steps:  # a model may ask for many at once
                limit = ToolFailure("tool_execution_error", "No more searches are allowed for this answer.")
                self.answered(call.call_id, None, limit)
                return
            self._state.do(RunTool(self._response_id, call.call_id, search, call.name, call.text))

    # --- once the tools answer ------------------------------------------------------------------------

    def answered(self, call_id: str, output: str | None, failure: ToolFailure | None) -> None:
        if (call := self._running.pop(call_id, None)) is None:
            return
        if isinstance(call.target, McpTarget):
            self._settle_mcp(call, output, failure)
        else:
            told = output if failure is None else f"The search failed: {failure.message}"
            self._searched.append(
                FunctionCall(call.item_id, call.call_id, call.name, call.text, state=call.state)
            )
            self._searched.append(FunctionCallOutput(self._state.new_id("item"), call.call_id, told or ""))
        self._report(call, "completed" if failure is None else "failed")

    def cancel(self) -> None:
        """The response is over: nobody waits for the tools that are at work."""
        for call in self._running.values():
            if isinstance(call.target, McpTarget):
                self._settle_mcp(call, None, _CANCELLED)
            self._report(call, "cancelled")
        self._running.clear()

    def _settle_mcp(self, call: _Call, output: str | None, failure: ToolFailure | None) -> None:
        self._state.emit(McpCallProgress(self._part(call), "completed" if failure is None else "failed"))
        self._close_item(call.output_index, _mcp_call(call, call.text, output, failure))

    def _report(self, call: _Call, outcome: Literal["completed", "failed", "cancelled"]) -> None:
        target = call.target
        tool = (
            f"mcp/{target.server.label}/{target.tool.name}" if isinstance(target, McpTarget) else "web_search"
        )
        seconds = self._state.now - call.started_at
        self._state.do(ReportToolCall(self._response_id, tool, outcome, seconds))

    def _part(self, call: _Call) -> Part:
        return Part(self._response_id, call.item_id, call.output_index)


def _mcp_call(
    call: _Call, arguments: str, output: str | None = None, failure: ToolFailure | None = None
) -> McpCall:
    assert isinstance(call.target, McpTarget)
    target = call.target
    return McpCall(
        call.item_id,
        target.server.label,
        target.tool.name,
        arguments,
        output,
        failure,
        call.approval_request_id,
        call.state,
    )
