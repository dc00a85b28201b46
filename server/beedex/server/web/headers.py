"""What every answer over HTTP says to browsers: run and show what comes from here, and tell nobody anything.

A page of elsewhere can't act in a visitor's name: tokens travel in a header that only this server's own page sets,
never in a cookie that browsers would add, and no answer allows another origin to read it. Where there are no tokens,
whatever browsers say comes from another site is refused.
"""

from types import MappingProxyType
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders

from beedex.server.errors import ForbiddenError

__all__ = ["REPORT_POLICY", "protect", "refuse_other_sites"]

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

# The trainer's report is one file with its script, styles and pictures in it. In a sandbox without an origin it reaches
# nothing of this server, whatever the bundle holds.
REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

PROTECTION = MappingProxyType(
    {
        "Content-Security-Policy": PAGE_POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), payment=(), usb=()",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
        "Cross-Origin-Resource-Policy": "same-origin",
        "X-Frame-Options": "DENY",
        # What isn't said to be kept is of one moment and of one caller.
        "Cache-Control": "no-store",
    }
)

OTHER_SITES = frozenset({"cross-site", "same-site"})


def protect(headers: MutableHeaders) -> None:
    """Add what is missing."""
    for name, value in PROTECTION.items():
        headers.setdefault(name, value)


def refuse_other_sites(headers: Headers) -> None:
    """Refuse what a browser asks for another site's page.

    Raises:
        ForbiddenError: it does.
    """
    site, origin = headers.get("sec-fetch-site", ""), headers.get("origin", "")
    is_other_origin = bool(origin) and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
    if is_other_origin or (site in OTHER_SITES and headers.get("sec-fetch-mode") != "navigate"):
        raise ForbiddenError(
            f"this server answers its own page and programs, expected no other site's page, received the origin "
            f"{origin or 'of another site'}; call it from a program, or open its own page",
            reason="OTHER_SITE",
            values={"origin": origin, "site": site},
        )
