"""boxship images: images as a table."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.daemon import Object
from boxship.cli.filters import collect, encode_filters
from boxship.cli.flags import Command, Flag
from boxship.cli.table import Column, Listing, is_template
from boxship.cli.text import short_id, split_reference
from boxship.cli.times import NEVER, ago, local_text
from boxship.spec.quantity import format_decimal_bytes

COMMAND = Command(
    "[REPOSITORY[:TAG]]",
    (
        Flag("-a, --all", "Show all images (default hides intermediate images)"),
        Flag("--digests", "Show digests"),
        Flag("-f, --filter list", "Filter output, for example dangling=true or reference=PATTERN"),
        Flag("--format string", "Format output: 'table', 'table TEMPLATE', 'json' or a Go template"),
        Flag("--no-trunc", "Don't truncate output"),
        Flag("-q, --quiet", "Only show image ids"),
    ),
    most=1,
    completes=("images",),
)
NONE = "<none>"
UNKNOWN = "N/A"


def run(call: Call) -> int:
    options = call.options
    filters = collect(options.texts("filter"))
    if call.arguments:
        filters.setdefault("reference", {})[call.arguments[0]] = True
    form, whole, digests = options.text("format"), options.on("no-trunc"), options.on("digests")
    query = {"all": options.on("all") or None, "filters": encode_filters(filters), "digests": digests or None}
    images = call.daemon.get("/images/json", query)
    images.sort(key=lambda image: -image["Created"])
    rows = [row for image in images for row in name_rows(image, digests or ".Digest" in form)]
    if options.on("quiet") and not is_template(form):
        call.write("".join(f"{row['Id'] if whole else short_id(row['Id'])}\n" for row in rows))
    else:
        call.write(listing(whole, digests).render(rows, form))
    return 0


def name_rows(image: Object, with_digests: bool) -> list[Object]:
    """One row for each name of the image, and with digests for each of theirs; one for a repository of which the image
    has a digest and no tag; one without names for a dangling image."""
    tags: dict[str, list[str]] = {}
    digests: dict[str, list[str]] = {}
    for name in image.get("RepoTags") or []:
        repository, tag = split_reference(name)
        if name != f"{NONE}:{NONE}":
            tags.setdefault(repository, []).append(tag)
    for name in image.get("RepoDigests") or []:
        repository, digest = split_reference(name)
        if repository != NONE:
            digests.setdefault(repository, []).append(digest)

    def row(repository: str, tag: str, digest: str) -> Object:
        return {**image, "Repository": repository, "Tag": tag, "Digest": digest}

    rows = []
    for repository, names in tags.items():
        known = digests.pop(repository, [])
        rows += [row(repository, tag, digest) for tag in names for digest in (with_digests and known) or [NONE]]
    for repository, found in digests.items():
        rows += [row(repository, NONE, digest) for digest in (found if with_digests else [NONE])]
    return rows or [row(NONE, NONE, NONE)]


def listing(whole: bool, with_digests: bool) -> Listing:
    """The columns of images."""
    columns = (
        Column("Repository", "REPOSITORY", lambda i: i["Repository"]),
        Column("Tag", "TAG", lambda i: i["Tag"]),
        Column("Digest", "DIGEST", lambda i: i["Digest"]),
        Column("ID", "IMAGE ID", lambda i: i["Id"] if whole else short_id(i["Id"])),
        Column("CreatedSince", "CREATED", lambda i: ago(i["Created"]) if i["Created"] != NEVER else "", UNKNOWN),
        Column("CreatedAt", "CREATED AT", lambda i: local_text(i["Created"])),
        Column("Size", "SIZE", lambda i: format_decimal_bytes(i["Size"], 3)),
        Column("VirtualSize", "SIZE", lambda i: format_decimal_bytes(i["Size"])),
        Column("Containers", "CONTAINERS", lambda i: str(i["Containers"]) if i.get("Containers", -1) >= 0 else UNKNOWN),
        Column("SharedSize", "SHARED SIZE", _shared_size),
        Column("UniqueSize", "UNIQUE SIZE", _unique_size),
    )
    digest = ("Digest",) if with_digests else ()
    return Listing(columns, ("Repository", "Tag", *digest, "ID", "CreatedSince", "Size"))


def _shared_size(image: Object) -> str:
    shared = image.get("SharedSize", -1)
    return format_decimal_bytes(shared) if shared >= 0 else UNKNOWN


def _unique_size(image: Object) -> str:
    shared = image.get("SharedSize", -1)
    return format_decimal_bytes(image["Size"] - shared) if shared >= 0 else UNKNOWN
