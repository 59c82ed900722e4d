"""Images by their addresses on the web, downloaded once; what is no image there is left to the reader of streams."""

from __future__ import annotations

import base64
import time
import urllib.error
import urllib.request
from pathlib import PurePosixPath
from typing import IO, Any
from urllib.parse import quote, unquote, urlsplit

from centernet.images import IMAGE_SUFFIXES, ImageError
from centernet.remote import LARGEST, is_address, without_password

TIMEOUT = 10.0
"""Seconds after which a server that does not answer is given up."""

LONGEST = 60.0
"""Seconds that a download may take."""

REDIRECTS = 5
"""Further addresses that a server may send one to."""

_UNSTATED = ("application/octet-stream", "binary/octet-stream")


def is_on_the_web(text: Any) -> bool:
    """Return True for an address from which an image may be downloaded."""
    return is_address(text) and urlsplit(text).scheme.lower() in ("http", "https")


def image_name(address: str) -> str:
    """Return the name of the file that an address ends with."""
    return PurePosixPath(unquote(urlsplit(address).path)).name or "image"


def download_image(address: str) -> bytes | None:
    """Return the file of an image; None where there is something else, that may be a stream.

    It is an image if its Content-Type says so, or says nothing and the name has the suffix of one. Only http and https
    are followed, up to `REDIRECTS` times.

    Raises:
        ImageError: there is a page, or no such image; it is larger than `LARGEST`, or takes longer than `LONGEST`.
    """
    shown = without_password(address)
    has_suffix = PurePosixPath(urlsplit(address).path).suffix.lower() in IMAGE_SUFFIXES
    try:
        with urllib.request.build_opener(_Redirects).open(_request(address), timeout=TIMEOUT) as answer:
            kind = str(answer.headers.get_content_type()) if answer.headers.get("Content-Type") else _UNSTATED[0]
            if kind.startswith("image/") or (kind in _UNSTATED and has_suffix):
                return _content(answer, shown)
    except urllib.error.HTTPError as error:
        error.close()
        if not has_suffix:
            return None
        raise ImageError(f"{shown}: the server answers {error.code} ({error.reason}); check the address") from error
    except (OSError, ValueError) as error:  # no such server, no answer, no address
        if isinstance(error, ImageError):
            raise
        if not has_suffix:
            return None
        reason = getattr(error, "reason", error)
        raise ImageError(f"{shown}: cannot be downloaded ({reason}); check address and network") from error
    if kind in ("text/html", "application/xhtml+xml"):
        raise ImageError(f"{shown}: is a page ({kind}), no image or stream; give the address of the image itself")
    return None


def _request(address: str) -> urllib.request.Request:
    """Make the request, with user and password as HTTP sends them: to this server alone, not to where it redirects."""
    parts = urlsplit(address)
    user, _, host = parts.netloc.rpartition("@")
    plain = parts._replace(netloc=host, path=quote(parts.path, safe="/%:+,;=@!$&'()*~"), fragment="").geturl()
    request = urllib.request.Request(plain, headers={"User-Agent": "centernet", "Accept": "image/*, */*;q=0.5"})
    if user:
        secret = base64.b64encode(unquote(user).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {secret}")
    return request


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = REDIRECTS

    def redirect_request(
        self, request: urllib.request.Request, file: IO[bytes], code: int, text: str, headers: Any, address: str
    ) -> urllib.request.Request | None:
        if not is_on_the_web(address):
            file.close()
            raise ValueError(f"the server sends one to {without_password(address)}, which is not on the web")
        return super().redirect_request(request, file, code, text, headers, address)


def _content(answer: Any, shown: str) -> bytes:
    """Read an answer within the limits of size and time."""
    stated, end = answer.headers.get("Content-Length", ""), time.monotonic() + LONGEST
    content = bytearray()
    while int(stated or 0) <= LARGEST and (part := answer.read1(1 << 20)):
        content += part
        if len(content) > LARGEST:
            break
        if time.monotonic() > end:
            raise ImageError(
                f"{shown}: the download takes longer than {LONGEST:.0f} s; save the file, and give its path"
            )
    if max(len(content), int(stated or 0)) > LARGEST:
        raise ImageError(f"{shown}: larger than {LARGEST // 10**6} MB; save the file, and give its path")
    if stated and len(content) < int(stated):
        raise ImageError(f"{shown}: the download was cut off after {len(content)} of {stated} bytes; try again")
    return bytes(content)
