"""Telling systemd how far a server is: a unit of Type=notify counts as started once requests are answered.

The protocol is sd_notify(3): a datagram of NAME=VALUE lines to the socket that $NOTIFY_SOCKET names.
"""

import logging
import os
import socket

__all__ = ["tell_supervisor"]

log = logging.getLogger(__name__)

SOCKET_VARIABLE = "NOTIFY_SOCKET"


def tell_supervisor(*news: str) -> None:
    """Send lines such as READY=1; nothing happens where nobody asked for them."""
    path = os.environ.get(SOCKET_VARIABLE, "")
    if not path:
        return
    # An @ stands for the zero byte of the sockets that are no files.
    address = f"\0{path[1:]}" if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.connect(address)
            sender.sendall("\n".join(news).encode())
    except OSError as error:
        # The server is as ready as it was; whoever waits for the news gives up by itself.
        log.warning("%s=%s can't be told of %s: %s", SOCKET_VARIABLE, path, news[0], error)
