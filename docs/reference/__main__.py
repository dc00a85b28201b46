"""Makes the regions of docs/sdk.md and docs/command.md anew: `python -m docs.reference`, in the checkout's root."""

from docs.reference.writing import PAGES

for page in PAGES:
    page.path.write_text(page.make(), encoding="utf-8")
