"""Every mistake in a study is one sentence that names the key or file and the fix, exit code 2, and nothing is lost."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from isoflop.cli import main
from isoflop.executors import hold
from isoflop.runs import read_curve, read_run
from isoflop.study import StudyConfig, read_config
from isoflop.study.config import DEFAULT_FLOPS, BudgetConfig

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], study_environment: dict[str, str]
) -> Command:
    """`isoflop study ARGUMENTS` in this process: exit code, stdout, stderr."""
    for name in ("XDG_CACHE_HOME", "COLUMNS"):
        monkeypatch.setenv(name, study_environment[name])

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["isoflop", "study", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return run


def refused(result: tuple[int, str, str], *words: str) -> None:
    code, _, errors = result
    assert code == 2, errors
    assert len(errors.splitlines()) == 1, errors
    assert errors.startswith("isoflop: ")
    for word in words:
        assert word in errors


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[ladder]\nbatsh = 8", ["study.toml", "unknown key ladder.batsh", "did you mean ladder.batch?"]),
        ("sede = 1", ["study.toml", "unknown key sede", "did you mean seed?"]),
        ("[modle]\nlayers = 2", ["unknown key modle", "did you mean model?"]),
        ("colour = 'red'", ["unknown key colour", "known here", "seed"]),
        ("model = 3", ["model is a section", "[model]"]),
        ("[model]\nlayers = 'three'", ["study.toml", "model.layers", "'three'", "integer"]),
        ("[ladder]\nrates = [0.5, 'fast']", ["ladder.rates.1", "'fast'", "number"]),
        ("[model]\nfeed_forward = 'maxout'", ["model.feed_forward", "'maxout'", "'swiglu'"]),
        ("device = 'tpu'", ["device", "'tpu'", "'cpu'"]),
        ("[tokenizer]\nvocab = 12", ["tokenizer.vocab", "at least 257"]),
        ("[ladder]\nrates = []", ["ladder.rates", "at least one"]),
        ("[ladder]\nsizes = 1", ["ladder.sizes"]),
        ("[train]\nwarmup_share = 1.5", ["train.warmup_share", "below 1"]),
        ("[corpus]\nvalid_percent = 0", ["corpus.valid_percent"]),
        ("[corpus]\npaths = []", ["corpus.paths"]),
        ('[corpus]\npaths = "a.txt"', ["corpus.paths is a list", 'corpus.paths = ["a.txt"]']),
        ("[train]\nclip = nan", ["study.toml", "train.clip", "above 0"]),
        ("[train]\nweight_decay = -1", ["study.toml", "train.weight_decay", "at least 0"]),
        ("seed = -1", ["study.toml", "seed", "at least 0"]),
        ("[budget]\nflops = 1e12\nminutes = 3", ["flops and minutes", "choose one"]),
        ("[budget]\nflops = -1", ["budget.flops", "above 0"]),
        ("[budget]\nflops = nan", ["budget.flops", "above 0"]),
        ("[budget]\nflops = inf", ["budget.flops", "finite"]),
        ("[budget]\nusd = 3", ["budget.usd_per_hour"]),
        ("seed = = 1", ["study.toml", "not valid TOML", "line 1"]),
    ],
)
def test_a_mistake_in_the_file_is_refused_before_anything_is_written(
    tmp_path: Path, command: Command, content: str, words: list[str]
) -> None:
    file = tmp_path / "study.toml"
    file.write_text(content)
    refused(command(file, "--out", tmp_path / "out"), *words)
    assert os.listdir(tmp_path) == ["study.toml"]


def test_a_file_that_is_missing_or_no_text_is_named(tmp_path: Path, command: Command) -> None:
    refused(command(tmp_path / "none.toml", "--out", tmp_path / "out"), "none.toml", "No such file")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    refused(command(tmp_path / "binary.toml", "--out", tmp_path / "out"), "binary.toml", "UTF-8")
    refused(command(tmp_path, "--out", tmp_path / "out"), str(tmp_path), "directory")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--kind", "finetune"], ["--kind is for --init"]),
        (["--init", "new.toml", "study.toml"], ["--init", "study.toml", "one of the two"]),
        (["--init", "new.toml", "--kind", "other"], ["'other'", "pretrain or finetune"]),
        (["study.toml", "--on", "mars"], ["--on mars", "local, slurm, ray"]),
        (["study.toml"], ["no CUDA device", 'device = "cpu"']),
        (["study.toml", "--out", "s3://"], ["s3://", "BUCKET"]),
    ],
)
def test_options_that_cannot_be_meant_start_nothing_and_leave_the_folder(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, options: list[str], words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    Path("study.toml").write_text('device = "cpu"' if "s3://" in options else 'device = "cuda"')
    Path("study").mkdir()
    refused(command(*options), *words)
    assert sorted(os.listdir()) == ["study", "study.toml"]


@pytest.mark.parametrize(
    ("flops", "words"),
    [(1e3, ["1e+03 FLOPs is too small", "takes", "Raise the budget"]), (1e13, ["training tokens", "add text"])],
)
def test_an_impossible_budget_says_what_is_possible_and_the_folder_stays_free(
    tmp_path: Path, command: Command, write_study: Callable[..., Path], flops: float, words: list[str]
) -> None:
    file = write_study(tmp_path / "study.toml", flops=flops)
    refused(command(file, "--out", tmp_path / "out"), *words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("documents", "words"),
    [
        ({}, ["corpus.paths", "no file, folder or pattern"]),
        ({"a.txt": b"   \n"}, ["holds no text", "corpus.paths"]),
        ({"a.txt": b"a few words only"}, ["text"]),
        ({"a.jsonl": b'{"body": "x"}\n'}, ["a.jsonl, line 1", "corpus.column"]),
    ],
)
def test_an_empty_or_too_small_corpus_is_told(
    tmp_path: Path,
    command: Command,
    write_study: Callable[..., Path],
    documents: dict[str, bytes],
    words: list[str],
) -> None:
    text = tmp_path / "text"
    text.mkdir()
    for name, content in documents.items():
        (text / name).write_bytes(content)
    refused(command(write_study(tmp_path / "study.toml", text=text), "--out", tmp_path / "out"), *words)
    assert not (tmp_path / "out").exists()


def test_undecodable_bytes_are_counted_and_no_error(
    tmp_path: Path, command: Command, write_study: Callable[..., Path], study_text: Path
) -> None:
    text = tmp_path / "text"
    text.mkdir()
    for path in study_text.iterdir():
        (text / path.name).write_bytes(path.read_bytes())
    (text / "broken.txt").write_bytes(b"three bytes \xff\xfe\xfd that are no text")
    code, printed, _ = command(write_study(tmp_path / "study.toml", text=text), "--dry-run")
    assert code == 0
    assert "3 undecodable bytes in 1 documents were replaced, being no UTF-8" in printed


def test_dry_run_prints_ladder_cost_and_time_and_writes_nothing(
    tmp_path: Path, command: Command, write_study: Callable[..., Path], finished_study: Path
) -> None:
    code, printed, errors = command(write_study(tmp_path / "study.toml"), "--dry-run", "--out", tmp_path / "out")
    assert (code, errors) == (0, "")
    assert os.listdir(tmp_path) == ["study.toml"]
    plan = tomllib.loads((finished_study / "plan.toml").read_text())
    for rung in (*plan["rungs"], plan["target"]):
        assert f"{rung['params']:,}" in printed
        for tokens in rung["tokens"]:
            assert f"{tokens:,}" in printed
            assert f"{6 * rung['params'] * tokens:.2e}" in printed
    assert re.search(r"together \d\.\d\de\+09", printed)
    assert re.search(r"About \d+\.\d minutes", printed)


def test_a_folder_with_another_study_is_kept(
    tmp_path: Path, command: Command, write_study: Callable[..., Path], finished_study: Path, study_text: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished_study.rglob("*") if path.name != ".lock"}
    other = write_study(tmp_path / "study.toml", flops=3e9)
    refused(command(other, "--out", finished_study), str(finished_study), "another budget.flops", "another --out")
    refused(command(write_study(other), "--out", finished_study, "--seed", 7), str(finished_study), "another seed")
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_changed_text_is_not_mixed_with_what_was_trained_on_the_old(
    tmp_path: Path, command: Command, write_study: Callable[..., Path], study_text: Path
) -> None:
    out, file = tmp_path / "out", write_study(tmp_path / "study.toml")
    ready = command(file, "--dry-run")
    assert ready[0] == 0
    from isoflop.study import prepare
    from isoflop.study.study import _plan_before, _settle_plan

    out.mkdir()
    _settle_plan(out, prepare(read_config(file), listen=print), None)
    document = study_text / "0.txt"
    text = document.read_text()
    try:
        document.write_text(text + " more")
        refused(command(file, "--out", out), str(out), "other text", "corpus.paths", "another --out")
    finally:
        document.write_text(text)
    assert _plan_before(out) is not None
    assert not (out / "runs").exists()


def test_two_studies_never_share_a_folder(tmp_path: Path, command: Command, write_study: Callable[..., Path]) -> None:
    out = tmp_path / "out"
    with hold(out / ".lock"):
        refused(command(write_study(tmp_path / "study.toml"), "--out", out), "Another process", str(out), "--out")


def test_an_out_that_can_not_be_a_folder_is_named(
    tmp_path: Path, command: Command, write_study: Callable[..., Path]
) -> None:
    (tmp_path / "file").write_text("precious")
    result = command(write_study(tmp_path / "study.toml"), "--out", tmp_path / "file" / "out")
    refused(result, str(tmp_path / "file" / "out"), "can't be written", "--out")
    assert (tmp_path / "file").read_text() == "precious"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 160 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system takes root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounting a small file system takes root")
def test_a_full_disk_is_told_and_what_was_finished_stays_whole(
    small_disk: Path, tmp_path: Path, isoflop: Callable[..., Any], write_study: Callable[..., Path]
) -> None:
    done = isoflop("study", write_study(tmp_path / "study.toml"), "--out", small_disk / "out")
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "No space left to write" in done.stderr
    assert str(small_disk) in done.stderr
    assert not list(small_disk.rglob("*.tmp"))
    for record in small_disk.glob("out/runs/*/run.json"):
        assert read_curve(record.parent)[-1].tokens == read_run(record.parent).tokens


def test_init_writes_exactly_the_defaults(tmp_path: Path, command: Command) -> None:
    file = tmp_path / "new" / "study.toml"
    code, printed, _ = command("--init", file)
    assert code == 0
    assert str(file) in printed
    assert read_config(file) == dataclasses.replace(StudyConfig(), budget=BudgetConfig(flops=DEFAULT_FLOPS))


def test_init_documents_every_key_in_its_section(tmp_path: Path, command: Command) -> None:
    command("--init", tmp_path / "study.toml")
    sections: dict[str, str] = {"": ""}
    name = ""
    for line in (tmp_path / "study.toml").read_text().splitlines():
        if heading := re.match(r"\[(\w+)\]", line):
            name = heading[1]
            sections[name] = ""
        else:
            sections[name] += line + "\n"
    for one in dataclasses.fields(StudyConfig):
        value = getattr(StudyConfig(), one.name)
        keys = [key.name for key in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else [one.name]
        text = sections[one.name if dataclasses.is_dataclass(value) else ""]
        for key in keys:
            assert re.search(rf"^(# )?{key} = \S+", text, re.MULTILINE), f"{one.name}.{key}"


def test_init_never_overwrites(tmp_path: Path, command: Command) -> None:
    (tmp_path / "study.toml").write_text("mine")
    refused(command("--init", tmp_path / "study.toml"), "study.toml", "exists already", "another name")
    assert (tmp_path / "study.toml").read_text() == "mine"
