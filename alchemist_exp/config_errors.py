"""Turns whatever stops a run into one sentence.

Hydra explains an error in several lines and in its internal terms; here it becomes one sentence that names the key, the
value, the valid names and the fix.
"""

import re
from collections.abc import Callable, Sequence

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError

from alchemist_exp import config, config_keys, plugins
from alchemist_exp.core.component import REGISTRY
from alchemist_exp.core.errors import install_command, unknown_name
from alchemist_exp.core.exit_codes import user_error_text
from alchemist_exp.core.overrides import typed
from alchemist_exp.member_files import line_of


def sentence(error: Exception) -> str:
    """Return one sentence that says what is wrong and how to fix it.

    Args:
        error: Any error; one that the user cannot have caused is reported as unexpected.

    """
    kind = type(error).__name__
    return explanation(error) or (
        f"unexpected {kind}: {_one_line(str(error))} (debug=trace shows where; this is an error of the program)"
    )


def explanation(error: Exception) -> str | None:
    """Return one sentence about an error that the user can fix.

    Args:
        error: Any error, as Hydra, OmegaConf, the operating system or this package raises it.

    Returns:
        The sentence, or None when the user cannot have caused the error.

    """
    # Some of Hydra's errors are OSErrors too, so they come first.
    if isinstance(error, HydraException | OmegaConfBaseException):
        if isinstance(error, HydraException) and ("override_grammar" in str(error) or hasattr(error, "override")):
            return _unparsed(str(getattr(error, "override", None) or ""))
        cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else None
        text = f"{error}\n{cause or ''}"
        for pattern, explain in _EXPLANATIONS:
            if match := re.search(pattern, text, re.DOTALL):
                return _where(text) + explain(match)
        return _one_line(str(error))
    if isinstance(error, MarkedYAMLError) and (mark := error.problem_mark):
        return f"{mark.name}, line {mark.line + 1}, is not valid YAML: {error.problem}; fix it."
    if known := user_error_text(error):
        return known
    if "Unexpected type for root: NoneType" in str(error):
        return "a part was given of a value that is null; give all of it, as in 'llm.price={...}' (see conf/llm)."
    if str(error).startswith("Config group override must be a string"):
        return "a group was given a value that is not a name; name a member, as in seed=s0 or repair=on (see --help)."
    return None


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _where(text: str) -> str:
    """Return the user's own file and the line that an error of Hydra is about, if it says so."""
    file = re.search(r"In '(?P<file>[^']+)': \w+ raised while composing config", text)
    key = re.search(r"full_key: (\S+)", text)
    if file is None or key is None or (own := plugins.directory()) is None:
        return ""
    path = own / f"{file['file']}.yaml"
    line = line_of(path, key[1].rpartition(".")[2]) if path.is_file() else None
    return "" if line is None else f"{path}, line {line}: "


def _unparsed(override: str) -> str:
    """Explain an override that Hydra's grammar refuses, with the form in which it can be typed."""
    opening = f"{override!r} cannot be parsed" if override else "an override cannot be parsed"
    key, equals, text = override.partition("=")
    if not equals or not re.fullmatch(r"\+{0,2}[\w./@-]+", key):
        return f"{opening}; overrides are key=value, as in label_model=majority."
    if names := config_keys.keys_of_mapping(key.lstrip("+")):
        return f"{opening}; {_how_to_write_a_mapping(key, names)}"
    what = "a list" if isinstance(value := intended_value(key, text), list) else "a text with such characters"
    return f"{opening}; for the shell and the program, {what} is written {typed(key, value)}"


def _ambiguous(override: str) -> str:
    """Explain an override with several values and no -m."""
    key, _, text = override.partition("=")
    opening = f"{override!r} has a comma: to sweep over several values add -m"
    if key.lstrip("+") in config.groups():
        return f"{opening}."
    what = "a list" if isinstance(value := intended_value(key, text), list) else "one text"
    return f"{opening}; {what} is written {typed(key, value)}"


def _invalid_value(match: re.Match[str]) -> str:
    override, why = match["override"], _one_line(match["why"])
    key = override.partition("=")[0]
    if names := config_keys.keys_of_mapping(key.lstrip("+")):
        return f"{override} is invalid; {_how_to_write_a_mapping(key, names)}"
    return f"{override} is invalid{f': {why}' if why else ''}; give a value of its type."


def _how_to_write_a_mapping(key: str, names: Sequence[str]) -> str:
    return f"{key} is written '{key}={{NAME:VALUE,...}}' in single quotes, with the names {', '.join(names)}."


def intended_value(key: str, text: str) -> str | list[str | int]:
    """Return the text or the list that an override without the right quotes was meant to give.

    Args:
        key: The key of the override.
        text: What is behind the =.

    Returns:
        A list where the key needs one or the text has brackets.

    """
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")) and not config_keys.is_list(key.lstrip("+")):
        return _without_quotes(text)
    text = text.removeprefix("[").removesuffix("]")
    items = (_without_quotes(item) for item in re.findall(r"""\s*(?:"[^"]*"|'[^']*'|[^,]+)""", text))
    return [int(item) if re.fullmatch(r"0|[1-9]\d*", item, re.ASCII) else item for item in items]


def _without_quotes(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _no_member(match: re.Match[str]) -> str:
    group, name = match["group"], match["name"]
    if (group, name) == ("hydra/launcher", "joblib"):
        return f"{group}={name} needs the package hydra-joblib-launcher; install it with: {install_command('joblib')}"
    if group.startswith("hydra/"):
        return f"{group} has no member {name!r} here; a launcher or sweeper of that name must be installed first."
    if group in config.groups():
        text = unknown_name(group, name, config.members(group))
        known_directory = len(config.directories()) > 1 or "did you mean" in text
        return text if known_directory else f"{text} Your own members need --config-dir DIR."
    return unknown_name("the group", group, config.groups())


def _no_key(match: re.Match[str]) -> str:
    if match["schema"] == "Experiment":
        return _no_root_key(match)
    if outdated := config_keys.explain_outdated_key(match["key"]):
        return outdated
    # The part is a name in a mapping (llm.price={a:1}), or the last part of the key itself.
    prefix, _, last = match["key"].rpartition(".")
    prefix = prefix if match["part"] == last else match["key"]
    known = [f"{prefix}.{k}" for k in config_keys.known_keys(match["schema"])]
    if f"{prefix}.".startswith("hydra."):
        return _UNKNOWN_HYDRA_KEY.format(f"{prefix}.{match['part']}")
    of_others = {key for cls in REGISTRY.get(prefix, {}).values() for key in config_keys.known_keys(cls.__name__)}
    nested = [f"{key}.NAME.{match['part']}" for key in known if key.endswith(_COMPONENTS_BY_NAME)]
    if nested and match["part"] in of_others:
        return f"the key '{prefix}.{match['part']}' is unknown; the components in it have such keys: write {nested[0]}."
    return unknown_name("the key", f"{prefix}.{match['part']}", known)


_COMPONENTS_BY_NAME = (".parts", ".models")
"""The ends of keys that hold components of the same group by name: feature_extractor.parts, label_model.models."""


def _no_root_key(match: re.Match[str]) -> str:
    if match["key"] == "experiment":
        return "an experiment is added, not chosen: write +experiment=... (see --help)."
    owners = sorted(
        f"{group}.{match['key']}"
        for group, schemas in REGISTRY.items()
        if any(match["key"] in config_keys.known_keys(schema.__name__) for schema in schemas.values())
    )
    if match["key"] in _SHARED_KEYS or not owners:
        if match["key"].startswith("hydra."):
            return _UNKNOWN_HYDRA_KEY.format(match["key"])
        return unknown_name("the key", match["key"], config_keys.known_keys("Experiment"))
    return f"the key {match['key']!r} is unknown; did you mean {' or '.join(owners[:3])}?"


_UNKNOWN_HYDRA_KEY = "the key {!r} is unknown; the keys of a launcher or sweeper are in conf/hydra."
_SHARED_KEYS = ("name",)
"""Keys of every component, which say nothing about the group."""


def _no_key_in_file(match: re.Match[str]) -> str:
    """Explain a key in a member's file that its schema does not have."""
    file, key, schema = match["file"], match["key"], match["schema"]
    group, _, member = file.partition("/")
    if renamed := config_keys.RENAMED_KEYS.get(f"{group}.{key}"):
        return (
            f"the file {file}.yaml has the key {key!r}, which is now called {renamed.partition('.')[2]!r}; rename it "
            "there."
        )
    if why := config_keys.REMOVED_KEYS.get(f"{group}.{key}"):
        return f"the file {file}.yaml has the key {key!r}, which no longer exists: {why}; remove it there."
    if key == "_target_":
        return (
            f'the file {file}.yaml has _target_, which is not used here; put @component("{group}", "{member}") on the '
            f"class and write defaults: [_{member}, _self_] in the file instead."
        )
    members = ((owner, name, cls) for owner, by_name in REGISTRY.items() for name, cls in by_name.items())
    found = next(((owner, name) for owner, name, cls in members if cls.__name__ == schema), None)
    if group == "experiment" and found is not None:
        owner, name = found
        return (
            f"the experiment {member} sets {owner}.{key}, and {owner}={name} has no key {key}; choose another "
            f"{owner}, or leave out the experiment."
        )
    if schema not in (cls.__name__ for cls in REGISTRY.get(group, {}).values()):
        return f"the file {file}.yaml names no schema; {config_keys.how_to_name_a_schema(group)}."
    return f"{file}.yaml: {unknown_name('the key', key, config_keys.known_keys(schema))}"


def _no_schema(match: re.Match[str]) -> str:
    """Explain a schema in a defaults list that no class is registered as."""
    file, schema = match["file"], match["schema"]
    group, _, name = schema.partition("/_")
    return (
        f"the file {file}.yaml names _{name} in its defaults list, but no class is registered as "
        f'@component("{group}", "{name}"); put the class into {group}/{name}.py next to the file, or '
        f"{config_keys.how_to_name_a_schema(group)}."
    )


_KINDS = {"Integer": "a whole number", "Float": "a number"}

_EXPLANATIONS: list[tuple[str, Callable[[re.Match[str]], str]]] = [
    (
        r"In '(?P<file>[^']+)': \w+ raised while composing config:\s*Key '(?P<key>[^']+)' not in '(?P<schema>\w+)'",
        _no_key_in_file,
    ),
    (r"In '(?P<file>[^']+)': Could not load '(?P<schema>[^']+/_[^'/]+)'", _no_schema),
    (r"Could not find '(?P<group>[^'\n]+)/(?P<name>[^'/\n]+)'", _no_member),
    (r"Could not override '(?P<key>[^'\n]+)'.*Key '(?P<part>[^']+)' not in '(?P<schema>\w+)'", _no_key),
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
        lambda m: f"{m['key']} is {m['value']!r}; expected {_KINDS.get(m['kind'], m['kind'])}.",
    ),
    (
        r"Invalid value assigned: (?P<kind>\w+) is not a ListConfig[^\n]*\n\s*full_key: (?P<key>\S+)",
        lambda m: f"{m['key']} needs a list, as in '{m['key']}=[...]'.",
    ),
    (
        r"(?P<why>(?:Invalid value|Value|Cannot convert|Unsupported)[^\n]*)\n\s*full_key: (?P<key>\S+)",
        lambda m: f"{m['key']}: {_one_line(m['why']).rstrip('.')}.",
    ),
    (
        r"Ambiguous value for argument '(?P<override>.*?)'\n",
        lambda m: _ambiguous(m["override"]),
    ),
    (
        r"Error merging override (?P<override>[^\n]*)\n?(?P<why>[^\n]*)",
        _invalid_value,
    ),
    (
        r"Interpolation key '(?P<key>[^']+)' not found",
        lambda m: (
            f"a value refers to the key {m['key']}, which does not exist; a text that contains ${{ has a backslash "
            r"before it: '\${'."
        ),
    ),
    (
        r"In '(?P<file>[^']+)': \w+ raised while composing config:\s*(?P<why>[^\n]*)",
        lambda m: f"the file {m['file']}.yaml cannot be used: {_one_line(m['why']).rstrip('.')}.",
    ),
]
"""Patterns of the messages of Hydra and OmegaConf, and the sentences for them; the first match counts."""
