"""Keeps log messages of other packages from appearing twice; conf/hydra/job_logging uses it."""

import logging
from typing import ClassVar


class ShownOnce(logging.Filter):
    """Refuses a message that its own package has shown already, or that another package repeats.

    torch, transformers and huggingface_hub have handlers of their own for standard error, and some pass their messages
    on to the root logger as well. Others repeat a message in each job of a sweep.
    """

    _shown: ClassVar[set[tuple[str, str]]] = set()  # of the process: Hydra makes a filter for each job

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a message is to be shown.

        Args:
            record: A message of any logger.

        """
        if record.name.partition(".")[0] == __name__.partition(".")[0]:
            return True
        logger: logging.Logger | None = logging.getLogger(record.name)
        while logger is not None and logger.parent is not None:
            if any(type(handler) is not logging.NullHandler for handler in logger.handlers):
                return False
            logger = logger.parent
        message = (record.name, record.getMessage())
        known = message in self._shown
        self._shown.add(message)
        return not known
