"""Making a pretrained model do a user's own task: fine-tuning on a table of texts, measured beside its floor."""

from isoflop.adaptation.classifier import Classifier
from isoflop.adaptation.finetuning import Diverged, EpochEnded, Machine, Ready, Stepped, finetune
from isoflop.adaptation.floor import Floor, fit_floor
from isoflop.adaptation.methods import Full, HeadOnly, Lora, PrefixTuning, PromptTuning, method_named
from isoflop.adaptation.prediction import Guess
from isoflop.adaptation.recipe import Recipe
from isoflop.adaptation.result import Result, read_result
from isoflop.adaptation.saved import TextClassifier, load_classifier
from isoflop.adaptation.split import Split, read_split

__all__ = [
    "Classifier",
    "Diverged",
    "EpochEnded",
    "Floor",
    "Full",
    "Guess",
    "HeadOnly",
    "Lora",
    "Machine",
    "PrefixTuning",
    "PromptTuning",
    "Ready",
    "Recipe",
    "Result",
    "Split",
    "Stepped",
    "TextClassifier",
    "finetune",
    "fit_floor",
    "load_classifier",
    "method_named",
    "read_result",
    "read_split",
]
