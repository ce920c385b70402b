"""Names of variables that a build knows without ARG, as data for whoever plans it. Pure."""

from collections.abc import Mapping

from boxship.spec.image import Platform

# Set before the first FROM; a stage sees one after `ARG NAME`.
PLATFORM = (
    "BUILDPLATFORM",
    "BUILDOS",
    "BUILDOSVERSION",
    "BUILDARCH",
    "BUILDVARIANT",
    "TARGETPLATFORM",
    "TARGETOS",
    "TARGETOSVERSION",
    "TARGETARCH",
    "TARGETVARIANT",
    "TARGETSTAGE",
)
# Every RUN sees them where --build-arg gives them, without ARG; neither history nor the cache's key has them then.
PROXIES = (
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
)
EPOCH = "SOURCE_DATE_EPOCH"  # a stage sees it after ARG; the build as a whole obeys it in any case
BUILD_STAGE = "TARGETSTAGE"  # the name given with --target, or "default"
# Arguments that steer the build itself. The value says whether Boxship honours one; the others change nothing here.
CONTROL: dict[str, bool] = {
    "BUILDKIT_SYNTAX": False,
    "BUILDKIT_BUILD_NAME": False,
    "BUILDKIT_CACHE_MOUNT_NS": True,
    "BUILDKIT_CONTEXT_KEEP_GIT_DIR": True,
    "BUILDKIT_INLINE_CACHE": True,
    "BUILDKIT_MULTI_PLATFORM": False,
    "BUILDKIT_SANDBOX_HOSTNAME": True,
    "BUILDKIT_DOCKERFILE_CHECK": True,
    "BUILDKIT_HISTORY_PROVENANCE_V1": False,
}
ALWAYS_KNOWN = frozenset((*PROXIES, EPOCH, *CONTROL))
SECRET_WORDS = ("apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token")
PUBLIC_WORD = "public"
RESERVED_STAGES = ("context", "scratch")


def platform_values(build: Platform, target: Platform, stage: str = "") -> dict[str, str]:
    """The values of PLATFORM for one build; `stage` is --target."""
    values = {BUILD_STAGE: stage or "default"}
    for prefix, platform in (("BUILD", build), ("TARGET", target)):
        values[f"{prefix}PLATFORM"] = platform_text(platform)
        values[f"{prefix}OS"] = platform.os
        values[f"{prefix}ARCH"] = platform.architecture
        values[f"{prefix}VARIANT"] = platform.variant
        values[f"{prefix}OSVERSION"] = platform.os_version
    return values


def platform_text(platform: Platform) -> str:
    """os/architecture[/variant]."""
    return "/".join(part for part in (platform.os, platform.architecture, platform.variant) if part)


def unconsumed(given: Mapping[str, str | None], declared: frozenset[str]) -> tuple[str, ...]:
    """Names of --build-arg that no ARG declares: worth a warning."""
    known = declared | ALWAYS_KNOWN | set(PLATFORM)
    return tuple(sorted(name for name in given if name not in known and not name.startswith("BUILDKIT_")))
