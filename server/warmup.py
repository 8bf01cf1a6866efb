"""Loads the engine of one stage and runs it once, so that the first caller does not pay for it."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Literal

import numpy as np

from providers.contracts import Stt, SttOptions, Tts, TtsOptions, Vad, VadFrame
from providers.errors import UnknownModelError
from providers.registry import Registry

__all__ = ["ENGINE_STAGES", "EngineStage", "warm_stage"]

EngineStage = Literal["vad", "turn", "stt", "llm", "tts"]
ENGINE_STAGES: tuple[EngineStage, ...] = ("vad", "turn", "stt", "llm", "tts")


async def warm_stage(registry: Registry, stage: EngineStage, *, run: bool) -> float:
    """Load the default engine of `stage`, use it once if `run`, and return the seconds that it took.

    The first run of a model allocates and takes several times as long as the next. Language models are never
    run. Raises `ProviderError` or `UnknownModelError`.
    """
    began = time.perf_counter()
    defaults = registry.defaults
    if stage == "vad":
        vad = await asyncio.to_thread(registry.vad)
        if run:
            await asyncio.to_thread(_run_vad, vad)
    elif stage == "turn":
        judge = await asyncio.to_thread(registry.turn)
        if run and judge is not None:
            await asyncio.to_thread(judge.probability, _hum(judge.sample_rate))
    elif stage == "stt":
        stt = await asyncio.to_thread(registry.stt, defaults.stt)
        if run:
            await _run_stt(stt)
    elif stage == "tts":
        tts = await asyncio.to_thread(registry.tts, defaults.tts)
        if run:
            await _run_tts(tts, _voice(registry, tts))
    else:
        await asyncio.to_thread(registry.llm, defaults.llm)
    return time.perf_counter() - began


def _voice(registry: Registry, tts: Tts) -> str:
    try:
        return registry.resolve_voice(registry.defaults.tts, registry.defaults.voice)
    except UnknownModelError:  # not a matter of the engine; whoever chooses the voice complains
        return tts.voices[0].id if tts.voices else registry.defaults.voice


def _run_vad(vad: Vad) -> None:
    frame = bytes(2 * vad.frame_samples)
    for count in (1, 4):  # alone and in a batch
        vad.infer([VadFrame(vad.new_stream(), frame) for _ in range(count)])


async def _run_stt(stt: Stt) -> None:
    async for _ in stt.transcribe(_pieces(_hum(stt.sample_rate)), SttOptions(language="en")):
        pass


async def _run_tts(tts: Tts, voice: str) -> None:
    async for _ in tts.speak(_pieces("Ready."), TtsOptions(voice)):
        pass


async def _pieces(piece: Any) -> AsyncIterator[Any]:
    yield piece


def _hum(rate: int) -> bytes:
    """A second of something like speech: silence would be recognised as such and never reach the model."""
    time_axis = np.arange(rate) / rate
    voice = sum(np.sin(2 * np.pi * 140 * n * time_axis) / n for n in range(1, 20))
    syllables = np.clip(np.sin(2 * np.pi * 3 * time_axis), 0, 1)
    samples: Any = np.rint(6000 * voice * syllables)
    pcm: bytes = np.clip(samples, -32768, 32767).astype("<i2").tobytes()
    return pcm
