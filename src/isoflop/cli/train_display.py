"""What a person sees while a model trains: one bar with losses and speed, a line for each validation."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as Left

from isoflop.training import BadStep, Measured, Prepared
from isoflop.training import Progress as Made


class TrainDisplay:
    """Turns the events of a training into a bar on a terminal, or into plain lines where there is none."""

    def __init__(self) -> None:
        self.progress = Progress(
            TextColumn("step {task.completed:,.0f} of {task.total:,.0f}"),
            BarColumn(bar_width=30),
            TaskProgressColumn(),
            TextColumn("{task.fields[loss]}"),
            TextColumn("{task.fields[speed]}", style="dim"),
            TimeElapsedColumn(),
            TextColumn("left", style="dim"),
            Left(),
            console=Console(),
        )
        self.bar: TaskID | None = None

    def __enter__(self) -> Self:
        self.progress.__enter__()
        self.progress.print("Reading and tokenising the corpus", style="bold")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.__exit__(kind, error, trace)

    def listen(self, event: Prepared | Made | Measured | BadStep) -> None:
        """Show one event."""
        if isinstance(event, Prepared):
            self._prepared(event)
        elif isinstance(event, Measured):
            bits = "" if event.bits_per_byte is None else f", {event.bits_per_byte:.3f} bits per byte"
            self.progress.print(f"  step {event.step:,}: validation loss {event.loss:.4f}{bits}", highlight=False)
        elif isinstance(event, BadStep):
            self.progress.print(f"  step {event.step:,}: {_of_bad_step(event)}", style="yellow", highlight=False)
        elif self.bar is not None:
            self.progress.update(
                self.bar,
                completed=event.done,
                loss=f"loss {event.loss:.3f}",
                speed=f"{event.tokens_per_second / 1e3:.1f}k tokens/s",
            )

    def _prepared(self, event: Prepared) -> None:
        begun = f"; going on at step {event.begun:,}" if event.begun else ""
        self.progress.print(
            f"Training {event.params:,} parameters on a text of {event.train_tokens:,} tokens{begun}", style="bold"
        )
        self.progress.print(f"  {event.how}", highlight=False)
        self.bar = self.progress.add_task("train", total=event.steps, completed=event.begun, loss="", speed="")


def _of_bad_step(event: BadStep) -> str:
    what = {"not finite": "loss or gradient not finite", "spike": "loss spike", "divergence": "loss diverging"}
    done = {
        "stop": "the run stops",
        "skip": f"batch {event.first:,} is left out",
        "roll_back": f"back to step {event.back_to:,} without batches {event.first:,} to {event.end - 1:,}",
    }
    return f"{what[event.kind]}: {done[event.done]}"
