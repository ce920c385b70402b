"""boxship build: an image (or files, or an archive) from a Dockerfile."""

from __future__ import annotations

from boxship.cli.call import Call, Failure
from boxship.cli.flags import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.cli.building.order import Order

COMMAND = Command(
    "PATH | URL | -",
    (
        Flag("--add-host list", "Add a custom host-to-IP mapping (format: 'host:ip')"),
        Flag("--allow list", "Allow extra privileged entitlement ('network.host', 'security.insecure')"),
        Flag("--annotation list", "Add annotation to the image"),
        Flag("--attest list", "Attestation parameters (refused)"),
        Flag("--build-arg list", "Set build-time variables"),
        Flag("--build-context list", "Additional build contexts (e.g., name=path)"),
        Flag("--cache-from list", "External cache sources (e.g., 'user/app:cache', 'type=local,src=path/to/dir')"),
        Flag("--cache-to list", "Cache export destinations (e.g., 'type=inline', 'type=local,dest=path/to/dir')"),
        Flag("--call string", "Set method for evaluating build ('build', 'check')", "build"),
        Flag("--cgroup-parent string", "Set the parent cgroup for the RUN instructions during build"),
        Flag("--check", "Check the Dockerfile and build nothing; exit code 1 where there is a finding"),
        Flag("--cpu-period int", "Limit the CPU CFS (Completely Fair Scheduler) period"),
        Flag("--cpu-quota int", "Limit the CPU CFS (Completely Fair Scheduler) quota"),
        Flag("-c, --cpu-shares int", "CPU shares (relative weight)"),
        Flag("--cpuset-cpus string", "CPUs in which to allow execution (0-3, 0,1)"),
        Flag("--cpuset-mems string", "MEMs in which to allow execution (0-3, 0,1)"),
        Flag("--explain", "Say of each step why it was not found in the cache"),
        Flag("-f, --file string", "Name of the Dockerfile (default: 'PATH/Dockerfile')", completes="files"),
        Flag("--force-rm", "Accepted for Docker's sake: there are no intermediate containers"),
        Flag("--host-ca", "Let RUN steps trust the certificate authorities that this machine trusts"),
        Flag("--iidfile string", "Write the image ID to a file", completes="files"),
        Flag("--isolation string", "Container isolation technology (only 'default')"),
        Flag("--label list", "Set metadata for an image"),
        Flag("--load", "Keep the result as an image of the daemon (it always is, without --output)"),
        Flag("-m, --memory bytes", "Memory limit of the RUN instructions"),
        Flag("--memory-swap bytes", "Swap limit equal to memory plus swap: -1 to enable unlimited swap"),
        Flag("--metadata-file string", "Write build result metadata to a file", completes="files"),
        Flag("--network string", "Set the networking mode for the RUN instructions during build", "default"),
        Flag("--no-cache", "Do not use cache when building the image"),
        Flag("--no-cache-filter list", "Do not cache specified stages"),
        Flag("-o, --output list", "Output destination (format: 'type=local,dest=path')"),
        Flag("--platform list", "Set target platform for build"),
        Flag("--progress string", "Set type of progress output ('auto', 'plain', 'tty', 'quiet', 'rawjson')", "auto"),
        Flag("--provenance string", "Attestation of provenance (only 'false')"),
        Flag("--pull", "Always attempt to pull all referenced images"),
        Flag("--push", "Push the image to its registry"),
        Flag("-q, --quiet", "Suppress the build output and print image ID on success"),
        Flag("--rm", "Accepted for Docker's sake: there are no intermediate containers", True),
        Flag("--sbom string", "Attestation of contents (only 'false')"),
        Flag("--secret list", "Secret to expose to the build (format: 'id=mysecret[,src=/local/secret]')"),
        Flag("--security-opt list", "Security options (refused)"),
        Flag("--shm-size bytes", "Shared memory size for build containers"),
        Flag("--squash", "Squash newly built layers into a single new layer (refused)"),
        Flag("--ssh list", "SSH agent socket to expose to the build (format: 'default|<id>[=<socket>]')"),
        Flag("-t, --tag list", "Image identifier (format: '[registry/]repository[:tag]')"),
        Flag("--target string", "Set the target build stage to build"),
        Flag("--ulimit list", "Ulimit options"),
    ),
    least=1,
    most=1,
    completes=("files",),
)


def run(call: Call) -> int:
    from boxship.cli.building.conversation import BuildError, Conversation
    from boxship.cli.building.order import make_order
    from boxship.cli.building.outputs import check_destinations, end_tidily, open_sink, write_notes
    from boxship.cli.building.showing import Show, way_of

    options = call.options
    way = way_of(call)
    order = make_order(call)
    if order.check:
        return _check(call, order)
    check_destinations(order.outputs)
    title = f"Building {', '.join(options.texts('tag')) or call.arguments[0]}"
    show = Show(call, way, title)
    if any(plan.destination for plan in order.outputs):
        end_tidily()
    sinks = {index: open_sink(plan) for index, plan in enumerate(order.outputs) if plan.destination}
    try:
        try:
            Conversation(call.daemon, order, sinks, show.take, show.tick).run()
        finally:
            show.close()
        for sink in sinks.values():
            sink.finish()
    except BaseException as error:
        for sink in sinks.values():
            sink.abandon()
        if isinstance(error, BuildError):
            show.write_failure(error.fields)
            raise Failure(_reason("build", call.arguments[0], str(error))) from None
        raise
    write_notes(show.built, options.text("iidfile"), options.text("metadata-file"))
    if way == "quiet" and show.built.get("image"):
        call.line(show.built["image"])
    show.write_summary()
    return 0


def _reason(what: str, name: str, text: str) -> str:
    """Many of the daemon's reasons are whole sentences."""
    return text if text.startswith("cannot ") else f"cannot {what} {name}: {text}"


def _check(call: Call, order: Order) -> int:
    """The findings as a table; 1 where there are any."""
    from boxship.cli.building.checking import findings_table
    from boxship.cli.building.conversation import BuildError, Conversation
    from boxship.cli.building.showing import Show

    show = Show(call, "quiet", "")
    try:
        Conversation(call.daemon, order, {}, show.take, None).run()
    except BuildError as error:
        show.write_failure(error.fields)
        raise Failure(_reason("check", call.arguments[0], str(error))) from None
    if not show.findings:
        call.line("Check complete, no findings.")
        return 0
    call.write(findings_table(show.findings))
    return 1
