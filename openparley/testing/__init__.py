"""The contract that every engine keeps, as checks to run in the tests of an adapter.

Each check is a coroutine function that takes an engine and raises `ContractError` with a sentence that says
what is wrong. With pytest and pytest-asyncio:

    @pytest.mark.parametrize("check", LLM_CHECKS.values(), ids=LLM_CHECKS)
    async def test_contract(check: Check[Llm]) -> None:
        await check(MyLlm())

`check_llm`, `check_stt`, `check_tts` and `check_provider` run all checks of their kind, for any other runner.
"""

from openparley.testing.common import Check, ContractError
from openparley.testing.failures import check_failure
from openparley.testing.llm import LLM_CHECKS, check_llm
from openparley.testing.provider import check_provider
from openparley.testing.stt import STT_CHECKS, check_stt
from openparley.testing.tts import TTS_CHECKS, check_tts

__all__ = [
    "LLM_CHECKS",
    "STT_CHECKS",
    "TTS_CHECKS",
    "Check",
    "ContractError",
    "check_failure",
    "check_llm",
    "check_provider",
    "check_stt",
    "check_tts",
]
