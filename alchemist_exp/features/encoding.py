"""Runs a pretrained text encoder: texts in, one vector each out. Imported where it is used, since torch is heavy."""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alchemist_exp.core.errors import AlchemistError, ConfigError
from alchemist_exp.core.hashing import join_surrogates
from alchemist_exp.core.terminal import sanitize
from alchemist_exp.core.types import FloatArray

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def precision() -> str:
    """The numbers that encoders compute with here: bfloat16 on a GPU that knows it, else float32."""
    known = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if known else "float32"


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """A loaded encoder with its tokenizer.

    precision: as `precision()` says. width: numbers per text. longest: tokens it can read at once.
    """

    tokenizer: Any
    model: Any
    device: torch.device
    precision: str
    width: int
    longest: float

    @torch.inference_mode()
    def encode(
        self,
        texts: Sequence[str],
        *,
        pool: Callable[[Tensor, Tensor], Tensor],
        max_length: int,
        batch_size: int,
        on_progress: Callable[[int], None],
    ) -> FloatArray:
        """float32 (n, width), in the order of `texts`, each cut after `max_length` tokens.

        pool: makes (b, width) of hidden states (b, tokens, width) and their mask (b, tokens), 1 where there is a token.
        on_progress: is told of each finished batch. Texts of like length share a batch, the longest first, so that
        little is padding and too little memory shows at once. AlchemistError when memory does not do.
        """
        rows = np.empty((len(texts), self.width), dtype=np.float32)
        tokens = self._tokens(texts, max_length)
        order = sorted(range(len(texts)), key=lambda row: len(tokens[row]), reverse=True)
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            try:
                rows[batch] = self._vectors([tokens[row] for row in batch], pool)
            except torch.OutOfMemoryError as error:
                raise AlchemistError(
                    f"the GPU's memory does not do for {len(batch)} texts at once; lower feature_extractor.batch_size."
                ) from error
            on_progress(len(batch))
        return rows

    def _tokens(self, texts: Sequence[str], max_length: int) -> list[list[int]]:
        if not len(texts):
            return []
        # Tokenizers refuse a lone surrogate. No data file can hold one, a program that pipes text in can.
        readable = [_LONE_SURROGATE.sub("\ufffd", join_surrogates(text)) for text in texts]
        tokens: list[list[int]] = self.tokenizer(
            readable,
            truncation=True,
            max_length=max_length,
            return_attention_mask=False,
            return_token_type_ids=False,
        )["input_ids"]
        return tokens

    def _vectors(self, batch: Sequence[list[int]], pool: Callable[[Tensor, Tensor], Tensor]) -> FloatArray:
        """float32 (b, width) of token lists, padded on the right to the longest of them."""
        longest = max(map(len, batch))
        ids = torch.full((len(batch), longest), self.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = 1
        ids, mask = ids.to(self.device), mask.to(self.device)
        with self._autocast():
            states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        vectors: FloatArray = pool(states.float(), mask).cpu().numpy()
        return vectors

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)


def load_network(folder: Path) -> Network:
    """The encoder whose files lie in `folder`, on the first GPU, or the CPU. ConfigError when it is no text encoder."""
    from safetensors import SafetensorError
    from transformers import AutoModel, AutoTokenizer

    offline = {"local_files_only": True, "trust_remote_code": False}
    try:
        with _quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, **offline)
            # Checkpoints in half precision are read as float32, in which a CPU computes.
            model, report = AutoModel.from_pretrained(
                folder, **offline, dtype=torch.float32, use_safetensors=True, output_loading_info=True
            )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise ConfigError(
            f"the model in {folder} cannot be loaded ({sanitize(str(error))}); name another feature_extractor.model."
        ) from error
    # A pooler is not used here, and many checkpoints have none. Anything else that lacks would be random numbers.
    absent = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    wrong = _why_no_encoder(tokenizer, model.config, absent)
    if wrong:
        raise ConfigError(f"the model in {folder} {wrong}; name a text encoder such as bert-base in its place.")
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    positions = getattr(model.config, "max_position_embeddings", None) or float("inf")
    return Network(
        tokenizer=tokenizer,
        model=model.eval().requires_grad_(False).to(device),
        device=device,
        precision=precision(),
        width=model.config.hidden_size,
        longest=min(tokenizer.model_max_length, positions),
    )


def _why_no_encoder(tokenizer: Any, config: Any, absent: list[str]) -> str:
    """Why vectors of this model would mean nothing; empty when they would not."""
    if absent:
        return f"lacks weights ({len(absent)}, {absent[0]} among them)"
    if getattr(config, "is_encoder_decoder", False):
        return "has a decoder too"
    if getattr(config, "hidden_size", None) is None:
        return "is not one network over text (its configuration has no hidden_size)"
    if tokenizer.pad_token_id is None:
        return "has no padding token"
    return ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps bars and reports on loading, which a user can do nothing about, from the terminal."""
    from transformers.utils import logging as chatter

    level, bars = chatter.get_verbosity(), chatter.is_progress_bar_enabled()
    chatter.set_verbosity(logging.ERROR)
    chatter.disable_progress_bar()
    try:
        yield
    finally:
        chatter.set_verbosity(level)
        if bars:
            chatter.enable_progress_bar()
