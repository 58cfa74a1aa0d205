"""Turns whatever stops a run into one sentence.

Full tracebacks appear with debug=trace only. What Hydra says over several lines is said again in one, with the known
names.
"""

import functools
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf.errors import OmegaConfBaseException

from alchemist_exp import config
from alchemist_exp.core.errors import ConfigError, unknown_name
from alchemist_exp.core.exit_codes import clean_exit, print_error, user_error_text

_shown: set[int] = set()


def exits_cleanly(main: Callable[[], None]) -> Callable[[], None]:
    """Wraps the command line: no traceback for a user's mistake, and the right exit code."""

    @functools.wraps(main)
    def wrapped() -> None:
        # Without this Hydra prints its own several lines and exits by itself.
        os.environ["HYDRA_FULL_ERROR"] = "1"
        with clean_exit(_show_once):
            _refuse_lists_of_members(sys.argv[1:])
            main()

    return wrapped


def _show_once(error: Exception) -> None:
    if id(error) not in _shown:
        _show(error, where="")


@contextmanager
def shown(overrides: Sequence[str]) -> Iterator[None]:
    """Shows what stops a job when it does. In a sweep the next job follows, so the job is named."""
    try:
        yield
    except Exception as error:
        sweep = HydraConfig.get().mode is RunMode.MULTIRUN
        _show(error, where=f"{' '.join(overrides)}: " if sweep else "")
        if not sweep:
            sys.exit(1)
        _shown.add(id(error))
        raise


def _show(error: Exception, where: str) -> None:
    if _traced():
        traceback.print_exception(error)
    else:
        print_error(where + sentence(error))


def _traced() -> bool:
    return "debug=trace" in sys.argv


def sentence(error: Exception) -> str:
    """One sentence that says what is wrong and what would do."""
    # Some of Hydra's errors are OSErrors too, so they come first.
    if isinstance(error, HydraException | OmegaConfBaseException):
        return str(_config_error(error))
    if text := user_error_text(error):
        return text
    if "Unexpected type for root: NoneType" in str(error):
        return "a part was given of a value that is null; give all of it, as in 'llm.price={...}' (see conf/llm)."
    if str(error).startswith("Config group override must be a string"):
        return (
            "a group was given true, false, a number or null; name a member, as in seed=s0 or repair=on (see --help)."
        )
    kind = type(error).__name__
    return f"unexpected {kind}: {_one_line(str(error))} (debug=trace shows where; this is a fault of the program)"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _config_error(error: Exception) -> ConfigError:
    """The sentence for what Hydra or OmegaConf refuses."""
    if isinstance(error, HydraException) and ("override_grammar" in str(error) or hasattr(error, "override")):
        override = getattr(error, "override", None) or "an override"
        return ConfigError(
            f"{override!r} cannot be read; overrides are key=value, and a value with commas, quotes, braces or colons "
            "needs quotes of its own inside those of the shell: 'key=\"...\"'."
        )
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else None
    text = f"{error}\n{cause or ''}"
    for pattern, explain in _EXPLANATIONS:
        if match := re.search(pattern, text, re.DOTALL):
            return ConfigError(explain(match))
    return ConfigError(_one_line(str(error)))


def _refuse_lists_of_members(arguments: Sequence[str]) -> None:
    """Hydra would merge the members of group=[a,b] and run the last of them under the first one's leftovers."""
    for argument in arguments:
        group, _, members = argument.lstrip("+").partition("=")
        if members.startswith("[") and group in config.groups():
            together = " For programs of several in one run: supplement=mixed supplement.strategies=[a,b]."
            raise ConfigError(
                f"{argument!r} asks for several members at once; to sweep over them say -m {group}=a,b."
                f"{together if group == 'supplement' else ''}"
            )


def _no_member(match: re.Match[str]) -> str:
    group, name = match["group"], match["name"]
    if group.startswith("hydra/"):
        return f"{group} has no member {name!r} here; a launcher or sweeper of that name must be installed first."
    if group in config.groups():
        return unknown_name(group, name, config.members(group))
    return unknown_name("the group", group, config.groups())


def _no_key(match: re.Match[str]) -> str:
    if match["schema"] == "Experiment":
        return _no_root_key(match)
    if renamed := RENAMED_KEYS.get(match["key"]):
        return f"{match['key']} is now called {renamed}; write {renamed}=..."
    prefix = match["key"].rpartition(".")[0]
    known = [f"{prefix}.{k}" for k in config.known_keys(match["schema"])]
    return unknown_name("the key", match["key"], known)


def _no_root_key(match: re.Match[str]) -> str:
    if match["key"] == "experiment":
        return "an experiment is added, not chosen: write +experiment=... (see --help)."
    return unknown_name("the key", match["key"], config.known_keys("Experiment"))


def _no_schema(match: re.Match[str]) -> str:
    group = match["file"].partition("/")[0]
    if renamed := RENAMED_KEYS.get(f"{group}.{match['key']}"):
        return (
            f"the file {match['file']}.yaml has the key {match['key']!r}, which is now called "
            f"{renamed.partition('.')[2]!r}; rename it there."
        )
    return (
        f"the file {match['file']}.yaml has the key {match['key']!r}, which is unknown there; a member's file begins "
        "with its schema, as in defaults: [_files, _columns, _self_] (see a member of the same group in conf/)."
    )


RENAMED_KEYS = {
    "llm.pack": "llm.recording",
    "llm.counted_by": "llm.tokenizer",
    "llm.card": "llm.spec",
    "dataset.task": "dataset.prompt",
    "dataset.zero_shot": "dataset.zero_shot_prompt",
    "supplement.draw": "supplement.sampling",
    "supplement.top": "supplement.top_k",
    "vetting.probes": "vetting.n_probe_rows",
    "vetting.read_source": "vetting.check_source",
    "vetting.reject_copies": "vetting.reject_duplicates",
    "vetting.max_faults": "vetting.max_failure_rate",
    "repair.max_replies": "repair.max_responses",
    "method.advice": "method.performance_hint",
    "feature_extractor.dimensions": "feature_extractor.n_components",
    "feature_extractor.longest_phrase": "feature_extractor.max_ngram",
    "feature_extractor.max_terms": "feature_extractor.max_features",
}
"""Configuration keys of version 0.1.0 and their names today; an old key is refused with its new name."""

_KINDS = {"Integer": "a whole number", "Float": "a number"}

_EXPLANATIONS: list[tuple[str, Callable[[re.Match[str]], str]]] = [
    (r"In '(?P<file>[^']+)': \w+ raised while composing config:\s*Key '(?P<key>[^']+)' not in '", _no_schema),
    (r"Could not find '(?P<group>[^'\n]+)/(?P<name>[^'/\n]+)'", _no_member),
    (r"Could not override '(?P<key>[^'\n]+)'.*Key '[^']+' not in '(?P<schema>\w+)'", _no_key),
    (r"Could not override '(?P<key>[^'\n]+)'\.? No match in the defaults list", _no_root_key),
    (r"Could not override '(?P<key>[^'\n]+)'", _no_root_key),
    (
        r"Could not append to config\. An item is already at '(?P<key>[^'\n]+)'",
        lambda m: f"{m['key']} is already there; leave out the + to change it.",
    ),
    (
        r"Missing mandatory value: (?P<key>\S+)",
        lambda m: f"{m['key']} must be given; say {m['key']}=... on the command line.",
    ),
    (
        r"Value '(?P<value>[^\n]*)' of type '\w+' could not be converted to (?P<kind>\w+)\n\s*full_key: (?P<key>\S+)",
        lambda m: f"{m['key']} is {m['value']!r}; {_KINDS.get(m['kind'], m['kind'])} is needed.",
    ),
    (
        r"Invalid value assigned: (?P<kind>\w+) is not a ListConfig[^\n]*\n\s*full_key: (?P<key>\S+)",
        lambda m: f"{m['key']} needs a list, as in {m['key']}=[...].",
    ),
    (
        r"(?P<why>(?:Invalid value|Value|Cannot convert|Unsupported)[^\n]*)\n\s*full_key: (?P<key>\S+)",
        lambda m: f"{m['key']}: {_one_line(m['why']).rstrip('.')}.",
    ),
    (
        r"Ambiguous value for argument '(?P<override>.*?)'\n",
        lambda m: (
            f"{m['override']!r} has a comma: to sweep over several values add -m; a text with commas, quotes or colons "
            "needs quotes of its own inside those of the shell: 'key=\"...\"'; a list needs brackets: key=[a,b]."
        ),
    ),
    (
        r"Error merging override (?P<override>[^\n]*)\n?(?P<why>[^\n]*)",
        lambda m: (
            f"{m['override']} will not do{': ' + _one_line(m['why']) if m['why'] else ''}; give a value of its kind."
        ),
    ),
    (
        r"Interpolation key '(?P<key>[^']+)' not found",
        lambda m: f"a value refers to the key {m['key']}, which is not there.",
    ),
]
"""What Hydra and OmegaConf say, and how it is said here; the first that fits counts."""
