"""Personal data never leaves: e-mail addresses, phone and card numbers, IBANs.

    model="<base>/redact"

    Write to ann@example.org or 555-0100.   becomes   Write to [e-mail] or [phone].

What may become such data is held until that is known, however it is split; all else streams. Card
numbers and IBANs count if their check digits are right. Only some kinds, or other marks:

    from mods.library.redact import MARKS, Redact
    from mods.sdk import create_mod

    no_mail = create_mod(Redact({"email": "***"}), reach=0)
"""

import re

from mods.sdk import Added, PerRequest, mod

MARKS = {"email": "[e-mail]", "iban": "[iban]", "card": "[card]", "phone": "[phone]"}
DATA = {
    "email": r"[\w.%+-]+@(?:[\w-]+\.)*[\w-]+",
    "iban": r"(?<!\w)[A-Z]{2}\d\d(?:[ -]?[A-Z\d]){11,30}",
    "card": r"(?<!\w)(?:\d{13,19}|\d{4}([ -])(?:\d{4}\2){2,3}\d{1,4}|\d{4}[ -]\d{6}[ -]\d{5})\b",
    "phone": r"(?<!\w)(?:\+\d(?:[ ()./-]{0,2}\d){6,14}|\(\d{2,5}\)(?:[ ./-]?\d){6,8}"
    r"|(?:\d{3}[ .-])?\d{3}-\d{4}|\d{3}([ .])\d{3}\2\d{4}|0\d{1,4}[ /-]\d(?:[ -]?\d){4,8})(?!\w)",
}
CUT = {
    "email": r"[\w.%+-]+@[\w.-]*$",
    "iban": r"(?<!\w)[A-Z]{2}\d\d(?:[ -]?[A-Z\d]){3,}$",
    "phone": r"(?:\d{3,}[ ()./-]{0,2}){2,}\d*$|(?<![\d.])\+?\d{7,}$",
}
"""What is data already where `max_tokens` or a stop string cut it."""
GROWING = re.compile(r"(?<!\w)(?:[+(]|\d|[A-Z]{2}\d)[\dA-Z ()./-]{0,70}$|[\w.%+@-]+$")
"""What may become data with the next tokens."""


class Redact:
    """marks: what each kind of data is replaced with; kinds without a mark are left alone."""

    def __init__(self, marks=MARKS):
        self.kinds = [(mark, DATA[kind], CHECKS.get(kind, len)) for kind, mark in marks.items()]
        self.cut = [(marks[kind], CUT[kind], len) for kind in marks if kind in CUT]
        self.settled = PerRequest(lambda request_id: 0)

    def __call__(self, event, actions, tokenizer):
        if not isinstance(event, Added):
            return actions.noop()
        text, rid = event.text, event.request_id
        growing = None if event.ends else GROWING.search(text, max(0, len(text) - 400))
        whole = growing.start() if growing else len(text)
        was_cut = event.ends and tokenizer.decode(event.tokens[-1:], skip_special_tokens=True)
        found = self.first(text, min(self.settled[rid], whole), whole, was_cut)
        self.settled[rid] = whole
        if not (found or growing or event.cut(len(text))[0]):  # the last: half a character
            return actions.release()
        if not found:
            return actions.hold()
        actions.hold()
        start, size, mark = found
        n, left = event.cut(start)
        self.settled[rid] = left
        return actions.backtrack(n, text[left:start] + mark + text[start - size :])

    def first(self, text, since, whole, was_cut):
        """The first datum that begins there, the longest of those: start, minus length, mark."""
        found = []
        for mark, pattern, check in self.kinds + self.cut * bool(was_cut):
            for match in re.compile(f"(?=({pattern}))").finditer(text, since):
                if match.start() < whole and check(match[1]):
                    found.append((match.start(), -check(match[1]), mark))
        return min(found, default=None)


def longest(valid):
    """How many characters of a text are a number of the kind: more may seem to belong to it."""

    def check(text):
        ends = [end for end in range(len(text), 12, -1) if not text[end : end + 1].isdigit()]
        return next((end for end in ends if valid(re.sub("[ -]", "", text[:end]))), 0)

    return check


def luhn(number):
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in number[-2::-2]]
    return len(number) in range(13, 20) and sum(map(int, number[::-2]), sum(doubled)) % 10 == 0


def iban(number):
    digits = "".join(str(int(sign, 36)) for sign in number[4:] + number[:4])
    return len(number) >= 15 and int(digits) % 97 == 1


CHECKS = {"card": longest(luhn), "iban": longest(iban)}
_default = Redact()


@mod(events=Added, reach=0)
def redact(event, actions, tokenizer):
    """Replace e-mail addresses, phone and card numbers and IBANs before they leave."""
    return _default(event, actions, tokenizer)
