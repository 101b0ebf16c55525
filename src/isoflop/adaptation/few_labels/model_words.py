"""Other words that a trained model knows of: what it puts at a hidden word's place, what lies near in its embedding,
what two translators say.

V tokens of the vocabulary, D width.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from isoflop.adaptation.batches import padded
from isoflop.adaptation.few_labels.rewriting import check_share, count_of, join_words, split_words
from isoflop.adaptation.pretrained import Pretrained
from isoflop.data.objectives import OBJECTIVES
from isoflop.errors import UserError
from isoflop.evaluation.language_model import Marks, marks_of

AT_ONCE = 32
WHITE = "Ġ▁"
"""How byte-level and SentencePiece vocabularies spell the space that begins a word."""
PLAIN_WORD = re.compile(r"[^\W\d_]{3,}")


@dataclass(frozen=True)
class MaskedWords:
    """`share` of a text's words (at least one) are hidden, and others put there that `model`, an encoder trained on
    hidden words, finds likely: each drawn by its probability among the `most` likeliest, the hidden word left out.

    As in Wu et al. 2018, arXiv 1812.06705, without their condition on the label: a word that decides it may be turned
    round.
    """

    model: Pretrained
    share: float = 0.1
    most: int = 10
    name = "masked words"

    def __post_init__(self) -> None:
        check_share(self.share)
        known = OBJECTIVES.get(self.model.info.objective)
        if known is None or known.stack != "encoder":
            raise UserError(
                f"The model was not trained to name hidden words (its objective is {self.model.info.objective}), "
                "so it can't replace any: name an encoder that was."
            )

    def rewrite(self, texts: Sequence[str], draw: random.Random) -> list[str]:
        """Each text with other words; a text beyond the model's context stays."""
        assert self.model.info.tokenizer is not None
        marks = marks_of(self.model.tokenizer, self.model.info.tokenizer.parent)
        words = word_tokens(self.model.tokenizer)
        found = []
        for start in range(0, len(texts), AT_ONCE):
            found += self._rewritten(texts[start : start + AT_ONCE], marks, words, draw)
        return found

    @torch.inference_mode()
    def _rewritten(self, texts: Sequence[str], marks: Marks, words: dict[int, str], draw: random.Random) -> list[str]:
        model = self.model.model.eval()
        mask = self.model.tokenizer.id_to_token(marks.mask)
        assert mask is not None
        hidden = [_hide(text, mask, self.share, draw) for text in texts]
        bare = self.model.tokenizer.encode_batch([text for text, _ in hidden], add_special_tokens=False)
        rows = [(*marks.before, *one.ids, *marks.after) for one in bare]
        fits = [at for at, row in enumerate(rows) if len(row) <= model.shape.context and marks.mask in row]
        found = list(texts)
        if not fits:
            return found
        batch = padded([rows[at] for at in fits])
        features_BTD = model.features(batch)
        allowed_V = torch.full((model.shape.vocab,), float("-inf"))
        allowed_V[list(words)] = 0.0
        for number, at in enumerate(fits):
            places = [place for place, token in enumerate(rows[at]) if token == marks.mask]
            logits = model.head(features_BTD[number, places]).float() + allowed_V
            found[at] = self._filled(texts[at], hidden[at][1], logits, words, draw)
        return found

    def _filled(
        self, text: str, places: Sequence[int], logits: torch.Tensor, words: dict[int, str], draw: random.Random
    ) -> str:
        """The text with the words at `places` replaced by what `logits`, a row for each, say."""
        said, spaces = split_words(text)
        for place, row_V in zip(places, logits, strict=False):
            best = torch.softmax(row_V, dim=-1).topk(min(self.most + 1, len(words)))
            named = ((words[int(token)], float(share)) for share, token in zip(*best, strict=True))
            likely = [(word, share) for word, share in named if word.lower() != said[place].lower()][: self.most]
            if sum(share for _, share in likely) > 0:
                others, shares = zip(*likely, strict=True)
                said[place] = draw.choices(others, weights=shares)[0]
        return join_words(said, spaces)


def embedding_synonyms(
    model: Pretrained, texts: Sequence[str], *, most: int = 5, least: float = 0.5
) -> dict[str, tuple[str, ...]]:
    """For each word of `texts` that is one token of `model`: up to `most` words whose embedding has a cosine of at
    least `least` with its own.

    Near in an embedding is what stands in like places, antonyms among it: "good" is near "bad".
    """
    words = word_tokens(model.tokenizer)
    numbers = {word.lower(): number for number, word in reversed(list(words.items()))}
    tokens, spelled = list(numbers.values()), list(numbers)
    unit_VD = F.normalize(model.model.embedding.weight.detach()[tokens].float(), dim=1)
    wanted = {word for text in texts for word in PLAIN_WORD.findall(text.lower())} & numbers.keys()
    place = {word: at for at, word in enumerate(spelled)}
    found = {}
    for word in sorted(wanted):
        near = (unit_VD @ unit_VD[place[word]]).topk(min(most + 1, len(spelled)))
        others = [
            spelled[int(at)] for cosine, at in zip(near.values, near.indices, strict=True) if float(cosine) >= least
        ]
        others = [other for other in others if other != word][:most]
        if others:
            found[word] = tuple(others)
    return found


def translator(folder: Path, *, longest: int = 128) -> Callable[[Sequence[str]], list[str]]:
    """A function of texts to their translations, greedily, by the model in `folder`: an encoder-decoder, or a decoder
    that was fine-tuned with `--task seq2seq`. What has no text, or more than the model reads, comes back empty.

    Raises `UserError` for another model.
    """
    from isoflop.generation import Decoding, read_generator
    from isoflop.models import EncoderDecoder

    model = read_generator(folder)
    if not isinstance(model.model, EncoderDecoder) and model.manner.kind != "seq2seq":
        raise UserError(f"{folder} was not made to translate: name a model that was fine-tuned with --task seq2seq.")
    how = Decoding(max_tokens=longest)

    def translate(texts: Sequence[str]) -> list[str]:
        asked = {at: model.encode(text) for at, text in enumerate(texts) if text.strip()}
        read = [at for at, tokens in asked.items() if len(tokens) < model.model.room]
        written = dict(zip(read, model.go_on([asked[at] for at in read], how), strict=True))
        return [written[at].text.strip() if at in written else "" for at in range(len(texts))]

    return translate


def word_tokens(tokenizer: Tokenizer) -> dict[int, str]:
    """The tokens that are whole words of three letters or more, by number, as they are written.

    Where the vocabulary spells a word's space, those with one; elsewhere those that continue no other (no ##).
    """
    vocabulary = tokenizer.get_vocab()
    has_space = any(token[0] in WHITE for token in vocabulary if token)
    found = {}
    for token, number in vocabulary.items():
        if has_space and token[:1] not in tuple(WHITE):
            continue
        word = token.lstrip(WHITE)
        if PLAIN_WORD.fullmatch(word):
            found[number] = word
    return found


def _hide(text: str, mask: str, share: float, draw: random.Random) -> tuple[str, list[int]]:
    """The text with marks for some of its words, each with the space before it, and which those are."""
    words, spaces = split_words(text)
    plain = [at for at, word in enumerate(words) if PLAIN_WORD.fullmatch(word)]
    chosen = sorted(draw.sample(plain, min(len(plain), count_of(share, len(words)))))
    for at in chosen:
        words[at] = mask
        if at:
            spaces[at - 1] = ""
    return "".join(word + space for word, space in zip(words, spaces, strict=True)).strip(), chosen
