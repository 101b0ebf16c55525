"""Models by their names on the Hub: a folder goes before a name, the cache is enough, what can't be had is said."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from isoflop.adaptation import Recipe, Result, finetune, read_split
from isoflop.adaptation.hub import model_folder
from isoflop.errors import UserError
from isoflop.models import load_model, to_hugging_face

REVISION = "0" * 40


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the Hub, and no way to the net."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def put(cache: Path, name: str, checkpoint: Path) -> None:
    """Lay `checkpoint` down in the cache as huggingface_hub does."""
    folder = cache / f"models--{name.replace('/', '--')}"
    shutil.copytree(checkpoint, folder / "snapshots" / REVISION)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(REVISION)


def test_a_model_of_the_cache_is_fine_tuned_by_its_name(
    cache: Path, decoder: Path, tables: dict[str, Path], tmp_path: Path
) -> None:
    model, info = load_model(decoder)
    to_hugging_face(model, tmp_path / "stock", tokenizer=info.tokenizer)
    put(cache, "someone/tiny-decoder", tmp_path / "stock")
    assert model_folder(Path("someone/tiny-decoder")).name == REVISION
    split = read_split(tables["train"], test=tables["test"])
    *_, result = finetune(Path("someone/tiny-decoder"), split, out=tmp_path / "out", recipe=Recipe(epochs=1))
    assert isinstance(result, Result)


@pytest.mark.parametrize("name", ["bert-base-uncased", "google-bert/bert-base-uncased"])
def test_a_name_that_is_nowhere_is_one_sentence(name: str, cache: Path) -> None:
    with pytest.raises(UserError, match=rf"no folder {name}: .* can't be reached, and it isn't in its cache\.$"):
        model_folder(Path(name))


def test_what_is_no_name_is_looked_for_on_the_disk_alone(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in ("/nowhere/at/all", "../up", "a/b/c", str(tmp_path / "file")):
        with pytest.raises(UserError, match=r"There is no folder .*: name a trained model of isoflop or a Hugging"):
            model_folder(Path(path))


def test_a_folder_goes_before_a_name(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bert-base-uncased").mkdir()
    assert model_folder(Path("bert-base-uncased")) == Path("bert-base-uncased")
