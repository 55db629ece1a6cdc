"""Methods one after the other, each as it is asked for or as strong as a loss allows."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from polyfuse import registry
from polyfuse.compress.exported import Exported, over
from polyfuse.compress.parts import NothingToDo
from polyfuse.compress.study import Study
from polyfuse.contracts import Compressor
from polyfuse.evaluation import glossary
from polyfuse.evaluation.outcome import OutputReport
from polyfuse.model.bundle import Bundle

LAST = "quantize"  # what was rounded cannot learn any more

Say = Callable[[str], None]


@dataclass(frozen=True)
class Link:
    """One method of a chain.

    Args:
        name: as ``polyfuse list compressors`` shows it.
        keywords: its own, those that were given.
    """

    name: str
    keywords: Mapping[str, Any]

    def made(self, **more: Any) -> Compressor:
        """The method with its keywords, and more that were not given."""
        return registry.compressor(self.name)(**{**more, **self.keywords})

    @property
    def settings(self) -> list[Mapping[str, Any]]:
        """What a search may try, weakest first; one without any change where all of that was given."""
        strengths: list[Mapping[str, Any]] = list(registry.compressor(self.name).strengths)
        return [s for s in strengths if not set(s) & set(self.keywords)] or [{}]


def links(method: str, settings: Mapping[str, Mapping[str, Any]] | None = None) -> list[Link]:
    """The methods that ``distill+prune`` names, checked with their keywords before anything is read.

    Args:
        settings: method -> keywords; those under ``""`` go to every method that takes them.

    Raises:
        ValueError: no such method or keyword, a keyword that cannot be, settings of a method that the chain lacks, or
            one behind ``quantize``.
    """
    names, given = [name.strip() for name in method.split("+")], dict(settings or {})
    loose = dict(given.pop("", {}))
    takes = {name: _keywords(name) for name in names}
    for name in given:
        if name not in names:
            raise ValueError(f"settings of {name}: the chain is {method}, which has no {name}")
    for keyword in loose:
        if not any(keyword in known for known in takes.values()):
            known = ", ".join(f"{name}: {', '.join(own)}" for name, own in takes.items())
            raise ValueError(f"{method} has no setting {keyword!r}; {known}")
    if LAST in names[:-1]:
        raise ValueError(f"{method}: {LAST} comes last, as what was rounded learns no more")
    found = []
    for name in names:
        own = {k: v for k, v in loose.items() if k in takes[name]} | dict(given.get(name, {}))
        for keyword in own:
            registry.choose(dict.fromkeys(takes[name], ""), keyword, f"setting of {name}")
        link = Link(name, own)
        link.made()
        found.append(link)
    return found


def _keywords(name: str) -> list[str]:
    """The keywords of a method."""
    found = inspect.signature(registry.compressor(name)).parameters.values()
    return [p.name for p in found if p.kind is p.KEYWORD_ONLY]


def compressed(
    chain: list[Link], study: Study, *, max_drop: float | None = None, say: Say = lambda _: None
) -> tuple[Bundle | Exported, list[str]]:
    """The model after all methods, and what each did in words.

    Args:
        max_drop: what the headline metric of every output may lose on validation rows, in its own units, such as 0.01
            of an accuracy; of a metric without bounds, such as RMSE, as a share of its value. Each method then is as
            strong as its part of that allows: half after the first of two.
        say: told of every method as it ends.

    Raises:
        ValueError: ``max_drop`` without validation rows, or not even the weakest setting loses so little.
    """
    bundle: Any = study.bundle
    done = list[str]()
    reference = _reference(study, max_drop)
    for at, link in enumerate(chain, 1):
        if max_drop is None:
            bundle, said = link.made().compress(bundle, study)
        else:
            bundle, said = _strongest(link, bundle, study, reference, max_drop * at / len(chain), say)
        done.append(f"{link.name}: {said}")
        say(done[-1])
    return bundle, done


def _reference(study: Study, max_drop: float | None) -> dict[str, OutputReport]:
    """How good the model is on validation rows, where that is asked."""
    if max_drop is None:
        return {}
    if not 0 <= max_drop < 1:
        raise ValueError(f"max_drop: expected a number from 0 to below 1, found {max_drop}")
    rows = study.cells.split.val
    if not len(rows):
        raise ValueError("max_drop is measured on validation rows, and there are none; leave it out, or give some")
    return study.cells.judge(rows, bootstrap=0)


def _strongest(
    link: Link, bundle: Bundle, study: Study, reference: dict[str, OutputReport], allowed: float, say: Say
) -> tuple[Bundle | Exported, str]:
    """By halving: a stronger setting is taken to lose no less than a weaker one."""
    settings = link.settings
    low, high, best = 0, len(settings) - 1, None
    while low <= high:
        middle = (low + high) // 2
        try:
            made, said = link.made(**settings[middle]).compress(bundle, study)
        except NothingToDo:
            made, said = bundle, "leaves the model as it is"
        lost = drop(reference, over(made, study).judge(study.cells.split.val, bootstrap=0))
        words = glossary.format_settings(settings[middle]) or "as it is"
        say(f"{link.name}, {words}: loses {lost:.4f} of {allowed:.4f} on validation rows")
        if lost <= allowed:
            best, low = (made, f"{words}; {said}; loses {lost:.4f} on validation rows"), middle + 1
        else:
            high = middle - 1
    if best is None:
        raise ValueError(
            f"{link.name}: every setting loses more than {allowed:g} on validation rows; allow more (max_drop), train "
            "longer (epochs), or take another method"
        )
    return best


def drop(before: Mapping[str, OutputReport], after: Mapping[str, OutputReport]) -> float:
    """The most that any output's headline metric lost, in its units or, without bounds, as a share; below 0 a gain."""
    found = [0.0] if not before else []
    for name, one in before.items():
        metric = one.headline[0]
        old, new = one.metrics[metric], after[name].metrics[metric] if name in after else None
        if old is None or new is None:
            raise ValueError(f"output {name!r}: {metric} is undefined on validation rows, so that no loss can be told")
        words = glossary.term(metric)
        lost = old - new if words.higher else new - old
        found.append(lost if words.percent or words.higher else lost / max(abs(old), 1e-12))
    return max(found)
