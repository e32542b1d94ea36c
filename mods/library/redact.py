"""Personal data never leaves: e-mail addresses, phone and card numbers, IBANs.

    model="<base>/redact"

    Write to ann@example.org or 555-0100.   becomes   Write to [e-mail] or [phone].

What may become such data is held until that is known, however it is split; all else streams. Card
numbers count if their check digit (Luhn) is right, IBANs if theirs are. Only some, or other marks:

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
    "card": r"(?<!\w)(?:\d{13,19}|\d{4}(?:[ -]\d{4}){2,3}(?:[ -]\d{1,4})?|\d{4}([ -])\d{6}\1\d{5})"
    r"(?!\w)",
    "phone": r"(?<!\w)(?:\+\d(?:[ ().\/-]{0,2}\d){6,14}|\(\d{2,5}\)(?:[ .\/-]?\d){6,8}"
    r"|(?:\d{3}[ .-])?\d{3}-\d{4}|\d{3}([ .])\d{3}\1\d{4}|0\d{1,4}[ \/-]\d(?:[ -]?\d){4,8})(?!\w)",
}
CUT = {"email": r"[\w.%+-]+@[\w.-]*$", "phone": r"(?:\d{3,}[ ().\/-]{0,2}){2,}\d*$|\+?\d{7,}$"}
"""What is data already where `max_tokens` or a stop string cut it."""
GROWING = re.compile(r"(?<!\w)(?:[+(]|\d|[A-Z]{2}\d)[\dA-Z ().\/-]{0,70}$|[\w.%+@-]+$")
"""What may become data with the next tokens."""


class Redact:
    """marks: what each kind of data is replaced with; kinds without a mark are left alone."""

    def __init__(self, marks=MARKS):
        self.marks = marks
        self.settled = PerRequest(lambda request_id: 0)

    def __call__(self, event, actions, tokenizer):
        if not isinstance(event, Added):
            return actions.noop()
        text, rid = event.text, event.request_id
        growing = None if event.ends else GROWING.search(text, max(0, len(text) - 400))
        whole = growing.start() if growing else len(text)
        cut = event.ends and event.tokens[-1] != tokenizer.eos_token_id
        found = self.first(text[:whole], min(self.settled[rid], whole), cut)
        self.settled[rid] = whole
        if found is None:
            return actions.hold() if growing else actions.release()
        start, end, mark = found
        n, left = event.cut(start)
        self.settled[rid] = left
        return actions.backtrack(n, text[left:start] + mark + text[end:])

    def first(self, text, since, cut):
        """The first datum in the text from there on: its start, its end, and its mark."""
        found = []
        for kind, mark in self.marks.items():
            pattern = "|".join([DATA[kind]] + [CUT[kind]] * (cut and kind in CUT))
            for match in re.compile(pattern).finditer(text, since):
                length = CHECKS.get(kind, len)(match[0])
                if length:
                    found.append((match.start(), -length, mark))
        start, length, mark = min(found, default=(0, 0, ""))
        return (start, start - length, mark) if length else None


def luhn(text):
    digits = [int(digit) for digit in text if digit.isdigit()][::-1]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return len(text) if (sum(digits[::2]) + sum(doubled)) % 10 == 0 else 0


def iban(text):
    """How much of the text is one: it may be followed by what looks like more of it."""
    for end in range(len(text), 14, -1):
        plain = re.sub("[ -]", "", text[:end])
        if int("".join(str(int(sign, 36)) for sign in plain[4:] + plain[:4])) % 97 == 1:
            return end
    return 0


CHECKS = {"card": luhn, "iban": iban}
_default = Redact()


@mod(events=Added, reach=0)
def redact(event, actions, tokenizer):
    """Replace e-mail addresses, phone and card numbers and IBANs before they leave."""
    return _default(event, actions, tokenizer)
