"""Retrieval as a task: its loss by hand, what counts as wrong and what must not, and a whole training from a table."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from isoflop.adaptation import Files, Machine, Recipe, Result, finetune, load_adapted, method_named, task_named
from isoflop.adaptation.joint import joint_in
from isoflop.adaptation.pretrained import Tokenized, read_pretrained
from isoflop.adaptation.retrieval import read_embedder
from isoflop.adaptation.retrieval.bi_encoder import BiEncoder, PairBatches, Pairs
from isoflop.adaptation.retrieval.embedder import token_vectors
from isoflop.errors import UserError
from isoflop.models import Encoder
from isoflop.runs import read_curve, read_run
from isoflop.shapes import ModelShape

SHAPE = ModelShape(1, 16, 2, vocab=50, context=16, ffn=32, stack="encoder")
QUERIES = Tokenized(((1, 2, 3), (4, 5), (6,)), 0)
DOCUMENTS = Tokenized(((7, 8, 9, 10), (11,), (12, 13), (14, 15, 16)), 0)
KINDS, ANIMALS = ("red", "green", "blue", "white", "black", "grey"), ("cat", "dog", "fish", "bird", "cow", "hen")


def bi_encoder(pairs: Pairs) -> BiEncoder:
    torch.manual_seed(0)
    return BiEncoder(Encoder(SHAPE, logit_scale=8**-0.5), pairs, pooling="mean", temperature=0.1).eval()


def cosines(model: BiEncoder) -> torch.Tensor:
    vectors = (token_vectors(model.body, texts, "mean") for texts in (QUERIES, DOCUMENTS))
    q, d = (torch.from_numpy(one) for one in vectors)
    return q @ d.T / 0.1


def test_the_loss_is_that_of_in_batch_negatives() -> None:
    pairs = Pairs(QUERIES, DOCUMENTS, [(0, 0), (1, 1), (2, 2)], [])
    model = bi_encoder(pairs)
    z = cosines(model)[:, :3]
    found = model.loss(PairBatches(pairs, batch=3, seed=0).at(0))
    assert found.item() == pytest.approx(F.cross_entropy(z, torch.arange(3)).item(), abs=1e-4)


def test_hard_negatives_stand_beside_the_batchs_documents() -> None:
    pairs = Pairs(QUERIES, DOCUMENTS, [(0, 0), (1, 1)], [2, 3])
    model = bi_encoder(pairs)
    found = model.loss(PairBatches(pairs, batch=2, seed=0).at(0))
    assert found.item() == pytest.approx(F.cross_entropy(cosines(model)[:2], torch.arange(2)).item(), abs=1e-4)


def test_what_is_known_to_answer_a_query_is_never_its_negative() -> None:
    """Query 0 is answered by documents 0 and 1, so in its rows only the row's own document is left to choose from."""
    pairs = Pairs(QUERIES, DOCUMENTS, [(0, 0), (1, 1), (0, 1)], [])
    model = bi_encoder(pairs)
    of_query_1 = F.cross_entropy(cosines(model)[1:2, :2], torch.tensor([1])).item()
    found = model.loss(PairBatches(pairs, batch=3, seed=0).at(0)).item()
    assert found == pytest.approx((0 + of_query_1 + 0) / 3, abs=1e-4)
    # Known from a pair that is not in the batch, too.
    apart = Pairs(QUERIES, DOCUMENTS, [(0, 0), (1, 1), (0, 1), (2, 2)], [])
    batch = PairBatches(apart, batch=4, seed=0).at(0)
    chosen = [row for row in range(4) if int(batch.targets[row, 0]) != 1 or int(batch.order[row]) != 0]  # type: ignore[index]
    assert len(chosen) == 3
    z = cosines(model)[:3, :3].masked_fill(
        torch.tensor([[0, 1, 0], [0, 0, 0], [0, 0, 0]], dtype=torch.bool), -torch.inf
    )
    kept = type(batch)._make(None if one is None else one[chosen] for one in batch)
    assert bi_encoder(apart).loss(kept).item() == pytest.approx(F.cross_entropy(z, torch.arange(3)).item(), abs=1e-4)


def test_every_pair_is_seen_once_an_epoch_and_a_step_is_a_function_of_its_number() -> None:
    pairs = Pairs(QUERIES, DOCUMENTS, [(0, 0), (1, 1), (2, 2), (0, 3), (1, 3)], [])
    batches = PairBatches(pairs, batch=2, seed=1)
    seen = [
        (int(q), int(d))
        for step in range(3)
        for q, d in zip(batches.at(step).order, batches.at(step).targets[:, 0], strict=True)
    ]  # type: ignore[arg-type]
    assert sorted(seen) == sorted(pairs.pairs)
    assert torch.equal(batches.at(4).inputs, batches.at(4).inputs)
    assert pairs.tokens == (3 + 4) + (2 + 1) + (1 + 2) + (3 + 3) + (2 + 3)


@pytest.mark.parametrize("negatives", [[], [2, 3, 3, 1]])
def test_a_batch_in_parts_has_the_same_loss_and_gradients_and_needs_less_memory(negatives: list[int]) -> None:
    pairs = Pairs(QUERIES, DOCUMENTS, [(0, 0), (1, 1), (2, 2), (0, 3)], negatives)
    batch = PairBatches(pairs, batch=4, seed=0).at(0)
    told = []
    for parts in (1, 2, 3, 9):
        model, kept, read = bi_encoder(pairs), [0], []
        model.parts = parts
        states = model.body.states
        model.body.states = lambda one, states=states, read=read: read.append(len(one.inputs)) or states(one)

        def keep(tensor: torch.Tensor, kept: list[int] = kept) -> torch.Tensor:
            kept[0] += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = model.loss(batch)
        loss.backward()
        told.append(
            (loss.item(), {name: w.grad for name, w in model.named_parameters() if w.grad is not None}, kept[0])
        )
        assert max(read) == math.ceil((4 + len(negatives)) / parts)
        assert sum(read) == (8 + len(negatives)) * (1 if parts == 1 else 2)
    for loss, gradients, kept in told[1:]:
        assert loss == pytest.approx(told[0][0], abs=1e-5)
        torch.testing.assert_close(gradients, told[0][1], atol=1e-5, rtol=1e-4)
        assert kept < told[0][2] / 10


def test_accumulate_does_not_change_what_is_learnt(
    untrained: Callable[..., Path], pairs_tables: Files, tmp_path: Path
) -> None:
    """Without dropout, which is drawn for each part, curves are the same: negatives are those of the whole batch."""
    split, curves = task_named("embed").read(pairs_tables), []
    for parts in (1, 3):
        recipe, out = Recipe(epochs=1, batch=40, precision="fp32", accumulate=parts), tmp_path / str(parts)
        for _ in finetune(untrained("encoder"), split, out=out, recipe=recipe):
            pass
        curves.append([point.loss for point in read_curve(out)])
    assert curves[0] == pytest.approx(curves[1], abs=1e-4)
    strings = [text for query, ((answer,), _) in zip(split.train.texts, split.train.labels, strict=True)
               for text in (query, answer)]  # fmt: skip
    tokenizer = read_pretrained(untrained("encoder")).tokenizer
    tokens = sum(len(tokenizer.encode(text, add_special_tokens=False).ids) for text in strings)
    assert read_run(tmp_path / "3").tokens_per_byte == pytest.approx(tokens / sum(map(len, strings)))


def animals(count: int, seed: int) -> list[tuple[str, str]]:
    draw = random.Random(seed)
    made = [(f"{draw.choice(KINDS)} {draw.choice(ANIMALS)}", draw.randint(1, 9)) for _ in range(count)]
    return [(f"where is the {what}", f"the {what} is in room {room}") for what, room in made]


@pytest.fixture
def pairs_tables(tmp_path: Path, write_table: Callable[..., Path]) -> Files:
    header = ("query", "positive")
    parts = {
        name: write_table(tmp_path / f"{name}.csv", animals(n, at), header)
        for at, (name, n) in enumerate((("train", 160), ("dev", 40), ("test", 40)))
    }
    return Files(**parts)


def test_it_trains_saves_loads_and_finds_the_same(encoder: Path, pairs_tables: Files, tmp_path: Path) -> None:
    split = task_named("embed").read(pairs_tables)
    recipe = Recipe(learning_rate=2e-3, epochs=3, batch=16)
    *_, result = finetune(encoder, split, out=tmp_path / "out", recipe=recipe, machine=Machine(1))
    assert isinstance(result, Result)
    scores = result.scores["test"]
    assert scores.main == "nDCG@10"
    assert set(scores.figures) == {"nDCG@10", "recall@10", "recall@100", "MRR"}
    assert scores.figures["nDCG@10"] == pytest.approx(np.mean(scores.values["nDCG@10"]))
    assert result.floor is not None
    assert result.floor.description == "BM25, k1 = 1.2, b = 0.75"
    before = read_embedder(encoder)
    after = read_embedder(tmp_path / "out")
    documents = list(dict.fromkeys(text for ((*some,), _) in split.parts["test"].labels for text in some))
    queries = list(split.parts["test"].texts)
    ranks = []
    for one in (before, after):
        z = one.vectors(queries)[0] @ one.vectors(documents)[0].T
        ranks.append(
            float((z.argmax(axis=1) == [documents.index(own[0][0]) for own in split.parts["test"].labels]).mean())
        )
    assert ranks[1] > ranks[0]
    assert pairs_tables.test is not None
    examined = task_named("embed").examine(after, pairs_tables.test).scores  # type: ignore[attr-defined]
    assert examined.figures == pytest.approx(scores.figures, abs=1e-6)
    told = (tmp_path / "out" / "predictions-test.csv").read_text().splitlines()
    assert len(told) == 1 + len(queries)
    assert told[0].startswith("place,query,found first,nDCG@10")
    (row,) = load_adapted(tmp_path / "out").rows([("the red cat",)])
    assert [float(x) for x in row[0].split()] == pytest.approx(after.vectors(["the red cat"])[0][0].tolist(), abs=1e-6)


@pytest.mark.parametrize("method", ["lora", "prefix", "prompt"])
def test_every_kind_of_method_is_saved_and_loads(
    encoder: Path, pairs_tables: Files, tmp_path: Path, method: str
) -> None:
    split = task_named("embed").read(pairs_tables)
    recipe = Recipe(method=method_named(method), epochs=1)
    *_, result = finetune(encoder, split, out=tmp_path / "out", recipe=recipe, machine=Machine(1))
    assert pairs_tables.test is not None
    examined = task_named("embed").examine(read_embedder(tmp_path / "out"), pairs_tables.test)  # type: ignore[attr-defined]
    assert examined.scores.figures == pytest.approx(result.scores["test"].figures, abs=1e-6)


def test_a_query_in_several_rows_is_measured_once_with_all_its_documents(
    tmp_path: Path, write_table: Callable[..., Path]
) -> None:
    rows = [("q1", "a", "x"), ("q2", "b", "x"), ("q1", "c", "y")]
    path = write_table(tmp_path / "t.csv", rows, ("query", "positive", "negative"))
    split = task_named("embed").read(Files(path, path))
    dev, train = split.parts["dev"], split.parts["train"]
    assert (dev.texts, dev.places) == (("q1", "q2"), ("line 2", "line 3"))
    assert dev.labels == ((("a", "c"), ("x", "y")), (("b",), ("x",)))
    assert train.texts == ("q1", "q2", "q1")
    assert split.warnings == ("2 of the 2 texts of dev are in train too, which flatters its figures.",)


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        ([("q", "a")], ("words", "label"), "no column for the query"),
        ([("q", "a")], ("query", "label"), "no column for the positive"),
        ([("q", " ")], ("query", "positive"), "line 2: the column positive is empty"),
        ([("q", "a"), ("r", "a")], ("query", "positive"), "has one document only"),
        ([("q", "a", "a")], ("query", "positive", "negative"), "line 2: the same document is both"),
        ([], ("query", "positive"), "has no rows"),
    ],
)
def test_a_table_that_can_teach_nothing_is_refused(
    tmp_path: Path, write_table: Callable[..., Path], rows: list[tuple[str, ...]], header: tuple[str, ...], message: str
) -> None:
    path = write_table(tmp_path / "t.csv", rows, header)
    with pytest.raises(UserError, match=message):
        task_named("embed").read(Files(path, path))


def test_what_makes_no_sense_is_refused(encoder: Path, pairs_tables: Files, tmp_path: Path) -> None:
    split = task_named("embed").read(pairs_tables)
    joint = Recipe(joint=joint_in("0.1", None))
    refused = (
        (Recipe(method=method_named("head")), "no head"),
        (Recipe(batch=1), "--batch is 1"),
        (joint, "add --joint-text"),
    )
    for recipe, message in refused:
        with pytest.raises(UserError, match=message):
            next(finetune(encoder, split, out=tmp_path / "out", recipe=recipe))
    with pytest.raises(UserError, match="temperature is 0"):
        task_named("embed", {"temperature": "0"})
    with pytest.raises(UserError, match="no column 'words': choose --option query=NAME"):
        task_named("embed", {"query": "words"}).read(pairs_tables)


def test_an_untrained_temperature_shows_in_nats(encoder: Path, pairs_tables: Files) -> None:
    """With a temperature so high that all documents are alike, the loss is ln of their number."""
    split = task_named("embed", {"temperature": "10"}).read(pairs_tables)
    trial = split.task.trial(read_pretrained(encoder), split, Recipe())
    measured = trial.measure("test", is_last=True)
    counts = [
        len({text for own, _ in split.parts["test"].labels for text in own}) - len(own) + 1
        for own, _ in split.parts["test"].labels
    ]
    assert measured.scores.nats == pytest.approx(np.mean([math.log(n) for n in counts]), abs=0.1)
