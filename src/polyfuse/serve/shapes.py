"""What the routes take and give, for the page of the API and for the checks of what stands around the rows."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from polyfuse.serve.problems import Problem

Row = Annotated[
    dict[str, Any],
    Field(
        description="Column -> cell. A text, number, category or date as JSON has it; a picture or sound as base64, as "
        'a data URI, as {"base64": "..."}, or in a form as {"file": "PART"}; null or nothing for a missing cell.'
    ),
]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    model: str | None = Field(
        None, description="Name of the model; may be left out where there is one.", max_length=200
    )


class Rows(_Asked):
    """One row or several."""

    row: Row | None = Field(None, description="One row.")
    rows: list[Row] | None = Field(None, description="Several rows.")


class PredictAsked(Rows):
    """Rows to be answered."""

    without: list[str] = Field([], description="Inputs that count as missing in every row.", max_length=100)


class ExplainAsked(Rows):
    """Rows whose answers are to be explained."""

    output: str | None = Field(None, description="The output to explain; all that have scores by default.")


class GenerateAsked(_Asked):
    """A row about which a text is to be written."""

    row: Row
    output: str | None = Field(None, description="The output that writes; may be left out where there is one.")
    stream: bool = Field(True, description="Whether the text comes piece by piece, as server-sent events.")


class EmbedAsked(_Asked):
    """What is to be embedded, as OpenAI's clients ask, and of which modality it is."""

    input: Any = Field(description="A text or a file in base64, a row (column -> cell), or a list of such.")
    modality: str | None = Field(
        None, description="Name or modality of an input. Texts go to the first that reads texts; rows to all together."
    )
    encoding_format: Literal["float", "base64"] = Field("float", description="base64: float32, little-endian.")
    dimensions: int | None = Field(None, description="Vectors have one length: only that is taken.")
    user: str | None = Field(None, description="Ignored and not logged.")


class AnswerShape(BaseModel):
    """What a model says of a row and output."""

    value: Any = Field(description='The label, labels, number or text; a picture or sound as {"type", "base64"}.')
    confidence: float | None = None
    probabilities: dict[str, float] | None = None


class PredictGiven(BaseModel):
    """Answers, in the order of the rows."""

    model: str
    answers: list[dict[str, AnswerShape]] = Field(description="Per row, output -> answer.")
    warnings: list[str] = Field(description="What is to be said of cells, such as values that training never saw.")


class Contribution(BaseModel):
    """How much each input did for an answer: together with ``base``, the contributions are ``score``."""

    target: Any = Field(description="The label whose probability is explained; null for a number.")
    score: float = Field(description="With all inputs of the row.")
    base: float = Field(description="Without any.")
    contributions: dict[str, float] = Field(description="Input -> Shapley value; 0 where the row misses it.")


class ExplainGiven(BaseModel):
    """Explanations, in the order of the rows."""

    model: str
    explanations: list[dict[str, Contribution]]
    warnings: list[str]


class GenerateGiven(BaseModel):
    """A text that is whole."""

    model: str
    output: str
    text: str


class Embedding(BaseModel):
    """A vector."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbedGiven(BaseModel):
    """Vectors, as OpenAI's clients read them."""

    object: Literal["list"] = "list"
    model: str
    data: list[Embedding]
    usage: dict[str, int] = Field(description="Both numbers count what was embedded, which have no tokens in common.")


class ErrorShape(BaseModel):
    """Why there is no answer."""

    message: str
    type: str
    param: str | None = Field(description="The field that is to blame, such as rows[0].image.")
    code: int


class ErrorGiven(BaseModel):
    """What every status from 400 on holds."""

    error: ErrorShape


Asked = TypeVar("Asked", bound=BaseModel)


def checked(shape: type[Asked], asked: dict[str, Any]) -> Asked:
    """What stands around the rows, as its shape says.

    Raises:
        Problem: the first thing that is wrong, with its field.
    """
    try:
        return shape.model_validate(asked)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = "".join(f"[{at}]" if isinstance(at, int) else f".{at}" for at in first["loc"]).lstrip(".")[:100]
        raise Problem(422, f"{field or 'body'}: {first['msg']}", field or None) from None
