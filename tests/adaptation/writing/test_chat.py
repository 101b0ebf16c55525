"""The loss is on answers and their ends alone, by the model's own template, and the saved model answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from isoflop.adaptation import Files, load_adapted, task_named
from isoflop.adaptation.conversations import conversation_lesson, read_conversations
from isoflop.data import TokenizerConfig, with_special_tokens
from isoflop.data.tokens import train_tokenizer
from isoflop.errors import UserError
from isoflop.generation import PLAIN_CHAT, Decoding, Greedy, Manner, Marks, TextGenerator, read_generator
from isoflop.generation.chat import render
from isoflop.models import Decoder
from isoflop.shapes import ModelShape

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TALK = [
    {"role": "user", "content": "Hi, <who> are you?"},
    {"role": "assistant", "content": "I am\n\na model."},
    {"role": "user", "content": "你好"},
    {"role": "assistant", "content": "Hello"},
]


def generator(template: str) -> TextGenerator:
    said = [one["content"] for one in TALK] * 3
    tokenizer = with_special_tokens(train_tokenizer(iter(said), TokenizerConfig(280)), ("<|im_start|>", "<|im_end|>"))
    model = Decoder(ModelShape(layers=1, width=8, heads=2, vocab=400, context=16, ffn=8), logit_scale=1.0)
    manner = Manner(kind="chat", chat=template, special={"eos_token": "<|endoftext|>"})
    return TextGenerator(model, tokenizer, Marks(frozenset([1, 2])), manner, begin=2, end=2)


@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("template", [CHATML, PLAIN_CHAT])
def test_a_template_renders_as_in_transformers(template: str, asks: bool) -> None:
    fast = pytest.importorskip("transformers").PreTrainedTokenizerFast(
        tokenizer_object=generator(template).tokenizer, eos_token="<|endoftext|>", chat_template=template
    )
    expected = fast.apply_chat_template(TALK, tokenize=False, add_generation_prompt=asks)
    assert render(template, TALK, special={"eos_token": "<|endoftext|>"}, asks=asks) == expected
    assert "a model." in expected


@pytest.mark.parametrize(("template", "end"), [(CHATML, "<|im_end|>"), (PLAIN_CHAT, "<|endoftext|>")])
def test_answers_and_their_ends_are_learnt_and_nothing_else(template: str, end: str) -> None:
    made = generator(template)
    lesson = conversation_lesson(made, tuple((one["role"], one["content"]) for one in TALK))
    learnt = [token for token, is_learnt in zip(lesson.tokens, lesson.learnt, strict=True) if is_learnt]
    text = made.tokenizer.decode(learnt, skip_special_tokens=False)
    space = " " if template == PLAIN_CHAT else ""
    assert text == f"{space}I am\n\na model.{end}{space}Hello{end}"


def test_a_template_that_changes_what_was_said_is_refused() -> None:
    last_only = "{% for m in messages %}{% if loop.last %}{{ m.content }}<|im_end|>{% endif %}{% endfor %}"
    with pytest.raises(UserError, match="writes a message otherwise"):
        conversation_lesson(generator(last_only), tuple((one["role"], one["content"]) for one in TALK))
    for broken in ("{% for %}", "{{ raise_exception('no system') }}", "{{ messages[0].content.__class__.mro() }}"):
        with pytest.raises(UserError, match="chat template"):
            render(broken, TALK, special={}, asks=True)


def test_conversations_are_learnt_and_the_saved_model_answers(
    conversations: Path, learn: Callable[..., object]
) -> None:
    files = Files(conversations / "train.jsonl", dev=conversations / "dev.jsonl")
    result = learn("chat", files, epochs=20)
    name = "nats per answer token"
    assert result.scores["dev"].figures[name] < 0.3 * result.floor.scores["dev"].figures[name]
    assert any("no chat template" in note for note in result.warnings)
    written = read_generator(conversations / "out").write(["one"], Decoding(Greedy(), 12))[0]
    assert (written.text.strip(), written.ended) == ("eins", "stop")
    saved = load_adapted(conversations / "out")
    assert saved.rows([("one",)]) == [("eins", "one")]
    examined = task_named("chat").examine(saved, conversations / "dev.jsonl")
    assert examined.scores.figures[name] == pytest.approx(result.scores["dev"].figures[name], rel=1e-4)


def test_prompts_with_responses_are_conversations_of_one_turn(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("prompt,response\nhow?,so\n")
    found = read_conversations(tmp_path / "x.csv")
    assert found.texts == ((("user", "how?"), ("assistant", "so")),)


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ("hello", "no list of messages"),
        ([], "no list of messages"),
        ([{"role": "user", "content": "a"}], "ends with an answer"),
        ([{"role": "assistant", "content": "a"}], "ends with an answer"),
        ([{"role": "human", "content": "a"}], "message 1: the role is 'human'"),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": " "}], "message 2: the content is empty"),
        ([{"role": "user", "content": "a"}, "b"], "message 2: the role is None"),
    ],
)
def test_a_conversation_that_is_none_is_told_with_its_place(tmp_path: Path, messages: object, message: str) -> None:
    good = {"messages": TALK}
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(one) + "\n" for one in (good, {"messages": messages})))
    with pytest.raises(UserError, match=f"line 2.*{message}"):
        read_conversations(tmp_path / "x.jsonl")
