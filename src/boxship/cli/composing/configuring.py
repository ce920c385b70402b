"""The verb `config`: which of the model's texts is printed."""

from __future__ import annotations

import json

from boxship.cli.call import Call, Failure
from boxship.cli.composing.localfiles import LocalFiles
from boxship.cli.composing.opening import Opening
from boxship.cli.credentials import auth_header
from boxship.cli.daemon import Daemon, find_address
from boxship.cli.escape import path_of
from boxship.compose import printing
from boxship.compose.hashing import service_hash
from boxship.compose.load import load_model
from boxship.compose.model import Project
from boxship.compose.normal import used
from boxship.compose.planning.selecting import select
from boxship.errors import Unsupported

FORMS = ("yaml", "json")


def config_text(call: Call) -> str:
    """What `config` prints. Raises whatever is wrong in the files."""
    options = call.options
    form = options.text("format") or "yaml"
    if form not in FORMS:
        raise Failure(f"unsupported format {form!r}: it must be yaml or json")
    if options.on("models"):
        raise Unsupported("unsupported: --models")
    opening = Opening(call)
    if options.on("variables"):
        gathered = load_model(opening.request(interpolate=False), LocalFiles())[1]
        return printing.variables_text(gathered.uses)
    if options.on("no-interpolate"):
        request = opening.request(interpolate=False, resolve_paths=not options.on("no-path-resolution"))
        values, _ = load_model(request, LocalFiles())
        return printing.model_text(values, form)
    project = _loaded(opening)
    if not call.group.on("all-resources"):
        project = used(project)
    text = _names(opening, project)
    if text is not None:
        return text
    project = select(project, call.arguments) if call.arguments else project
    if not call.group.on("all-resources"):
        project = used(project)
    if options.on("lock-image-digests"):
        return _locked(call, project)
    if options.on("resolve-image-digests"):
        project = printing.with_images(project, lambda image: pinned(call, image))
    return printing.config_yaml(project) if form == "yaml" else printing.config_json(project) + "\n"


def _loaded(opening: Opening) -> Project:
    options = opening.call.options
    return opening.load(
        opening.call.arguments,
        request=opening.request(resolve_paths=not options.on("no-path-resolution")),
        normalize=not options.on("no-normalize"),
        consistency=not options.on("no-consistency"),
        resolve_environment=not options.on("no-env-resolution"),
    )


def _names(opening: Opening, project: Project) -> str | None:
    """One of the lists of names; None where none is asked for."""
    options = opening.call.options
    texts = {
        "services": printing.services_text,
        "volumes": printing.volumes_text,
        "networks": printing.networks_text,
        "profiles": printing.profiles_text,
        "images": printing.images_text,
        "environment": printing.environment_text,
    }
    if options.text("hash"):
        names = () if options.text("hash") == "*" else tuple(options.text("hash").split(","))
        return printing.hashes_text(project, names, service_hash)
    for flag, text in texts.items():
        if options.on(flag):
            return text(select(project, opening.call.arguments) if opening.call.arguments else project)
    return None


def pinned(call: Call, image: str) -> str:
    """The image's name with the digest that its registry has for it."""
    if "@" in image:
        return image
    daemon = Daemon(find_address(call.shared, call.environment))
    found = daemon.request("GET", f"/distribution/{path_of(image)}/json", headers=auth_header(call, image))
    digest = json.loads(found.read())["Descriptor"]["digest"]
    return f"{image}@{digest}"


def _locked(call: Call, project: Project) -> str:
    """A file to lay over the project's own, which pins the images."""
    services = {
        name: {"image": pinned(call, service.image)}
        for name, service in project.services.items()
        if service.image and not service.build
    }
    return printing.model_text({"services": services}, "yaml")
