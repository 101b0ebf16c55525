"""Our fine-tuning beside transformers' Trainer: the same model, head, data, order, schedule and optimiser, in fp32.

    python benchmarks/trainer_comparison.py MODEL train.csv --dev dev.csv

takes a checkpoint of BERT's class and the first `--sentences` of train, trains both in turn for `--rounds` rounds on
one thread, each with a seed of its own, and prints the accuracy of both on dev and the ratio of their processor times.
Within a round only dropout's random numbers differ.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import BertModel, Trainer, TrainingArguments

from isoflop.adaptation import Classifier, Recipe, Result, Split, Stepped, finetune, read_split
from isoflop.adaptation.batches import TextBatches, padded
from isoflop.adaptation.classifier import pooled
from isoflop.adaptation.pretrained import Tokenized, read_pretrained, tokenize
from isoflop.adaptation.split import TRAIN
from isoflop.models import PADDING, Batch


class Stock(nn.Module):
    """BERT of transformers with the mean of its states and our head's first weights behind it."""

    def __init__(self, folder: Path, head: nn.Linear) -> None:
        super().__init__()
        self.bert = BertModel.from_pretrained(folder, add_pooling_layer=False)
        self.head = nn.Linear(head.in_features, head.out_features)
        self.head.load_state_dict(head.state_dict())

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        x_BTD = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        logits = self.head(pooled(x_BTD, attention_mask, "mean"))
        found = {"logits": logits}
        return found if labels is None else {"loss": nn.functional.cross_entropy(logits, labels), **found}


class InOurOrder(Trainer):
    """The Trainer on batches that are made already."""

    def __init__(self, batches: list[dict[str, Tensor]], **settings: Any) -> None:
        super().__init__(**settings)
        self.batches = batches

    def get_train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.batches, batch_size=None)  # type: ignore[arg-type]


def as_theirs(batch: Batch) -> dict[str, Tensor]:
    """A batch under the names of transformers."""
    mask = torch.ones_like(batch.inputs) if batch.documents is None else (batch.documents != PADDING).long()
    return {"input_ids": batch.inputs, "attention_mask": mask, "labels": batch.targets[:, 0]}


def train_theirs(folder: Path, split: Split, tokens: dict[str, Tokenized], recipe: Recipe) -> tuple[float, float]:
    """Processor seconds of the training, and accuracy on dev."""
    head = Classifier(read_pretrained(folder).model, len(split.labels), pooling="mean", seed=recipe.seed).head
    texts = TextBatches(tokens[TRAIN], split.answers(TRAIN), recipe.batch, recipe.seed)
    steps = texts.per_epoch * recipe.epochs
    model = Stock(folder, head)
    with tempfile.TemporaryDirectory() as out:
        settings = TrainingArguments(
            output_dir=out,
            max_steps=steps,
            learning_rate=recipe.rate,
            weight_decay=recipe.weight_decay,
            max_grad_norm=recipe.clip,
            warmup_steps=round(recipe.warmup_share * steps),
            lr_scheduler_type="linear",
            optim="adamw_torch_fused",
            seed=recipe.seed,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            remove_unused_columns=False,
        )
        trainer = InOurOrder([as_theirs(texts.at(step)) for step in range(steps)], model=model, args=settings)
        started = time.process_time()
        trainer.train()
        seconds = time.process_time() - started
    return seconds, accuracy_of(model.eval(), tokens["dev"], split.answers("dev"))


@torch.no_grad()
def accuracy_of(model: Stock, texts: Tokenized, answers: list[int]) -> float:
    """Share of right answers."""
    by_length = sorted(range(len(texts)), key=lambda at: len(texts.sequences[at]))
    hits = 0
    for start in range(0, len(by_length), 64):
        chosen = by_length[start : start + 64]
        batch = as_theirs(padded([texts.sequences[at] for at in chosen]))
        found = model(batch["input_ids"], batch["attention_mask"])["logits"].argmax(dim=1)
        hits += int((found == torch.tensor([answers[at] for at in chosen])).sum())
    return hits / len(answers)


def train_ours(folder: Path, split: Split, recipe: Recipe) -> tuple[float, float]:
    """The same of ours; the measuring on dev after the epoch is not counted."""
    with tempfile.TemporaryDirectory() as out:
        seconds, last = 0.0, None
        for event in timed(finetune(folder, split, out=Path(out) / "run", recipe=recipe)):
            last, took = event
            seconds += took if isinstance(last, Stepped) else 0.0
    assert isinstance(last, Result)
    return seconds, last.scores["dev"].accuracy


def timed(events: Iterator[Any]) -> Iterator[tuple[Any, float]]:
    """Each event with the processor seconds that it took to come."""
    started = time.process_time()
    for event in events:
        yield event, time.process_time() - started
        started = time.process_time()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("train", type=Path)
    parser.add_argument("--dev", type=Path, required=True)
    parser.add_argument("--sentences", type=int, default=1500)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3, help="each with a seed of its own")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    whole = read_split(asked.train, dev=asked.dev)
    split = whole.with_parts({**whole.parts, TRAIN: whole.train.take(range(min(asked.sentences, len(whole.train))))})
    tokenizer = read_pretrained(asked.model).tokenizer
    tokens = {name: tokenize(tokenizer, part.texts, longest=512) for name, part in split.parts.items()}
    ours, theirs = [], []
    for number in range(asked.rounds):
        recipe = Recipe(epochs=asked.epochs, precision="fp32", seed=number)
        theirs.append(train_theirs(asked.model, split, tokens, recipe))
        ours.append(train_ours(asked.model, split, recipe))
        told = (
            f"ours {ours[-1][0]:.1f} s, accuracy {ours[-1][1]:.4f}; Trainer {theirs[-1][0]:.1f} s, {theirs[-1][1]:.4f}"
        )
        print(f"seed {number}: {told}", flush=True)
    for name, found in (("ours", ours), ("Trainer", theirs)):
        accuracies = [accuracy for _, accuracy in found]
        print(f"{name}: accuracy {np.mean(accuracies):.4f} ± {np.std(accuracies, ddof=1):.4f}")
    ratio = median(np.array([one for one, _ in ours]) / np.array([one for one, _ in theirs]))
    print(
        f"{len(split.train):,} sentences, {asked.epochs} epoch(s): ours takes {ratio:.2f} of Trainer's processor time"
    )


if __name__ == "__main__":
    main()
