"""What a decoder or an encoder-decoder writes: tokens chosen greedily, drawn, or searched by beams."""

from isoflop.generation.chat import PLAIN_CHAT
from isoflop.generation.decoding import Beams, Choice, Decoding, Greedy, Sample
from isoflop.generation.generate import Answer, generate_tokens
from isoflop.generation.manner import MANNER, Manner, add_to_checkpoint, read_manner
from isoflop.generation.reader import Marks
from isoflop.generation.text import TextGenerator, Written, read_generator, text_generator

__all__ = [
    "MANNER",
    "PLAIN_CHAT",
    "Answer",
    "Beams",
    "Choice",
    "Decoding",
    "Greedy",
    "Manner",
    "Marks",
    "Sample",
    "TextGenerator",
    "Written",
    "add_to_checkpoint",
    "generate_tokens",
    "read_generator",
    "read_manner",
    "text_generator",
]
