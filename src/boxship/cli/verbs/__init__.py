"""The list of verbs: data only. To add a verb, write `verbs/NAME.py` and one line here.

A verb's file has `COMMAND`, a `boxship.cli.flags.Command` with its flags, and `run(call: Call) -> int`, which returns
the exit code. It is imported when the verb is called, never for another verb.
"""

GROUPS: dict[str, str] = {
    "container": "Manage containers",
    "image": "Manage images",
    "network": "Manage networks",
    "system": "Manage Boxship",
    "volume": "Manage volumes",
}

# module, summary, then every name it goes by (the first is the one in help; two words: a group and its verb)
VERBS: tuple[tuple[str, ...], ...] = (
    ("base", "Make a base image from the distribution's packages", "base"),
    ("doctor", "Check the machine and say what is missing", "doctor"),
    ("pki", "Make certificates for the daemon and its clients", "pki"),
)
