"""A study of fine-tunings: what labels are worth, and what pretraining is."""

from isoflop.study.finetune.config import FinetuneStudyConfig, finetune_config
from isoflop.study.finetune.study import run_finetune_study

__all__ = ["FinetuneStudyConfig", "finetune_config", "run_finetune_study"]
