"""Counts what a client has sent and received, for the progress of a run."""

from collections.abc import Sequence
from dataclasses import dataclass

from alchemist_exp.llm.cost import price_of
from alchemist_exp.llm.types import Price, Response


@dataclass(kw_only=True)
class Traffic:
    """The calls of one client that were paid for.

    Attributes:
        calls: Responses, complete or not; cached ones are not counted.
        retries: Attempts after a failed one.
        input_tokens: Metered tokens of the prompts.
        output_tokens: Metered tokens of the responses.
        usd: What the responses have cost in USD, as far as their price and usage are known.
        seconds: The duration of all attempts, which overlap.
        attempts: Attempts whose duration is known; there are none through a batch API.

    """

    calls: int = 0
    retries: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    seconds: float = 0.0
    attempts: int = 0

    def count(self, responses: Sequence[Response], price: Price | None) -> None:
        """Count the responses to one request.

        Args:
            responses: The responses; cached ones are left out.
            price: The price of the model; None if it is unknown.

        """
        paid = [response for response in responses if not response.from_cache]
        self.calls += len(paid)
        self.input_tokens += sum(response.usage.input_tokens for response in paid if response.usage)
        self.output_tokens += sum(response.usage.output_tokens for response in paid if response.usage)
        self.usd += price_of(paid, price) or 0.0

    def summary(self) -> str:
        """Return the counts on one line.

        Returns:
            For example "12 calls, 1.3 s each, 1,080 + 120 tokens, $0.0012, 1 retry"; empty before the first call.

        """
        if not self.calls and not self.retries:
            return ""
        parts = [f"{self.calls:,} call{'s' * (self.calls != 1)}"]
        if self.attempts:
            parts.append(f"{self.seconds / self.attempts:.1f} s each")
        if self.input_tokens or self.output_tokens:
            parts.append(f"{self.input_tokens:,} + {self.output_tokens:,} tokens")
        if self.usd:
            parts.append(f"${self.usd:.4f}")
        if self.retries:
            parts.append(f"{self.retries:,} retr{'y' if self.retries == 1 else 'ies'}")
        return ", ".join(parts)
