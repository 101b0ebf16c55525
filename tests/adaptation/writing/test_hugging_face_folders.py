"""A folder that transformers saved is generated from and fine-tuned as it is, token for token as transformers does."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from isoflop.adaptation import Files, Recipe, Result, finetune, method_named, task_named
from isoflop.cli.app import app
from isoflop.data import TokenizerConfig, with_special_tokens
from isoflop.data.tokens import train_tokenizer
from isoflop.generation import Decoding, read_generator

transformers = pytest.importorskip("transformers")
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message.role }}|>{{ message.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SIZE = {"bos_token_id": 300, "eos_token_id": 301, "vocab_size": 304}
CONFIGS = {
    "llama": transformers.LlamaConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=96, rope_theta=5e4, **SIZE,
    ),
    "gpt2": transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=96, **SIZE),
}  # fmt: skip
PROMPTS = ["one two three", "four", "six five one one two"]


@pytest.fixture(scope="module", params=list(CONFIGS))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model with a tokenizer that begins each text with its beginning mark, as Llama's does."""
    from tokenizers.processors import TemplateProcessing

    words = ["one", "two", "three", "four", "five", "six"]
    said = (" ".join(random.Random(seed).choices(words, k=9)) for seed in range(60))
    marks = ("<s>", "</s>", "<|user|>", "<|assistant|>")
    tokenizer = with_special_tokens(train_tokenizer(said, TokenizerConfig(300)), marks)
    size, begin = tokenizer.get_vocab_size(), tokenizer.token_to_id("<s>")
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", begin)])
    made = tmp_path_factory.mktemp(request.param)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", chat_template=TEMPLATE
    )
    fast.save_pretrained(made)
    config = CONFIGS[request.param]
    config.vocab_size, config.bos_token_id, config.eos_token_id = size, begin, tokenizer.token_to_id("</s>")
    model = transformers.AutoModelForCausalLM.from_config(config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.25 * torch.randn(weight.shape, generator=generator))
    model.save_pretrained(made)
    return made


def as_messages(prompts: list[str]) -> list[list[dict[str, str]]]:
    return [[{"role": "user", "content": prompt}] for prompt in prompts]


def theirs(folder: Path, prompts: list[str] | list[list[dict[str, str]]], tokens: int) -> list[list[int]]:
    """New tokens of each prompt by transformers, greedily, without the mark that ends them."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    found = []
    for prompt in prompts:
        if isinstance(prompt, str):
            given = tokenizer(prompt, return_tensors="pt").input_ids
        else:
            text = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
            given = tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids
        how: dict[str, Any] = {"max_new_tokens": tokens, "do_sample": False, "pad_token_id": 0}
        answer = model.generate(given, attention_mask=torch.ones_like(given), **how)[0, given.shape[1] :].tolist()
        ends = model.generation_config.eos_token_id
        found.append([token for token in answer if token not in (ends if isinstance(ends, list) else [ends])])
    return found


def test_the_verb_writes_what_transformers_does(folder: Path) -> None:
    expected = theirs(folder, PROMPTS, 20)
    generator = read_generator(folder)
    written = generator.write(PROMPTS, Decoding(max_tokens=20))
    assert [list(one.tokens) for one in written] == expected
    assert len({token for one in expected for token in one}) > 5
    said = CliRunner().invoke(app, ["generate", str(folder), *PROMPTS, "--max-tokens", "20", "--json"])
    assert [json.loads(line)["text"] for line in said.output.splitlines()] == [one.text for one in written]
    answers = generator.as_chat().write(PROMPTS, Decoding(max_tokens=20))
    assert [list(one.tokens) for one in answers] == theirs(folder, as_messages(PROMPTS), 20)


@pytest.mark.parametrize("task", ["generate", "chat"])
def test_what_is_fine_tuned_writes_the_same_there_once_it_is_exported(
    task: str, folder: Path, conversations: Path, tmp_path: Path, write_table: Callable[..., Path]
) -> None:
    lines = write_table(tmp_path / "lines.csv", [("one two three four",), ("six five",)] * 6, ("text",))
    files = Files(lines, dev=lines)
    if task == "chat":
        files = Files(conversations / "train.jsonl", dev=conversations / "dev.jsonl")
    recipe = Recipe(method_named("lora"), learning_rate=1e-2, batch=6, epochs=2, precision="fp32")
    *_, result = finetune(folder, task_named(task).read(files), out=tmp_path / "out", recipe=recipe)
    assert isinstance(result, Result)
    assert not any("template" in warning for warning in result.warnings)  # it has one of its own
    saved = read_generator(tmp_path / "out")
    assert dict(saved.manner.special)["bos_token"] == "<s>"
    said = CliRunner().invoke(app, ["export", str(tmp_path / "out" / "model"), "--out", str(tmp_path / "export")])
    assert said.exit_code == 0, said.output
    plain = dataclasses.replace(saved, manner=dataclasses.replace(saved.manner, kind="text"))
    written = [list(one.tokens) for one in plain.write(PROMPTS, Decoding(max_tokens=12))]
    assert written == theirs(tmp_path / "export", PROMPTS, 12)
    before = [list(one.tokens) for one in read_generator(folder).write(PROMPTS, Decoding(max_tokens=12))]
    assert written != before
    if task == "chat":
        answers = [list(one.tokens) for one in saved.write(PROMPTS, Decoding(max_tokens=12))]
        assert answers == theirs(tmp_path / "export", as_messages(PROMPTS), 12)


def test_what_is_imported_is_asked_as_before(folder: Path, tmp_path: Path) -> None:
    said = CliRunner().invoke(app, ["import", str(folder), "--out", str(tmp_path / "ours")])
    assert said.exit_code == 0, said.output
    answers = read_generator(tmp_path / "ours").as_chat().write(PROMPTS, Decoding(max_tokens=12))
    assert [list(one.tokens) for one in answers] == theirs(folder, as_messages(PROMPTS), 12)
