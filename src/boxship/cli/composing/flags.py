"""The flags between `boxship compose` and its verb, and those that several verbs have."""

from boxship.cli.flags import Flag

FLAGS: tuple[Flag, ...] = (
    Flag("--all-resources", "Include all resources, even those not used by services"),
    Flag("--ansi string", "Control when to print ANSI control characters ('never'|'always'|'auto')", "auto"),
    Flag("--compatibility", "Run in backward compatibility mode (refused)"),
    Flag("--dry-run", "Print what would be done, and do nothing"),
    Flag("--env-file list", "Specify an alternate environment file", completes="files"),
    Flag("-f, --file list", "Compose configuration files ('-': standard input)", completes="files"),
    Flag("--parallel int", "Control max parallelism, -1 for unlimited", -1),
    Flag("--profile list", "Specify a profile to enable"),
    Flag("--progress string", "Set type of progress output ('auto', 'tty', 'plain', 'json', 'quiet')", "auto"),
    Flag("--project-directory string", "Specify an alternate working directory (default: that of the first file)"),
    Flag("-p, --project-name string", "Project name", completes="projects"),
    Flag("-v, --version", "Show the version and quit"),
)
DRY_RUN = Flag("--dry-run", "Print what would be done, and do nothing")
TIMEOUT = Flag("-t, --timeout int", "Specify a shutdown timeout in seconds", -1)
ORPHANS = Flag("--remove-orphans", "Remove containers for services not defined in the Compose file")
QUIET_PULL = Flag("--quiet-pull", "Pull without printing progress information")
NO_DEPENDENCIES = Flag("--no-deps", "Don't start linked services")
SCALE = Flag("--scale list", "Scale SERVICE to NUM instances (SERVICE=NUM). Overrides the Compose file's setting")
YES = Flag("-y, --yes", "Assume yes as the answer to all questions")
INDEX = Flag("--index int", "Index of the container if the service has multiple replicas", 0)
FORMAT = Flag("--format string", "Format the output: 'table' or 'json'", "table")
MAKING = (
    Flag("--build", "Build images before starting containers"),
    Flag("--force-recreate", "Recreate containers even if their configuration and image haven't changed"),
    Flag("--no-build", "Don't build an image, even if it is missing"),
    Flag("--no-recreate", "If containers already exist, don't recreate them. Incompatible with --force-recreate"),
    Flag("--pull string", "Pull image before running ('always'|'missing'|'never'|'build')", "policy"),
    QUIET_PULL,
    ORPHANS,
    SCALE,
    YES,
)
