"""Generate the configuration reference of the documentation site from the YAML files and their comments.

MkDocs calls the functions `on_...`. Nothing is written into the repository.
"""

import html
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import griffe
import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"
HIDDEN = ("hydra", "experiment")
"""Directories of conf/ that are not groups of their own; experiments have a page without tables."""


@dataclass(frozen=True)
class Key:
    """One key of a YAML file.

    Attributes:
        value: The value as YAML.
        comment: The text of the comment block above the key; empty if there is none.

    """

    value: str
    comment: str


class ExampleSections(griffe.Extension):
    """Let the API pages show sections named "Example:" as code, as they do with "Examples:"."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rename the section in the docstring of one object; griffe calls this for each object."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.M)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add a page per group to the navigation entry "Configuration"."""
    pages: list[Any] = ["configuration/index.md"]
    pages += [{group: f"configuration/{group}.md"} for group in groups()]
    pages.append({"+experiment": "configuration/experiment.md"})
    config.nav = [{"Configuration": pages} if "Configuration" in entry else entry for entry in config.nav or []]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to the files of the site."""
    pages = {"index": index_page(), "experiment": experiment_page()}
    pages |= {group: group_page(group) for group in groups()}
    for name, content in pages.items():
        files.append(File.generated(config, f"configuration/{name}.md", content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Link to the generated pages where the files, as they are in a checkout, link to directories of conf/."""
    return re.sub(r"\]\(\.\./conf/(?:(\w+)/)?\)", lambda link: f"](configuration/{link[1] or 'index'}.md)", markdown)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Refuse a page that loads a script, style, font or picture from another host."""
    if found := re.search(r"""<(?:script|img|link|iframe|source)\b[^>]*(?:src|href)=["']?(https?:)?//[^>]*""", output):
        raise PluginError(f"{page.file.src_uri} loads {found[0]!r} from another host; the site must work offline.")
    return output


def groups() -> list[str]:
    """Return the configuration groups in the order of the defaults list, then those without a default."""
    named = [name for name in defaults(CONF / "config.yaml") if (CONF / name).is_dir()]
    others = sorted(path.name for path in CONF.iterdir() if path.is_dir())
    return [*named, *(name for name in others if name not in (*named, *HIDDEN))]


def defaults(path: Path) -> dict[str, str]:
    """Return the entries of a defaults list: the group and its member, or the name of a parent and "".

    Entries with an "@" are left out: they put a member below a key, as `tfidf` below `feature_extractor.parts.words`.
    """
    entries = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("defaults", [])
    found: dict[str, str] = {}
    for entry in entries:
        for name, member in entry.items() if isinstance(entry, dict) else [(entry, "")]:
            if "@" not in str(name):
                found[str(name)] = "off" if member is False else str(member)
    return found


def head_comment(path: Path) -> list[str]:
    """Return the lines of the comment at the head of a YAML file."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if "@package" not in line:
            lines.append(line.lstrip("# ").rstrip())
    return lines


def keys(path: Path) -> dict[str, Key]:
    """Return the keys of a member by dotted name: its own first, then those inherited from members of its group."""
    inherited: dict[str, Key] = {}
    for parent in defaults(path):
        if (other := path.with_name(f"{parent}.yaml")).exists():
            inherited |= keys(other)
    own = {
        name: Key(key.value, key.comment or inherited.get(name, key).comment) for name, key in own_keys(path).items()
    }
    return own | {name: key for name, key in inherited.items() if name not in own}


def own_keys(path: Path) -> dict[str, Key]:
    """Return the keys that a YAML file sets itself, by dotted name."""
    text = path.read_text(encoding="utf-8")
    comments: dict[str, str] = {}
    block: list[str] = []
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        if match := re.match(r"( *)# ?(.*)", line):
            block.append(match[2])
        elif match := re.match(r"( *)([\w-]+):", line):
            above = [(depth, name) for depth, name in above if depth < len(match[1])]
            above.append((len(match[1]), match[2]))
            comments[".".join(name for _, name in above)] = " ".join(block)
            block = []
        else:
            block = []
    loaded = {k: v for k, v in (yaml.safe_load(text) or {}).items() if k not in ("defaults", "hydra")}
    return _flat(loaded, comments, "")


def _flat(values: dict[str, Any], comments: dict[str, str], prefix: str) -> dict[str, Key]:
    """Split a mapping into dotted keys where the keys in it have comments; keep it as one value elsewhere."""
    found: dict[str, Key] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        below = any(comment and other.startswith(f"{name}.") for other, comment in comments.items())
        if isinstance(value, dict) and below:
            found |= _flat(value, comments, f"{name}.")
        else:
            shown = yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("\n...\n").strip()
            found[name] = Key(shown, comments.get(name, ""))
    return found


def table(found: dict[str, Key], prefix: str = "") -> str:
    """Return a Markdown table of keys with their defaults and comments."""
    rows = [
        f"| {_key(prefix + name)} | {_code(key.value)} | {_text(key.comment)} |"
        for name, key in found.items()
        if not (name == "name" and not key.comment)
    ]
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *rows, ""]) if rows else ""


def _key(name: str) -> str:
    """Return a key as code that a narrow screen may break after a dot or an underscore."""
    return "<code>" + re.sub(r"([._])", r"\1<wbr>", name) + "</code>"


def _code(value: str) -> str:
    return "required" if value in ("???", "'???'") else f'<code class="value">{_text(value)}</code>'


def _text(text: str) -> str:
    """Return text for a cell of a Markdown table; code in backticks is kept."""
    parts = re.split(r"(`[^`]+`)", text)
    parts[::2] = [re.sub(r"([*_\[\]|$~])", r"\\\1", html.escape(part, quote=False)) for part in parts[::2]]
    return "".join(parts).replace("\\$", "$").replace("\\~", "~")


def index_page() -> str:
    """Return the page with the groups and the keys that belong to no group."""
    text = (CONF / "config.yaml").read_text(encoding="utf-8")
    rows = []
    chosen = defaults(CONF / "config.yaml")
    for group in groups():
        comment = re.search(rf"  # (.*)\n  - {group}:", text)
        default = f"`{chosen[group]}`" if group in chosen else "none"
        rows.append(f"| [`{group}`]({group}.md) | {default} | {_text(comment[1]) if comment else ''} |")
    return f"""# Configuration reference

This reference is generated from the comments of the YAML files in `conf/`.

A run is described by one member of each group and the values of its keys. On the command line `group=member` selects a
member and `group.key=value` changes a value:

```
alchemist run dataset=sms label_model=dawid_skene label_model.smoothing=0.5
```

`alchemist run --help` lists the groups and members, `alchemist run --cfg job` prints the configuration of a run. A
key that does not exist is an error, not a new key. `--config-dir DIR` adds members of your own; see
[Extending](../extending.md).

## Groups

| group | default | meaning |
|---|---|---|
{chr(10).join(rows)}
| [`+experiment`](experiment.md) | none | A set of overrides or a sweep from a file. |

## Keys outside of the groups

{table(own_keys(CONF / "config.yaml"))}
"""


def group_page(group: str) -> str:
    """Return the page of a group: its members, each with a table of its keys."""
    text = (CONF / "config.yaml").read_text(encoding="utf-8")
    comment = re.search(rf"  # (.*)\n  - {group}:", text)
    default = defaults(CONF / "config.yaml").get(group)
    members = sorted((CONF / group).glob("[!_]*.yaml"), key=lambda path: (path.stem != default, path.stem))
    parts = [f"# {group}\n", f"{_text(comment[1])}\n" if comment else ""]
    if default:
        parts.append(f"The default is `{group}={default}`.\n")
    for path in members:
        parts.append(f"## {path.stem}\n\n`{group}={path.stem}`\n")
        # The tables repeat inherited keys, so the pointer to the member that explains them is not needed.
        parts.append(_text(re.sub(r"\s*\w+=\w+ explains each key\.", "", " ".join(head_comment(path)))) + "\n")
        parts.append(table(keys(path), f"{group}."))
    if group == "llm":
        parts.append(models())
    return "\n".join(parts)


def models() -> str:
    """Return a section with the models whose prices are known."""
    rows = []
    for path in sorted((CONF / "llm" / "models").glob("*/[!_]*.yaml")):
        price = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("price") or {}
        cells = (price.get(k, "") for k in ("input_usd_per_million", "output_usd_per_million", "as_of"))
        rows.append(f"| `{path.parent.name}` | `{path.stem}` | {' | '.join(map(str, cells))} |")
    head = "| `llm` | `llm.model` | input, USD per million tokens | output, USD per million tokens | as of |"
    return "\n".join(["## Models with a known price\n", head, "|---|---|---|---|---|", *rows, ""])


def experiment_page() -> str:
    """Return the page of the experiments: what each one is and the overrides that it stands for."""
    parts = ["# +experiment\n", "An experiment is a file with overrides, often a sweep. Further overrides narrow it.\n"]
    for path in sorted((CONF / "experiment").glob("*.yaml")):
        lines = head_comment(path)
        notes = [line for line in lines if not re.match(r"(Start|Print|Draw): ", line)]
        commands = [line.partition(": ")[2].strip() for line in lines if re.match(r"(Start|Print|Draw): ", line)]
        body = path.read_text(encoding="utf-8").partition("defaults:")
        parts.append(f"## {path.stem}\n\n{_text(' '.join(notes))}\n")
        parts.append("```\n" + "\n".join(commands) + "\n```\n\n```yaml\n" + body[1] + body[2].rstrip() + "\n```\n")
    return "\n".join(parts)
