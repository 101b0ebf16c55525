"""A fine-tuned model as a checkpoint that transformers or sentence-transformers loads, its head with it where a stock
class has a place for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from isoflop.adaptation.long_text import SEGMENTED
from isoflop.adaptation.saved import HEAD, TASK, pooling_in, read_record
from isoflop.files import write_json
from isoflop.models import ModelInfo, to_hugging_face
from isoflop.models.hugging_face import StockHead, is_bert
from isoflop.models.hugging_face_class import StockClass
from isoflop.models.storage import read_weights

Weights = Mapping[str, Tensor]
POOLER = "pooler"
MODULES = ("Transformer", "Pooling", "Normalize")
POOLING_MODES = {"mean": "mean_tokens", "first": "cls_token", "last": "lasttoken"}
"""Poolings by their names in sentence-transformers."""


def reads_states(folder: Path) -> bool:
    """Whether `folder` holds a model fine-tuned on a task that reads its states, and has no use for its head."""
    return (folder / TASK).exists() and ((folder / HEAD).exists() or read_record(folder)[1]["task"] == "embed")


def export_adapted(folder: Path, model: nn.Module, info: ModelInfo, out: Path) -> tuple[StockClass, str]:
    """Write the fine-tuned `model` in `folder` to `out`; returns its stock class, and a sentence on its head.

    Raises `UserError` for a model without a stock class, and where `folder` is damaged.
    """
    _, record = read_record(folder)
    task = record["task"]
    has_pooler = record.get("pooling") == POOLER and record.get("way") not in SEGMENTED
    make = HEADS.get(POOLER if has_pooler else task)
    head: StockHead | None = None
    if is_bert(info.shape):
        head = StockHead("Model")
        if make is not None:
            head = make(read_weights(folder / HEAD), dict(model.named_parameters()), record)
    stock = to_hugging_face(model, out, tokenizer=info.tokenizer, head=head)
    if task == "embed":
        _write_modules(out, info.shape.width, record, pooling_in(folder, record))
        return stock, "sentence-transformers makes the same vectors of texts: SentenceTransformer(folder)."
    if head is not None and head.weights:
        return stock, f"the head of the task {task!r} is in it."
    return stock, f"the head of the task {task!r} ({HEAD}) stays behind: {stock.name} has no place for it."


def _tags(weights: Weights, body: Weights, record: Mapping[str, Any]) -> StockHead:
    del body
    return StockHead("ForTokenClassification", _named("classifier", weights), _names(record))


def _answers(weights: Weights, body: Weights, record: Mapping[str, Any]) -> StockHead:
    del body, record
    return StockHead("ForQuestionAnswering", _named("qa_outputs", weights))


def _labels(weights: Weights, body: Weights, record: Mapping[str, Any]) -> StockHead:
    pooler = {name: body[f"pooler.{name}"].detach().float().cpu() for name in ("weight", "bias")}
    kind = "multi_label_classification" if record["task"] == "multilabel" else "single_label_classification"
    named = {**_named("bert.pooler.dense", pooler), **_named("classifier", weights)}
    return StockHead("ForSequenceClassification", named, {**_names(record), "problem_type": kind})


def _named(place: str, weights: Weights) -> Weights:
    return {f"{place}.{name}": weight for name, weight in weights.items()}


def _names(record: Mapping[str, Any]) -> dict[str, Any]:
    numbered = list(enumerate(map(str, record["labels"])))
    return {"id2label": {str(at): name for at, name in numbered}, "label2id": {name: at for at, name in numbered}}


HEADS: Mapping[str, Callable[[Weights, Weights, Mapping[str, Any]], StockHead]] = {
    "tokens": _tags,
    "qa": _answers,
    POOLER: _labels,
}
"""By the task, or, of texts' labels, by the one pooling that stock classes have."""


def _write_modules(out: Path, width: int, record: Mapping[str, Any], pooling: str) -> None:
    """What sentence-transformers reads beside a checkpoint: read a text, pool its states, make the length 1."""
    kinds = "sentence_transformers.models."
    paths = ("", *(f"{at}_{name}" for at, name in enumerate(MODULES) if at))
    modules = [
        {"idx": at, "name": str(at), "path": path, "type": kinds + name}
        for at, (name, path) in enumerate(zip(MODULES, paths, strict=True))
    ]
    modes = {f"pooling_mode_{name}": ours == pooling for ours, name in POOLING_MODES.items()}
    for path in paths[1:]:
        (out / path).mkdir(exist_ok=True)
    write_json(out / paths[1] / "config.json", {"word_embedding_dimension": width, **modes})
    write_json(out / "sentence_bert_config.json", {"max_seq_length": int(record["longest"]), "do_lower_case": False})
    write_json(out / "modules.json", modules)
