"""Transformers and their parametrisations. Knows nothing of devices or processes."""

from isoflop.models.batch import IGNORED, PADDING, Batch
from isoflop.models.build import build_model, draw_weight
from isoflop.models.decoder import Decoder
from isoflop.models.encoder import Encoder
from isoflop.models.encoder_decoder import EncoderDecoder
from isoflop.models.model import Model
from isoflop.models.parametrization import PARAMETRIZATIONS, Parametrization, WeightRule, parametrization

__all__ = [
    "IGNORED",
    "PADDING",
    "PARAMETRIZATIONS",
    "Batch",
    "Decoder",
    "Encoder",
    "EncoderDecoder",
    "Model",
    "Parametrization",
    "WeightRule",
    "build_model",
    "draw_weight",
    "parametrization",
]
