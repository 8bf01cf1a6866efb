"""What a variant says about a request to a language model, laid over the request."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from providers.contracts import AssistantMessage, LlmRequest, Message, SystemMessage, TextPart, UserMessage
from providers.routing.definition import Defaults, MessageTemplate, TextGeneration, Variant

__all__ = ["asked"]

MAX_VALUE = 4000  # characters that one placeholder may become
_PLACEHOLDER = re.compile(r"\{\{\s*([\w.-]{1,100})\s*\}\}")


def asked(request: LlmRequest, variant: Variant, defaults: Defaults) -> LlmRequest:
    """The request as the model gets it: what the request says itself is never overruled."""
    templates = variant.message_templates
    if templates is None:
        templates = defaults.message_templates
    if templates:
        values = _values(request.caller.metadata)
        said = tuple(_message(template, values) for template in templates)
        request = replace(request, messages=(*said, *request.messages))
    config = variant.text_generation_config or defaults.text_generation_config
    return request if config is None else _configured(request, config)


def _configured(request: LlmRequest, config: TextGeneration) -> LlmRequest:
    effort = (config.reasoning.effort or "").lower().removeprefix("reasoning_effort_")
    wanted: dict[str, Any] = {
        "temperature": config.temperature,
        "max_output_tokens": config.max_tokens or config.max_new_tokens,
        "top_p": config.top_p,
        "frequency_penalty": config.frequency_penalty,
        "presence_penalty": config.presence_penalty,
        "reasoning_effort": None if effort in ("", "unspecified") else effort,
    }
    missing = {name: value for name, value in wanted.items() if getattr(request, name) is None}
    return replace(request, **missing, stop=request.stop or config.stop_sequences)


def _values(metadata: Mapping[str, Any]) -> dict[str, str]:
    """The values of placeholders: `prompt_variables` of the metadata, else its own entries."""
    own = metadata.get("prompt_variables")
    variables = {**metadata, **own} if isinstance(own, Mapping) else metadata
    return {
        str(name): str(value)[:MAX_VALUE]
        for name, value in variables.items()
        if isinstance(value, str | int | float)
    }


def _message(template: MessageTemplate, values: Mapping[str, str]) -> Message:
    text = _PLACEHOLDER.sub(lambda match: values.get(match[1], ""), template.text)
    match template.role:
        case "user":
            return UserMessage((TextPart(text),))
        case "assistant":
            return AssistantMessage(text)
        case _:
            return SystemMessage(text)
