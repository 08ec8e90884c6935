"""Text as other programs save it: some put a byte order mark before it. Knows no format."""

import codecs

from .errors import AttuneError

_WIDE = {
    codecs.BOM_UTF32_LE: "UTF-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def without_mark(content: bytes, name: str) -> bytes:
    """The bytes of a text without UTF-8's byte order mark. `name` is what messages call it.

    Raises AttuneError where the mark is that of another encoding.
    """
    for mark, encoding in _WIDE.items():
        if content.startswith(mark):
            raise AttuneError(f"{name} is {encoding} text; save it as UTF-8")
    return content.removeprefix(codecs.BOM_UTF8)
