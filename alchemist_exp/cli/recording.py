"""Writes cached responses to a recording, a file that `llm=recorded` replays without an API key and network."""

import shlex
from collections.abc import Iterable
from pathlib import Path

from alchemist_exp.core.atomic_io import write_bytes
from alchemist_exp.core.errors import ConfigError, StoreError
from alchemist_exp.llm.cache_entry import Entry
from alchemist_exp.llm.providers.recorded import RecordedPrompt, RecordedResponse, dump_recording
from alchemist_exp.llm.types import Role


def write_recording(entries: Iterable[Entry], path: Path, *, force: bool) -> int:
    """Write cached responses to a recording.

    Args:
        entries: The responses, in any order.
        path: The file; its name ends in .jsonl.
        force: Whether to replace the file if it exists.

    Returns:
        How many responses were written; for 0 there is no file.

    Raises:
        ConfigError: The file's name does not end in .jsonl.
        StoreError: A response cannot be replayed, two answer the same prompt, or the file cannot be written.

    """
    if path.suffix != ".jsonl":
        raise ConfigError(f"invalid name {str(path)!r} of a recording; it has to end in .jsonl.")
    if path.exists() and not force:
        raise StoreError(f"{path} exists already; name another file, or use --overwrite.")
    chosen: dict[RecordedPrompt, Entry] = {}
    for entry in sorted(entries, key=lambda entry: (entry.time, entry.key)):
        match entry.request.messages:
            case (system, user) if (system.role, user.role) == (Role.SYSTEM, Role.USER):
                prompt = RecordedPrompt(system.text, user.text, entry.sample)
            case _:
                raise StoreError(
                    f"{entry.path} is not the response to a system message and a prompt, so a recording cannot replay "
                    "it; leave it out with --model or --grep."
                )
        if (other := chosen.setdefault(prompt, entry)) is not entry:
            raise StoreError(_conflict(other, entry))
    if not chosen:
        return 0
    raw = dump_recording({prompt: RecordedResponse(entry.text, entry.model) for prompt, entry in chosen.items()})
    try:
        write_bytes(path, raw)
    except StoreError as error:
        if isinstance(error.__cause__, OSError):
            raise StoreError(f"{path} could not be written: {error.__cause__.strerror}; name another file.") from error
        raise
    return len(chosen)


def _conflict(one: Entry, other: Entry) -> str:
    """Return a sentence about two responses to one prompt, with the option that chooses."""
    opening = f"{one.key} and {other.key} answer the same prompt and sample"
    names = sorted({one.model, other.model}) if one.model != other.model else []
    if not names and one.request.model != other.request.model:
        names = sorted({one.request.model, other.request.model})
    if names:
        return f"{opening}; choose with --model {shlex.quote(names[0])} or --model {shlex.quote(names[1])}."
    return (
        f"{opening}, both by {one.model}, with other parameters; alchemist cache show KEY shows them: "
        f"move one away, as {other.path}."
    )
