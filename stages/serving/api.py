"""What openapi.json says of the paths."""

from typing import Any

from stages.serving import access, bodies, limits

SUMMARY = "Classifies texts, pairs of texts or pictures with a trained model."

_PREDICTION: dict[str, Any] = {
    "type": "object",
    "required": ["predicted", "rejected"],
    "properties": {
        "predicted": {
            "type": ["string", "array", "number", "null"],
            "items": {"type": "string"},
            "description": "the likeliest label, of ordered ones the median; of a model of several labels per row, a"
            " list; of a model of numbers, a number without confidence and probabilities",
        },
        "confidence": {
            "type": ["number", "null"],
            "description": "its probability; of several, the least sure decision's",
        },
        "probabilities": {"type": ["object", "null"], "additionalProperties": {"type": "number"}},
        "accepted": {"type": ["boolean", "null"], "description": "whether it is sure enough: predict.target_accuracy"},
        "unfamiliar": {"type": ["number", "null"], "description": "how unlike the training rows, as a percentile"},
        "prediction_set": {
            "type": ["array", "null"],
            "items": {"type": "string"},
            "description": "labels that hold the true one as often as predict.coverage says",
        },
        "low": {
            "type": ["number", "null"],
            "description": "low to high holds the true number as often as predict.coverage says; null: no end",
        },
        "high": {"type": ["number", "null"], "description": "see low"},
        "rejected": {"type": ["string", "null"], "description": "why the input cannot be classified, or null"},
    },
}
_ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
_INPUT = {
    "description": "A text; an object with a text for every input column; or a picture as base64 or a data URL.",
    "oneOf": [{"type": "string"}, {"type": "object"}, {"type": "number"}, {"type": "boolean"}, {"type": "null"}],
}
_INPUTS = {"oneOf": [{"type": "array", "items": _INPUT}, _INPUT]}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            bodies.JSON: {
                "schema": {
                    "type": "object",
                    "required": [bodies.KEY],
                    "additionalProperties": False,
                    "properties": {bodies.KEY: _INPUTS},
                }
            },
            bodies.FORM: {
                "schema": {
                    "description": "One file or field for every input; its name is the input column. The n-th ones of"
                    " all columns are the n-th input. Files of a single column may have any name.",
                    "type": "object",
                    "additionalProperties": {"type": "array", "items": {"type": "string", "format": "binary"}},
                }
            },
        },
    }
}
_PROBLEMS = {
    400: "the body ended too early",
    401: f"the key of {access.KEY_VARIABLE} is missing or wrong",
    403: "another host or another site",
    408: f"the body took more than {limits.MAX_SECONDS:g} seconds",
    413: "too many rows or bytes, or too long a text",
    415: "neither JSON nor a form",
    422: "not what the model reads",
    500: "the model or the server failed",
    503: "too many rows or bytes wait; Retry-After has the seconds to wait",
    504: f"the answer took more than {limits.MAX_SECONDS:g} seconds",
}


def _answers(schema: dict[str, Any], *problems: int, kind: str = bodies.JSON) -> dict[str, Any]:
    """Describe the answers of a path: what it gives, and these problems."""
    content = {kind: {"schema": schema}}
    return {
        "responses": {
            200: {"description": "The answer", "content": content},
            **{
                status: {"description": _PROBLEMS[status], "content": {bodies.JSON: {"schema": _ERROR}}}
                for status in problems
            },
        }
    }


PREDICT = _answers(
    {
        "type": "object",
        "required": ["predictions"],
        "properties": {"predictions": {"type": "array", "items": _PREDICTION}},
    },
    *_PROBLEMS,
) | {"openapi_extra": _BODY}
EXPLAIN = _answers(
    {
        **_PREDICTION,
        "properties": _PREDICTION["properties"]
        | {
            "explanation": {
                "type": ["object", "null"],
                "description": "output is the label's probability, empty that of an empty input; output is empty plus"
                " the share of every part, of words or of a box (left, top, right, bottom; 0 to 1)",
            },
            "nearest": {
                "type": ["array", "null"],
                "description": "the training rows most like it: input, source, label, similarity (cosine)",
                "items": {"type": "object"},
            },
        },
    },
    *_PROBLEMS,
) | {"openapi_extra": _BODY}
HEALTH = _answers({"type": "object"})
MODEL = _answers({"type": "object"}, 401, 403)
METRICS = _answers({"type": "string"}, 401, 403, kind="text/plain")
