"""Requests for language models that cannot see: a note stands where an image was."""

from dataclasses import replace

from providers.contracts import ImagePart, LlmRequest, TextPart, UserMessage

__all__ = ["BLIND_NOTE", "without_images"]

# So worded that the model says so when it is asked about the image, instead of making one up.
BLIND_NOTE = "[The user sent an image here, which you cannot see.]"


def without_images(request: LlmRequest) -> LlmRequest:
    """The same request in text alone."""
    messages = tuple(
        replace(message, parts=tuple(_told(part) for part in message.parts))
        if isinstance(message, UserMessage)
        else message
        for message in request.messages
    )
    return replace(request, messages=messages)


def _told(part: TextPart | ImagePart) -> TextPart:
    return TextPart(BLIND_NOTE) if isinstance(part, ImagePart) else part
