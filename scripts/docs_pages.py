"""Pages of the documentation site that are made from the code: names, recipe fields, parts, commands; a hook of mkdocs.

``make docs`` builds the site into ``build/site``. What stands in the READMEs, the changelog and the benchmarks is shown
as it is, with its links turned to the site's pages.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polyfuse
from polyfuse import registry
from polyfuse.recipe import Recipe

ROOT = Path(__file__).resolve().parent.parent
KINDS = ("encoders", "fusions", "heads", "objectives", "learners", "compressors", "lessons")
RESULTS = {  # what the verbs give back
    "polyfuse.api.Inspection": "What `inspect` gives.",
    "polyfuse.evaluation.report.Report": "What `Model.evaluate` and `demo` give.",
    "polyfuse.evaluation.robustness_report.RobustnessReport": "What `Model.robustness` gives.",
    "polyfuse.evaluation.summary.Summary": "What `Model.summary` gives.",
    "polyfuse.compress.findings.Compression": "What `Model.compress` gives.",
    "polyfuse.comparison.findings.Comparison": "What `compare` gives.",
    "polyfuse.data.tables.Table": "What `read_table` gives.",
    "polyfuse.registry.Listing": "What `parts` gives.",
    "polyfuse.sklearn.PolyfuseClassifier": "For scikit-learn's tools.",
    "polyfuse.sklearn.PolyfuseRegressor": "For scikit-learn's tools.",
}
FIELDS = (  # of a pydantic model, which has no signature in its source; reference/recipe.md says more of each
    "    options: {docstring_options: {warn_unknown_params: false}}",
)
SHOWN = {  # files outside docs/ -> their place on the site
    "README.md": "index.md",
    "README.zh.md": "index.zh.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/foundation.md": "benchmarks/foundation.md",
    "benchmarks/defaults.md": "benchmarks/defaults.md",
    "benchmarks/fusion.md": "benchmarks/fusion.md",
}
SECTION = re.compile(r"^(Args|Raises|Returns|Shapes|Example|Attributes|See also|Source|Yields):", re.M)
ARGUMENT = re.compile(r"^    (\w+(?:, \w+)*): (.*(?:\n {8,}.*)*)", re.M)


# --- names ------------------------------------------------------------------------------------------------------------


def names_page() -> str:
    """Every public name, then the records that the verbs give back; mkdocstrings fills in the docstrings."""
    lines = ["# Python", "", "`import polyfuse as pf`; the names are resolved when first used.", ""]
    for name in polyfuse.__all__:
        lines += [f"## {name}", "", f"::: polyfuse.{name}", *(FIELDS if name == "Recipe" else ()), ""]
    lines += ["# What they give back", ""]
    for path, said in RESULTS.items():
        lines += [f"## {path.rpartition('.')[2]}", "", said, "", f"::: {path}", ""]
    return "\n".join(lines)


# --- recipe -----------------------------------------------------------------------------------------------------------


def recipe_page() -> str:
    """A table of fields for every section of a recipe: what may stand there, what stands there by default, and why."""
    schema = Recipe.model_json_schema()
    lines = [
        "# Recipe fields",
        "",
        "A recipe is YAML, a dict of `settings=`, or `--set FIELD=VALUE`; an unknown field is refused. The "
        "[tutorial](../tutorial.md) shows whole recipes.",
        "",
    ]
    for name, section in [("Recipe", schema), *schema["$defs"].items()]:
        summary, described = documented(section.get("description", ""))
        lines += [
            f"## {heading(name)}",
            "",
            summary,
            "",
            "| field | value | default | what it is |",
            "|---|---|---|---|",
        ]
        for field, known in section["properties"].items():
            default = "needed" if field in section.get("required", ()) else standing(known.get("default"))
            lines.append(f"| `{field}` | {values(known)} | {default} | {in_cell(described.get(field, ''))} |")
        if section.get("additionalProperties") is True:
            lines += ["", "Further fields are the keywords of the part; see [parts](parts.md)."]
        lines.append("")
    return "\n".join(lines)


def heading(section: str) -> str:
    """``TrainingRecipe`` -> ``Training``; links within the page go by it."""
    return "Recipe" if section == "Recipe" else section.removesuffix("Recipe").replace("NamedPart", "Part")


def values(known: dict[str, Any]) -> str:
    """What a field may hold, from its JSON schema, in words."""
    if "anyOf" in known:
        return " or ".join(dict.fromkeys(values(one) for one in known["anyOf"]))
    if "$ref" in known:
        name = heading(known["$ref"].rpartition("/")[2])
        return f"[{name}](#{name.lower()})"
    if "const" in known:
        return f"`{known['const']}`"
    if "enum" in known:
        return ", ".join(f"`{one}`" for one in known["enum"])
    if "items" in known:
        return f"list of {values(known['items'])}"
    if "prefixItems" in known:
        return ", ".join(values(one) for one in known["prefixItems"])
    kind = known.get("type")
    if kind == "object":
        inner = known.get("additionalProperties")
        return f"name -> {values(inner)}" if isinstance(inner, dict) else "keywords"
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true, false", "null": "none"}
    marks = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    return " ".join([words[str(kind)], *(f"{word} {known[mark]}" for mark, word in marks.items() if mark in known)])


def standing(value: Any) -> str:
    """A default as YAML has it."""
    if isinstance(value, dict):
        return f"`{value['name']}`" if set(value) == {"name"} else "its defaults" if value else "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return "none" if value in (None, []) else f"`{', '.join(map(str, value)) if isinstance(value, list) else value}`"


# --- parts ------------------------------------------------------------------------------------------------------------


def parts_page() -> str:
    """Every registered part with its keywords, read from its source as ``polyfuse list`` does, none imported."""
    lines = ["# Parts", "", "Each is named in a recipe, with keywords beside its name: `{name: resnet, depth: 3}`.", ""]
    for kind in KINDS:
        lines += [f"## {kind.capitalize()}", ""]
        for row in registry.listings(kind):
            lines += [f"### {row.name}", "", *part(kind, row), ""]
    lines += [
        "## Transforms",
        "",
        "What an encoder asks for in `wants`, and what cells become; nothing of it is named in a recipe.",
        "",
    ]
    lines += [f"- `{name}`: {summary(class_of(target))}" for name, target in registry.TRANSFORMS.items()]
    return "\n".join([*lines, ""])


def part(kind: str, row: registry.Listing) -> Iterator[str]:
    """Summary, paper and keywords of a part."""
    yield row.summary
    if row.paper:
        yield f"\n*{row.paper}*"
    if kind == "fusions" and row.name in registry.FUSION_ALIASES:
        return
    node = class_of(target_of(kind, row.name))
    _, described = documented(ast.get_docstring(node) or "")
    keywords = list(keywords_of(node))
    if keywords:
        yield "\n| keyword | default | what it is |\n|---|---|---|"
        yield from (f"| `{name}` | `{default}` | {in_cell(described.get(name, ''))} |" for name, default in keywords)


def target_of(kind: str, name: str) -> str:
    """``package.module:Class`` of a part as it is listed."""
    if kind == "encoders":
        modality, _, own = name.partition(":")
        return registry.ENCODERS[modality][own]
    tables = {
        "fusions": registry.FUSIONS,
        "heads": registry.HEADS,
        "objectives": registry.OBJECTIVES,
        "learners": registry.LEARNERS,
        "compressors": registry.COMPRESSORS,
        "lessons": registry.LESSONS,
    }
    return tables[kind][name]


def class_of(target: str) -> ast.ClassDef:
    module, name = target.split(":")
    spec = find_spec(module)
    assert spec, target
    assert spec.origin, target
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf8"))
    return next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)


def keywords_of(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """Keywords a recipe may give: those of ``wants`` where there is one, else the constructor's."""
    methods = {one.name: one for one in node.body if isinstance(one, ast.FunctionDef)}
    method = methods.get("wants") or methods.get("__init__")
    if method is None:
        return
    for argument, default in zip(method.args.kwonlyargs, method.args.kw_defaults, strict=True):
        if default is not None:
            yield argument.arg, ast.unparse(default)


def summary(node: ast.ClassDef) -> str:
    return (ast.get_docstring(node) or "").partition("\n")[0]


# --- commands ---------------------------------------------------------------------------------------------------------


def commands_page() -> str:
    """The help of every verb."""
    import typer

    from polyfuse.cli import app

    group: Any = typer.main.get_command(app)
    lines = ["# Command line", "", f"{group.help}", ""]
    with group.make_context("polyfuse", [], resilient_parsing=True, max_content_width=110, terminal_width=110) as above:
        for name in group.list_commands(above):
            verb = group.get_command(above, name)
            with verb.make_context(name, [], parent=above, resilient_parsing=True) as context:
                lines += [f"## {name}", "", "```text", verb.get_help(context).strip(), "```", ""]
    return "\n".join(lines)


# --- docstrings -------------------------------------------------------------------------------------------------------


def documented(docstring: str) -> tuple[str, dict[str, str]]:
    """What a docstring says before its sections, and of each of its arguments."""
    docstring = inspect.cleandoc(docstring)
    found = SECTION.search(docstring)
    before = docstring[: found.start()] if found else docstring
    described = {}
    arguments = docstring.partition("Args:\n")[2]
    end = SECTION.search(arguments)
    for names, text in ARGUMENT.findall(arguments[: end.start()] if end else arguments):
        described |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    return before.strip(), described


def in_cell(text: str) -> str:
    """Text for a cell of a Markdown table."""
    return text.replace("|", "\\|")


# --- the site ---------------------------------------------------------------------------------------------------------

PAGES: dict[str, Callable[[], str]] = {
    "reference/python.md": names_page,
    "reference/recipe.md": recipe_page,
    "reference/parts.md": parts_page,
    "reference/commands.md": commands_page,
}


def shown(source: str) -> str:
    """A file from outside ``docs/`` with its links to other files turned to their pages, relative to its own."""
    place, text = SHOWN[source], (ROOT / source).read_text(encoding="utf8")
    up = "../" * place.count("/")
    for other, page in [*SHOWN.items(), *((f"docs/{p.relative_to(ROOT / 'docs').as_posix()}",) * 2 for p in docs())]:
        text = text.replace(f"]({other})", f"]({up}{page.removeprefix('docs/')})")
    return text


def docs() -> list[Path]:
    return [path for path in (ROOT / "docs").rglob("*") if path.is_file()]


def on_files(files: Any, config: Any) -> Any:
    """Hook of mkdocs: adds the pages that are made."""
    from mkdocs.structure.files import File

    made = {place: page() for place, page in PAGES.items()} | {place: shown(source) for source, place in SHOWN.items()}
    for place, content in made.items():
        files.append(File.generated(config, place, content=content))
    return files
