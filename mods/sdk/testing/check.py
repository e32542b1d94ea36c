def check_story(*a):
    pass


def check_laws(*a):
    pass
