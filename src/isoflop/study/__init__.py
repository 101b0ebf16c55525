"""A ladder from corpus to verified prediction, and the machines that run it."""

from isoflop.study.config import StudyConfig, read_config, study_template
from isoflop.study.preparation import prepare
from isoflop.study.study import Note, Phase, run_study
from isoflop.study.trunks import TrunkEvent

__all__ = ["Note", "Phase", "StudyConfig", "TrunkEvent", "prepare", "read_config", "run_study", "study_template"]
