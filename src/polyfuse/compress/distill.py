"""A smaller network, or one with fewer inputs, that learns of the model beside the targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polyfuse import registry
from polyfuse.compress.student import student_of
from polyfuse.compress.study import Study
from polyfuse.compress.teacher import VIEWS, Lessons
from polyfuse.model.bundle import Bundle
from polyfuse.recipe import Recipe, apply_settings
from polyfuse.system.device import device_of
from polyfuse.training.fit import fit


class Distill:
    """A student learns what the model says of its training rows, all that answers in it together, beside the targets.

    Args:
        student: its recipe, or the file of one; what it leaves open is the model's. By default it has the inputs of the
            model and encoders from scratch, narrower.
        inputs: of the model's that it keeps, ``sound`` or several with commas; all by default.
        width, depth: factors on widths and layers of a student without a recipe of its own.
        lessons: what it learns of, by name or name -> weight; see ``polyfuse list lessons``.
        weight: of all lessons together, beside the loss of the targets.
        temperature: of the lesson ``logits``.
        views: the model speaks ``once``, of rows as they are, or of ``each`` batch as the student sees it, augmented;
            ``auto`` takes that where both read the same cells and these are augmented.
        epochs: of the student; as its recipe says by default.
        settings: ``FIELD=VALUE`` of the student's recipe, or several.
    """

    paper = "Hinton et al., Distilling the Knowledge in a Neural Network, 2015"
    strengths: Sequence[Mapping[str, Any]] = tuple({"width": width} for width in (0.75, 0.5, 0.375, 0.25, 0.125))

    def __init__(
        self,
        *,
        student: str | Path | Mapping[str, Any] | Recipe | None = None,
        inputs: str | Sequence[str] = (),
        width: float = 0.5,
        depth: float = 1.0,
        lessons: str | Sequence[str] | Mapping[str, float] = "logits",
        weight: float = 1.0,
        temperature: float = 2.0,
        views: str = "auto",
        epochs: float | None = None,
        settings: str | Sequence[str] = (),
    ):
        self.student, self.inputs, self.width, self.depth = student, _listed(inputs), width, depth
        named = lessons if isinstance(lessons, Mapping) else dict.fromkeys(_listed(lessons), 1.0)
        self.lessons = {name: weight * float(own) for name, own in named.items()}
        if not self.lessons or weight < 0:
            raise ValueError(f"distill: expected lessons and a weight of 0 or more, found {list(named)} and {weight}")
        for name in self.lessons:
            registry.lesson(name)
        if views not in VIEWS:
            raise ValueError(f"distill: views: expected one of {', '.join(VIEWS)}, found {views!r}")
        if temperature <= 0:
            raise ValueError(f"distill: temperature: expected a number above 0, found {temperature}")
        self.temperature, self.views = temperature, views
        self.settings = [settings] if isinstance(settings, str) else list(settings)
        self.settings += [f"training.epochs={epochs}"] if epochs is not None else []

    def recipe(self, teacher: Recipe) -> Recipe:
        """The student's recipe, still to be resolved."""
        made = student_of(teacher, self.student, inputs=self.inputs, width=self.width, depth=self.depth)
        return apply_settings(made, self.settings) if self.settings else made

    def compress(self, bundle: Bundle, study: Study) -> tuple[Bundle, str]:
        """The student, and what was done in words."""
        lessons = Lessons(study, self.lessons, {"logits": {"temperature": self.temperature}}, self.views)
        device = device_of(bundle.network)
        fitted = fit(
            self.recipe(bundle.recipe),
            study.table,
            splits=study.splits,
            quiet=study.quiet,
            device=device,
            teaching=lessons,
        )
        said = ", ".join(f"{name} {weight:g}" for name, weight in self.lessons.items())
        names = ", ".join(fitted.bundle.recipe.inputs)
        return fitted.bundle, f"a student reading {names}, {fitted.result.steps:,} steps, taught by {said}"


def _listed(names: str | Sequence[str]) -> list[str]:
    """Names from one text with commas, or several."""
    found = [names] if isinstance(names, str) else list(names)
    return [name.strip() for text in found for name in text.split(",") if name.strip()]
