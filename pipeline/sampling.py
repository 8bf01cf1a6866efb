"""How a session's language model is to write: its own members, and `text_generation_config` for the rest."""

from collections.abc import Mapping
from typing import Any

from pipeline.config import SessionConfig
from pipeline.extensions import extensions_of, spelled

__all__ = ["generation_settings"]

_PREFIX = "reasoning_effort_"  # of efforts, as gRPC spells them


def generation_settings(config: SessionConfig) -> dict[str, Any]:
    """Keyword arguments of `LlmRequest`; those that nobody has set are left out."""
    asked = extensions_of(config.provider_data).text_generation_config
    reasoning = spelled(asked, "reasoning")
    thinking = reasoning if isinstance(reasoning, Mapping) else {}
    stop = spelled(asked, "stop_sequences")
    settings = {
        "temperature": _first(config.temperature, spelled(asked, "temperature")),
        "max_output_tokens": _first(config.max_output_tokens, spelled(asked, "max_new_tokens")),
        "reasoning_effort": _first(config.reasoning and config.reasoning.effort, _effort(thinking)),
        "reasoning_tokens": spelled(thinking, "max_tokens"),
        "top_p": spelled(asked, "top_p"),
        "frequency_penalty": spelled(asked, "frequency_penalty"),
        "presence_penalty": spelled(asked, "presence_penalty"),
        "repetition_penalty": spelled(asked, "repetition_penalty"),
        "seed": spelled(asked, "seed"),
        "stop": tuple(stop) if stop else None,
        "logit_bias": _biases(spelled(asked, "logit_bias")),
    }
    return {name: value for name, value in settings.items() if value is not None}


def _first(own: Any, asked: Any) -> Any:
    return asked if own is None else own


def _effort(thinking: Mapping[str, Any]) -> str | None:
    effort = str(spelled(thinking, "effort") or "").lower().removeprefix(_PREFIX)
    return None if effort in ("", "unspecified") else effort


def _biases(given: Any) -> dict[str, float] | None:
    """By token: from an object as OpenAI has it, or from a list of `{tokenId, biasValue}`."""
    if isinstance(given, Mapping):
        return dict(given) or None
    pairs = [(spelled(one, "token_id"), spelled(one, "bias_value")) for one in given or ()]
    return {str(token): bias for token, bias in pairs if token is not None and bias is not None} or None
