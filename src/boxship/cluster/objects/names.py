"""Which names, keys and values are well formed: each function returns why not, or "".

Facts and texts: k8s.io/apimachinery, `util/validation`. People and clients match the texts, so they are the original's.
"""

import re

LABEL_LENGTH = 63
SUBDOMAIN_LENGTH = 253
PORT_NAME_LENGTH = 15
CONFIG_KEY_LENGTH = 253
ANNOTATIONS_SIZE = 256 * 1024  # bytes, keys and values together

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = f"({_QUALIFIED})?"
_WILDCARD = rf"\*\.{_SUBDOMAIN}"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_ENVIRONMENT = "[-._a-zA-Z][-._a-zA-Z0-9]*"
_ENVIRONMENT_RELAXED = "[ -<>-~]+"
_C_IDENTIFIER = "[A-Za-z_][A-Za-z0-9_]*"
_HEADER = "[-A-Za-z0-9]+"
_PERCENT = "[0-9]+%"
_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"

EMPTY = "must be non-empty"

_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character"
)
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character"
)
_LABEL_1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character"
)
_QUALIFIED_TEXT = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
_LABEL_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character"
)
_WILDCARD_TEXT = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
    "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
)
_ENVIRONMENT_TEXT = (
    "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not "
    "start with a digit"
)


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


_IS_LABEL = _compiled(_LABEL)
_IS_SUBDOMAIN = _compiled(_SUBDOMAIN)
_IS_LABEL_1035 = _compiled(_LABEL_1035)
_IS_QUALIFIED = _compiled(_QUALIFIED)
_IS_LABEL_VALUE = _compiled(_LABEL_VALUE)
_IS_WILDCARD = _compiled(_WILDCARD)
_IS_CONFIG_KEY = _compiled(_CONFIG_KEY)
_IS_ENVIRONMENT = _compiled(_ENVIRONMENT)
_IS_ENVIRONMENT_RELAXED = _compiled(_ENVIRONMENT_RELAXED)
_IS_C_IDENTIFIER = _compiled(_C_IDENTIFIER)
_IS_HEADER = _compiled(_HEADER)
_IS_PERCENT = _compiled(_PERCENT)
_IS_PATH = _compiled(_PATH)


def too_long(limit: int) -> str:
    """The text for anything longer than `limit` characters or bytes."""
    return f"must be no more than {limit} characters"


def unlike(text: str, pattern: str, *examples: str) -> str:
    """The text for what does not match a pattern; the original's odd commas are kept."""
    shown = " or ".join(f"'{example}', " for example in examples)
    return (
        f"{text} (e.g. {shown}regex used for validation is '{pattern}')"
        if examples
        else (f"{text} (regex used for validation is '{pattern}')")
    )


def label(name: str) -> str:
    """An RFC 1123 label: names of namespaces, containers, many ports."""
    if len(name) > LABEL_LENGTH:
        return too_long(LABEL_LENGTH)
    return "" if _IS_LABEL.fullmatch(name) else unlike(_LABEL_TEXT, _LABEL, "my-name", "123-abc")


def subdomain(name: str) -> str:
    """An RFC 1123 subdomain: names of most objects."""
    if len(name) > SUBDOMAIN_LENGTH:
        return too_long(SUBDOMAIN_LENGTH)
    return "" if _IS_SUBDOMAIN.fullmatch(name) else unlike(_SUBDOMAIN_TEXT, _SUBDOMAIN, "example.com")


def label_1035(name: str) -> str:
    """An RFC 1035 label: names of services."""
    if len(name) > LABEL_LENGTH:
        return too_long(LABEL_LENGTH)
    return "" if _IS_LABEL_1035.fullmatch(name) else unlike(_LABEL_1035_TEXT, _LABEL_1035, "my-name", "abc-123")


def wildcard(name: str) -> str:
    """A subdomain behind "*."."""
    if len(name) > SUBDOMAIN_LENGTH:
        return too_long(SUBDOMAIN_LENGTH)
    return "" if _IS_WILDCARD.fullmatch(name) else unlike(_WILDCARD_TEXT, _WILDCARD, "*.example.com")


def path_segment(name: str) -> str:
    """What may stand between slashes of a URL: names of roles and other RBAC objects."""
    if name in (".", ".."):
        return f"may not be '{name}'"
    for mark in ("/", "%"):
        if mark in name:
            return f"may not contain '{mark}'"
    return ""


def qualified(name: str) -> str:
    """A label's key, a finalizer, a condition's type: [PREFIX/]NAME."""
    prefix, slash, rest = name.partition("/")
    if slash and "/" in rest:
        text = unlike(_QUALIFIED_TEXT, _QUALIFIED, "MyName", "my.name", "123-abc")
        return f"a qualified name {text} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
    if slash:
        if not prefix:
            return f"prefix part {EMPTY}"
        if why := subdomain(prefix):
            return f"prefix part {why}"
    part = rest if slash else prefix
    if not part:
        # The original finds both, and joins them.
        return f"name part {EMPTY}; name part {unlike(_QUALIFIED_TEXT, _QUALIFIED, 'MyName', 'my.name', '123-abc')}"
    if len(part) > LABEL_LENGTH:
        return f"name part {too_long(LABEL_LENGTH)}"
    if _IS_QUALIFIED.fullmatch(part):
        return ""
    return f"name part {unlike(_QUALIFIED_TEXT, _QUALIFIED, 'MyName', 'my.name', '123-abc')}"


def label_value(value: str) -> str:
    if len(value) > LABEL_LENGTH:
        return too_long(LABEL_LENGTH)
    if _IS_LABEL_VALUE.fullmatch(value):
        return ""
    return unlike(_LABEL_VALUE_TEXT, _LABEL_VALUE, "MyValue", "my_value", "12345")


def domain(name: str) -> str:
    """A subdomain of at least two parts, as signers and drivers of some kinds need it."""
    if not name:
        return "Required value"
    return subdomain(name) or ("" if "." in name else "should be a domain with at least two segments separated by dots")


def domain_path(name: str) -> str:
    """DOMAIN/PATH: controllers of ingress classes, finalizers of custom resources."""
    if not name:
        return "Required value"
    before, slash, after = name.partition("/")
    if not slash or not before or not after:
        return 'must be a domain-prefixed path (such as "acme.io/foo")'
    if why := subdomain(before):
        return why
    text = "a path must consist of valid URL path characters"
    return "" if _IS_PATH.fullmatch(after) else f"Invalid path ({unlike(text, _PATH)})"


def port_name(name: str) -> str:
    """An IANA service name: named ports."""
    if len(name) > PORT_NAME_LENGTH:
        return too_long(PORT_NAME_LENGTH)
    if not re.fullmatch("[-a-z0-9]+", name):
        return "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
    if not re.search("[a-z]", name):
        return "must contain at least one letter (a-z)"
    if "--" in name:
        return "must not contain consecutive hyphens"
    if name.startswith("-") or name.endswith("-"):
        return "must not begin or end with a hyphen"
    return ""


def port(number: object) -> str:
    wrong = not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= 65535
    return "must be between 1 and 65535, inclusive" if wrong else ""


def config_key(key: str) -> str:
    """A key of a ConfigMap or a Secret; it becomes a file's name."""
    if len(key) > CONFIG_KEY_LENGTH:
        return too_long(CONFIG_KEY_LENGTH)
    if not _IS_CONFIG_KEY.fullmatch(key):
        text = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        return unlike(text, _CONFIG_KEY, "key.name", "KEY_NAME", "key-name")
    if key in (".", ".."):
        return f"must not be '{key}'"
    return "must not start with '..'" if key.startswith("..") else ""


def environment_name(name: str) -> str:
    """A variable's name as the original asks of `envFrom` prefixes of old; new objects may use `relaxed`."""
    if not _IS_ENVIRONMENT.fullmatch(name):
        return unlike(_ENVIRONMENT_TEXT, _ENVIRONMENT, "my.env-name", "MY_ENV.NAME", "MyEnvName1")
    if name in (".", ".."):
        return f"must not be '{name}'"
    return "must not start with '..'" if name.startswith("..") else ""


def environment_name_relaxed(name: str) -> str:
    """A variable's name since 1.32: any printable ASCII but "="."""
    if not name:
        return "environment variable name " + EMPTY
    if _IS_ENVIRONMENT_RELAXED.fullmatch(name):
        return ""
    text = "a valid environment variable name must consist only of printable ASCII characters other than '='"
    return unlike(text, _ENVIRONMENT_RELAXED)


def c_identifier(name: str) -> str:
    text = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric"
    found = _IS_C_IDENTIFIER.fullmatch(name)
    return "" if found else unlike(f"{text} characters or '_'", _C_IDENTIFIER, "my_name", "MY_NAME", "MyName")


def header_name(name: str) -> str:
    text = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return "" if _IS_HEADER.fullmatch(name) else unlike(text, _HEADER, "X-Header-Name")


def percent(text: str) -> str:
    words = "a valid percent string must be a numeric string followed by an ending '%'"
    return "" if _IS_PERCENT.fullmatch(text) else unlike(words, _PERCENT, "1%", "93%")


def annotations_size(annotations: dict[str, str]) -> int:
    """Bytes of all keys and values, to be held against ANNOTATIONS_SIZE."""
    return sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
