"""A study of fine-tunings: what labels are worth, and what pretraining is."""

from isoflop.study.finetune.config import FinetuneStudyConfig, finetune_config, finetune_template
from isoflop.study.finetune.study import run_finetune_study

__all__ = ["FinetuneStudyConfig", "finetune_config", "finetune_template", "run_finetune_study"]
