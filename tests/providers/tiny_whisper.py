"""A Whisper model of some kilobytes for the real faster-whisper: it writes what its position says."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

__all__ = ["HELLO", "PROMPTED", "write_tiny_whisper"]

WIDTH, HEADS, TEXT_POSITIONS, AUDIO_POSITIONS, MELS = 16, 2, 448, 1500, 80
WORD_FRAMES = 20  # of 20 ms
HELLO = "Hello there world."  # what it hears in anything
PROMPTED = "Parley."  # what it hears with a prompt of six letters
TASKS = ("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>")

# By the number of the position that the token is written at: the prompt in front moves the script.
# Without a prompt these stand in front: start, language, task, and "no timestamps" unless they are wanted.
SCRIPT: Mapping[int, str] = {
    0: "<|de|>",  # what is read behind the start alone is the language
    2: "<|0.00|>",
    3: "ĠHello",
    4: "Ġthere",
    5: "Ġworld.",
    # One for what was before, a space and six letters, and the four from above.
    11: "ĠParley.",
}


def write_tiny_whisper(folder: Path) -> Path:
    """A folder as faster-whisper wants it. Skips the test where that is not installed."""
    specs: Any = pytest.importorskip("ctranslate2.specs", reason="the extra 'whisper' is not installed")
    library: Any = pytest.importorskip("faster_whisper.tokenizer")
    tokenizers: Any = pytest.importorskip("tokenizers")
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    words = [*alphabet, "ĠHello", "Ġthere", "Ġworld.", "ĠParley."]
    stamps = [f"<|{index * 0.02:.2f}|>" for index in range(1501)]
    # All languages but the one that came late, in the places that the library looks for.
    languages = [f"<|{code}|>" for code in library._LANGUAGE_CODES if code != "yue"]
    special = ["<|endoftext|>", "<|startoftranscript|>", *languages, *TASKS, "<|notimestamps|>"]
    # The empty word tells the library that the model is multilingual.
    vocabulary = [*words, "", *special, *stamps]
    ids = {token: number for number, token in enumerate(vocabulary)}

    spec = specs.WhisperSpec(1, HEADS, 1, HEADS)
    _fill(spec, len(vocabulary), ids)
    spec.register_vocabulary(vocabulary)
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = [ids["<|endoftext|>"]]
    spec.config.lang_ids = [ids[language] for language in languages]
    spec.config.alignment_heads = [[0, 0]]
    spec.validate()
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))

    plain = {word: ids[word] for word in (*words, "")}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(plain, []))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": MELS}))
    return folder


def _fill(spec: Any, words: int, ids: Mapping[str, int]) -> None:
    """No layer adds anything, so that the position alone reaches the output."""
    encoder, decoder = spec.encoder, spec.decoder
    encoder.conv1.weight, encoder.conv1.bias = _zeros(WIDTH, MELS, 3), _zeros(WIDTH)
    encoder.conv2.weight, encoder.conv2.bias = _zeros(WIDTH, WIDTH, 3), _zeros(WIDTH)
    encoder.position_encodings.encodings = frames = _zeros(AUDIO_POSITIONS, WIDTH)
    decoder.embeddings.weight = _zeros(words, WIDTH)
    for norm in (encoder.layer_norm, decoder.layer_norm):
        _fill_norm(norm)
    for layer in (encoder.layer[0], decoder.layer[0]):
        _fill_attention(layer.self_attention, (3 * WIDTH, WIDTH))
        _fill_norm(layer.ffn.layer_norm)
        for linear in (layer.ffn.linear_0, layer.ffn.linear_1):
            linear.weight, linear.bias = _zeros(WIDTH, WIDTH), _zeros(WIDTH)
    _fill_attention(decoder.layer[0].attention, (WIDTH, 2 * WIDTH, WIDTH))

    positions, projection = _zeros(TEXT_POSITIONS, WIDTH), _zeros(words, WIDTH)
    positions[:, 0] = 1
    projection[ids["<|endoftext|>"], 0] = 5
    for axis, (position, token) in enumerate(SCRIPT.items(), 1):
        positions[position] = 0
        positions[position, axis] = 1
        projection[ids[token], axis] = 5
    # Each word attends to frames of its own, one after another, which is how its time is found.
    frames[:, 0] = 1
    for word in range(3, 6):
        start = (word - 3) * WORD_FRAMES
        frames[start : start + WORD_FRAMES, 0] = 0
        frames[start : start + WORD_FRAMES, word] = 1
    queries, keys, _ = decoder.layer[0].attention.linear
    queries.weight[:] = np.eye(WIDTH)
    keys.weight[:WIDTH] = np.eye(WIDTH)
    decoder.position_encodings.encodings = positions
    decoder.projection.weight = projection


def _fill_attention(attention: Any, sizes: tuple[int, ...]) -> None:
    _fill_norm(attention.layer_norm)
    for linear, size in zip(attention.linear, sizes, strict=True):
        linear.weight, linear.bias = _zeros(size, WIDTH), _zeros(size)


def _fill_norm(norm: Any) -> None:
    norm.gamma, norm.beta = np.ones(WIDTH, np.float32), _zeros(WIDTH)


def _zeros(*shape: int) -> Any:
    return np.zeros(shape, np.float32)
