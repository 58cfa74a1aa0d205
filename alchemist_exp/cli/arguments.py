"""How commands read their arguments: what will not do is one sentence, as everywhere."""

import argparse
import re
from datetime import UTC, datetime, timedelta
from typing import Never

from alchemist_exp.core.errors import ConfigError


class Parser(argparse.ArgumentParser):
    """Raises ConfigError for a mistake, where argparse prints its usage and exits."""

    def error(self, message: str) -> Never:
        """ConfigError with the place of the help."""
        raise ConfigError(f"{message}; see {self.prog} --help.")


def positive(text: str) -> int:
    """The whole number `text`, 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} will not do, 1 or more is needed")
    return int(text)


def date(text: str) -> datetime:
    """The moment `text` names, in UTC; midnight where it names a day alone."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no date; 2026-01-31 is one") from error


def age(text: str) -> datetime:
    """The moment that lies `text`, as 30d, before now."""
    match = re.fullmatch(r"(\d{1,5})([hdw])", text, re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no age; 12h, 30d and 8w are some")
    hours = int(match[1]) * {"h": 1, "d": 24, "w": 24 * 7}[match[2]]
    return datetime.now(UTC) - timedelta(hours=hours)
