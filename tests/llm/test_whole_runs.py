"""Whole runs that call a server through the real clients: their calls, costs, caches and messages."""

import json
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from alchemist_exp import config
from alchemist_exp.cli import cache
from alchemist_exp.core.errors import AlchemistError, LLMError
from alchemist_exp.core.hashing import to_jsonable
from alchemist_exp.core.progress import NoProgress, StageProgress
from alchemist_exp.core.types import Split
from alchemist_exp.llm import batch_calls, concurrent_calls
from alchemist_exp.llm.budget import BudgetError, BudgetLedger
from alchemist_exp.llm.types import Usage
from alchemist_exp.pipeline.plan import plan
from alchemist_exp.pipeline.run import RunResult, run
from alchemist_exp.pipeline.stages import make_context
from alchemist_exp.results.record import RunRecord, RunStatus
from tests.support.batch_server import Script, serving
from tests.support.llm_server import ReceivedRequest, ScriptedResponse, Server, Tokens, failing

pytestmark = pytest.mark.usefixtures("shared_stages")

KEY = "sk-planted-0123456789-secret"
PRICE = "llm.price={input_usd_per_million:1000,output_usd_per_million:1000,as_of:today}"
PROGRAM = "```python\ndef label_function(comment):\n    return 1 if {!r} in comment.lower() else 0\n```"
# The check in new interpreters costs as much as all other runs of the programs together; tests of the sandbox cover it.
QUICK = "sandbox.determinism_rows=0"
WORDS = ("http", "check", "subscribe", "channel", "free", ".com", "visit", "please", "my", "out")


class Model:
    """Responds with programs, supplements and labels; after `max_responses`, with 401 and the key."""

    def __init__(self) -> None:
        self.max_responses = 10**9
        self.prompts: list[str] = []
        self.respond: Callable[[ReceivedRequest], ScriptedResponse] = self.__call__

    def __call__(self, asked: ReceivedRequest) -> ScriptedResponse:
        system, prompt = (message["content"] for message in asked.body["messages"])
        self.prompts.append(prompt)
        if len(self.prompts) > self.max_responses:
            return failing(401, f"Incorrect API key provided: {KEY}", code="invalid_api_key")
        tokens = Tokens(total=90, output=10, cached=40, reasoning=2)
        if system.startswith("You are an annotator"):
            return ScriptedResponse(text=json.dumps({"class": "spam" if "http" in prompt else "ham"}), tokens=tokens)
        if system.startswith("You help"):
            return ScriptedResponse(text="Spam sells.", tokens=tokens)
        return ScriptedResponse(text=PROGRAM.format(WORDS[(len(self.prompts) - 1) % len(WORDS)]), tokens=tokens)


@pytest.fixture
def model() -> Model:
    return Model()


Runner = Callable[..., RunResult]


@pytest.fixture
def experiment(composed, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The experiment of some overrides, which calls the model, and its configuration."""
    monkeypatch.setenv("OPENAI_COMPATIBLE_API_KEY", KEY)
    monkeypatch.setattr(concurrent_calls, "_FIRST_BACK_OFF_S", 0.0)
    with Server(lambda asked: model.respond(asked)) as server:

        def build(*overrides: str):
            asked = ("llm=openai_compatible", f"llm.base_url={server.url}/v1", "llm.model=m", "label_model=majority")
            cfg = composed("+experiment=tiny", QUICK, f"paths.outputs={tmp_path / 'outputs'}", *asked, *overrides)
            return config.build(cfg), cfg

        yield build


@pytest.fixture
def ran(experiment) -> Runner:
    def run_with(*overrides: str) -> RunResult:
        built, cfg = experiment(*overrides)
        return run(built, config.to_container(cfg), list(overrides), NoProgress())

    return run_with


def programs_of(result: RunResult) -> list[dict[str, object]]:
    """The programs, without the requests' keys: those name the provider."""
    listed = result.record.programs["list"]
    return [program | {"provenance": program["provenance"] | {"response_key": None}} for program in listed]


def only_record(root: Path) -> RunRecord:
    (folder,) = (path for path in (root / "runs").iterdir() if not path.name.startswith("."))
    record = RunRecord.read(folder)
    assert record is not None
    return record


def test_metered_usage_is_in_the_record_and_another_label_model_makes_no_calls(ran: Runner, model: Model) -> None:
    cost = ran(PRICE).record.cost
    assert (cost["calls"], cost["cached_calls"], len(model.prompts)) == (10, 0, 10)
    assert (cost["input_tokens"], cost["cached_tokens"], cost["output_tokens"]) == (900, 400, 100)
    assert cost["estimated_input_tokens"] > 500
    assert cost["spent_usd"] == cost["list_price_usd"] == pytest.approx(1.0)
    assert cost["break_even"]["programs_usd"] == pytest.approx(1.0)
    again = ran(PRICE, "label_model=weighted_majority").record.cost
    assert (again["calls"], again["cached_calls"], again["spent_usd"]) == (0, 10, 0.0)
    assert again["list_price_usd"] == pytest.approx(1.0)
    assert len(model.prompts) == 10


def test_an_unknown_price_is_unknown_and_not_zero(ran: Runner) -> None:
    cost = ran("method.n_programs=3").record.cost
    assert (cost["spent_usd"], cost["list_price_usd"], cost["break_even"]["programs_usd"]) == (None, None, None)


def test_refresh_calls_the_llm_again_although_the_run_has_finished(ran: Runner, model: Model) -> None:
    ran("method.n_programs=3")
    assert ran("method.n_programs=3").reused
    assert not ran("method.n_programs=3", "llm.cache=refresh").reused
    assert len(model.prompts) == 6


def test_zero_shot_continues_where_it_was_stopped(ran: Runner, model: Model, tmp_path: Path) -> None:
    model.max_responses = 20
    with pytest.raises(LLMError, match="the key in OPENAI_COMPATIBLE_API_KEY was refused"):
        ran("method=zero_shot", "llm.max_in_flight=4")
    assert only_record(tmp_path / "outputs").status is RunStatus.FAILED
    refused = len(model.prompts) - 20
    model.max_responses = 10**9
    record = ran("method=zero_shot").record
    texts = set(model.prompts)
    assert len(model.prompts) == len(texts) + refused
    assert record.programs["row_outcomes"] == {"labeled": 100}
    assert record.label_model["name"] == "zero_shot"
    assert record.label_model["metrics"]["train"]["accuracy"] > 0.5
    assert record.cost["cached_calls"] == 20
    assert record.cost["calls"] == len(texts) - 20


def test_a_run_stops_at_the_budget_and_continues_when_it_is_raised(ran: Runner, model: Model, tmp_path: Path) -> None:
    few = ("method=zero_shot", PRICE, "llm.max_output_tokens=10", "llm.max_in_flight=4")
    with pytest.raises(BudgetError, match=r"the budget of \$3\.00 is used up .*raise budget\.usd and run again"):
        ran(*few, "budget.usd=3")
    paid = len(model.prompts)
    assert 0.1 * paid <= 3.0
    record = only_record(tmp_path / "outputs")
    assert "the budget of $3.00 is used up" in (record.error or "")
    assert ran(*few, "budget.usd=100").record.cost["calls"] == len(set(model.prompts)) - paid
    assert len(model.prompts) == len(set(model.prompts))


def test_a_budget_needs_a_price_before_any_call(ran: Runner, model: Model) -> None:
    with pytest.raises(
        AlchemistError, match=r"budget\.usd is 1, and the price of m is not known; give it with 'llm\.price="
    ):
        ran("budget.usd=1")
    assert model.prompts == []


@pytest.mark.parametrize(
    "overrides",
    [
        (), ("supplement=rules",), ("llm.diversity=prompt", "method.n_programs=4"), ("method=zero_shot",),
        ("method=human",),
    ],
)  # fmt: skip
def test_a_plan_makes_no_calls_and_counts_those_of_the_run(
    experiment, ran: Runner, model: Model, overrides: tuple[str, ...]
) -> None:
    built, _ = experiment(PRICE, *overrides)
    planned = plan(built, built.dataset.load())
    assert model.prompts == []
    record = ran(PRICE, *overrides).record
    assert planned.calls == len(model.prompts) == record.cost["calls"]
    afterwards = plan(built, built.dataset.load())
    assert (afterwards.calls, afterwards.cached_calls, afterwards.usd) == (0, planned.calls, 0.0)
    assert to_jsonable(afterwards.break_even) == record.cost["break_even"]
    assert planned.usd is not None
    if planned.calls:
        assert planned.usd > 0


def test_a_plan_of_a_sweep_does_not_count_the_calls_of_earlier_jobs(experiment) -> None:
    one, _ = experiment(PRICE)
    other, _ = experiment(PRICE, "method.n_programs=12", "label_model=snorkel")
    data = one.dataset.load()
    first = plan(one, data)
    second = plan(other, data, first.asked)
    assert (first.calls, second.calls, second.cached_calls) == (10, 2, 10)


def test_an_api_key_is_written_nowhere(
    ran: Runner, model: Model, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ran("logger=wandb", "logger.mode=offline", "method.n_programs=3")
    model.max_responses = 0
    with pytest.raises(LLMError) as refused:
        ran("logger=wandb", "logger.mode=offline", "method.n_programs=4", "debug=trace")
    written = [path for path in (tmp_path / "outputs").rglob("*") if path.is_file()]
    assert any("wandb" in path.parts for path in written)
    said = capfd.readouterr()
    assert not [path for path in written if KEY.encode() in path.read_bytes()]
    assert KEY not in said.out + said.err + caplog.text + str(refused.value)


def test_an_exported_recording_replays_the_same_labels(
    ran: Runner, composed, model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ran("supplement=rules")
    pack, root = tmp_path / "mine.jsonl", tmp_path / "outputs"
    assert cache.main(["export", str(pack), "--outputs", str(root)]) == 0
    assert f"llm.recording={pack}" in capsys.readouterr().out
    common = ("+experiment=tiny", QUICK, f"paths.outputs={root}", "label_model=majority", "supplement=rules")
    cfg = composed(*common, "llm=recorded", f"llm.recording={pack}")
    replayed = run(config.build(cfg), config.to_container(cfg), [], NoProgress())
    assert len(model.prompts) == 11
    assert programs_of(replayed) == programs_of(asked)
    assert replayed.record.label_model["labels"] == asked.record.label_model["labels"]


def test_zero_shot_through_a_batch_api(composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(batch_calls, "_BATCH_POLL_S", 0.01)
    with serving() as server:
        first = "what is the category of this youtube comment: Huh, anyway check out this you[tube] channel: kobyoshi02"
        server.scripts = [Script(reply='{{"class": "spam"}}', outcomes={first: "wrong"})]
        asked = ("llm=openai", "llm.model=gpt-4.1-mini", f"llm.base_url={server.url}/v1", "llm.batch=true")
        cfg = composed("+experiment=tiny", f"paths.outputs={tmp_path}", "method=zero_shot", "budget.usd=5", *asked)
        record = run(config.build(cfg), config.to_container(cfg), [], NoProgress()).record
    assert record.programs["row_outcomes"] == {"failed": 1, "labeled": 99}
    assert record.cost["incomplete"] == {"failed": 1}
    rows = len(server.seen)
    price = config.build(cfg).llm.price
    usage = Usage(input_tokens=30, output_tokens=3)
    assert record.cost["spent_usd"] == pytest.approx((rows - 1) * price.usd(usage, batch=True))
    ledger = BudgetLedger(tmp_path / "cache" / "budget.jsonl")
    assert ledger.totals().spent == pytest.approx(record.cost["spent_usd"])
    assert (ledger.totals().reserved, ledger.totals().unsettled) == (0.0, 0.0)


def test_a_recording_of_sequential_requests_replays(ran: Runner, composed, model: Model, tmp_path: Path) -> None:
    asked = ran("llm.diversity=prompt", "method.n_programs=4")
    pack, root = tmp_path / "mine.jsonl", tmp_path / "outputs"
    assert cache.main(["export", str(pack), "--outputs", str(root)]) == 0
    common = ("+experiment=tiny", QUICK, f"paths.outputs={root}", "label_model=majority", "method.n_programs=4")
    cfg = composed(*common, "llm=recorded", f"llm.recording={pack}")
    replayed = run(config.build(cfg), config.to_container(cfg), [], NoProgress())
    assert programs_of(replayed) == programs_of(asked)
    assert len(model.prompts) == 4


def test_a_plan_warns_of_what_would_stop_the_run(experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    built, _ = experiment(PRICE, "llm.cache=only", "budget.usd=0.01")
    only, budget = plan(built, built.dataset.load()).warnings
    assert "the run stops at the first response that is not in the cache" in only
    assert "the budget of $0.01, of which $0.0000 is spent, may be too small" in budget
    retired, _ = experiment("llm=openai", "llm.model=gpt-4", "llm.base_url=null")
    (refused,) = plan(retired, retired.dataset.load()).warnings
    assert "gpt-4 was switched off on 2026-10-23" in refused


def test_a_rejected_program_is_repaired_priced_and_kept_in_all_versions(ran: Runner, model: Model) -> None:
    faulty = "```python\nimport nltk\ndef label_function(comment):\n    return 0\n```"
    honest = Model.__call__

    def answer(asked: ReceivedRequest) -> ScriptedResponse:
        prompt = asked.body["messages"][1]["content"]
        reply = honest(model, asked)
        spoilt = len(model.prompts) == 1 or ("It cannot be used: module 'nltk'" in prompt and "# again" not in prompt)
        text = faulty.replace("import", "# again\nimport" if len(model.prompts) > 1 else "import")
        return ScriptedResponse(text=text, tokens=reply.tokens) if spoilt else reply

    model.respond = answer
    done = ran(PRICE, "method.n_programs=3", "repair.attempts=2", "llm.max_in_flight=1")
    programs = done.record.programs
    assert (programs["requested"], programs["candidates"], programs["accepted"]) == (3, 5, 3)
    assert programs["rejected_by_stage"] == {"import": 2}
    assert [r["origin"] for r in programs["rejected"]] == ["general 0", "general 0.1"]
    mended = next(p["provenance"] for p in programs["list"] if p["origin"] == "general 0.2")
    assert (mended["sample"], mended["version"], mended["list_price_usd"]) == (0, 2, pytest.approx(0.1))
    assert done.record.cost["list_price_usd"] == pytest.approx(0.5)
    files = sorted(path.name for path in (done.directory / "programs").rglob("*.py"))
    assert files == ["general_00.1.py", "general_00.2.py", "general_00.py", "general_01.py", "general_02.py"]
    rejected = (done.directory / "programs" / "rejected" / "general_00.1.py").read_text()
    assert "#: version: 1 (a repair)" in rejected
    assert "#: rejected: import: module 'nltk' is not allowed" in rejected
    asked = len(model.prompts)
    ran(PRICE, "method.n_programs=3", "repair.attempts=2", "label_model=weighted_majority")
    assert len(model.prompts) == asked


def test_programs_of_several_strategies_are_generated_and_selected(ran: Runner, model: Model) -> None:
    options = ["supplement=mixed", "supplement.strategies=[general,rules]", "method.n_programs=3"]
    done = ran(*options, "selection=random", "selection.n=2").record
    assert [(s["strategy"], s["text_origin"]) for s in done.programs["supplements"]] == [
        ("general", "none"),
        ("rules", "llm"),
    ]
    assert (done.programs["accepted"], done.programs["selected"], len(done.programs["not_selected"])) == (6, 4, 2)
    assert len(model.prompts) == 7
    assert sum(prompt.startswith("Spam sells.\n\nWrite a bug-free") for prompt in model.prompts) == 3


def test_a_supplement_of_the_user_is_put_into_the_prompt_without_a_call(ran: Runner, model: Model) -> None:
    done = ran("supplement=keywords", "supplement.text=subscribe means spam", "method.n_programs=1").record
    (prompt,) = model.prompts
    assert prompt.startswith("subscribe means spam\n\nWrite a bug-free")
    assert done.programs["supplements"][0]["text_origin"] == "user"


@pytest.mark.parametrize("draw", ["random", "diverse", "uncertain"])
def test_labeled_rows_in_prompts_are_recorded_as_gold(ran: Runner, model: Model, draw: str) -> None:
    options = [
        "supplement=exemplars",
        "supplement.source=data",
        f"supplement.sampling={draw}",
        "supplement.per_class=2",
    ]
    done = ran(*options, "method.n_programs=2", "supplement.first_programs=4").record
    shown = [line for line in model.prompts[-1].splitlines() if line.startswith("- ")]
    assert [line.rpartition(" is ")[2] for line in shown] == ["ham", "ham", "spam", "spam"]
    assert "valid: exemplars, 4 rows shown to the LLM (100 rows)" in done.data["gold_used"]
    assert any("scores on valid are not a fair estimate" in note for note in done.notes)
    assert len(done.programs["supplements"][0]["sources"]) == 4
    assert len(model.prompts) == (6 if draw == "uncertain" else 2)


@pytest.mark.parametrize("summarize", [False, True])
def test_passages_of_documents_are_put_into_the_prompt(
    ran: Runner, model: Model, tmp_path: Path, summarize: bool
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "guide.md").write_text("# Spam\n\nA spam comment asks the viewer to subscribe.\n")
    (docs / "cooking.txt").write_text("Stir the soup slowly.\n")
    options = ["supplement=rag", f"supplement.documents={docs}", f"supplement.summarize={str(summarize).lower()}"]
    done = ran(*options, "method.n_programs=1").record
    first = model.prompts[0]
    assert first.startswith("From the documents about this task:\n\n[guide.md")
    assert "asks the viewer to subscribe." in first
    assert "soup" not in first
    (supplied,) = done.programs["supplements"]
    assert supplied["sources"][0].startswith("guide.md")
    if summarize:
        assert first.endswith("Sum up what these passages say that helps to decide the class.")
        assert model.prompts[1].startswith("Spam sells.\n\nWrite a bug-free")
    else:
        assert len(model.prompts) == 1
    (docs / "guide.md").write_text("# Spam\n\nA spam comment begs for likes.\n")
    assert not ran(*options, "method.n_programs=1").reused


def test_a_plan_bounds_the_cost_of_repairs(experiment) -> None:
    built, _ = experiment(PRICE)
    plain = plan(built, built.dataset.load())
    built, _ = experiment(PRICE, "repair=on")
    repairing = plan(built, built.dataset.load())
    assert repairing.usd == plain.usd
    assert (plain.max_calls, repairing.calls, repairing.max_calls) == (10, 10, 40)
    assert repairing.max_usd > 4 * plain.max_usd


def test_repairs_of_cached_responses_may_cost_something(experiment, ran: Runner, model: Model) -> None:
    ran(PRICE)
    built, _ = experiment(PRICE, "repair=on")
    planned = plan(built, built.dataset.load())
    assert (planned.calls, planned.usd, planned.max_calls) == (0, 0.0, 30)
    assert planned.max_usd > 0


def test_calls_of_two_dialogues_are_counted_as_they_are_paid(ran: Runner, model: Model) -> None:
    exemplars = ["supplement.of.exemplars.source=data", "supplement.of.exemplars.sampling=uncertain"]
    options = ["supplement=mixed", "supplement.strategies=[general,exemplars]", *exemplars, "llm.max_in_flight=1"]
    cost = ran(PRICE, *options).record.cost
    assert (cost["calls"], cost["cached_calls"], len(model.prompts)) == (20, 0, 20)
    assert cost["spent_usd"] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["label_model=snorkel", "method.n_programs=2"],
            "label_model=snorkel needs 3 programs and at most 2 can vote; raise method.n_programs, or use",
        ),
        (
            ["label_model=flyingsquid", "selection=marginal", "selection.n=1"],
            "needs 3 programs and at most 1 can vote; raise selection.n, or use",
        ),
        (
            ["label_model=snorkel", "method.n_programs=2", "selection=marginal", "selection.n=1"],
            "at most 1 can vote; raise method.n_programs and raise selection.n, or use",
        ),
        (["repair.max_responses=5"], "repair.max_responses is 5, less than method.n_programs, 10"),
        (["vetting=strict", "sandbox.determinism_rows=0"], "so no program would be tried"),
    ],
)
def test_errors_are_found_before_anything_is_paid(
    ran: Runner, model: Model, overrides: list[str], message: str
) -> None:
    with pytest.raises(AlchemistError, match=message):
        ran(*overrides)
    assert model.prompts == []


def test_a_label_model_that_uses_gold_is_refused_before_anything_is_paid(
    ran: Runner, experiment, model: Model, tmp_path: Path
) -> None:
    (tmp_path / "train.csv").write_text("text\nbuy now\nnice song\n")
    own = [
        "dataset=files",
        f"dataset.path={tmp_path / 'train.csv'}",
        "dataset.classes=[ham,spam]",
        "dataset.prompt=Label.",
    ]
    with pytest.raises(AlchemistError, match="learns from labels of valid and files has none"):
        ran(*own, "label_model=accuracy_weighted")
    built, _ = experiment(*own, "label_model=accuracy_weighted")
    (warning,) = plan(built, built.dataset.load()).warnings
    assert "the run would be refused" in warning
    assert model.prompts == []


def test_notes_name_missing_programs_and_settings_without_effect(ran: Runner, model: Model) -> None:
    replies = iter([PROGRAM.format("http"), *["no"] * 99])
    model.respond = lambda asked: ScriptedResponse(text=next(replies))
    notes = ran(
        "repair.attempts=1", "selection=diverse", "selection.n=5", "method.n_programs=4", "llm.max_in_flight=1"
    ).record.notes
    assert any("of the 4 programs asked for were accepted in" in note for note in notes)
    assert any("selection=diverse was to choose 5 programs" in note for note in notes)
    notes = ran("method=human", "vetting=strict", "selection=marginal").record.notes
    assert [note for note in notes if "has no effect" in note] == [
        "vetting=strict has no effect with method=human.",
        "selection=marginal has no effect with method=human.",
    ]


def test_a_filtered_row_is_named_and_asked_for_again_only_on_demand(experiment, ran: Runner, model: Model) -> None:
    filtered, answer = set[str](), model.__call__

    def respond(asked: ReceivedRequest) -> ScriptedResponse:
        response = answer(asked)
        if "Huh, anyway" in model.prompts[-1] and not filtered:
            return failing(
                400, "The response was filtered due to the content management policy.", code="content_filter"
            )
        return response

    model.respond = respond
    record = ran("method=zero_shot", PRICE).record
    n_calls = len(model.prompts)
    assert record.programs["row_outcomes"] == {"refused": 1, "labeled": 99}
    (note,) = [note for note in record.notes if "got no response" in note]
    assert re.match(r"1 of 100 rows of .* got no response: row \d+ \(refused: a filter of the server at .*policy", note)
    assert note.endswith("With llm.retry_failed=true the same run asks for these rows again.")
    assert ran("method=zero_shot", PRICE).reused
    filtered.add("no longer")
    again = ran("method=zero_shot", PRICE, "llm.retry_failed=true")
    assert not again.reused
    assert len(model.prompts) == n_calls + 1
    assert again.record.programs["row_outcomes"] == {"labeled": 100}
    assert ran("method=zero_shot", PRICE, "llm.retry_failed=true").reused


def test_responses_without_any_label_get_the_advice_that_fits(ran: Runner, model: Model) -> None:
    model.respond = lambda asked: ScriptedResponse(text="I cannot tell.")
    with pytest.raises(LLMError, match=r"100 unparseable; the first is 'I cannot tell\.'\); check the column of the"):
        ran("method=zero_shot")
    model.respond = lambda asked: ScriptedResponse(text="sp", end="length")
    with pytest.raises(
        LLMError,
        match=r"100 truncated\); 100 of 100 rows of .* got no response: rows .* and 90 more \(truncated\); raise",
    ):
        ran("method=zero_shot", "llm.temperature=0")


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_good_rows_of_a_batch_without_credit_are_kept(
    composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setattr(batch_calls, "_BATCH_POLL_S", 0.01)
    with serving() as server:
        url = server.url + ("/v1" if provider == "openai" else "")
        model = {"openai": "gpt-4.1-mini", "anthropic": "claude-haiku-5-5"}[provider]
        asked = (f"llm={provider}", f"llm.model={model}", f"llm.base_url={url}", "llm.batch=true", "budget.usd=5")
        cfg = composed("+experiment=tiny", f"paths.outputs={tmp_path}", "method=zero_shot", *asked)

        def run_once() -> RunResult:
            return run(config.build(cfg), config.to_container(cfg), [], NoProgress())

        built = config.build(cfg)
        context, _ = make_context(built, built.dataset.load().rows_with_text, StageProgress(NoProgress()))
        prompts = [r.messages[-1].text for r in built.method.requests(context, context.data.texts(Split.TRAIN))]
        without_credit = set(prompts[::2])
        outcomes = dict.fromkeys(without_credit, "credit") | {prompts[1]: "filtered"}
        server.scripts = [Script(reply='{{"class": "spam"}}', outcomes=outcomes), Script(reply='{{"class": "spam"}}')]
        with pytest.raises(LLMError, match=r"no credit left for .* responses of batch batch_0 are kept; the same run"):
            run_once()
        n_first = len(server.seen)
        record = run_once().record
    # The filtered row is asked for again too: nothing of it is cached.
    assert set(server.seen[n_first:]) < set(server.seen[:n_first])
    assert len(server.seen) - n_first == len(without_credit) + 1
    assert record.programs["row_outcomes"] == {"labeled": 100}


def test_a_filtered_row_of_a_batch_is_refused(composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setattr(batch_calls, "_BATCH_POLL_S", 0.01)
    first = "what is the category of this youtube comment: Huh, anyway check out this you[tube] channel: kobyoshi02"
    with serving() as server:
        server.scripts = [Script(reply='{{"class": "spam"}}', outcomes={first: "filtered"})]
        asked = ("llm=anthropic", f"llm.base_url={server.url}", "llm.batch=true")
        cfg = composed("+experiment=tiny", f"paths.outputs={tmp_path}", "method=zero_shot", *asked)
        record = run(config.build(cfg), config.to_container(cfg), [], NoProgress()).record
    assert record.programs["row_outcomes"] == {"refused": 1, "labeled": 99}
    (note,) = [note for note in record.notes if "got no response" in note]
    assert re.match(r"1 of 100 rows of .* got no response: row \d+ \(refused: a filter of .*filtering policy", note)


def test_a_plan_names_rows_that_are_longer_than_the_context(experiment) -> None:
    spec = "llm.spec=${model_spec:openai,gpt-4.1-mini}"
    built, _ = experiment("method=zero_shot", spec)
    assert not [warning for warning in plan(built, built.dataset.load()).warnings if "longer than" in warning]
    built.llm.spec = replace(built.llm.spec, context_tokens=580)
    (warning,) = [warning for warning in plan(built, built.dataset.load()).warnings if "longer than" in warning]
    assert re.match(r"\d+ rows of train are longer than the context of m \(row \d+", warning)
