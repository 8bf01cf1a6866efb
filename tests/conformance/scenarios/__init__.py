"""The scenarios of the protocol: what happens in which order, and everything that is refused."""

from importlib import import_module

from tests.conformance.scenarios.registry import Case, cases

__all__ = ["SCENARIOS"]

# In the order of the documentation.
for _name in (
    "connecting",
    "replies",
    "speech",
    "tools",
    "mcp",
    "items",
    "settings",
    "transcription",
    "limits",
    "refusals",
):
    import_module(f"tests.conformance.scenarios.{_name}")

SCENARIOS: list[Case] = list(cases())
