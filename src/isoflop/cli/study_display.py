"""What a person sees while a study runs: a bar for each run with its loss and speed, and the time that is left."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from isoflop.runs import Run
from isoflop.study import Note, Phase
from isoflop.study.study import Event
from isoflop.training import Progress as TrunkProgress
from isoflop.training import TrunkJob

TITLES = {
    "corpus": "Reading and tokenising the corpus",
    "learning rate": "Tuning the learning rate at the smallest size",
    "ladder": "Training the ladder",
    "fit": "Fitting the law",
    "target": "Training the target (the prediction is already on disk)",
}


class _Left(ProgressColumn):
    """Time left: of a run, and in the last row of the whole study."""

    def render(self, task: Task) -> Text:
        if task.finished:
            return Text("done", style="dim")
        made = task.completed - (task.fields["begun"] or 0)  # without what an earlier sitting had done
        if made <= 0 or not task.elapsed or not task.total:
            return Text("")
        left = task.elapsed * (task.total - task.completed) / made
        expected, later = task.fields.get("expected", 0.0), task.fields.get("later", 0.0)
        if expected:  # the phases to come are as much slower or faster than expected as this one is
            left += later * (task.elapsed * task.total / made) / expected
        whole = " for the whole study" if later else ""
        return Text(f"{int(left) // 60}:{int(left) % 60:02d} left{whole}", style="cyan")


class StudyDisplay:
    """Turns the study's events into bars on a terminal, or into plain lines where there is none."""

    def __init__(self) -> None:
        self.console = Console()
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[loss]}"),
            TextColumn("{task.fields[speed]}", style="dim"),
            TimeElapsedColumn(),
            _Left(),
            console=self.console,
        )
        self.bars: dict[str, tuple[TaskID, TrunkJob]] = {}
        self.whole: TaskID | None = None

    def __enter__(self) -> Self:
        self.progress.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.__exit__(kind, error, trace)

    def listen(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, Phase):
            self._phase(event)
        elif isinstance(event, Note):
            self.progress.print(f"  {event.text}", highlight=False, soft_wrap=True)
        elif isinstance(event.what, TrunkProgress):
            self._advance(event.trunk, event.what)
        elif isinstance(event.what, Run):
            self._measured(event.what)
        else:
            bar, job = self.bars[event.trunk]
            self.progress.update(bar, completed=job.total_steps)
            self._total()

    def _phase(self, phase: Phase) -> None:
        self.progress.print(f"[bold]{TITLES[phase.name]}[/bold]")
        for bar, _ in self.bars.values():
            self.progress.remove_task(bar)
        if self.whole is not None:
            self.progress.remove_task(self.whole)
        self.bars, self.whole = {}, None
        for job in phase.jobs:
            bar = self.progress.add_task(job.trunk, total=job.total_steps, loss="", speed="", begun=0, start=False)
            self.bars[job.trunk] = (bar, job)
        if phase.jobs:
            work = sum(job.total_steps * job.shape.width for job in phase.jobs)
            self.whole = self.progress.add_task(
                "all", total=work, loss="", speed="", begun=None, expected=phase.seconds, later=phase.later
            )

    def _advance(self, trunk: str, made: TrunkProgress) -> None:
        bar, _ = self.bars[trunk]
        if not self._task(bar).started:
            self.progress.start_task(bar)
            self.progress.update(bar, begun=made.done)
        self.progress.update(
            bar,
            completed=made.done,
            loss=f"loss {made.loss:.3f}",
            speed=f"{made.tokens_per_second / 1e3:.1f}k tokens/s",
        )
        self._total()

    def _total(self) -> None:
        if self.whole is not None:
            done = sum(self._task(bar).completed * job.shape.width for bar, job in self.bars.values())
            begun = self._task(self.whole).fields["begun"]
            self.progress.update(self.whole, completed=done, begun=done if begun is None else begun)

    def _task(self, bar: TaskID) -> Task:
        return next(task for task in self.progress.tasks if task.id == bar)

    def _measured(self, run: Run) -> None:
        if run.loss is None:
            self.progress.print(f"  {run.run}: diverged, {run.note}; left out of the fit", style="yellow")
        else:
            self.progress.print(f"  {run.run}: {run.loss:.4f} nats per token", highlight=False)
