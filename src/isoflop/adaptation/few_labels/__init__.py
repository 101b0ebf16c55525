"""What to do with few labels: prompts, cloze questions, pseudo-labels and augmented texts."""

from isoflop.adaptation.few_labels.causal import CausalModel, read_causal
from isoflop.adaptation.few_labels.prompting import Prompt, Prompted, Prompter, prompt
from isoflop.adaptation.few_labels.template import Template, Verbalizer, template_of, verbalizer_of

__all__ = [
    "CausalModel",
    "Prompt",
    "Prompted",
    "Prompter",
    "Template",
    "Verbalizer",
    "prompt",
    "read_causal",
    "template_of",
    "verbalizer_of",
]
