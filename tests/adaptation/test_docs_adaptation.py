"""What the pages on adaptation show in Python runs as it stands there, on small files of the names that it reads."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
CONTEXT = 256


@pytest.fixture
def folder(tmp_path: Path, untrained: Callable[..., Path], write_table: Callable[..., Path]) -> Path:
    """The files that the pages name."""
    rows = [(f"a {word} film", number) for word, number in (("lovely", "1"), ("dull", "0"), ("fine", "1"))]
    for name in ("train", "dev", "test"):
        write_table(tmp_path / f"{name}.csv", [(f"{name} {text}", label) for text, label in rows * 4])
    for name in ("topics", "topics-test"):
        write_table(tmp_path / f"{name}.csv", [("a film", "art"), ("a game", "sport;fun"), ("a match", "sport")])
    (tmp_path / "text.txt").write_text("It was a film.\n" * 40)
    documents = [{"id": name, "text": f"conduction of heat in {name}"} for name in ("slabs", "rods", "gas")]
    (tmp_path / "documents.jsonl").write_text("".join(json.dumps(one) + "\n" for one in documents))
    for name in ("model", "trained", "other"):
        (tmp_path / name).symlink_to(untrained("decoder", context=CONTEXT, tied=name == "other"))
    return tmp_path


def examples(page: str) -> list[str]:
    found = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    assert found
    return found


@pytest.mark.parametrize(
    "pages", [("finetune.md", "evaluate.md"), ("generation.md",), ("few-labels.md",), ("retrieval.md",)]
)
def test_the_examples_run_one_after_another(
    pages: tuple[str, ...], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    for page in pages:
        for example in examples(page):
            exec(compile(example, page, "exec"), {})
            assert capsys.readouterr().out.strip()
