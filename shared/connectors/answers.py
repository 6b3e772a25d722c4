"""What connectors read out of answers: of another shape than the vendor's document says, they are bad answers."""

from __future__ import annotations

from shared.errors import BadAnswer
from shared.http_client import Reply
from shared.strict_json import Json, JsonObject, WrongShape, as_object, as_text


def object_of(system: str, reply: Reply) -> JsonObject:
    """The answer's body, which is an object; raises BadAnswer."""
    try:
        return as_object(reply.content, "the answer")
    except WrongShape as error:
        raise bad_answer(system, error) from None


def text_of(system: str, value: Json, place: str) -> str:
    """A value of the answer that is a text; raises BadAnswer."""
    try:
        return as_text(value, place)
    except WrongShape as error:
        raise bad_answer(system, error) from None


def bad_answer(system: str, error: WrongShape) -> BadAnswer:
    """The error for an answer of a shape that nobody has promised."""
    return BadAnswer(system, detail=f"{system}: {error}")
