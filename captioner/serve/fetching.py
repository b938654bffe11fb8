"""Pictures from web addresses, fetched for the page: public addresses, and pictures alone."""

import asyncio
import ipaddress

from captioner.data.web import fetch
from captioner.serve.inference import InferenceService
from captioner.serve.limits import Limits, Refusal


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on this address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class PictureFetcher:
    """Fetches pictures, a few at a time.

    What is no picture is refused, so that nothing else of the web is passed on.
    """

    def __init__(self, service: InferenceService, limits: Limits) -> None:
        self.service = service
        self.limits = limits
        self.fetching = 0

    async def fetch(self, address: str) -> bytes:
        """The picture at a public http(s) address, as it is there.

        Raises CaptionerError where there is none or it cannot be fetched, and Refusal where it is
        too large or too many are being fetched.
        """
        if not address.startswith(("http://", "https://")):
            raise Refusal(400, f"{address}: expected an address that starts with https://")
        if self.fetching >= self.limits.fetches:
            raise Refusal(429, "too many pictures are being fetched; try again in a moment")
        self.fetching += 1
        try:
            content = await asyncio.to_thread(
                fetch,
                address,
                max_bytes=self.limits.upload_bytes,
                seconds=self.limits.fetch_seconds,
                public_only=True,
            )
            await self.service.prepare(content, preview=False)
            return content
        finally:
            self.fetching -= 1
