"""The command `alchemist cache`."""

import asyncio
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from alchemist_exp import config
from alchemist_exp.cli.cache import main
from alchemist_exp.core.hashing import join_surrogates
from alchemist_exp.llm.providers.recorded import RecordedLLM
from alchemist_exp.llm.response_cache import ResponseCache
from alchemist_exp.llm.types import FinishReason, Message, Request, Response, Role, Usage
from tests.support.paths import REPOSITORY

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202eevil\u2066\x00\u2028\ud800 [bold]x[/bold] \r\n\tend"
USAGE = Usage(input_tokens=1_500, output_tokens=20, cached_tokens=1_000, reasoning_tokens=7)


def request(prompt: str = "Label it", system: str = "You label.", **changes: object) -> Request:
    messages = (Message(role=Role.SYSTEM, text=system), Message(role=Role.USER, text=prompt))
    asked = Request(provider="openai", model="gpt", messages=messages, parameters={"temperature": 0.7})
    return replace(asked, **changes)


def reply(text: str = "Yes.", **changes: object) -> Response:
    return replace(Response(text=text, model="gpt-1", finish_reason=FinishReason.COMPLETE, usage=USAGE), **changes)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ResponseCache:
    """An empty cache where `alchemist cache` reads it."""
    monkeypatch.chdir(tmp_path)
    cache = ResponseCache(tmp_path / "outputs" / "cache" / "replies")
    cache.root.mkdir(parents=True)
    return cache


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that succeeds and return what it prints."""

    def run(*arguments: str, code: int = 0) -> str:
        assert main(arguments) == code
        return capsys.readouterr().out

    return run


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that fails and return its error, one sentence."""

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 1
        out, error = capsys.readouterr()
        assert out == ""
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        return error

    return run


def at(cache: ResponseCache, asked: Request, time: str, answered: Response | None = None) -> Path:
    cache.write(asked, answered or reply())
    path = cache.path(asked)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"time": time}))
    return path


def is_harmless(text: str) -> bool:
    return all(unicodedata.category(c)[0] != "C" or c in "\n\t" for c in text) and "\u2028" not in text


def test_ls_has_a_line_for_each_response_newest_last_and_totals(cache: ResponseCache, said) -> None:
    newer = at(cache, request("Second\nmore"), "2026-02-01T10:00:00+00:00", reply(usage=None))
    older = at(cache, request("First", sample=3), "2026-01-01T10:00:00+00:00")
    header, *lines, totals = said("ls").splitlines()
    assert header.split() == ["key", "time", "(UTC)", "model", "sample", "in", "out", "prompt"]
    assert [line.split() for line in lines] == [
        [older.stem[:12], "2026-01-01", "10:00", "gpt-1", "3", "1,500", "20", "First"],
        [newer.stem[:12], "2026-02-01", "10:00", "gpt-1", "0", "-", "-", "Second"],
    ]
    assert totals.startswith("2 responses: 1,500 tokens in, 20 out, not counted in 1 without usage; ")
    assert len({header.index("prompt"), lines[0].index("First"), lines[1].index("Second")}) == 1


def test_ls_chooses_by_model_text_and_number(cache: ResponseCache, said) -> None:
    for i in range(4):
        at(cache, request(f"Prompt {i}"), f"2026-01-0{i + 1}T00:00:00+00:00", reply(f"Answer {i}", model=f"gpt-{i}"))
    assert "Prompt 3" in said("ls", "--model", "gpt-3")
    assert said("ls", "--model", "gpt").count("Prompt") == 4
    assert said("ls", "--model", "g").startswith("0 responses: ")
    assert said("ls", "--grep", "aNSWER 2").count("Prompt") == 1
    last = said("ls", "--last", "1")
    assert last.count("Prompt 3") == last.count("Prompt") == 1
    assert "1 shown of 4 responses: 6,000 tokens in" in last
    assert "4 responses" in said("ls", "--last", "9")


def test_ls_counts_what_it_leaves_out(cache: ResponseCache, capsys: pytest.CaptureFixture[str]) -> None:
    at(cache, request(), "x")
    assert main(["ls"]) == 0
    assert capsys.readouterr().err == "note: 1 file left out; alchemist cache verify says why\n"


def test_show_shows_everything(cache: ResponseCache, said) -> None:
    path = at(cache, request("Line\n\tindented"), "2026-01-01T10:00:00+00:00", reply("a\n\tb", batch=True))
    shown = said("show", path.stem[:5])
    assert re.search(rf"key +{path.stem}\n", shown)
    for part in (
        "2026-01-01 10:00:00 UTC",
        "gpt, served by gpt-1",
        "1,500 tokens in (1,000 from the provider's prompt cache, 0 written to it), 20 out (7 of reasoning), by batch",
        '{"temperature": 0.7}',
        "-- system --\nYou label.\n",
        "-- prompt --\nLine\n\tindented\n",
        "-- response --\na\n\tb\n",
    ):
        assert part in shown


def test_no_control_character_reaches_the_terminal(cache: ResponseCache, said, capsys) -> None:
    hostile = request(HOSTILE, HOSTILE, model=HOSTILE, provider=HOSTILE, parameters={HOSTILE: HOSTILE})
    cache.write(hostile, reply(HOSTILE + "x" * 1_000, model=HOSTILE))
    (cache.root / f"{HOSTILE[:-20]}").with_name("\x1b[31mred\n\udcff").write_text("x")
    shown = said("show", hostile.key)
    assert shown.endswith("[bold]x[/bold] \n\tend" + "x" * 1_000 + "\n")
    assert main(["ls"]) == 0
    everything = [shown, *capsys.readouterr()]
    everything += [said("verify", code=1), said("prune", "--model", HOSTILE, "--dry-run")]
    with pytest.raises(SystemExit):
        main(["show", "\x1b[31m"])
    cache.write(replace(hostile, parameters={}), reply(model=HOSTILE))
    with pytest.raises(SystemExit):
        main(["export", "a.jsonl"])
    everything += capsys.readouterr()
    assert all(map(is_harmless, everything)), everything
    assert sum(map(bool, everything)) == 6


def test_show_refuses_ambiguous_unknown_and_broken(cache: ResponseCache, refused) -> None:
    keys = []
    for i in range(20):
        cache.write(request(sample=i), reply())
        keys.append(request(sample=i).key)
    first = max("0123456789abcdef", key=lambda digit: sum(key.startswith(digit) for key in keys))
    assert f"keys begin with '{first}'" in refused("show", first)
    assert "no cached response has a key that begins with 'xyz'; alchemist cache ls" in refused("show", "xyz")
    cache.path(request()).write_text("{")
    assert "is broken" in refused("show", keys[0])


def test_verify_says_ok_or_what_is_wrong(cache: ResponseCache, said) -> None:
    cache.write(request(), reply())
    assert said("verify").startswith("OK: 1 response in ")
    (cache.root / "notes").write_text("x")
    cache.path(request()).write_text("{")
    lines = said("verify", code=1).splitlines()
    assert len(lines) == 3
    assert "is broken" in lines[0]
    assert lines[1].endswith("notes does not belong in the cache of responses; move it away.")
    assert lines[2] == "2 problems, 0 intact responses; alchemist cache prune --broken deletes 1 of them"


def test_prune_says_what_it_deletes(cache: ResponseCache, said) -> None:
    old = at(cache, request("old"), "2025-12-31T23:59:59+00:00")
    new = at(cache, request("new"), "2026-01-01T00:00:00+00:00")
    size = old.stat().st_size
    trial = said("prune", "--before", "2026-01-01", "--dry-run")
    assert trial.splitlines() == [
        f"{old.relative_to(Path.cwd())}  2025-12-31 23:59  gpt-1",
        f"would delete 1 file, {size} bytes",
    ]
    assert old.exists()
    done = said("prune", "--before", "2026-01-01")
    assert done == trial.replace("would delete", "deleted")
    assert (old.exists(), new.exists()) == (False, True)
    cache.write(request("now"), reply(model="other"))
    assert "would delete 0 files" in said("prune", "--older-than", "1d", "--model", "other", "--dry-run")
    assert "would delete 1 file," in said("prune", "--model", "other", "--dry-run")
    new.write_text("{")
    assert "deleted 1 file, 1 byte" in said("prune", "--broken")
    assert [entry.first_line for entry in cache.entries()] == ["now"]


MISTAKES = {
    (): "the following arguments are required: COMMAND; see alchemist cache --help.",
    ("lss",): "invalid choice: 'lss'",
    (
        "ls",
        "--last",
        "0",
    ): "argument --last: invalid number '0'; expected a whole number, 1 or more; see alchemist cache ls --help.",
    ("ls", "--mod", "x"): "the option '--mod' is unknown; see alchemist cache",
    (
        "ls",
        "--outputs",
        "absent",
    ): "there are no cached responses at absent/cache/replies (replayed ones are not cached)",
    ("prune",): "prune needs --before, --older-than, --model or --broken",
    ("prune", "--dry-run"): "prune needs --before",
    ("prune", "--before", "soon"): "invalid date 'soon'; expected YYYY-MM-DD",
    ("prune", "--older-than", "30"): "invalid age '30'; expected hours, days or weeks as in 12h",
    ("prune", "--older-than", "3d", "--before", "2026-01-01"): "not allowed with argument --older-than",
    ("export",): "required: PACK.jsonl",
    ("export", "pack.json"): "invalid name 'pack.json' of a recording; it has to end in .jsonl.",
    ("export", "pack.jsonl"): "is chosen; alchemist cache ls lists them all.",
    ("export", "file/pack.jsonl"): "could not be written: ",
}


@pytest.mark.parametrize("arguments", MISTAKES)
def test_a_wrong_argument_is_one_sentence(
    cache: ResponseCache, refused, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "file").write_text("x")
    if "file/pack.jsonl" in arguments:
        cache.write(request(), reply())
    assert MISTAKES[arguments] in refused(*arguments)


def test_a_bug_is_a_traceback(cache: ResponseCache, monkeypatch, capsys) -> None:
    monkeypatch.setattr(ResponseCache, "scan", lambda self: 1 / 0)
    with pytest.raises(SystemExit, match="1"):
        main(["verify"])
    assert "ZeroDivisionError" in capsys.readouterr().err


def replayed(pack: Path, asked: Request) -> Response:
    llm = RecordedLLM(name="recorded", model="recorded", price=None, recording=str(pack), tokenizer=None)
    system, user = asked.messages
    return asyncio.run(llm.complete(llm.request(system.text, user.text, sample=asked.sample)))


def test_an_exported_recording_replays_every_response(cache: ResponseCache, said, tmp_path: Path) -> None:
    texts = [HOSTILE, "\ud800", "\\\ud800", "\u2028\u2029\x85\x0b\x0cx", '"\\n', "a\r", "é\x00", "\udfff\ud800", " a\n"]
    answers = [(request(text, text + "s", sample=i), reply(text * 2)) for i, text in enumerate(texts)]
    answers += [(request(sample=i), reply(f"draw {i}", model=f"gpt-{i}")) for i in range(3)]
    for asked, answer in answers:
        cache.write(asked, answer)
    assert f"{len(answers)} responses in new/pack.jsonl" in said("export", "new/pack.jsonl")
    pack = tmp_path / "new" / "pack.jsonl"
    for asked, answer in answers:
        assert replayed(pack, asked) == replace(answer, text=join_surrogates(answer.text), usage=None)
    assert os.listdir(pack.parent) == ["pack.jsonl"]  # noqa: PTH208
    assert {frozenset(json.loads(line)) for line in pack.read_bytes().splitlines()} == {
        frozenset({"system", "prompt", "sample", "model", "response"})
    }


@pytest.mark.parametrize("name", ["pack.jsonl", "my, 'own' \"pack\" {1}=$x.jsonl", "a\\b.jsonl", "größe.jsonl"])
def test_the_command_that_export_prints_replays_the_recording(cache, said, composed, tmp_path: Path, name: str) -> None:
    cache.write(request(), reply())
    pack = tmp_path / name
    command = said("export", str(pack)).splitlines()[-1]
    alchemist, run, *overrides = shlex.split(command)
    assert (alchemist, run) == ("alchemist", "run")
    llm = config.build(composed(*overrides)).llm
    assert isinstance(llm, RecordedLLM)
    assert llm.path == pack
    assert len(llm.responses) == 1


def test_export_chooses_and_overwrites_only_if_told_to(cache: ResponseCache, said, refused, tmp_path: Path) -> None:
    cache.write(request("one"), reply("ONE"))
    cache.write(request("two"), reply("TWO"))
    pack = tmp_path / "pack.jsonl"
    assert said("export", str(pack), "--grep", "TWO").startswith("1 response in ")
    written = pack.read_bytes()
    assert f"{pack} exists already; name another file, or use --overwrite." in refused("export", str(pack))
    assert "the option '--force' is now called '--overwrite'." in refused("export", str(pack), "--force")
    assert pack.read_bytes() == written
    assert said("export", str(pack), "--overwrite").startswith("2 responses in ")
    assert len(pack.read_text().splitlines()) == 2


def test_export_refuses_two_responses_to_one_prompt(cache: ResponseCache, said, refused, tmp_path: Path) -> None:
    cache.write(request(), reply("first"))
    cache.write(request(model="claude"), reply("second", model="claude-2"))
    pack = tmp_path / "pack.jsonl"
    assert "answer the same prompt and sample; choose with --model claude-2 or --model gpt-1." in refused(
        "export", str(pack)
    )
    assert not pack.exists()
    said("export", str(pack), "--model", "claude")
    assert replayed(pack, request()).text == "second"
    cache.write(request(parameters={}), reply("third"))
    assert "both by gpt-1, with other parameters" in refused("export", str(pack), "--overwrite", "--model", "gpt")


def test_export_refuses_what_a_recording_cannot_replay(cache: ResponseCache, refused) -> None:
    cache.write(replace(request(), messages=request().messages[1:]), reply())
    assert "a recording cannot replay it; leave it out" in refused("export", "pack.jsonl")


def alchemist(*arguments: str, **options: object) -> subprocess.Popen[str]:
    # A shell that runs the tests in the background may ignore Ctrl-C.
    ctrl_c = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{ctrl_c}; from alchemist_exp.cli.main import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "cache", *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_the_console_script_has_the_command(cache: ResponseCache) -> None:
    cache.write(request(), reply())
    out, error = alchemist("verify").communicate(timeout=60)
    assert (out[:14], error) == ("OK: 1 response", "")
    job = alchemist("show", "0123")
    assert job.communicate(timeout=60)[1].startswith("error: no cached response")
    assert job.returncode == 1


def test_help_of_every_command() -> None:
    for arguments in ((), ("ls",), ("show",), ("verify",), ("prune",), ("export",)):
        with pytest.raises(SystemExit) as stopped:
            main([*arguments, "--help"])
        assert stopped.value.code == 0


def test_a_reader_that_leaves_is_no_error(cache: ResponseCache) -> None:
    for i in range(40):
        cache.write(request("x" * 300, sample=i), reply("y" * 10_000))
    for command in (["ls"], ["show", request("x" * 300).key]):
        job = alchemist(*command)
        job.stdout.close()
        assert job.stderr.read() == ""
        assert job.wait(timeout=60) == 1


def test_ctrl_c_is_130(cache: ResponseCache) -> None:
    # The pipe is full and is not read, so the command waits and can be interrupted.
    cache.write(request("x"), reply("y" * 500_000))
    job = alchemist("show", request("x").key)
    assert job.stdout.read(1) == "k"
    time.sleep(0.3)
    job.send_signal(signal.SIGINT)
    assert job.stderr.read() == "error: interrupted\n"
    job.stdout.close()
    assert job.wait(timeout=60) == 130


def test_nothing_heavy_is_imported(cache: ResponseCache) -> None:
    cache.write(request(), reply())
    code = (
        "import sys; from alchemist_exp.cli.cache import main; main(['ls'])\n"
        "heavy = {'torch', 'hydra', 'datasets', 'numpy', 'wandb', 'pyarrow', 'sklearn', 'alchemist_exp.config'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.splitlines()[-1] == "HEAVY []", done.stderr
