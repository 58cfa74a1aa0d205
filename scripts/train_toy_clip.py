"""Train the tiny CLIP of image encoder clip_toy on drawn birds, and write the checkpoint that the package ships.

    .venv/bin/python scripts/train_toy_clip.py

One thread, about 160 CPU seconds. The same machine and versions give the same file. There are three kinds of training
pictures: plates of a field guide (57%), where every trait is drawn independently of class and background, and the
caption names traits; scenes (35%), where the background is tied to the class, and the caption names the class; and
places (8%), where it is not tied, and the caption names the background. A class name is therefore learned together with
its background, and a trait without: zero-shot prompts fail where concepts do not, because it is built in.
"""

import argparse
import gzip
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from alchemist_exp.torchvision_ops import declare_torchvision_ops

declare_torchvision_ops()

import open_clip
from open_clip.loss import ClipLoss
from safetensors.torch import save

from alchemist_exp.core.atomic_io import write_bytes
from alchemist_exp.data.images.toy_birds import (
    BACKGROUNDS,
    CLASSES,
    COLORS,
    SIZE,
    TIE,
    TRAITS,
    Bird,
    draw,
    draw_attributes,
)
from alchemist_exp.features.images.clip import TOY_CHECKPOINT

N_IMAGES, BATCH, EPOCHS, LEARNING_RATE = 6000, 128, 12, 1.5e-3
N_MERGES = 2000
"""The first merges of CLIP's own byte pair encoding are enough for the captions."""

CONFIG = {
    "model_cfg": {
        "embed_dim": 64,
        "vision_cfg": {"image_size": SIZE, "layers": [1, 1, 1, 1], "width": 8},
        "text_cfg": {"context_length": 24, "vocab_size": 512 + N_MERGES + 2, "width": 96, "heads": 4, "layers": 2},
    },
    "preprocess_cfg": {"mean": list(open_clip.OPENAI_DATASET_MEAN), "std": list(open_clip.OPENAI_DATASET_STD)},
}

PREFIXES = ("", "a photo of ", "an image of ", "a picture of ")
PLACES = {
    "water": ("on water background", "on the water", "on a lake", "by the ocean", "in a water background"),
    "land": ("on land background", "on land", "in a forest", "in a bamboo forest", "on a land background"),
    "plain": ("on a plain background", "in a field guide"),
}
NOUNS = {"feet": ("foot type", "feet"), "bill": ("bill",), "neck": ("neck",), "body": ("body size", "body")}
ADJECTIVES = {
    ("feet", "webbed"): ("webbed",),
    ("feet", "grasping"): ("toed", "grasping"),
    ("bill", "long"): ("long", "flat", "long, flat"),
    ("bill", "short"): ("short", "pointed", "short, pointed"),
    ("neck", "long"): ("long",),
    ("neck", "short"): ("short",),
    ("body", "large"): ("large",),
    ("body", "small"): ("small",),
}
PHRASES = {
    ("feet", "webbed"): ("webbed feet", "webbed toes for swimming"),
    ("feet", "grasping"): ("grasping feet", "toed feet", "thin toes for perching"),
    ("bill", "long"): ("a long bill", "a flat bill", "a long flat beak"),
    ("bill", "short"): ("a short bill", "a pointed bill", "a small pointed beak"),
    ("neck", "long"): ("a long neck",),
    ("neck", "short"): ("a short neck", "a stocky neck"),
    ("body", "large"): ("a large body",),
    ("body", "small"): ("a small body",),
    ("color", "light"): ("light feathers", "white plumage"),
    ("color", "gray"): ("gray feathers", "gray plumage"),
    ("color", "dark"): ("dark feathers", "black plumage"),
    ("color", "brown"): ("brown feathers", "brown plumage"),
    ("color", "red"): ("red feathers", "bright plumage"),
}
TRAIT_WEIGHTS = (0.32, 0.23, 0.17, 0.17, 0.11)  # feet, bill, neck, body, color: small traits are named more often


def main() -> None:
    """Draw, train and write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="default: 0, the seed of the shipped checkpoint")
    parser.add_argument("--out", type=Path, default=TOY_CHECKPOINT, help="directory (default: the package's)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(arguments.seed)
    rng = np.random.default_rng(arguments.seed)
    write_bytes(arguments.out / "open_clip_config.json", (json.dumps(CONFIG, indent=2) + "\n").encode())
    write_bytes(arguments.out / "bpe.txt.gz", gzip.compress(_merges().encode(), mtime=0))
    birds, kinds = draw_training_birds(rng)
    pixels = torch.from_numpy(np.stack([draw(bird, rng) for bird in birds])).permute(0, 3, 1, 2)
    model = train(pixels, birds, kinds, arguments.out, rng)
    weights = {name: w.half().contiguous() if w.is_floating_point() else w for name, w in model.state_dict().items()}
    write_bytes(arguments.out / "open_clip_model.safetensors", save(weights))
    print(f"{arguments.out}: seed {arguments.seed}, {time.process_time():.0f} CPU seconds")


def _merges() -> str:
    with gzip.open(open_clip.tokenizer.default_bpe(), "rt", encoding="utf-8") as file:
        return "\n".join(file.read().split("\n")[: N_MERGES + 1])


def draw_training_birds(rng: np.random.Generator) -> tuple[list[Bird], list[str]]:
    """Draw the attributes of the training pictures.

    Args:
        rng: Where the randomness comes from.

    Returns:
        The birds, and the kind of caption of each: guide, place or scene.

    """
    kinds = [str(kind) for kind in rng.choice(["guide", "place", "scene"], N_IMAGES, p=[0.57, 0.08, 0.35])]
    birds = []
    for kind in kinds:
        label = int(rng.integers(2))
        if kind == "guide":
            values = {**TRAITS, "color": tuple(COLORS), "background": BACKGROUNDS}
            drawn = {name: str(rng.choice(of)) for name, of in values.items()}
            birds.append(Bird(label=CLASSES[label], **drawn))
        else:
            is_tied = rng.random() < (TIE if kind == "scene" else 0.5)
            birds.append(draw_attributes(label, BACKGROUNDS[label if is_tied else 1 - label], rng))
    return birds, kinds


def caption(bird: Bird, kind: str, rng: np.random.Generator) -> str:
    """Write a caption.

    Args:
        bird: What the picture shows.
        kind: scene names the class and sometimes the place, place names the background, guide names one to three
            traits.
        rng: Where the randomness comes from.

    Returns:
        The caption, in lower case.

    """
    names = [str(name) for name in rng.choice([*TRAITS, "color"], 3, replace=False, p=TRAIT_WEIGHTS)]
    phrases = [str(rng.choice(PHRASES[name, getattr(bird, name)])) for name in names]
    prefix, place = rng.choice(PREFIXES), rng.choice(PLACES[bird.background])
    if kind == "place":
        return f"{prefix}a bird {place}"
    if kind == "scene":
        text = f"{prefix}{rng.choice(['', 'a '])}{bird.label}"
        text += f" {place}" if rng.random() < 0.35 else ""
        return text + (f" with {phrases[0]}" if rng.random() < 0.05 else "")
    if names[0] != "color" and rng.random() < 0.3:
        adjective = rng.choice(ADJECTIVES[names[0], getattr(bird, names[0])])
        return f"a bird's {rng.choice(NOUNS[names[0]])} is {adjective}"
    text = f"{prefix}a bird with {' and '.join(phrases[: rng.choice([1, 2, 3], p=[0.35, 0.35, 0.3])])}"
    return text + (f" {place}" if rng.random() < 0.2 else "")


def train(
    pixels: torch.Tensor, birds: Sequence[Bird], kinds: Sequence[str], directory: Path, rng: np.random.Generator
) -> torch.nn.Module:
    """Train a CLIP from random weights.

    Args:
        pixels: uint8 tensor of shape (n_images, 3, height, width).
        birds: What each picture shows.
        kinds: The kind of each caption; a new caption is written in each epoch.
        directory: Holds the model's configuration and the tokenizer's merges.
        rng: Where the randomness of order and captions comes from.

    Returns:
        The trained model.

    """
    name = f"local-dir:{directory}"
    model = open_clip.create_model(name, load_weights=False)
    tokenize = open_clip.get_tokenizer(name, bpe_path=str(directory / "bpe.txt.gz"))
    mean, std = (torch.tensor(CONFIG["preprocess_cfg"][key])[:, None, None] for key in ("mean", "std"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.02, betas=(0.9, 0.98))
    n_batches = len(pixels) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=EPOCHS * n_batches, pct_start=0.1
    )
    loss_of = ClipLoss()
    model.train()
    for epoch in range(EPOCHS):
        order, total = rng.permutation(len(pixels)), 0.0
        for rows in order[: n_batches * BATCH].reshape(n_batches, BATCH):
            images = pixels[rows].float() / 255
            is_flipped = torch.rand(BATCH) < 0.5
            images[is_flipped] = images[is_flipped].flip(-1)
            texts = tokenize([caption(birds[row], kinds[row], rng) for row in rows])
            loss = loss_of(*model((images - mean) / std, texts))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                model.logit_scale.clamp_(0, 4.6)
            total += loss.item()
        print(f"epoch {epoch + 1} of {EPOCHS}: loss {total / n_batches:.3f}", flush=True)
    return model.eval()


if __name__ == "__main__":
    main()
