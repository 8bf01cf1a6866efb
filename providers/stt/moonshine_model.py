"""Moonshine run directly in onnxruntime: one window of audio in, its words out."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from providers.contracts import TokenLogprob
from providers.errors import ProviderError
from providers.onnx import open_model
from providers.weights import wheel_file

__all__ = ["SAMPLE_RATE", "Hypothesis", "MoonshineModel", "loop_length", "read_tokens", "read_vocabulary"]

SAMPLE_RATE = 16_000  # Hertz
# The encoder's three convolutions need 895 samples for one frame out; below a quarter of a second the words
# are guesses either way, so that is what shorter audio is padded to.
MIN_SAMPLES = SAMPLE_RATE // 4
TOKENS_PER_SECOND = 6.5  # more than any speaker says; the model's authors use the same bound
BOS, EOS = 1, 2
MAX_TOKENS = 1 << 20  # in a vocabulary; the known ones have 32768
FOLDER = "assets/tiny-en"
FORMATS = (".onnx", ".ort", ".json", ".bin")
SPACE = "\u2581".encode()  # as the vocabulary writes it

# A loop is at least so many tokens in at least so many repeats of at most so many tokens each. Speech that
# really says a word four times stays below it.
LOOP_TOKENS, LOOP_REPEATS, LOOP_PERIOD = 12, 4, 10


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What the model takes a stretch of audio for."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()  # of its tokens, where they were asked for
    language: str = ""  # the code of the language that it found, where it looks for one


class MoonshineModel:
    """The encoder, the decoder and the vocabulary. Stateless, so any number of threads may share it.

    On one thread of a small server 1.5 / 3 / 8 s of speech take the smallest about 30 / 60 / 155 ms.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Load the weights: those of the wheel (tiny-en, 42 MiB), or others of the same make from `folder`.

        Raises `ProviderError` when they are missing or unreadable.
        """
        encoder, decoder, vocabulary = _files(folder)
        self._encoder: Any = open_model(encoder)
        self._decoder: Any = open_model(decoder)
        self._tokens = read_vocabulary(vocabulary)
        # Some exports thin out masks, others take none.
        self._encoder_mask = _takes(self._encoder, "attention_mask")
        self._decoder_mask = _takes(self._decoder, "encoder_attention_mask")
        self._past_shapes = {
            tensor.name: (1, tensor.shape[1], 0, tensor.shape[3])
            for tensor in self._decoder.get_inputs()
            if tensor.name.startswith("past_key_values.")
        }
        presents = [
            tensor.name for tensor in self._decoder.get_outputs() if tensor.name.startswith("present.")
        ]
        self._first_outputs = ["logits", *presents]
        # What the decoder makes of the encoder's output is constant, so later steps do not ask for it.
        self._next_outputs = ["logits", *(name for name in presents if ".decoder." in name)]

    def transcribe(
        self, pcm: bytes, stop: Callable[[], bool] = lambda: False, *, logprobs: bool = False
    ) -> Hypothesis | None:
        """The words in `pcm` (16 kHz), greedily decoded; None when `stop` became true on the way.

        With `logprobs` it also says how likely each token was, which costs some 0.2 ms per token.

        Time and memory grow with the square of the length: keep it below half a minute. Silence is answered
        with invented words; keep it out.
        """
        samples = np.zeros((1, max(len(pcm) // 2, MIN_SAMPLES)), np.float32)
        samples[0, : len(pcm) // 2] = np.frombuffer(pcm, dtype="<i2")
        samples *= np.float32(1 / 32768)
        # Both masks are over samples: the decoder thins its own out.
        mask = np.ones(samples.shape, np.int64)
        if stop():
            return None
        masks = {"attention_mask": mask} if self._encoder_mask else {}
        hidden = self._encoder.run(None, {"input_values": samples, **masks})[0]
        limit = int(samples.shape[1] / SAMPLE_RATE * TOKENS_PER_SECOND) + 1
        likely: list[float] | None = [] if logprobs else None
        tokens = self._decode(hidden, mask, limit, stop, likely)
        if tokens is None:
            return None
        return Hypothesis(self._text(tokens), self._logprobs(tokens, likely or ()))

    def _decode(
        self,
        hidden: NDArray[np.float32],
        mask: NDArray[np.int64],
        limit: int,
        stop: Callable[[], bool],
        likely: list[float] | None,
    ) -> list[int] | None:
        """The tokens; their logarithmic probabilities go into `likely`, where there is one."""
        past = {name: np.zeros(shape, np.float32) for name, shape in self._past_shapes.items()}
        masks = {"encoder_attention_mask": mask} if self._decoder_mask else {}
        tokens: list[int] = []
        for step in range(limit):
            if stop():
                return None
            names = self._next_outputs if step else self._first_outputs
            logits, *presents = self._decoder.run(
                names,
                {
                    "input_ids": np.array([[tokens[-1] if step else BOS]], np.int64),
                    "encoder_hidden_states": hidden,
                    "use_cache_branch": np.array([step > 0]),
                    **masks,
                    **past,
                },
            )
            for name, value in zip(names[1:], presents, strict=True):
                past[name.replace("present", "past_key_values")] = value
            token = int(logits[0, -1].argmax())
            if token == EOS:
                break
            tokens.append(token)
            if likely is not None:
                likely.append(_log_softmax(logits[0, -1], token))
            if period := loop_length(tokens):
                repeats = 1
                while tokens[-period * (repeats + 1) : -period * repeats] == tokens[-period:]:
                    repeats += 1
                return tokens[: len(tokens) - period * (repeats - 1)]
        return tokens

    def _logprobs(self, tokens: Sequence[int], likely: Sequence[float]) -> tuple[TokenLogprob, ...]:
        # A loop that was cut off leaves more probabilities than tokens.
        pairs = [pair for pair in zip(tokens, likely, strict=False) if pair[0] < len(self._tokens)]
        pieces = [(self._tokens[token].replace(SPACE, b" "), logprob) for token, logprob in pairs]
        return tuple(
            TokenLogprob(piece.decode("utf-8", errors="replace"), logprob, piece) for piece, logprob in pieces
        )

    def _text(self, tokens: Sequence[int]) -> str:
        pieces = [self._tokens[token] for token in tokens if token < len(self._tokens)]
        return b"".join(pieces).replace(SPACE, b" ").decode("utf-8", errors="ignore").strip()


def _files(folder: Path | None) -> tuple[Path, Path, Path]:
    """The encoder, the decoder and the vocabulary."""
    if folder is None:
        names = ("encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin")
        encoder, decoder, vocabulary = (wheel_file("moonshine_voice", f"{FOLDER}/{name}") for name in names)
        return encoder, decoder, vocabulary
    found = []
    for stem in ("encoder_model", "decoder_model_merged", "tokenizer"):
        files = sorted(file for file in folder.glob(f"{stem}*") if file.suffix in FORMATS)
        if not files:
            raise ProviderError(f"{folder} has no file {stem}, which a Moonshine model needs")
        found.append(files[0])
    return found[0], found[1], found[2]


def _takes(model: Any, name: str) -> bool:
    return any(tensor.name == name for tensor in model.get_inputs())


def _log_softmax(logits: NDArray[np.float32], token: int) -> float:
    shifted = logits - logits[token]
    return min(0.0, -float(np.log(np.exp(shifted.astype(np.float64)).sum())))


def loop_length(tokens: Sequence[int]) -> int:
    """The number of tokens that the end of `tokens` repeats over and over; 0 when it does not."""
    for period in range(1, LOOP_PERIOD + 1):
        span = max(LOOP_TOKENS, LOOP_REPEATS * period)
        tail = tokens[-span:]
        if len(tail) == span and all(tail[i] == tail[i - period] for i in range(period, span)):
            return period
    return 0


def read_vocabulary(file: Path) -> list[bytes]:
    """The vocabulary of a `tokenizer.json` or a `tokenizer.bin`, as `read_tokens` gives it."""
    if file.suffix != ".json":
        return read_tokens(file)
    try:
        content = json.loads(file.read_bytes())
        ids = {text: number for text, number in content["model"]["vocab"].items() if number < MAX_TOKENS}
        tokens = [b""] * (max(ids.values()) + 1)
        for text, number in ids.items():
            byte = re.fullmatch("<0x([0-9A-F]{2})>", text)
            tokens[number] = bytes.fromhex(byte[1]) if byte else text.encode()
        for added in content.get("added_tokens", ()):
            if added["id"] < len(tokens) and added.get("special"):
                tokens[added["id"]] = b""
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProviderError(f"the vocabulary {file} cannot be read; download it again") from error
    return tokens


def read_tokens(file: Path) -> list[bytes]:
    """The vocabulary of `tokenizer.bin`: for each token its length, then its bytes.

    A length of 128 or more takes two bytes, the low seven bits first. Tokens are UTF-8, or pieces of it, with
    U+2581 for a space.
    """
    data = file.read_bytes()
    tokens: list[bytes] = []
    position = 0
    try:
        while position < len(data):
            length = data[position]
            position += 1
            if length >= 128:
                length += 128 * data[position] - 128
                position += 1
            if position + length > len(data):
                raise IndexError
            tokens.append(data[position : position + length])
            position += length
    except IndexError:
        raise ProviderError(f"the vocabulary {file.name} is cut off; reinstall moonshine-voice") from None
    return tokens
