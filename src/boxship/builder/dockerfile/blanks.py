"""What counts as white space: Unicode's White_Space, as BuildKit has it. Python's own idea of it differs a little."""

_RARE = (0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)
BLANKS = "\t\n\v\f\r " + "".join(map(chr, _RARE))
