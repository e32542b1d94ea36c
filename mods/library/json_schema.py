"""Have a JSON object written property by property, as a flow of questions.

    model="<base>/json_schema", response_format={"type": "json_schema", …}

    {"name": "Ada", "age": 36, "city": "Paris"}

The mod writes every key, in the schema's order, and asks the model for the values, each held to
its own schema. A schema that names no properties holds the answer as a whole. For requests that
bring none:

    from mods.library.json_schema import JsonSchema
    from mods.sdk import create_mod

    person = create_mod(JsonSchema({"properties": {"name": {"type": "string"}}}), reach=0)
"""

import json
from functools import lru_cache

from mods.sdk import ForwardPass, PerRequest, get_schemas, mod
from mods.sdk.constraints import InSequence, choice
from mods.sdk.constraints import json_schema as value_of
from mods.sdk.flow import FlowEngine, FlowQuestion, route_message

SCHEMA = {"properties": {"answer": {"type": "string", "maxLength": 200}}}
TIGHT = {"x-guidance": {"whitespace_flexible": False}}


@lru_cache(maxsize=64)
def flow_of(schema):
    """The flow that writes an object of this schema, given as JSON text."""
    whole = json.loads(schema)
    shared = {key: whole[key] for key in ("$defs", "definitions") if key in whole}
    properties = list(whole["properties"].items())
    following, end = route_message(""), "}"
    for number, (key, wanted) in reversed(list(enumerate(properties))):
        value = value_of({**wanted, **shared, **TIGHT}) if wanted is not True else value_of(TIGHT)
        # The space is the model's to write: most vocabularies join it to what follows.
        asked = f"{' ' if number else '{'}{json.dumps(key, ensure_ascii=False)}:"
        held = InSequence((choice([" "]), value, choice([end])))
        following, end = FlowQuestion(key, asked, held, completion_text="").then(following), ","
    return FlowEngine(entry_question=following)


class JsonSchema:
    """schema: for requests without one of their own."""

    def __init__(self, schema=SCHEMA):
        self.schema = schema
        self.wanted = PerRequest(lambda request_id: next(iter(get_schemas()), self.schema))

    def __call__(self, event, actions, tokenizer):
        schema = self.wanted[event.request_id]
        if schema.get("properties"):
            return flow_of(json.dumps(schema)).handle_event(event, actions, tokenizer)
        if isinstance(event, ForwardPass) and event.position == 0:
            return actions.constrain(json={**schema, **TIGHT}, until_complete=True)
        return actions.noop()


_default = JsonSchema()


@mod(reach=0)
def json_schema(event, actions, tokenizer):
    """Have a JSON object written property by property, each value held to its schema."""
    return _default(event, actions, tokenizer)
