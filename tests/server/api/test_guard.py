"""What vLLM is never asked for, and what is none of the guard's business."""

from __future__ import annotations

import copy
import json
from argparse import Namespace
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.entrypoints.openai.completion.protocol import CompletionRequest
from vllm.entrypoints.openai.responses.protocol import ResponsesRequest
from vllm.entrypoints.openai.responses.utils import construct_input_messages
from vllm.exceptions import VLLMClientError

from server.api.guard import Allowed, Guard, RefusedBodyError
from server.limits.limits import Limits

GUARD = Guard(Limits(max_n=8, max_tokens=100, max_logprobs=20, max_prompts=4), Allowed(500))
DEEP: dict[str, Any] = {}
for _ in range(20_000):
    DEEP = {"properties": DEEP}


def content(**part: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [part]}]}


def schema(**inside: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": {"items": [inside]}}}


REMOTE = {"$ref": "http://example.org/schema"}

REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("n", {"n": 9}),
    ("n", {"n": 16_384}),
    ("n", {"n": "2"}),
    ("n", {"n": 2.5}),
    ("n", {"n": True}),
    ("n", {"n": [1]}),
    ("n", {"n": float("inf")}),
    ("n", {"n": float("nan")}),
    ("best_of", {"best_of": 9}),
    ("n", {"sampling_params": {"n": 9}}),
    ("max_tokens", {"max_tokens": 101}),
    ("max_tokens", {"max_tokens": 10**30}),
    ("max_completion_tokens", {"max_completion_tokens": 101}),
    ("max_output_tokens", {"max_output_tokens": 101}),
    ("min_tokens", {"min_tokens": 101}),
    ("max_tokens", {"sampling_params": {"max_tokens": 101}}),
    ("logprobs", {"logprobs": 21}),
    ("logprobs", {"logprobs": -1}),
    ("top_logprobs", {"logprobs": True, "top_logprobs": 21}),
    ("prompt_logprobs", {"prompt_logprobs": -1}),
    ("logprobs", {"sampling_params": {"logprobs": 1000}}),
    ("chat_template", {"chat_template": "{{ messages }}"}),
    ("chat_template", {"chat_template": ""}),
    ("chat_template", {"chat_template_kwargs": {"chat_template": "x"}}),
    ("prompt_embeds", {"prompt_embeds": "AAAA"}),
    ("prompt_embeds", {"prompt_embeds": ["AAAA"]}),
    ("features", {"features": {"kwargs_data": "AAAA"}}),
    ("messages", content(type="image_embeds", image_embeds="AAAA")),
    ("messages", content(type="prompt_embeds", prompt_embeds={})),
    ("kv_transfer_params", {"kv_transfer_params": {"remote_host": "10.0.0.1"}}),
    ("ec_transfer_params", {"ec_transfer_params": {}}),
    ("vllm_xargs", {"vllm_xargs": {"concordance": "x"}}),
    ("vllm_xargs", {"vllm_xargs": {"Concordance_seat": 1}}),
    ("vllm_xargs", {"sampling_params": {"extra_args": {"concordance": {}}}}),
    ("prompt", {"prompt": [1, 500]}),
    ("prompt", {"prompt": [-1]}),
    ("prompt", {"prompt": [[1], [2, 10**9]]}),
    ("prompt", {"prompt": [1, float("nan"), float("inf")]}),
    ("token_ids", {"token_ids": [500]}),
    ("token_ids", {"token_ids": ["500"]}),
    ("tokens", {"tokens": [1, 2, 999]}),
    ("stop_token_ids", {"stop_token_ids": [500]}),
    ("stop_token_ids", {"stop_token_ids": ["500"]}),
    ("allowed_token_ids", {"allowed_token_ids": [0, 500]}),
    ("logprob_token_ids", {"logprob_token_ids": [-2]}),
    ("logit_bias", {"logit_bias": {"500": 1.0}}),
    ("logit_bias", {"logit_bias": {"-1": 1.0}}),
    ("allowed_token_ids", {"sampling_params": {"allowed_token_ids": [500]}}),
    ("prompt", {"prompt": ["a"] * 5}),
    ("prompt", {"prompt": [[1]] * 5}),
    ("messages", {"messages": [[{"role": "user", "content": "a"}]] * 5}),
    ("image_url", content(type="image_url", image_url={"url": "http://169.254.169.254/"})),
    ("image_url", content(type="image_url", image_url={"url": " HTTPS://example.org/x.png"})),
    ("image_url", content(type="image_url", image_url="file:///etc/passwd")),
    ("image_url", content(image_url="/etc/passwd")),
    ("audio_url", content(type="audio_url", audio_url={"url": "ftp://example.org/a"})),
    ("video_url", content(video_url="gopher://example.org")),
    ("url", content(type="image", source={"type": "url", "url": "http://example.org"})),
    (
        "url",
        content(
            type="tool_result",
            content=[{"type": "document", "source": {"type": "url", "url": "http://x"}}],
        ),
    ),
    ("image_url", {"input": [{"content": [{"type": "input_image", "image_url": "http://x"}]}]}),
    ("file_url", {"input": [{"content": [{"type": "input_file", "file_url": "http://x"}]}]}),
    (
        "image_url",
        {"input": [{"type": "function_call_output", "output": [{"image_url": "http://x"}]}]},
    ),
    ("response_format", {"response_format": {"json_schema": {"schema": schema(**REMOTE)}}}),
    ("structured_outputs", {"structured_outputs": {"json": json.dumps(schema(**REMOTE))}}),
    ("structured_outputs", {"structured_outputs": {"json": '{"\\u0024ref": "//x/y"}'}}),
    ("tools", {"tools": [{"function": {"parameters": schema(**{"$ref": "other.json#/a"})}}]}),
    ("text", {"text": {"format": {"schema": schema(**{"$dynamicRef": "http://x"})}}}),
    ("constraints", {"constraints": {"schema": schema(**REMOTE)}}),
    ("structured_outputs", {"structured_outputs": 5}),
    ("structured_outputs", {"structured_outputs": [{"regex": "a"}]}),
    ("tools", {"tools": [{}], "tool_choice": {"function": {"name": "a"}}}),
    ("tools", {"tools": [{"function": {}}], "tool_choice": {"function": {"name": "a"}}}),
    ("tools", {"tools": [7], "tool_choice": {"function": {"name": "a"}}}),
    ("input", {"input": [{"role": "assistant", "content": []}]}),
    ("input", {"input": [{"role": "assistant", "content": ["a"]}]}),
    ("input", {"input": [{"role": "assistant", "content": [{"type": "refusal"}]}]}),
    ("input", {"input": [{"type": "custom_tool_call", "call_id": "a"}]}),
]  # fmt: skip


@pytest.mark.parametrize(("param", "body"), REFUSED)
def test_what_may_not_be_asked_for_is_refused_by_its_field(
    param: str, body: dict[str, Any]
) -> None:
    with pytest.raises(RefusedBodyError) as refusal:
        GUARD.check(body)
    assert refusal.value.param == param
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        "text",
        None,
        {"n": None, "max_tokens": None, "logprobs": None, "chat_template": None},
        {"n": 8, "max_tokens": 100, "logprobs": True, "top_logprobs": 20},
        {"n": 2.0, "logprobs": False},
        {"messages": [{"role": "user", "content": "http://example.org/x.png {\"$ref\": \"x\"}"}]},
        content(type="text", text="file:///etc/passwd"),
        content(type="image_url", image_url={"url": "data:image/png;base64,AAAA"}),
        content(type="image_url", image_url={"url": "DATA:image/png;base64,AAAA"}),
        content(type="tool_use", input={"image_url": "http://example.org"}),
        content(type="image_url", image_url=None, uuid="abc"),
        {"prompt": [0, 499]},
        {"prompt": list(range(400))},
        {"prompt": ["a"] * 4},
        {"prompt": "1" * 9},
        {"prompt": ["999"]},
        {"prompt": []},
        {"logit_bias": {"499": 1, "odd": 2}},
        {"vllm_xargs": {"mine": 1, "a_concordance": 2}},
        {"chat_template_kwargs": {"enable_thinking": True}},
        {"response_format": {"schema": schema(**{"$ref": "#/$defs/a"})}},
        {"response_format": {"schema": {"properties": {"$ref": {"type": "string"}}}}},
        {"structured_outputs": {"regex": "^\\u0041$"}},
        {"structured_outputs": {"json": DEEP}},
    ],
)  # fmt: skip
def test_what_is_ordinary_passes(body: Any) -> None:
    GUARD.check(body)


def test_the_operator_s_own_options_allow_more() -> None:
    options = Namespace(
        trust_request_chat_template=True,
        enable_prompt_embeds=True,
        enable_mm_embeds=False,
        allowed_media_domains=["example.org"],
        allowed_local_media_path="/media",
        kv_transfer_config={"kv_connector": "x"},
    )
    guard = Guard(Limits(), Allowed.by(options, None))
    guard.check({"chat_template": "x", "prompt_embeds": "AAAA", "kv_transfer_params": {}})
    guard.check({"prompt": [10**9]})
    for address in ("https://example.org/x", "file:///media/x"):
        guard.check(content(type="image_url", image_url={"url": address}))
    with pytest.raises(RefusedBodyError):
        guard.check(content(type="image_url", image_url={"url": "ftp://example.org/x"}))


def test_web_addresses_do_not_allow_files() -> None:
    guard = Guard(Limits(), Allowed(web_media=True))
    with pytest.raises(RefusedBodyError):
        guard.check(content(image_url="file:///etc/passwd"))


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([param for param, _ in REFUSED]) | st.text(max_size=4), inner
        )
    ),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(anything)
def test_any_json_is_refused_or_passes_and_nothing_else(body: Any) -> None:
    with suppress(RefusedBodyError):
        GUARD.check(body)


ODD: list[Any] = [
    5, -1.5, True, "x", "", [], [1], ["a"], [[]], [{}], {}, {"a": 1}, {"function": 1},
    {"type": "json_schema", "json_schema": 5}, {"type": "structural_tag", "format": 5},
    [{"function": 1}], [{"function": {}}], [{"type": "function", "function": 5}],
    {"structural_tag": 5}, {"json": 1, "regex": 2}, {"function": {"name": "x"}},
    [{"role": 5}], [{"role": "user", "content": 5}], [{"role": "user", "content": [5]}],
    [{"role": "user", "tool_calls": 5}], [{"role": "assistant", "tool_calls": [{"function": 3}]}],
    [{"role": "system", "content": [{"type": 5}]}], [{"type": "custom_tool_call"}],
    *([{"role": "assistant", "type": "message", "id": "", "status": "completed", "content": said}]
      for said in ([], ["a"], [{"type": "refusal", "refusal": "no"}], "a", [{"type": "text"}],
                   [{"type": "output_text", "text": "a", "annotations": []}])),
    [{"role": "assistant", "content": ["a"]}], [{"role": "assistant", "content": [{"text": 5}]}],
    [{"type": "reasoning", "id": "", "summary": [], "content": []}],
    [{"type": "function_call_output"}], [{"type": "custom_tool_call_output"}], [{"type": 5}],
]  # fmt: skip
ORDINARY = [
    (ChatCompletionRequest, {"messages": [{"role": "user", "content": "a"}]}),
    (ChatCompletionRequest, {"messages": [], "tool_choice": {"function": {"name": "x"}}}),
    (CompletionRequest, {"prompt": "a"}),
    (ResponsesRequest, {"input": "a"}),
    (ResponsesRequest, {"input": "a", "tool_choice": {"type": "function", "name": "x"}}),
]
CLIENTS_FAULT = (ValueError, TypeError, OverflowError, VLLMClientError)
"""What vLLM answers with a 400."""


@pytest.mark.parametrize(("kind", "ordinary"), ORDINARY)
def test_what_passes_is_never_a_fault_of_the_server_s(
    kind: type[BaseModel], ordinary: dict[str, Any]
) -> None:
    for name in kind.model_fields:
        for value in ODD:
            body = copy.deepcopy({**ordinary, name: value})
            with suppress(RefusedBodyError, *CLIENTS_FAULT):
                GUARD.check(body)
                request = kind.model_validate(body)
                if isinstance(request, ResponsesRequest):
                    construct_input_messages(request_input=request.input)
