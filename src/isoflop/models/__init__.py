"""Transformers and their parametrisations. Knows nothing of devices or processes."""

from isoflop.models.batch import IGNORED, PADDING, Batch
from isoflop.models.build import build_model, draw_weight
from isoflop.models.cache import Cache
from isoflop.models.decoder import Decoder
from isoflop.models.encoder import Encoder
from isoflop.models.encoder_decoder import EncoderDecoder
from isoflop.models.folding import WeightRule, refuse_tied
from isoflop.models.hugging_face import from_hugging_face, to_hugging_face
from isoflop.models.model import Model
from isoflop.models.parametrization import PARAMETRIZATIONS, Parametrization, parametrization
from isoflop.models.storage import ModelInfo, load_model, save_model

__all__ = [
    "IGNORED",
    "PADDING",
    "PARAMETRIZATIONS",
    "Batch",
    "Cache",
    "Decoder",
    "Encoder",
    "EncoderDecoder",
    "Model",
    "ModelInfo",
    "Parametrization",
    "WeightRule",
    "build_model",
    "draw_weight",
    "from_hugging_face",
    "load_model",
    "parametrization",
    "refuse_tied",
    "save_model",
    "to_hugging_face",
]
