"""What works beside the requests, and has something to end when the server stops."""

import asyncio
from dataclasses import dataclass
from typing import Self

from beedex.server.calls.traffic import TrafficWatch
from beedex.server.config import ServerConfig
from beedex.server.photofiles import PhotoFiles
from beedex.server.upkeep.builds import Builds
from beedex.server.upkeep.following import Follower

__all__ = ["Background"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Background:
    """What works beside the requests.

    Attributes:
        follower: serves the index as it becomes.
        photos: shows photos.
        builds: brings the index up to date.
    """

    follower: Follower
    photos: PhotoFiles
    builds: Builds

    @classmethod
    def open(cls, config: ServerConfig, follower: Follower, traffic: TrafficWatch) -> Self:
        """Make all of it; nothing works yet."""
        return cls(follower=follower, photos=PhotoFiles(config), builds=Builds(config, follower, traffic))

    async def close(self) -> None:
        """Wait for what is under way; no request may be."""
        await self.builds.close()
        await asyncio.to_thread(self.photos.close)
        await self.follower.close()
