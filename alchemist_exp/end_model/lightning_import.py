"""Shortens the import of pytorch_lightning, which imports all metrics of torchmetrics."""

from collections.abc import Iterator
from contextlib import contextmanager

from lightning_utilities.core.imports import RequirementCache

_NOT_NEEDED = ("matplotlib", "torchvision", "transformers")


@contextmanager
def without_optional_packages() -> Iterator[None]:
    """Import torchmetrics as if the packages that only some of its metrics need were not installed.

    They take 1.6 s of the 5.4 s that the first import of pytorch_lightning takes, and no metric of torchmetrics is
    used here. If torchmetrics has been imported before, nothing changes.
    """
    is_available = RequirementCache.__bool__

    def is_needed(requirement: RequirementCache) -> bool:
        """Return whether a package is installed and also used here."""
        return not (requirement.requirement or "").startswith(_NOT_NEEDED) and is_available(requirement)

    RequirementCache.__bool__ = is_needed  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        RequirementCache.__bool__ = is_available  # type: ignore[method-assign]
