"""`POST /add_user`: an administrator makes a user, whose key is told once."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from server.api.errors import error_body
from server.keys.book import KeyBook
from server.keys.file import KeyFileError
from server.keys.key import USUAL, BadKeyError, Scope

router = APIRouter(tags=["users"])


class NewUser(BaseModel):
    """user: an existing one gets another key. scopes: what the key is for."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"user": "ann"}]})
    user: str = Field(min_length=1, max_length=64)
    scopes: list[Scope] = Field(default_factory=lambda: list(USUAL), max_length=8)


class UserReply(BaseModel):
    """user_api_key: told this once, and kept nowhere. key: its id, by which it is revoked."""

    user: str
    key: str
    user_api_key: str
    scopes: list[Scope]


def _book(request: Request) -> KeyBook:
    return cast(KeyBook, request.app.state.concordance_keys)


@router.post("/add_user", status_code=201, response_model=UserReply)
async def add_user(
    given: NewUser, book: Annotated[KeyBook, Depends(_book)]
) -> UserReply | JSONResponse:
    """Make a user, or another key for one."""
    try:
        key, secret = await book.create(given.user, given.scopes)
    except BadKeyError as error:
        return JSONResponse(error_body(400, "BadRequestError", str(error), "user"), 400)
    except KeyFileError as error:
        return JSONResponse(error_body(503, "keys_unavailable", str(error)), 503)
    return UserReply(user=key.user, key=key.id, user_api_key=secret, scopes=list(key.scopes))
