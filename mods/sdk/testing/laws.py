class LawBroken(AssertionError):
    pass
