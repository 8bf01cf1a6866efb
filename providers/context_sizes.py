"""How many tokens well-known language models can hold, for servers whose settings do not say.

The figures are what the makers publish in their model lists and model cards. Where versions or hosts of a
family differ, the smallest counts: context that is dropped too early hurts less than a refused request.
"""

from collections.abc import Mapping

__all__ = ["DEFAULT_CONTEXT_TOKENS", "context_tokens"]

DEFAULT_CONTEXT_TOKENS = 32_768  # as the first realtime models of OpenAI's public service have it

# By how the model's own name begins, in lower case and without hyphens; the longest match counts.
_TOKENS: Mapping[str, int] = {
    # OpenAI: the pages of its models, and the model card of gpt-oss
    "gpt3.5": 16_385,
    "gpt4": 8_192,
    "gpt41106": 128_000,
    "gpt40125": 128_000,
    "gpt4turbo": 128_000,
    "gpt4o": 128_000,
    "gpt4.1": 1_047_576,
    "gpt5": 272_000,  # of 400,000, the part that may be input
    "gpt5chat": 128_000,
    "gptoss": 131_072,
    "chatgpt4o": 128_000,
    "o1": 200_000,
    "o1mini": 128_000,
    "o3": 200_000,
    "o4mini": 200_000,
    # Google: the input limits on the pages of its models, and the model cards of Gemma
    "gemini": 1_048_576,
    "gemma": 8_192,
    "gemma3": 32_768,  # that of the smallest; the larger ones have 128k
    # Anthropic: the overview of its models; longer ones have to be asked for
    "claude": 200_000,
    # Meta: the model cards. Hosts of Llama 4 offer a fraction of its ten million
    "llama2": 4_096,
    "llama3": 8_192,
    "llama3.1": 131_072,
    "llama3.2": 131_072,
    "llama3.3": 131_072,
    "llamav3p": 131_072,  # as Fireworks spells 3.1 and later
    "llama4": 131_072,
    # Mistral: the overview of its models
    "mistral": 32_768,
    "mistrallarge": 131_072,
    "mistralmedium": 131_072,
    "mistralsmall": 32_768,  # up to version 3; later ones have 128k
    "mistralnemo": 131_072,
    "ministral": 131_072,
    "openmistralnemo": 131_072,
    "mixtral": 32_768,
    # Alibaba: the model cards, without the extrapolation that few hosts switch on
    "qwen2.5": 32_768,
    "qwen3": 32_768,
    "qwq": 32_768,
    # DeepSeek: its list of models; 64k before V3.1
    "deepseek": 65_536,
    # Others: their model cards and lists of models
    "commandr": 128_000,
    "grok3": 131_072,
    "grok4": 131_072,  # the fast ones have far more
    "kimik2": 131_072,
    "phi3": 4_096,
    "phi4": 16_384,
}


def context_tokens(model: str) -> int:
    """Tokens of input and output together, going by a name such as `meta-llama/Llama-3.1-8B-Instruct`."""
    own = model.rpartition("/")[2].lower().removeprefix("meta-").replace("-", "").replace("_", "")
    known = max((name for name in _TOKENS if own.startswith(name)), key=len, default=None)
    return DEFAULT_CONTEXT_TOKENS if known is None else _TOKENS[known]
