"""The services that a key, or a server on this machine, is enough for: kind, address, key, first model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CATALOG", "Service"]


@dataclass(frozen=True, slots=True)
class Service:
    """One upstream that needs no table in the settings."""

    kind: str = "openai-compatible"
    base_url: str | None = None  # for kinds that have no address of their own
    key_variables: tuple[str, ...] = ()  # the first one that is set counts; none: it needs no key
    default_llm: str | None = None  # None: it has no language model that could be presumed
    base_url_variable: str | None = None  # an environment variable that replaces `base_url`
    options: Mapping[str, Any] = field(default_factory=dict)  # where the service differs from its kind

    @property
    def is_local(self) -> bool:
        """Whether it runs on this machine, and may or may not be there."""
        return not self.key_variables


# In the order in which one is chosen where several have a key. Addresses and deviations are those that the
# services document; models are ones that answer fast, as of November 2026.
CATALOG: Mapping[str, Service] = {
    "google-ai-studio": Service(
        kind="gemini",
        key_variables=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        default_llm="gemini-2.5-flash",
    ),
    "openai": Service(
        base_url="https://api.openai.com/v1",
        key_variables=("OPENAI_API_KEY",),
        default_llm="gpt-4o-mini",
        base_url_variable="OPENAI_BASE_URL",
    ),
    "anthropic": Service(
        kind="anthropic",
        key_variables=("ANTHROPIC_API_KEY",),
        default_llm="claude-haiku-4-5",
        base_url_variable="ANTHROPIC_BASE_URL",
    ),
    "groq": Service(
        base_url="https://api.groq.com/openai/v1",
        key_variables=("GROQ_API_KEY",),
        default_llm="llama-3.3-70b-versatile",
        options={"setting_names": {"repetition_penalty": "", "logit_bias": ""}},
    ),
    "cerebras": Service(
        base_url="https://api.cerebras.ai/v1",
        key_variables=("CEREBRAS_API_KEY",),
        default_llm="llama-3.3-70b",
        options={"setting_names": {"repetition_penalty": ""}},
    ),
    "together": Service(
        base_url="https://api.together.xyz/v1",
        key_variables=("TOGETHER_API_KEY",),
        default_llm="meta-llama/Llama-3.3-70B-Instruct-Turbo",
    ),
    "fireworks": Service(
        base_url="https://api.fireworks.ai/inference/v1",
        key_variables=("FIREWORKS_API_KEY",),
        default_llm="accounts/fireworks/models/llama-v3p3-70b-instruct",
    ),
    "openrouter": Service(
        base_url="https://openrouter.ai/api/v1",
        key_variables=("OPENROUTER_API_KEY",),
        default_llm="google/gemini-2.5-flash",
    ),
    "mistral": Service(
        base_url="https://api.mistral.ai/v1",
        key_variables=("MISTRAL_API_KEY",),
        default_llm="mistral-small-latest",
        options={
            "user_speaks_last": True,
            "setting_names": {"seed": "random_seed", "repetition_penalty": "", "logit_bias": ""},
        },
    ),
    "deepseek": Service(
        base_url="https://api.deepseek.com/v1",
        key_variables=("DEEPSEEK_API_KEY",),
        default_llm="deepseek-chat",
        # In thinking mode it refuses calls that come back without the reasoning that led to them.
        options={
            "echo_reasoning": True,
            "vision": False,
            "setting_names": {"seed": "", "repetition_penalty": "", "logit_bias": ""},
        },
    ),
    "xai": Service(
        base_url="https://api.x.ai/v1",
        key_variables=("XAI_API_KEY",),
        default_llm="grok-4-fast",
        options={"setting_names": {"repetition_penalty": "", "logit_bias": ""}},
    ),
    "deepinfra": Service(
        base_url="https://api.deepinfra.com/v1/openai",
        key_variables=("DEEPINFRA_API_KEY",),
        default_llm="meta-llama/Llama-3.3-70B-Instruct-Turbo",
    ),
    "inworld": Service(kind="inworld", key_variables=("INWORLD_API_KEY",)),
    "assemblyai": Service(kind="assemblyai", key_variables=("ASSEMBLYAI_API_KEY",)),
    "soniox": Service(kind="soniox", key_variables=("SONIOX_API_KEY",)),
    "deepgram": Service(kind="deepgram", key_variables=("DEEPGRAM_API_KEY",)),
    "elevenlabs": Service(kind="elevenlabs", key_variables=("ELEVENLABS_API_KEY", "ELEVEN_API_KEY")),
    "cartesia": Service(
        kind="cartesia", key_variables=("CARTESIA_API_KEY",), base_url_variable="CARTESIA_BASE_URL"
    ),
    # On this machine. They cost nothing to name: nobody connects before somebody asks for a model of theirs.
    "ollama": Service(base_url="http://127.0.0.1:11434/v1"),
    "vllm": Service(base_url="http://127.0.0.1:8000/v1"),
    "llama.cpp": Service(
        base_url="http://127.0.0.1:8080/v1",
        options={"setting_names": {"repetition_penalty": "repeat_penalty"}},
    ),
    "lm-studio": Service(
        base_url="http://127.0.0.1:1234/v1",
        options={"setting_names": {"repetition_penalty": "repeat_penalty"}},
    ),
}
