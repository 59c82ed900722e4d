"""Limits of what one client may ask of a server, and the door that requests come in by."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from fastapi import HTTPException, Request
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

RETRY, CLOSE = {"Retry-After": "1"}, {"Connection": "close"}

DRAINED = 64_000_000
"""Bytes beyond the limit that are read and thrown away: a client that still sends hears of no answer."""

DRAIN_RATE = 20e6
"""Bytes a second of each client that are thrown away, which leaves the processor to others."""


@dataclass(frozen=True)
class Limits:
    """The limits of a server.

    Attributes:
        bytes: of one request.
        images: of one request.
        seconds: within which a request has to be there, and within which its turn has to come.
        requests: at work or waiting at once; more are told to come again.

    Raises:
        ValueError: a limit that lets nothing in.
    """

    bytes: int = 20_000_000
    images: int = 16
    seconds: float = 30.0
    requests: int = 128

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"{name}: expected more than 0, got {value}")


class Upload(dict):  # type: ignore[type-arg] # what processes hand to each other is plain
    """A request as it goes to a worker: `images` [(name, bytes)], `accept`, `score_threshold`."""


class Door:
    """Takes requests in as long as there is room, and reads no more of them than the limits allow."""

    def __init__(self, limits: Limits, api_key: str | None = None) -> None:
        self.limits, self.api_key = limits, api_key
        self.inside = 0

    async def __call__(self, request: Request, score_threshold: float | None = None) -> AsyncIterator[Upload]:
        """Yield what a worker needs of a request; an HTTPException says what is wrong with it."""
        problem = self._refusal(request, score_threshold)
        if problem is not None:
            with suppress(ClientDisconnect, HTTPException):  # it hears when it has sent all
                await self._body(request, 0)
            raise problem
        self.inside += 1
        try:
            try:
                body = await self._body(request, self.limits.bytes)
            except ClientDisconnect:
                raise HTTPException(400, "the client went away before the request was there") from None
            images = await self._images(request.headers, body)
            accept = request.headers.get("accept", "")
            yield Upload(images=images, accept=accept, score_threshold=score_threshold)
        finally:
            self.inside -= 1

    def _refusal(self, request: Request, score_threshold: float | None) -> HTTPException | None:
        """Return what is wrong with the head of a request, or with its time."""
        key = request.headers.get("x-api-key", "")
        if self.api_key is not None and not secrets.compare_digest(key.encode("latin-1"), self.api_key.encode()):
            return HTTPException(401, "give the key of this server in the header X-API-Key")
        if score_threshold is not None and not 0 <= score_threshold <= 1:
            return HTTPException(422, f"score_threshold: expected 0..1, got {score_threshold}")
        if self.inside >= self.limits.requests:
            return HTTPException(503, f"{self.inside} requests are waiting already; try again", headers=RETRY)
        return None

    async def _body(self, request: Request, most: int) -> bytes:
        """Return the body of a request; what is beyond `most` bytes is read, up to a point, and thrown away."""
        body, length = bytearray(), 0

        async def receive() -> None:
            nonlocal length
            async for chunk in request.stream():
                length += len(chunk)
                if length <= most:
                    body.extend(chunk)
                elif length > most + DRAINED:
                    break
                else:
                    await asyncio.sleep(len(chunk) / DRAIN_RATE)

        late = False
        try:
            await asyncio.wait_for(receive(), self.limits.seconds)
        except asyncio.TimeoutError:
            late = True
        if length > most:
            raise HTTPException(413, f"a request may have {most} bytes, this one has more", headers=CLOSE)
        if late:
            raise HTTPException(408, f"the request was not there within {self.limits.seconds:g} s", headers=CLOSE)
        return bytes(body)

    async def _images(self, headers: Mapping[str, str], body: bytes) -> list[tuple[str, bytes]]:
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            images = await self._parts(headers, body)
        elif kind in ("application/json", "application/x-www-form-urlencoded", "text/plain", "text/html"):
            text = "expected an image as the body (Content-Type: image/jpeg …), or files in multipart/form-data"
            raise HTTPException(415, f"{text}; got {kind}")
        else:
            images = [("", body)]
        if not images or not all(data for _, data in images):
            raise HTTPException(400, "the request has no image, or an empty one (0 bytes)")
        return images

    async def _parts(self, headers: Mapping[str, str], body: bytes) -> list[tuple[str, bytes]]:
        async def stream() -> AsyncIterator[bytes]:
            yield body

        most = self.limits.images
        parser = MultiPartParser(headers, stream(), max_files=most, max_fields=0)  # type: ignore[arg-type]
        try:
            form = await parser.parse()
        except (MultiPartException, ValueError, KeyError) as error:
            said = getattr(error, "message", error)
            text = f"no files in multipart/form-data, up to {most} of them and no other fields ({said})"
            raise HTTPException(400, text) from None
        images = []
        for _, file in form.multi_items():
            if isinstance(file, str):
                raise HTTPException(400, "expected files in multipart/form-data, got a text field")
            images.append((file.filename or "", await file.read()))
        await form.close()
        return images
