"""The commands of the group ``beedex index``: build, look at, go back, and give room back."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from beedex.index.change_commands import add_change_commands

if TYPE_CHECKING:
    from beedex.index.manifest import SnapshotManifest
    from beedex.index.overview import SnapshotState
    from beedex.index.rebuild import BuildSummary

__all__ = ["app"]

# Skipped photos that are named on a terminal; --json names all.
SKIPPED_SHOWN = 20

app = typer.Typer()
index = typer.Typer(no_args_is_help=True, help="Build an index of labelled photos, look at it, and go back.")
app.add_typer(index, name="index")
add_change_commands(index)

IndexDir = Annotated[Path, typer.Argument(help="The index directory.", metavar="DIR")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@index.command("build", epilog="Example: beedex index build photos --embedder embedder --index index")
def build(
    gallery: Annotated[Path, typer.Argument(help="The folder of labelled photos.", metavar="GALLERY")],
    *,
    embedder: Annotated[Path, typer.Option(help="What `beedex train` wrote.", metavar="BUNDLE")],
    index_dir: Annotated[Path, typer.Option("--index", help="The index; made if need be.", metavar="DIR")],
    keep: Annotated[int, typer.Option(help="How many snapshots stay to roll back to.", metavar="N", min=1)] = 5,
    search: Annotated[
        Literal["auto", "exact", "ivf"],
        typer.Option(help="Look at every vector, or at the nearest of inverted lists; auto decides by their number."),
    ] = "auto",
    recall: Annotated[
        float, typer.Option(help="The share of true neighbors that inverted lists are to find.", min=0.01, max=0.9999)
    ] = 0.99,
    memory_mb: Annotated[
        int | None,
        typer.Option(
            help="Memory for the vectors of a server, in MiB; beyond it they stay in their file. All they need if left "
            "out.",
            metavar="MIB",
            min=1,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring an index up to date with a gallery.

    Only new and changed photos are embedded. A build that was stopped continues where it was; nothing is published
    unless it is whole.
    """
    # Imported when the command runs, here and below: FAISS and OpenVINO take a second that --help shouldn't.
    from beedex.index.progress import report_progress
    from beedex.index.rebuild import build_index
    from beedex.index.vectors import SearchSettings

    settings = SearchSettings(kind=search, recall=recall, memory_mb=memory_mb)
    summary = build_index(gallery, embedder, index_dir, keep=keep, search=settings, report=report_progress)
    if as_json:
        _print_json(_describe_build(summary))
    else:
        _print_build(summary)


@index.command("status", epilog="Example: beedex index status index --json")
def status(directory: IndexDir, *, as_json: AsJson = False) -> None:
    """Say what an index serves, and what the last build left out."""
    from beedex.index.overview import get_status

    found = get_status(directory)
    manifest = found.manifest
    if as_json:
        _print_json(
            {
                "index": str(directory),
                "snapshot": manifest.version,
                "map": None,  # as an older manifest doesn't say
                **manifest.model_dump(mode="json", exclude={"schema_version", "version", "files"}),
                "snapshots": list(found.snapshots),
                "embeddings": found.embeddings,
                "changes": {"pending": found.pending, "kept": found.kept},
                "skipped": [_describe_skipped(skip.path, skip.reason, skip.message) for skip in found.skipped],
            }
        )
        return
    families = ", ".join(f"{family} {count}" for family, count in sorted(manifest.families.items()))
    print(f"snapshot     {manifest.version} of {manifest.created_at}")
    print(f"entries      {manifest.entries} ({families})")
    print(f"embedder     {manifest.fingerprint} ({manifest.dimension} dimensions)")
    print(f"search       {_describe_search(manifest)}")
    print(f"map          {_describe_map(manifest)}")
    print(f"snapshots    {', '.join(map(str, found.snapshots))}")
    for fingerprint, count in found.embeddings.items():
        print(f"embeddings   {count} by {fingerprint[:12]}")
    if found.pending or found.kept:
        print(f"changes      {found.pending} since the last build, {found.kept} before that the gallery doesn't say")
    print(f"left out     {len(found.skipped)}")
    _print_skipped([(skip.path, skip.reason, skip.message) for skip in found.skipped])


@index.command("list", epilog="Example: beedex index list index")
def list_versions(directory: IndexDir, *, as_json: AsJson = False) -> None:
    """List the snapshots of an index; * marks the one that is served."""
    from beedex.index.overview import describe_snapshots

    states = describe_snapshots(directory)
    if as_json:
        _print_json([_describe_snapshot(state) for state in states])
        return
    print("  version  published                  entries  families  embedder")
    for state in states:
        mark = "*" if state.is_current else " "
        if state.manifest is None:
            print(f"{mark} {state.version:7}  {state.problem}")
            continue
        made = state.manifest
        print(
            f"{mark} {state.version:7}  {made.created_at:25}  {made.entries:7}  {len(made.families):8}  "
            f"{made.fingerprint[:12]}"
        )


@index.command("verify", epilog="Example: beedex index verify index")
def verify(directory: IndexDir, *, as_json: AsJson = False) -> None:
    """Check every byte of an index: snapshots, embedders, catalog and changes. Exits with 1 if anything is wrong."""
    from beedex.index.overview import verify_index

    findings = []
    for finding in verify_index(directory):
        findings.append(finding)
        if not as_json:
            print(f"{finding.part:22} {finding.problem or 'ok'}", flush=True)
    is_whole = not any(finding.problem for finding in findings)
    if as_json:
        parts = [{"part": finding.part, "problem": finding.problem or None} for finding in findings]
        _print_json({"ok": is_whole, "parts": parts})
    if not is_whole:
        raise typer.Exit(1)


@index.command("activate", epilog="Example: beedex index activate index 7")
def activate(
    directory: IndexDir,
    version: Annotated[int, typer.Argument(help="As `beedex index list` shows it.", metavar="VERSION", min=1)],
    *,
    as_json: AsJson = False,
) -> None:
    """Make another snapshot the current one, after checking it."""
    from beedex.index.snapshots import activate_snapshot

    activate_snapshot(directory, version)
    _print_active(version, as_json=as_json)


@index.command("rollback", epilog="Example: beedex index rollback index")
def rollback(directory: IndexDir, *, as_json: AsJson = False) -> None:
    """Make the snapshot before the current one current, after checking it. A second rollback goes back one more."""
    from beedex.index.snapshots import rollback_snapshot

    _print_active(rollback_snapshot(directory), as_json=as_json)


@index.command("prune", epilog="Example: beedex index prune index --keep 3")
def prune(
    directory: IndexDir,
    *,
    keep: Annotated[int, typer.Option(help="How many snapshots stay, the current one among them.", metavar="N", min=1)],
    as_json: AsJson = False,
) -> None:
    """Delete old snapshots, and the embedders and embeddings that only they needed.

    What a snapshot that stays needs, and the embeddings of the present gallery by its embedder, stay.
    """
    from beedex.index.pruning import prune_index

    done = prune_index(directory, keep=keep)
    if as_json:
        _print_json(
            {"snapshots": list(done.snapshots), "embedders": list(done.embedders), "embeddings": done.embeddings}
        )
        return
    print(f"deleted {len(done.snapshots)} snapshots, {len(done.embedders)} embedders, {done.embeddings} embeddings")


def _describe_build(summary: "BuildSummary") -> dict[str, Any]:
    return {
        "entries": summary.entries,
        "embedded": summary.embedded,
        "reused": summary.reused,
        "removed": summary.removed,
        "relabeled": summary.relabeled,
        "changes": summary.changes,
        "copies": summary.copies,
        "skipped": [_describe_skipped(skip.path, skip.reason, skip.message) for skip in summary.skipped],
        "snapshot": summary.snapshot,
        "published": summary.published,
        "fingerprint": summary.fingerprint,
        "seconds": round(summary.seconds, 3),
    }


def _print_build(summary: "BuildSummary") -> None:
    _print_skipped([(skip.path, skip.reason, skip.message) for skip in summary.skipped])
    outcome = "published" if summary.published else "stays: nothing has changed"
    copies = f", {summary.copies} further copies" if summary.copies else ""
    copies += f", {summary.changes} changed by hand" if summary.changes else ""
    print(
        f"{summary.entries} entries: {summary.embedded} embedded, {summary.reused} reused, {summary.removed} removed, "
        f"{summary.relabeled} relabeled, {len(summary.skipped)} skipped{copies}; {summary.seconds:.1f} s\n"
        f"snapshot {summary.snapshot} {outcome}; embedder {summary.fingerprint[:12]}"
    )


def _describe_search(manifest: "SnapshotManifest") -> str:
    plan, wanted = manifest.search_plan, manifest.search_settings
    if plan is None or wanted is None:
        return f"{manifest.index_kind}, {manifest.metric}"
    memory = f"about {plan.memory_bytes / 2**20:.1f} MiB in memory"
    if plan.kind == "flat":
        return f"flat (exact), {manifest.metric}; {memory}"
    efforts = ", ".join(f"{effort} for {depth} neighbors" for depth, effort in plan.efforts.items())
    where = f"{memory}, the vectors in their file" if plan.mapped else memory
    return f"ivf, {manifest.metric}; {plan.lists} lists: {efforts or 'all'}; recall {wanted.recall:g}; {where}"


def _describe_map(manifest: "SnapshotManifest") -> str:
    if manifest.map is None:
        return "none: the snapshot was made before there were maps, the next build draws one"
    by = {"t-sne": "t-SNE", "pca": "principal components"}[manifest.map.method]
    return f"{manifest.entries} entries by {by}"


def _describe_snapshot(state: "SnapshotState") -> dict[str, Any]:
    made = state.manifest
    return {
        "version": state.version,
        "current": state.is_current,
        "created_at": made.created_at if made else None,
        "entries": made.entries if made else None,
        "families": made.families if made else None,
        "fingerprint": made.fingerprint if made else None,
        "problem": state.problem or None,
    }


def _describe_skipped(path: str, reason: str, message: str) -> dict[str, str]:
    return {"path": path, "reason": reason, "message": message}


def _print_skipped(skipped: list[tuple[str, str, str]]) -> None:
    for path, reason, message in skipped[:SKIPPED_SHOWN]:
        print(f"skipped {path}: {reason}: {message}", file=sys.stderr)
    if len(skipped) > SKIPPED_SHOWN:
        print(f"skipped {len(skipped) - SKIPPED_SHOWN} more; --json names them all", file=sys.stderr)


def _print_active(version: int, *, as_json: bool) -> None:
    if as_json:
        _print_json({"snapshot": version})
    else:
        print(f"snapshot {version} is current")


def _print_json(document: object) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False))
