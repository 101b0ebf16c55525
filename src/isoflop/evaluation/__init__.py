"""What a trained model is worth: loss in nats per token and bits per byte."""

from isoflop.evaluation.loss import ValidationLoss, batch_loss, loss_parts, validation_loss

__all__ = ["ValidationLoss", "batch_loss", "loss_parts", "validation_loss"]
