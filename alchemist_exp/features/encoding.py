"""Vectors of a pretrained text encoder, by sentence-transformers. Import this module late: it imports torch."""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch

from alchemist_exp.torchvision_ops import declare_torchvision_ops

declare_torchvision_ops()  # transformers imports torchvision if it is installed

from safetensors import SafetensorError
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from alchemist_exp.core.errors import AlchemistError, ConfigError
from alchemist_exp.core.hashing import join_surrogates
from alchemist_exp.core.terminal import sanitize
from alchemist_exp.core.types import FloatArray

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class _CompleteTransformer(Transformer):
    """A checkpoint's network. Loading fails if weights are missing: transformers would draw them at random."""

    def _load_model(
        self,
        model_name_or_path: str,
        transformer_task: Any,
        config: PreTrainedConfig,
        backend: str,
        is_peft_model: bool,
        **model_kwargs: Any,
    ) -> PreTrainedModel:
        model, report = AutoModel.from_pretrained(
            model_name_or_path, config=config, output_loading_info=True, **model_kwargs
        )
        # The pooler is not used here, and many checkpoints do not have one.
        if missing := sorted(name for name in report["missing_keys"] if not name.startswith("pooler.")):
            raise ValueError(f"{len(missing)} weights are missing, for example {missing[0]}")
        return cast(PreTrainedModel, model)


def load_encoder(directory: Path, *, pooling: Literal["cls", "mean"]) -> SentenceTransformer:
    """Load the text encoder in a directory onto the first GPU, or onto the CPU if there is none.

    Only safetensors are read. No pickle is opened, and no code that comes with the checkpoint is run.

    Args:
        directory: Holds config.json, a tokenizer and *.safetensors.
        pooling: "cls" takes the vector of the first token, "mean" the mean over all tokens.

    Returns:
        The encoder. Its `max_seq_length` is the largest number of tokens that it can read.

    Raises:
        ConfigError: The directory holds no complete text encoder.

    """
    offline: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        with _quiet():
            network = _CompleteTransformer(
                str(directory),
                # Checkpoints in half precision are read as float32, the precision of a CPU.
                model_kwargs={**offline, "use_safetensors": True, "dtype": torch.float32},
                processor_kwargs={**offline},
                config_kwargs={**offline},
                # Text only: a text that is the URL of a picture is not downloaded, and no chat template is applied.
                modality_config={"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
                module_output_name="token_embeddings",
            )
        width = getattr(network.config, "hidden_size", None)
        if width is None or getattr(network.config, "is_encoder_decoder", False):
            raise ValueError("it is not a single network over text with a hidden_size and without a decoder")
        if network.tokenizer is None or network.tokenizer.pad_token_id is None:
            raise ValueError("its tokenizer has no padding token")
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise ConfigError(
            f"the model in {directory} cannot be loaded ({sanitize(str(error))}); set feature_extractor.model to "
            "another text encoder, such as google-bert/bert-base-cased."
        ) from error
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    return SentenceTransformer(modules=[network, Pooling(width, pooling)], device=device).eval()


def encode(
    encoder: SentenceTransformer,
    texts: Sequence[str],
    *,
    batch_size: int,
    normalize: bool,
    bfloat16: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> FloatArray:
    """Return one vector per text.

    Args:
        encoder: As returned by `load_encoder`. Texts are cut after `encoder.max_seq_length` tokens.
        texts: Any strings.
        batch_size: Texts per forward pass.
        normalize: Whether each vector is scaled to length 1.
        bfloat16: Whether the network computes in bfloat16 where it can, instead of float32.
        on_progress: Called with the number of finished texts after each batch.

    Returns:
        float32 array of shape (n_texts, hidden_size), in the order of `texts`.

    Raises:
        AlchemistError: The GPU has too little memory for one batch.

    """
    # Tokenizers refuse a lone surrogate. A data file cannot contain one, standard input can.
    texts = [_LONE_SURROGATE.sub("\ufffd", join_surrogates(text)) for text in texts]
    # Texts of similar length share a batch, so that there is little padding. encode() sorts by characters, which is 1.5
    # times slower on short texts with URLs and emoji. The longest come first, so that too little memory fails at once.
    tokens = encoder.tokenizer(texts, truncation=True, return_attention_mask=False)["input_ids"] if texts else []
    order = sorted(range(len(texts)), key=lambda row: len(tokens[row]), reverse=True)
    vectors = np.empty((len(texts), encoder.get_embedding_dimension() or 0), dtype=np.float32)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        try:
            with torch.autocast(encoder.device.type, torch.bfloat16, enabled=bfloat16):
                vectors[rows] = encoder.encode(
                    [texts[row] for row in rows],
                    batch_size=batch_size,
                    normalize_embeddings=normalize,
                    show_progress_bar=False,
                )
        except torch.OutOfMemoryError as error:
            raise AlchemistError(
                f"CUDA out of memory with a batch of {len(rows)} texts; lower feature_extractor.batch_size."
            ) from error
        if on_progress is not None:
            on_progress(len(rows))
    return vectors


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the progress bars and load reports of transformers."""
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
