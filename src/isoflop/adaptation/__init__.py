"""Making a pretrained model do a user's own task: fine-tuning on their examples, measured beside a floor."""

from isoflop.adaptation.classifier import Classifier
from isoflop.adaptation.examination import evaluate_task
from isoflop.adaptation.finetuning import Diverged, EpochEnded, Machine, Ready, Stepped, finetune
from isoflop.adaptation.floor import fit_floor
from isoflop.adaptation.joint import Joint
from isoflop.adaptation.losses import AnswerLoss
from isoflop.adaptation.methods import Full, HeadOnly, Lora, PrefixTuning, PromptTuning, method_named
from isoflop.adaptation.prediction import Guess
from isoflop.adaptation.recipe import Recipe
from isoflop.adaptation.repeats import Summary, finetune_repeatedly, plan_repeats
from isoflop.adaptation.result import Result, read_result
from isoflop.adaptation.saved import load_adapted
from isoflop.adaptation.split import Split
from isoflop.adaptation.task import Files, Floor
from isoflop.adaptation.tasks import task_named
from isoflop.adaptation.tasks.classify import Classify, TextClassifier, load_classifier, read_split

__all__ = [
    "AnswerLoss",
    "Classifier",
    "Classify",
    "Diverged",
    "EpochEnded",
    "Files",
    "Floor",
    "Full",
    "Guess",
    "HeadOnly",
    "Joint",
    "Lora",
    "Machine",
    "PrefixTuning",
    "PromptTuning",
    "Ready",
    "Recipe",
    "Result",
    "Split",
    "Stepped",
    "Summary",
    "TextClassifier",
    "evaluate_task",
    "finetune",
    "finetune_repeatedly",
    "fit_floor",
    "load_adapted",
    "load_classifier",
    "method_named",
    "plan_repeats",
    "read_result",
    "read_split",
    "task_named",
]
